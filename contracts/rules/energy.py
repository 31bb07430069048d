"""Nothing is sold twice: offers lose what trades take, and what is sold stays within what a meter can deliver."""

from __future__ import annotations

from collections import Counter

from contracts.rules.changes import Changes, Violation, place_of
from contracts.rules.groups import METERS, OFFERS, SOLD, TRADES
from ledger.execution import Call

QUARTERS_AN_HOUR = 4
TRADED = ("open", "taken", "filled", "accepted")
"""What may still be, or has been, sold of an offer; of any other status, only what is no longer left of it."""


def energy(call: Call, changes: Changes) -> Violation | None:
    """By meter and interval: trades take exactly what offers lose, and what is sold grows exactly by what is offered,
    never beyond what the meter can deliver."""
    drawn: Counter[str] = Counter()
    offered: Counter[str] = Counter()
    for prefix in OFFERS:
        for key in changes.below(prefix):
            new, old = changes.new(key), changes.old(key)
            gone_wh = (new["energy_wh"] if old is None else old["remaining_wh"]) - new["remaining_wh"]
            if new.get("side") == "bid":
                if new["status"] == "accepted":
                    # Whom a directed bid named sells by accepting it: nothing was offered before.
                    place = f"{new['other_meter']}/{new['interval']:010d}"
                    drawn[place] += gone_wh
                    offered[place] += gone_wh
                continue
            place = place_of(new)
            drawn[place] += gone_wh
            offered[place] += new["energy_wh"] if old is None else 0
            if new["status"] not in TRADED:
                offered[place] -= new["remaining_wh"]
    for key in changes.below(TRADES):
        if changes.old(key) is None:
            trade = changes.new(key)
            drawn[place_of(trade)] -= trade["energy_wh"]
    if any(drawn.values()):
        return Violation.OVERSOLD
    return _sold(changes, offered)


def _sold(changes: Changes, offered: Counter[str]) -> Violation | None:
    written = {key[len(SOLD) :] for key in changes.below(SOLD)}
    for place in sorted(written | set(offered)):
        old, new = changes.old(SOLD + place) or 0, changes.current(SOLD + place) or 0
        if new < 0 or new - old != offered[place]:
            return Violation.OVERSOLD
        if new > old:
            # A capacity that was lowered meanwhile must not keep offers from being withdrawn.
            meter = changes.current(METERS + place.rpartition("/")[0])
            if meter is None or new * QUARTERS_AN_HOUR > meter["capacity_w"]:
                return Violation.OVERSOLD
    return None
