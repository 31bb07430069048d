"""What a call sets: each setting by one function of its contract, under the key and to what its arguments name."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from contracts.rules.changes import Changes
from contracts.rules.epochs import next_epoch, report
from contracts.rules.groups import (
    ADMISSION,
    ARBITER,
    CHANNELS,
    GRID_FEES,
    METERS,
    ORGANISATIONS,
    PARAMETERS,
    POLICIES,
    PRODUCTS,
    REPORTS,
    REVOKED,
    ZONES,
)
from contracts.rules.terms import ENERGY_MAX, PRICE_MAX
from ledger.authentication import ROOT_PREFIX, USER_PREFIX
from ledger.epochs import NEXT_KEY
from ledger.execution import Call
from ledger.upgrades import CONTRACT_PREFIX, UPGRADE_PREFIX
from ledger.values import Value

OTHER_MAX, UNTRADED_MS = 2**53 - 1, 605_700_000
"""The greatest of what has no bound of its own; a week and a quarter of an hour."""
GREATEST = {"_permille": 1_000, "_s": 31_622_400, "_price": PRICE_MAX, "_wh_min": ENERGY_MAX}

Fields = dict[str, str]
"""A record's fields, and the arguments that they are."""


def same(*names: str) -> Fields:
    return dict(zip(names, names, strict=True))


SET: dict[str, tuple[str, str, Fields]] = {
    PARAMETERS: ("set_parameter", PARAMETERS + "{name}", same("value")),
    GRID_FEES: ("set_grid_fee", GRID_FEES + "{from_zone}/{to_zone}", same("fee", "from_ms")),
    PRODUCTS: ("set_product", PRODUCTS + "{name}", same("zones", "mechanism", "grid_fee", "ties")),
    ORGANISATIONS + "/": ("set_organisations", ORGANISATIONS, same("names", "threshold")),
    CONTRACT_PREFIX: ("deploy", CONTRACT_PREFIX + "{name}", same("source")),
    POLICIES: ("set_policy", POLICIES + "{account}", same("account", "keys", "threshold")),
    ADMISSION + "/": ("set_admission", ADMISSION, same("organisations", "roles", "zones", "capacity_max_w")),
    ARBITER + "/": ("set_arbiter", ARBITER, {"signer": "user"}),
}
"""By group, what one function of its contract alone sets: under which key, to which arguments."""


def carries(record: Value, args: Value, fields: Fields) -> bool:
    return record is not None and all(record[name] == args[argument] for name, argument in fields.items())


def _set(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    group = next(prefix for prefix in SET if (key + "/").startswith(prefix))
    function, place, fields = SET[group]
    if call.function != function or key != place.format(**args):
        return False
    if group == PARAMETERS and (old is None or not 0 <= new["value"] <= greatest(args["name"])):
        return False
    if group == POLICIES and new is None:
        return bool([args["keys"], args["threshold"]] == [[], 0])
    if group == GRID_FEES and not _is_fee_lawful(call, old, new):
        return False
    if group == PRODUCTS and not _is_product_sound(new, changes):
        return False
    zones = {*new["zones"], *([] if old is None else old["zones"])} if group == PRODUCTS else set()
    return carries(new, args, fields) and all(ZONES + zone in changes.raw for zone in zones)


def _is_product_sound(product: Value, changes: Changes) -> bool:
    known = product["mechanism"] in ("continuous", "auction")
    known = known or changes.current(CONTRACT_PREFIX + product["mechanism"]) is not None
    return known and 0 <= product["grid_fee"] <= PRICE_MAX and product["ties"] in ("time", "pro rata")


def greatest(name: str) -> int:
    """What a parameter may be at most (market rules, "Governance")."""
    return next((most for ending, most in GREATEST.items() if name.endswith(ending)), OTHER_MAX)


def _is_fee_lawful(call: Call, old: Value, new: Value) -> bool:
    """It falls only where nothing is traded yet, and changes once at a time."""
    before, changed_ms = (0, 0) if old is None else (old["fee"], old["from_ms"])
    if new["before"] != before or not 0 <= new["fee"] <= PRICE_MAX or not 0 <= new["from_ms"] <= OTHER_MAX:
        return False
    soon = new["fee"] < before and new["from_ms"] < call.block_time_ms + UNTRADED_MS
    return bool(changed_ms <= call.block_time_ms and not soon)


def _upgrade(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    if key != UPGRADE_PREFIX + args.get("name", ""):
        return False
    if new is None:
        return call.function == "cancel_upgrade"
    digest = sha256(args["source"].encode()).hexdigest()
    scheduled = call.function == "upgrade" and changes.old(key) is None
    return scheduled and bool([new["sha256"], new["at_height"]] == [digest, args["at_height"]])


def _root(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    if new is None:
        return call.function == "remove_root" and key == ROOT_PREFIX + args["fingerprint"]
    return call.function == "add_root" and bool(new["certificate"] == args["certificate_der"])


def is_channel_signed(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    if new is None or key != CHANNELS + args["name"]:
        return False
    return call.function == "close" or bool([new["genesis"], new["closed"]] == [args["genesis"], False])


def _zone(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, zone = changes.new(key), key[len(ZONES) :]
    if call.function != "set_product":
        return False
    if new is None:
        left = changes.old(PRODUCTS + args["name"])
        return left is not None and zone in left["zones"] and zone not in args["zones"]
    free = changes.old(key) is None or changes.old(key)["product"] == args["name"]
    return free and zone in args["zones"] and bool(new == {"product": args["name"], "mechanism": args["mechanism"]})


def _revocation(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    serial = str(args["serial"]).lower() if call.function == "revoke" else ""
    return key == REVOKED + serial and carries(new, args, same("reason")) and bool(new["serial"] == serial)


def _meter(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    suspended = old is not None and old.get("suspended", False)
    if call.function == "bind_meter":
        fields = same("meter", "owner", "zone", "capacity_w", "gateway")
        return carries(new, args, fields) and bool(new["suspended"] == suspended)
    said = {"suspend_meter": True, "resume_meter": False}.get(call.function)
    return args["meter"] == old["meter"] and bool(new == {**old, "suspended": said})


def _user(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    if call.function in ("register", "admit"):  # as the certificate says that the call shows
        return bool(new["suspended"] == (old is not None and old["suspended"]))
    said = {"suspend": True, "resume": False}.get(call.function)
    return args["user"] == old["signer"] and bool(new == {**old, "suspended": said})


Rule = Callable[[Call, Value, Changes, str], bool]
SETTINGS: dict[str, Rule] = {
    **dict.fromkeys(SET, _set),
    UPGRADE_PREFIX: _upgrade,
    NEXT_KEY + "/": next_epoch,
    REPORTS: report,
    ROOT_PREFIX: _root,
    ZONES: _zone,
    REVOKED: _revocation,
    METERS: _meter,
    USER_PREFIX: _user,
}
"""By group, whether one of its keys is set as was signed. Channels are a group each: ``is_channel_signed``."""
