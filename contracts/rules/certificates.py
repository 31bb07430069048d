"""Certificates of origin never add up to more than the metered export, and only their owners pass or use them."""

from __future__ import annotations

from collections import Counter, defaultdict

from contracts.rules.changes import Changes, Violation
from contracts.rules.deliveries import is_usable
from contracts.rules.groups import CERTIFICATES, MINTED, READINGS
from ledger.execution import Call
from ledger.values import Value, decode_value

CERTIFICATES_MAX = 100
PARTS_FIRST, PARTS_LATER = 36, 1
"""How many parts may come off what is minted of an interval at first, and later."""


def certificates(call: Call, changes: Changes) -> Violation | None:
    """By meter and interval: what is minted stays within the usable reading, and is what its certificates come to."""
    grown: Counter[str] = Counter()
    fresh: defaultdict[str, list[Value]] = defaultdict(list)
    for key in changes.below(CERTIFICATES):
        new, old = changes.new(key), changes.old(key)
        place = key[len(CERTIFICATES) :].rpartition("/")[0]
        if new is None or key != CERTIFICATES + new["id"] or f"{new['meter']}/{new['interval']:010d}" != place:
            return Violation.CERTIFICATE
        if not _is_kept(call, old, new):
            return Violation.CERTIFICATE
        grown[place] += new["energy_wh"] - (0 if old is None else old["energy_wh"])
        if old is None:
            fresh[place].append(new)
    written = {key[len(MINTED) :] for key in changes.below(MINTED)}
    read = {key[len(READINGS) :] for key in changes.below(READINGS)}
    for place in sorted(written | read | set(grown)):
        before, after = _minted(changes.old(MINTED + place)), _minted(changes.current(MINTED + place))
        reading = changes.current(READINGS + place)
        if not _is_numbered(changes, place, fresh[place]):
            return Violation.CERTIFICATE
        if after - before != grown[place] or after > (reading["export_wh"] if is_usable(reading) else 0):
            return Violation.CERTIFICATE
        if after == before:
            continue
        # What was metered is certified, neither more nor less.
        if not is_usable(reading) or after != reading["export_wh"]:
            return Violation.CERTIFICATE
        if after > before and not _is_minted(fresh[place], reading, changes.old(MINTED + place)):
            return Violation.CERTIFICATE
        if after < before and (call.contract != "settlement" or not _are_cut(changes, place, before - after)):
            return Violation.CERTIFICATE
    return None


def _is_numbered(changes: Changes, place: str, fresh: list[Value]) -> bool:
    """Certificates of a meter's interval are numbered as they are made."""
    minted, count = changes.current(MINTED + place), _count(changes.old(MINTED + place))
    if MINTED + place not in changes.raw:
        return not fresh
    numbered = [f"{place}/{number:02d}" for number in range(count, count + len(fresh))]
    if minted is None or sorted(new["id"] for new in fresh) != numbered:
        return False
    meter, _, interval = place.rpartition("/")
    said = [minted["type"], minted["meter"], minted["interval"], minted["count"]]
    return said == ["minted", meter, int(interval), count + len(fresh)]


def _is_minted(fresh: list[Value], reading: Value, before: Value) -> bool:
    """One of all that is not certified yet, its meter's owner's at the reading, of so many parts at most."""
    parts = PARTS_LATER if _count(before) else PARTS_FIRST
    return [[new["owner"], new["status"], new["purpose"]] for new in fresh] == [
        [reading["owner"], "active", ""]
    ] and all(new["parts"] == parts for new in fresh)


def _are_cut(changes: Changes, place: str, excess_wh: int) -> bool:
    """What was made last loses its energy first, and what was claimed only after all that is active."""
    known = changes.base.scan(f"{CERTIFICATES}{place}/", "", CERTIFICATES_MAX)
    rows = [(key, decode_value(entry.value)) for key, entry in reversed(known)]
    for status in ("active", "claimed"):
        for key, record in rows:
            if record["status"] == status:
                lost_wh = min(excess_wh, record["energy_wh"])
                excess_wh -= lost_wh
                if changes.current(key)["energy_wh"] != record["energy_wh"] - lost_wh:
                    return False
    return excess_wh == 0


def _is_kept(call: Call, old: Value, new: Value) -> bool:
    """Energy never grows and a claim is for good; owner and use change, and parts come off, by the owner's signature;
    corrections alone take energy away without it."""
    if type(new["energy_wh"]) is not int or new["energy_wh"] < 0 or (new["energy_wh"] == 0) != (new["status"] == "cut"):
        return False
    if old is None:
        return new["status"] in ("active", "claimed")
    if old["status"] == "cut" or new["energy_wh"] > old["energy_wh"]:
        return False
    if call.contract == "settlement":
        return old["owner"] == new["owner"] and new["status"] in (old["status"], "cut")
    if old["status"] != "active" or new["status"] not in ("active", "claimed"):
        return False
    return old["owner"] in call.signers


def _minted(value: Value) -> int:
    return 0 if value is None else int(value["energy_wh"])


def _count(minted: Value) -> int:
    return 0 if minted is None else int(minted["count"])
