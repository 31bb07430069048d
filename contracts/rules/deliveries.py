"""Readings come from the meter's gateway and are never rewritten unseen; what trades share is what was metered."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation, place_of
from contracts.rules.groups import ADJUSTMENTS, METERS, READINGS, SHARES, SUPERSEDED, TRADES
from ledger.execution import Call
from ledger.values import Value

INTERVAL_MS, NUMBER_BOUND, CORRECTIONS_MAX = 900_000, 2**53, 9
QUALITIES = frozenset({"good", "estimated", "stale", "suspect", "missing"})
READINGS_MAX = 100
"""Of a call."""
SHARES_MAX = 101
"""One more than a meter's interval has trades."""


def is_usable(reading: Value) -> bool:
    return reading is not None and reading["quality"] in ("good", "estimated")


def readings(call: Call, changes: Changes) -> Violation | None:
    """A reading is its gateway's; another takes its place only if it is later, or the first that can be used, and then
    the earlier one is kept."""
    superseded = set()
    for key in changes.below(READINGS):
        new, old = changes.new(key), changes.old(key)
        place = key[len(READINGS) :]
        meter = changes.current(METERS + place.rpartition("/")[0])
        if new is None or f"{new['meter']}/{new['interval']:010d}" != place or meter["gateway"] not in call.signers:
            return Violation.READING
        if not _is_sound(call, new):
            return Violation.READING
        if old is None:
            if new["correction"] != 0:
                return Violation.READING
            continue
        later = (new["epoch"], new["sequence"]) > (old["epoch"], old["sequence"])
        earlier = f"{SUPERSEDED}{place}/{old['correction']:02d}"
        superseded.add(earlier)
        kept = changes.current(earlier) == old
        replaced = is_usable(new) and (later or not is_usable(old))
        if not kept or not replaced or new["correction"] != old["correction"] + 1 or new["owner"] != old["owner"]:
            return Violation.READING
    # One that is planted beforehand would keep the correction from being made.
    planted = any(key not in superseded or changes.old(key) is not None for key in changes.below(SUPERSEDED))
    return Violation.READING if planted else None


def _is_sound(call: Call, reading: Value) -> bool:
    """Of an interval that is over, with numbers and a quality that there are."""
    over = (reading["interval"] + 1) * INTERVAL_MS <= call.block_time_ms
    numbers = [reading[name] for name in ("epoch", "sequence", "import_wh", "export_wh")]
    sound = all(0 <= number < NUMBER_BOUND for number in numbers) and reading["quality"] in QUALITIES
    return bool(over and sound and reading["correction"] <= CORRECTIONS_MAX)


def deliveries(call: Call, changes: Changes) -> Violation | None:
    """Trades of one meter and interval deliver at most what was metered, also after corrections; each change of what
    one delivers is a proposal or an adjustment."""
    shares = changes.below(SHARES)
    if len(changes.below(READINGS)) > READINGS_MAX:
        return Violation.READING
    if not all(_is_share_kept(key, changes) for key in shares):
        return Violation.DELIVERY
    for key in changes.below(TRADES):
        old, new = changes.old(key), changes.new(key)
        metered = old is None or (old["status"] == "matched") != (new["status"] == "matched")
        if metered and f"{SHARES}{place_of(new)}/{new['id']}" not in changes.raw:
            return Violation.DELIVERY
    # A share that is new delivers nothing yet, so that a trade costs no look at all the others of its interval.
    places = {key[len(SHARES) :].rpartition("/")[0] for key in shares if changes.old(key) is not None}
    places |= {key[len(READINGS) :] for key in changes.below(READINGS)}
    return None if all(_is_shared_out(call, changes, place) for place in sorted(places)) else Violation.DELIVERY


def _is_shared_out(call: Call, changes: Changes, place: str) -> bool:
    """A usable reading goes to the trades in their order, each gets all it can; without one, nothing was delivered, as
    the metering deadline finds."""
    reading = changes.current(READINGS + place)
    rows = sorted(changes.rows(f"{SHARES}{place}/", SHARES_MAX))
    if not is_usable(reading):
        proposed = [key for key, share in rows if share[1] is not None]
        known = call.kind == "deadline" or all(changes.old(key)[1] is not None for key in proposed)
        return known and not any(share[1] for _, share in rows)
    left_wh = reading["export_wh"]
    for _, (energy_wh, delivered_wh, _) in rows:
        if delivered_wh != min(energy_wh, left_wh):
            return False
        left_wh -= delivered_wh
    return True


def _is_share_kept(key: str, changes: Changes) -> bool:
    """A share starts with its trade, is set by the trade's proposal, and changes by an adjustment each time."""
    new, old = changes.new(key), changes.old(key)
    place, _, trade = key[len(SHARES) :].rpartition("/")
    record = changes.current(TRADES + trade)
    if new is None or record is None or f"{record['meter']}/{record['interval']:010d}" != place:
        return False
    if old is None:
        return TRADES + trade in changes.raw and list(new) == [record["energy_wh"], None, 0]
    energy_wh, delivered_wh, adjustments = new
    if energy_wh != old[0] or type(delivered_wh) is not int or not 0 <= delivered_wh <= energy_wh:
        return False
    if old[1] is None:
        before = changes.old(TRADES + trade)
        proposed = record["status"] != "matched" and before is not None and before["status"] == "matched"
        return bool(proposed and adjustments == 0 and record["delivered_wh"] == delivered_wh)
    name = f"{ADJUSTMENTS}{trade}-{adjustments:02d}"
    made = changes.raw.get(name) is not None and changes.old(name) is None
    made = made and adjustments == old[2] + 1
    return bool(made and [changes.new(name)["before_wh"], changes.new(name)["after_wh"]] == [old[1], delivered_wh])
