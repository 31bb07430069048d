"""What the members decide together: who validates, revocations, parameters, CA roots, and who decides.

Acts take operators of `threshold` different organisations among `organisations` = {"names", "threshold"}. Revocation:
`revoked/<serial>`. Parameter: `parameter/<name>` = {"value"}; units are in the names. Root: `root/<sha256>` =
{"certificate"}. The epoch in force is `epoch`; the one to come, `next_epoch` = {"boundary", "epoch"}, follows the block
at its boundary. Reports: `report/<epoch>/<hash of key>`. Grid fee: `grid_fee/<from>/<to>` = {"fee", "from_ms",
"before"}. Product: `product/<name>`, and `zone/<zone>` of each of its zones.
"""

YEAR_S = 31622400
PRICE_MAX = 1000000000
ENERGY_MAX = 1000000000
OTHER_MAX = 9007199254740991
VALIDATORS_MIN = 4
AHEAD_BLOCKS_MAX = 1000000
ORGANISATIONS_MAX = 64
NAME_MAX = 64
ROOTS_MAX = 64
UPGRADES_MAX = 16
VERSIONS_MAX = 100
ZONES_MAX = 16
ZONE_CHARS_MAX = 64
ZONE_SENTENCE = "A zone's name is 1 to 64 characters without a slash or space."
UNTRADED_MS = 605700000


@export("operator")
def revoke(serial: str, reason: str):
    """Revoke a certificate by its serial (hex), from this transaction on.

    Errors: CONSENT_LACKING, ALREADY_REVOKED. Source: market rules, "Admission".
    """
    need_consent()
    serial = serial.lower()
    require(get("revoked/" + serial) is None, "ALREADY_REVOKED", "This certificate is revoked already.")
    put("revoked/" + serial, {"type": "revocation", "serial": serial, "reason": reason, "height": block_height()})
    emit("revoked", {"serial": serial})


@export("operator")
def set_parameter(name: str, value: int):
    """Change a parameter.

    Errors: CONSENT_LACKING, PARAMETER_UNKNOWN, PARAMETER_INVALID. Source: market rules, "Governance".
    """
    need_consent()
    old = parameter(name)
    most = greatest(name)
    require(0 <= value and value <= most, "PARAMETER_INVALID", "The parameter is 0 to " + str(most) + ".")
    put("parameter/" + name, {"value": value})
    emit("parameter_set", {"name": name, "old": old, "new": value})


def greatest(name):
    """Beyond these, settlements that are under way could no longer be paid or scheduled."""
    if name.endswith("_permille"):
        return 1000
    if name.endswith("_s"):
        return YEAR_S
    if name.endswith("_price"):
        return PRICE_MAX
    if name.endswith("_wh_min"):
        return ENERGY_MAX
    return OTHER_MAX


@export("operator")
def set_grid_fee(from_zone: str, to_zone: str, fee: int, from_ms: int):
    """Set what the grid gets of each kWh from one zone's meters to another's, in micro-currency, for deliveries from
    the time `from_ms` on.

    A fee falls only for intervals that do not trade yet, a week and a quarter of an hour ahead, so that no book is ever
    left crossed. Errors: CONSENT_LACKING, ZONE_INVALID, FEE_INVALID, FEE_TOO_SOON, CHANGE_PENDING. Source: market
    rules, "Grid fee".
    """
    need_consent()
    require(is_zone(from_zone) and is_zone(to_zone), "ZONE_INVALID", ZONE_SENTENCE)
    require(0 <= fee and fee <= PRICE_MAX, "FEE_INVALID", "A grid fee is 0 to 10^9 micro-currency per kWh.")
    require(0 <= from_ms and from_ms <= OTHER_MAX, "FEE_INVALID", "A time is in UTC milliseconds.")
    place = "grid_fee/" + from_zone + "/" + to_zone
    known = get(place)
    before = 0
    if known is not None:
        require(known["from_ms"] <= block_time(), "CHANGE_PENDING", "This fee's last change is still to come.")
        before = known["fee"]
    soonest = block_time() + UNTRADED_MS
    require(fee >= before or from_ms >= soonest, "FEE_TOO_SOON", "A fee falls only where nothing is traded yet.")
    put(place, {"fee": fee, "from_ms": from_ms, "before": before})
    emit("grid_fee_set", {"from_zone": from_zone, "to_zone": to_zone, "fee": fee, "from_ms": from_ms})


@export("operator")
def set_product(name: str, zones: list, mechanism: str, grid_fee: int, ties: str):
    """Say how a group of zones trades: "continuous", "auction" (uniform price), or by a contract with a view `clear`.

    `grid_fee`, in micro-currency per kWh, is that of an auction's trades; `ties` at its margin go by "time" or "pro
    rata". A zone is in one product at most; those in none share one continuous book. Offers that stand keep the terms
    they were made under. Errors: CONSENT_LACKING, NAME_INVALID, ZONE_INVALID, ZONE_TAKEN, MECHANISM_UNKNOWN,
    FEE_INVALID, TIES_INVALID. Source: market rules, "Governance".
    """
    need_consent()
    require(is_zone(name), "NAME_INVALID", "A product's name is 1 to 64 characters without a slash or space.")
    require(len(zones) <= ZONES_MAX, "ZONE_INVALID", "A product has at most 16 zones.")
    own = mechanism == "continuous" or mechanism == "auction"
    require(own or get("contract/" + mechanism) is not None, "MECHANISM_UNKNOWN", "There is no such mechanism.")
    require(0 <= grid_fee and grid_fee <= PRICE_MAX, "FEE_INVALID", "A grid fee is 0 to 10^9 micro-currency per kWh.")
    require(ties == "time" or ties == "pro rata", "TIES_INVALID", "Ties go by time or pro rata.")
    known = get("product/" + name)
    if known is not None:
        for zone in known["zones"]:
            delete("zone/" + zone)
    for zone in zones:
        require(is_str(zone) and is_zone(zone), "ZONE_INVALID", ZONE_SENTENCE)
        require(get("zone/" + zone) is None, "ZONE_TAKEN", "This zone is in another product, or named twice.")
        put("zone/" + zone, {"product": name, "mechanism": mechanism})
    terms = {"zones": zones, "mechanism": mechanism, "grid_fee": grid_fee, "ties": ties}
    put("product/" + name, terms)
    emit("product_set", {"product": name, "zones": zones, "mechanism": mechanism})


def is_zone(name):
    """As `registry.bind_meter` has it: part of a key."""
    return 0 < len(name) and len(name) <= ZONE_CHARS_MAX and name.find("/") < 0 and name.find(" ") < 0


@export("operator")
def add_root(certificate_der: str):
    """Accept certificates of another CA root (base64 DER).

    Errors: CONSENT_LACKING, CERTIFICATE_INVALID, ROOT_KNOWN. Source: market rules, "Admission".
    """
    need_consent()
    fingerprint = root_certificate(certificate_der)
    require(get("root/" + fingerprint) is None, "ROOT_KNOWN", "This root is accepted already.")
    require(len(scan("root/", "", ROOTS_MAX)) < ROOTS_MAX, "TOO_MANY_ROOTS", "There are as many roots as can be.")
    put("root/" + fingerprint, {"certificate": certificate_der})
    emit("root_added", {"sha256": fingerprint})


@export("operator")
def remove_root(fingerprint: str):
    """Accept no more registrations under a root.

    Errors: CONSENT_LACKING, NOT_FOUND, LAST_ROOT. Source: market rules, "Admission".
    """
    need_consent()
    require(get("root/" + fingerprint) is not None, "NOT_FOUND", "There is no such root.")
    require(len(scan("root/", "", 2)) > 1, "LAST_ROOT", "The last root cannot be removed.")
    delete("root/" + fingerprint)
    emit("root_removed", {"sha256": fingerprint})


@export("operator")
def deploy(name: str, source: str):
    """Put a new contract in force after this transaction; returns its source's SHA-256 (hex).

    Checking takes 10 gas a byte and 50 a node. Errors: CONSENT_LACKING, CONTRACT_KNOWN, NAME_INVALID, CONTRACT_INVALID.
    Source: market rules, "Governance".
    """
    need_consent()
    require(get("contract/" + name) is None, "CONTRACT_KNOWN", "There is a contract of this name; upgrade it.")
    check_source(name, source)
    digest = sha256(source)
    keep_source(source)
    put("contract/" + name, {"source": source, "sha256": digest, "version": 1})
    emit("deployed", {"contract": name, "version": 1, "sha256": digest})
    return digest


@export("operator")
def upgrade(name: str, source: str, at_height: int):
    """Have a contract's next version begin with the block at `at_height`; returns its source's SHA-256 (hex).

    The new source's `migrate()`, if it has one, runs there first, for 125,000 gas at most; if it fails, the version in
    force stays, and the event `upgrade_failed` says why. Contracts that the ledger and the market rely on keep every
    way in. Errors: CONSENT_LACKING, NOT_FOUND, UPGRADE_PENDING, TOO_MANY_UPGRADES, HEIGHT_INVALID, CONTRACT_INVALID,
    INTERFACE_LOST. Source: market rules, "Governance".
    """
    need_consent()
    current = get("contract/" + name)
    require(current is not None, "NOT_FOUND", "There is no such contract; deploy it.")
    require(get("upgrade/" + name) is None, "UPGRADE_PENDING", "Another upgrade of this contract is pending.")
    pending = len(scan("upgrade/", "", UPGRADES_MAX))
    require(pending < UPGRADES_MAX, "TOO_MANY_UPGRADES", "As many upgrades as may be are pending already.")
    ahead = at_height - block_height()
    require(0 < ahead and ahead <= AHEAD_BLOCKS_MAX, "HEIGHT_INVALID", "The height is 1 to 1,000,000 blocks ahead.")
    check_source(name, source)
    keep_source(current["source"])
    keep_source(source)
    record = {
        "type": "upgrade",
        "contract": name,
        "sha256": sha256(source),
        "version": current["version"] + 1,
        "at_height": at_height,
    }
    put("upgrade/" + name, record)
    emit("upgrade_scheduled", record)
    return record["sha256"]


@export("operator")
def cancel_upgrade(name: str):
    """Drop a pending upgrade. Errors: CONSENT_LACKING, NOTHING_PENDING. Source: market rules, "Governance"."""
    need_consent()
    pending = get("upgrade/" + name)
    require(pending is not None, "NOTHING_PENDING", "No upgrade of this contract is pending.")
    delete("upgrade/" + name)
    emit("upgrade_cancelled", pending)


@export("operator")
def set_organisations(names: list, threshold: int):
    """Change who decides. Those who sign must be enough under the new rule too, so that nobody is locked out.

    Errors: CONSENT_LACKING, ORGANISATIONS_INVALID. Source: market rules, "Governance".
    """
    need_consent()
    count = len(names)
    sound = 1 <= count and count <= ORGANISATIONS_MAX and 1 <= threshold and threshold <= count
    require(sound, "ORGANISATIONS_INVALID", "The threshold is 1 to the number of organisations, 64 at most.")
    seen = []
    for name in names:
        named = is_str(name) and name != "" and len(name) <= NAME_MAX and name not in seen
        require(named, "ORGANISATIONS_INVALID", "Organisations have different names of 1 to 64 characters.")
        seen.append(name)
    rule = {"names": names, "threshold": threshold}
    need_consent_under(rule)
    put("organisations", rule)
    emit("organisations_set", rule)


@export("operator")
def set_validators(validators: list, first_primary: int, at_height: int):
    """Schedule other validators: a list of {"name", "public_key" (base64), "address"}; `first_primary` leads first.

    They take over after a boundary at or above `at_height`, a window from now at the soonest; it is returned. Errors:
    CONSENT_LACKING, CHANGE_PENDING, TOO_FEW_VALIDATORS, TOO_FAR_AHEAD, EPOCH_INVALID. Source: market rules,
    "Validators".
    """
    need_consent()
    require(len(validators) >= VALIDATORS_MIN, "TOO_FEW_VALIDATORS", "A network has at least four validators.")
    require(at_height <= block_height() + AHEAD_BLOCKS_MAX, "TOO_FAR_AHEAD", "That height is too far ahead.")
    return schedule_epoch(validators, first_primary, kept_skips(validators), at_height)


@export("operator")
def cancel_change():
    """Drop the change of validators that is pending.

    Errors: CONSENT_LACKING, NOTHING_PENDING. Source: market rules, "Validators".
    """
    need_consent()
    pending = get("next_epoch")
    require(pending is not None, "NOTHING_PENDING", "No change of validators is pending.")
    delete("next_epoch")
    emit("epoch_cancelled", {"number": pending["epoch"]["number"], "boundary": pending["boundary"]})


@export("node")
def report(evidence: str):
    """Have a validator skipped as primary for `skip_blocks` blocks, on evidence (base64) that it lied or was slow.

    Errors: EVIDENCE_INVALID, NOT_A_VALIDATOR, ALREADY_REPORTED, ALREADY_SKIPPED, TOO_MANY_SKIPPED, CHANGE_PENDING.
    Source: market rules, "Validators".
    """
    found = accused(evidence)
    epoch = get("epoch")
    index = index_of(epoch["validators"], found["public_key"])
    require(index >= 0, "NOT_A_VALIDATOR", "The accused is no validator any more.")
    for skip in epoch["skipped"]:
        require(skip["index"] != index, "ALREADY_SKIPPED", "This validator is skipped already.")
    place = "report/" + pad(found["epoch"], 12) + "/" + sha256(found["public_key"])
    require(get(place) is None, "ALREADY_REPORTED", "This validator has been reported for that epoch.")
    until = block_height() + parameter("skip_blocks")
    skipped = with_skip(epoch["skipped"], {"index": index, "until_height": until})
    count = len(epoch["validators"])
    require(len(skipped) <= (count - 1) // 3, "TOO_MANY_SKIPPED", "As many validators as may be are skipped already.")
    boundary = schedule_epoch(epoch["validators"], leader_after(index, count, skipped), skipped, 0)
    name = epoch["validators"][index]["name"]
    put(place, {"type": "report", "validator": name, "kind": found["kind"], "height": block_height()})
    emit("reported", {"validator": name, "kind": found["kind"], "until_height": until})
    return boundary


@view
def get_epoch():
    """The epoch in force and the pending change, or None for it. Source: market rules, "Validators"."""
    return {"epoch": get("epoch"), "next": get("next_epoch")}


@view
def get_contract(name: str):
    """The version in force: {"sha256", "version", "source"}, with the pending upgrade or None as "next"; or None.

    Source: market rules, "Governance".
    """
    record = get("contract/" + name)
    if record is not None:
        record["next"] = get("upgrade/" + name)
    return record


@view
def get_versions(name: str, after: int):
    """Versions above `after` that took over, 100 at most, in order; the first is listed from the second on.

    Source: market rules, "Governance".
    """
    found = []
    for key, record in scan("version/" + name + "/", "version/" + name + "/" + pad(after, 6), VERSIONS_MAX):
        found.append(record)
    return found


@view
def get_source(sha256_hex: str):
    """A source by its SHA-256 (hex), in force or not; or None. Source: market rules, "Governance"."""
    record = get("source/" + sha256_hex)
    if record is None:
        return None
    return record["source"]


def check_source(name, source):
    fault = contract_fault(name, source)
    require(fault != "NAME_INVALID", "NAME_INVALID", "A name is 1 to 32 of a-z, 0-9 and _, begins with a letter.")
    require(fault != "INTERFACE_LOST", "INTERFACE_LOST", "Some function that others rely on is missing or different.")
    require(fault == "", "CONTRACT_INVALID", "This is no contract; `wattq contract check` says where and why.")


def keep_source(source):
    put("source/" + sha256(source), {"source": source})


def need_consent():
    need_consent_under(get("organisations"))


def need_consent_under(rule):
    """Operators of enough different organisations have signed."""
    found = []
    for signer in signers():
        if standing(signer, ["operator"]) == "":
            organisation = peek("registry", "user/" + signer)["organisation"]
            if organisation in rule["names"] and organisation not in found:
                found.append(organisation)
    sentence = "Operators of " + str(rule["threshold"]) + " organisations sign this."
    require(len(found) >= rule["threshold"], "CONSENT_LACKING", sentence)


def schedule_epoch(validators, first_primary, skipped, at_height):
    """Put the next epoch, behind the first checkpoint at least a window away and not before `at_height`."""
    require(get("next_epoch") is None, "CHANGE_PENDING", "Another change of validators is pending.")
    limits = get("limits")
    interval = limits["checkpoint_interval_blocks"]
    boundary = ceil_div(max(at_height, block_height() + limits["window_blocks"]), interval) * interval
    pending = {
        "boundary": boundary,
        "epoch": {
            "number": get("epoch")["number"] + 1,
            "first_height": boundary + 1,
            "validators": validators,
            "first_primary": first_primary,
            "skipped": skipped,
        },
    }
    fault = epoch_fault(pending)
    require(fault == "", "EPOCH_INVALID", fault)
    put("next_epoch", pending)
    emit("epoch_scheduled", {"number": pending["epoch"]["number"], "boundary": boundary})
    return boundary


def index_of(validators, public_key):
    for index, validator in enumerate(validators):
        if is_dict(validator) and validator.get("public_key") == public_key:
            return index
    return -1


def kept_skips(validators):
    """Skips go with their validators' keys, as many as may be skipped among the new ones."""
    epoch = get("epoch")
    most = (len(validators) - 1) // 3
    made = []
    for skip in epoch["skipped"]:
        index = index_of(validators, epoch["validators"][skip["index"]]["public_key"])
        if index >= 0 and len(made) < most:
            made = with_skip(made, {"index": index, "until_height": skip["until_height"]})
    return made


def with_skip(skipped, added):
    """Skips in order of their indexes, with one more."""
    made = []
    placed = False
    for skip in skipped:
        if not placed and added["index"] < skip["index"]:
            made.append(added)
            placed = True
        made.append(skip)
    if not placed:
        made.append(added)
    return made


def leader_after(index, count, skipped):
    """The first validator after `index`, round the list, that may lead."""
    barred = []
    for skip in skipped:
        barred.append(skip["index"])
    candidate = (index + 1) % count
    while candidate in barred:
        candidate = (candidate + 1) % count
    return candidate


# --------------------------------------------------------------------------------------------- earlier versions


def migrate():
    """Networks that were founded without a least energy of orders have none until they set one. This contract is
    upgraded before the market that asks for it."""
    if get("parameter/order_wh_min") is None:
        put("parameter/order_wh_min", {"value": 1})
