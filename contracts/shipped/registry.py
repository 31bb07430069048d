"""Who takes part: users with certificates and roles, and the meters bound to them (S1, M8).

User: registry `user/<signer>`, in one role: seller, buyer, or prosumer, which is both; gateway, operator, node; a
regulator, who reads all and may suspend; an arbiter. Meter: registry `meter/<serial>`. Capacities are in W, times in
UTC ms. The executor's authentication reads `user/<signer>` and governance's `revoked/<serial>`. Where governance's
parameter `members_only` is not 0, operators admit whoever is new. What else the ledger demands of users and meters is
`admission` = {"organisations", "roles", "zones", "capacity_max_w"}. The arbiter in force is `arbiter` = {"signer"}.
"""

METER_CHARS_MAX = 64
ZONE_CHARS_MAX = 64
CAPACITY_MAX_W = 1000000000
CONDITIONS_MAX = 64


@export("*")
def register(certificate_der: str):
    """Register the caller with its base64 DER certificate, or renew an earlier registration.

    Errors: CERTIFICATE_INVALID, NOT_YOUR_CERTIFICATE, MEMBERS_ONLY, NOT_ADMITTED, CERTIFICATE_NOT_YET_VALID,
    CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, OLDER_CERTIFICATE. Source: market rules, "Admission".
    """
    facts = certificate(certificate_der)
    require(facts["signer"] == caller(), "NOT_YOUR_CERTIFICATE", "The certificate is for another key.")
    closed = peek("governance", "parameter/members_only")
    free = closed is None or closed["value"] == 0 or get("user/" + caller()) is not None
    require(free, "MEMBERS_ONLY", "An operator admits whoever is to take part here.")
    require(not is_barred(caller()), "CERTIFICATE_REVOKED", "A certificate of this key has been revoked.")
    enter(facts)


@export("operator")
def admit(certificate_der: str):
    """Register somebody with its base64 DER certificate, the way it would itself; its signer is returned.

    For a key whose certificate was revoked, operators of enough organisations sign. Errors: CERTIFICATE_INVALID,
    CONSENT_LACKING, NOT_ADMITTED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED,
    OLDER_CERTIFICATE. Source: market rules, "Admission".
    """
    facts = certificate(certificate_der)
    if is_barred(facts["signer"]):
        need_consent()
    enter(facts)
    return facts["signer"]


def is_barred(signer):
    """Whether the certificate under which a key takes part was revoked: whoever has the key could renew it."""
    known = get("user/" + signer)
    return known is not None and peek("governance", "revoked/" + known["serial"]) is not None


def enter(facts):
    """Put a user's record; what was decided about the user before stays."""
    require(facts["not_before_ms"] <= block_time(), "CERTIFICATE_NOT_YET_VALID", "The certificate is not valid yet.")
    require(block_time() <= facts["not_after_ms"], "CERTIFICATE_EXPIRED", "The certificate has expired.")
    revoked = peek("governance", "revoked/" + facts["serial"])
    require(revoked is None, "CERTIFICATE_REVOKED", "The certificate has been revoked.")
    check_admission(facts)
    place = "user/" + facts["signer"]
    known = get(place)
    suspended = False
    height = block_height()
    if known is not None:
        newer = facts["not_after_ms"] >= known["not_after_ms"]
        require(newer, "OLDER_CERTIFICATE", "A certificate that is valid for longer is registered already.")
        suspended = known["suspended"]
        height = known["registered_height"]
    put(
        place,
        {
            "type": "user",
            "signer": facts["signer"],
            "name": facts["name"],
            "organisation": facts["organisation"],
            "role": facts["role"],
            "serial": facts["serial"],
            "issuer": facts["issuer"],
            "not_before_ms": facts["not_before_ms"],
            "not_after_ms": facts["not_after_ms"],
            "suspended": suspended,
            "registered_height": height,
        },
    )
    emit("registered", {"signer": facts["signer"], "role": facts["role"]})


def check_admission(facts):
    """Nodes and operators are never barred here, so that conditions can always be changed again."""
    rule = get("admission")
    if rule is None or facts["role"] == "operator" or facts["role"] == "node":
        return
    fits = len(rule["organisations"]) == 0 or facts["organisation"] in rule["organisations"]
    fits = fits and (len(rule["roles"]) == 0 or facts["role"] in rule["roles"])
    require(fits, "NOT_ADMITTED", "This organisation or role is not admitted here.")


@export("operator")
def set_admission(organisations: list, roles: list, zones: list, capacity_max_w: int):
    """Say who may register or renew, by organisation and role, and which meters may be bound, by zone and capacity in
    W. An empty list demands nothing. Who and what is there already stays.

    Operators of enough organisations sign. Errors: CONSENT_LACKING, ADMISSION_INVALID, CAPACITY_INVALID. Source: market
    rules, "Admission".
    """
    need_consent()
    for texts in [organisations, roles, zones]:
        sentence = "Conditions are lists of up to 64 texts."
        require(len(texts) <= CONDITIONS_MAX, "ADMISSION_INVALID", sentence)
        for text in texts:
            require(is_str(text) and 0 < len(text), "ADMISSION_INVALID", sentence)
    check_capacity(capacity_max_w, CAPACITY_MAX_W)
    rule = {"organisations": organisations, "roles": roles, "zones": zones, "capacity_max_w": capacity_max_w}
    put("admission", rule)
    emit("admission_set", rule)


@export("operator")
def set_arbiter(user: str):
    """Name the arbiter of disputes that begin from now on; operators of enough organisations sign.

    Errors: CONSENT_LACKING, and why that user may not act as arbiter. Source: market rules, "Dispute".
    """
    need_consent()
    authenticate(user, ["arbiter"])
    put("arbiter", {"signer": user})
    emit("arbiter_set", {"signer": user})


def need_consent():
    """Operators of enough different organisations have signed."""
    rule = peek("governance", "organisations")
    found = []
    for signer in signers():
        if standing(signer, ["operator"]) == "":
            organisation = get("user/" + signer)["organisation"]
            if organisation in rule["names"] and organisation not in found:
                found.append(organisation)
    sentence = "Operators of " + str(rule["threshold"]) + " organisations sign this."
    require(len(found) >= rule["threshold"], "CONSENT_LACKING", sentence)


@export("operator", "regulator")
def suspend(user: str, reason: str):
    """Bar a user from acting until resumed. Errors: NOT_FOUND. Source: market rules, "Admission"."""
    set_suspended(user, True)
    emit("suspended", {"signer": user, "reason": reason})


@export("operator", "regulator")
def resume(user: str):
    """Let a suspended user act again. Errors: NOT_FOUND. Source: market rules, "Admission"."""
    set_suspended(user, False)
    emit("resumed", {"signer": user})


def set_suspended(user, suspended):
    record = get("user/" + user)
    require(record is not None, "NOT_FOUND", "There is no such user.")
    record["suspended"] = suspended
    put("user/" + user, record)


@export("operator")
def bind_meter(meter: str, owner: str, zone: str, capacity_w: int, gateway: str):
    """Bind a meter to its owner, grid zone, rated capacity in W, and the gateway that signs its readings.

    Bound again, a meter gets new terms; what was offered and traded keeps its own. Errors: METER_INVALID, ZONE_INVALID,
    CAPACITY_INVALID, or why owner or gateway may not act. Source: market rules, "Meters".
    """
    good = 0 < len(meter) and len(meter) <= METER_CHARS_MAX and meter.find("/") < 0
    require(good, "METER_INVALID", "A meter's serial is 1 to 64 characters without a slash.")
    authenticate(owner, ["seller", "buyer", "prosumer"])
    authenticate(gateway, ["gateway"])
    named = 0 < len(zone) and len(zone) <= ZONE_CHARS_MAX and zone.find("/") < 0
    require(named, "ZONE_INVALID", "A zone's name is 1 to 64 characters without a slash.")
    rule = get("admission")
    most = CAPACITY_MAX_W
    if rule is not None:
        most = rule["capacity_max_w"]
        require(len(rule["zones"]) == 0 or zone in rule["zones"], "ZONE_INVALID", "This zone is not admitted here.")
    check_capacity(capacity_w, most)
    known = get("meter/" + meter)
    record = {
        "type": "meter",
        "meter": meter,
        "owner": owner,
        "zone": zone,
        "capacity_w": capacity_w,
        "gateway": gateway,
        "suspended": known is not None and known.get("suspended", False),
    }
    put("meter/" + meter, record)
    emit("meter_bound", {"meter": meter, "owner": owner, "zone": zone, "capacity_w": capacity_w})


def check_capacity(capacity_w, most):
    sentence = "A capacity is 1 W to " + str(most) + " W."
    require(0 < capacity_w and capacity_w <= most, "CAPACITY_INVALID", sentence)


@export("operator", "regulator")
def suspend_meter(meter: str, reason: str):
    """Let nothing more be offered or bought with a meter until resumed; its trades go on.

    Errors: NOT_FOUND. Source: market rules, "Meters".
    """
    owner = set_meter_suspended(meter, True)
    emit("meter_suspended", {"meter": meter, "owner": owner, "reason": reason})


@export("operator", "regulator")
def resume_meter(meter: str):
    """Let a suspended meter be used again. Errors: NOT_FOUND. Source: market rules, "Meters"."""
    owner = set_meter_suspended(meter, False)
    emit("meter_resumed", {"meter": meter, "owner": owner})


def set_meter_suspended(meter, suspended):
    record = get("meter/" + meter)
    require(record is not None, "NOT_FOUND", "There is no such meter.")
    record["suspended"] = suspended
    put("meter/" + meter, record)
    return record["owner"]


@view
def get_user(signer: str):
    """A user's record, or None. Source: market rules, "Admission"."""
    return get("user/" + signer)


@view
def get_meter(serial: str):
    """A meter's record, or None. Its capacity is in W. Source: market rules, "Meters"."""
    return get("meter/" + serial)


@view
def get_arbiter():
    """The signer of the arbiter in force, or None. Source: market rules, "Dispute"."""
    return get("arbiter")


@view
def get_admission():
    """What is demanded of users and meters, or None. `capacity_max_w` is in W. Source: market rules, "Admission"."""
    return get("admission")
