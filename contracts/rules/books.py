"""What stands in the books is what is open, in its place, and nothing else, with its best in front; and as long as
something stands, its gate is open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from contracts.rules.changes import Changes, Violation, place_of
from contracts.rules.fills import grid_fee_of
from contracts.rules.groups import (
    ASKS,
    AUCTION_ASKS,
    AUCTION_BIDS,
    AUCTIONED,
    BIDS,
    COUNTS,
    DIRECTED,
    LISTED,
    LISTINGS,
    MARKET_GATES,
    OFFERED,
    OFFERS_GATES,
    OFFERS_OPEN,
    ORDERS,
    PARTY,
    SEALED,
    TOPS,
    TRADES,
    UNREVEALED,
)
from contracts.rules.signatures import PARTIES
from contracts.rules.terms import PRICE_MAX, TRADES_MAX
from ledger.execution import Call
from ledger.values import Value

GATES = {LISTINGS: MARKET_GATES, ORDERS: MARKET_GATES, DIRECTED: OFFERS_GATES}
OPENED = (MARKET_GATES, OFFERS_GATES)
MATCHES_MAX, ZONES_MAX, OPEN_MAX = 50, 16, 200
"""Resting orders that one order looks at, zones that have orders on a side of a book, and directed offers of one party
that are open in an interval."""
INTERVAL, PRICE_CHARS = re.compile(r"[0-9]{10}"), 10

Row = tuple[str, Value]


def books(call: Call, changes: Changes) -> Violation | None:
    """A row for each offer that is open, none for one that is closed, and none without an offer."""
    for prefix, (groups, row_of, status) in BOOKS.items():
        rows: dict[str, Value] = {}
        for key in changes.below(prefix):
            offer = changes.new(key)
            place, row = row_of(offer)
            rows[place] = row if offer["status"] == status else None
            if (
                prefix in GATES
                and rows[place]
                and changes.current(f"{GATES[prefix]}{offer['interval']:010d}") != "open"
            ):
                return Violation.OVERSOLD
        if any(changes.current(place) != row for place, row in rows.items()):
            return Violation.OVERSOLD
        if any(key not in rows for group in groups for key in changes.below(group)):
            return Violation.OVERSOLD
    if call.kind == "transaction" and not all(
        _is_opened(changes, key, gate) for gate in OPENED for key in changes.below(gate)
    ):
        return Violation.OVERSOLD
    if not all(_is_uncrossed(changes, key) for key in changes.below(ORDERS)):
        return Violation.LIMIT
    agree = _trades_are_counted(changes) and _fronts_agree(call, changes)
    if call.contract == "offers":
        agree = agree and _offers_are_counted(changes)
    return None if agree else Violation.OVERSOLD


def _is_opened(changes: Changes, key: str, gate: str) -> bool:
    """By whoever stands there first; time closes it."""
    named = INTERVAL.fullmatch(key[len(gate) :]) is not None
    return named and bool(changes.new(key) == "open" != changes.old(key))


def looked_at(changes: Changes) -> int:
    """How many resting orders the one that comes in has met."""
    known = [key for key in changes.below(ORDERS) if changes.old(key) is not None]
    return sum(changes.new(key)["status"] != "amended" for key in known)


def _is_uncrossed(changes: Changes, key: str) -> bool:
    """Who has energy left over has traded with all that met it in the book, zone by zone with the fee between the two,
    or with as many as one order meets."""
    order = changes.new(key)
    if changes.old(key) is not None or order["remaining_wh"] == 0:
        return True
    if order["status"] == "cancelled" and looked_at(changes) == MATCHES_MAX:
        return True
    return not is_crossed(changes, order)


def is_crossed(changes: Changes, order: Value) -> bool:
    """Whether something that will be in the book meets an order."""
    return any(_rank_met(changes, order, zone, end) for zone, end in _others(changes, order).items())


def _others(changes: Changes, order: Value) -> dict[str, str]:
    """What will be in front of each zone on an order's other side."""
    other = "ask" if order["side"] == "bid" else "bid"
    return changes.current(f"{TOPS}{other}/{order['interval']:010d}/{order['product']}") or {}


def _rank_met(changes: Changes, order: Value, zone: str, end: str) -> tuple[int, str] | None:
    """When an order's turn comes, of those on the other side that it meets: by what the buyer pays, then time."""
    rank, bids = int(end[:PRICE_CHARS]), order["side"] == "bid"
    from_zone, to_zone = (zone, order["zone"]) if bids else (order["zone"], zone)
    fee = grid_fee_of(from_zone, to_zone, order["interval"], changes)
    ask, bid = (rank, order["price"]) if bids else (order["price"], PRICE_MAX - rank)
    return (rank + fee if bids else rank, end[PRICE_CHARS + 1 :]) if ask + fee <= bid else None


def _are_met_in_turn(changes: Changes) -> bool:
    """Nothing that stays in the book comes before what the incoming order has met, and its trades are numbered in that
    order, which is also that of their delivery."""
    orders = [changes.new(key) for key in changes.below(ORDERS)]
    met = [order for order in orders if _is_met(changes, order)]
    if not met:
        return True
    fresh = [order for order in orders if changes.old(ORDERS + order["id"]) is None]
    if len(fresh) != 1:
        return False
    coming = fresh[0]
    turns = {order["id"]: _rank_met(changes, coming, order["zone"], _end(order)) for order in met}
    reached = [turn for turn in turns.values() if turn is not None]
    left = [_rank_met(changes, coming, zone, end) for zone, end in _others(changes, coming).items()]
    if len(reached) < len(met) or any(turn < max(reached) for turn in left if turn):
        return False
    met.sort(key=lambda order: turns[order["id"]] or (0, ""))
    if not _are_full_in_turn(changes, met):
        return False
    traded = [order for order in met if order["status"] not in ("barred", "full")]
    return [_of_resting(changes, coming, key) for key in sorted(changes.below(TRADES))] == [
        [order["owner"], order["meter"], changes.old(ORDERS + order["id"])["remaining_wh"] - order["remaining_wh"]]
        for order in traded
    ]


def _are_full_in_turn(changes: Changes, met: list[Value]) -> bool:
    """Whether the meters of asks that were found full had made all their trades when it was the asks' turn."""
    made: Counter[str] = Counter()
    for order in met:
        place = place_of(order)
        if order["status"] not in ("barred", "full"):
            made[place] += 1
        elif order["status"] == "full":
            count = (changes.old(COUNTS + place) or 0) + made[place]
            if order["side"] != "ask" or count < TRADES_MAX:
                return False
    return True


def _of_resting(changes: Changes, coming: Value, key: str) -> list[Value]:
    """Whom a trade is with, and how much of it."""
    trade = changes.new(key)
    party, meter = ("seller", "meter") if coming["side"] == "bid" else ("buyer", "buyer_meter")
    return [trade[party], trade[meter], trade["energy_wh"]]


def _is_met(changes: Changes, order: Value) -> bool:
    """Whether it stood in the book and trades, or was found not to do so any more."""
    old = changes.old(ORDERS + order["id"])
    return old is not None and bool(
        order["remaining_wh"] < old["remaining_wh"] or order["status"] in ("barred", "full")
    )


def _end(order: Value) -> str:
    """What follows the zone in an order's key in the book."""
    return f"{_rank(order)}/{order['id']}"


def _rank(order: Value) -> str:
    return f"{PRICE_MAX - order['price'] if order['side'] == 'bid' else order['price']:010d}"


def _listing(offer: Value) -> Row:
    place = f"{LISTED}{offer['interval']:010d}/{offer['price']:010d}/{offer['id']}"
    return place, [offer["id"], offer["remaining_wh"], offer["lot_wh"], offer["zone"]]


def _order(order: Value) -> Row:
    book = f"market/{order['side']}/{order['interval']:010d}/{order['product']}/{order['zone']}"
    return f"{book}/{_end(order)}", order["id"]


def _auctioned(order: Value) -> Row:
    book = f"auction/{order['side']}/{order['product']}/{order['interval']:010d}"
    return f"{book}/{_end(order)}", [order["energy_wh"], order["owner"], order["meter"]]


def _directed(offer: Value) -> Row:
    return f"{OFFERS_OPEN}{offer['interval']:010d}/{offer['id']}", offer["id"]


def _sealed(order: Value) -> Row:
    return f"{UNREVEALED}{order['product']}/{order['interval']:010d}/{order['id']}", order["id"]


BOOKS: dict[str, tuple[tuple[str, ...], Callable[[Value], Row], str]] = {
    LISTINGS: ((LISTED,), _listing, "open"),
    ORDERS: ((ASKS, BIDS), _order, "open"),
    AUCTIONED: ((AUCTION_ASKS, AUCTION_BIDS), _auctioned, "open"),
    DIRECTED: ((OFFERS_OPEN,), _directed, "open"),
    SEALED: ((UNREVEALED,), _sealed, "sealed"),
}
"""By kind of offer: where its rows lie, which row it has, and while it has what status."""


# ---------------------------------------------------------------------------------------------------- counts


def _trades_are_counted(changes: Changes) -> bool:
    """A meter's trades, up to so many, and both parties' lists of theirs, as they are made."""
    made = Counter(place_of(changes.new(key)) for key in changes.below(TRADES) if changes.old(key) is None)
    if len(changes.below(PARTY)) != len(PARTIES) * made.total():
        return False
    return _agree(changes, COUNTS, made) and all(changes.current(COUNTS + place) <= TRADES_MAX for place in made)


def _offers_are_counted(changes: Changes) -> bool:
    """Whose open directed offers there are in an interval."""
    more: Counter[str] = Counter()
    for key in changes.below(DIRECTED):
        new, old = changes.new(key), changes.old(key)
        opens, closes = new["status"] == "open", old is not None
        if opens != closes:
            more[f"{new['interval']:010d}/{new['owner']}"] += 1 if opens else -1
    grown = [changes.current(OFFERED + place) for place, count in more.items() if count > 0]
    return _agree(changes, OFFERED, more) and all(count <= OPEN_MAX for count in grown)


def _agree(changes: Changes, group: str, more: Counter[str]) -> bool:
    """Whether a group's counts, and no others, grew and shrank by so much. There is none of nothing: a trade that found
    a count of 0 would not be the first."""
    moved = {place for place, count in more.items() if count}
    return {key[len(group) :] for key in changes.below(group)} == moved and all(
        changes.current(group + place) == ((changes.old(group + place) or 0) + more[place] or None) for place in moved
    )


# -------------------------------------------------------------------------------------------- the best in front


def _fronts_agree(call: Call, changes: Changes) -> bool:
    """By zone, the best order of a side stands in front. A closing gate takes all fronts away before the orders."""
    if call.kind != "transaction":
        return True
    for key in changes.below(ORDERS):
        order = changes.new(key)
        fronts = changes.current(f"{TOPS}{order['side']}/{order['interval']:010d}/{order['product']}") or {}
        front, end, met = fronts.get(order["zone"], ""), _end(order), _is_met(changes, order)
        if order["status"] != "open":
            # What is met had all before it met.
            if front == end or (met and "" < front < end):
                return False
        elif not "" < front <= end or (met and front != end):
            return False
    return _are_met_in_turn(changes) and all(_is_front_kept(changes, key) for key in changes.below(TOPS))


def _is_front_kept(changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key) or {}
    if new == {} or len(new or {}) > ZONES_MAX:
        return False
    book = f"market/{key[len(TOPS) :]}/"
    for zone in {*old, *(new or {})}:
        before, after = old.get(zone, ""), (new or {}).get(zone, "")
        prefix = f"{book}{zone}/"
        if before == after:
            continue
        if before and not "" < after < before:
            if changes.current(prefix + before) is not None or after != _next(changes, prefix, before):
                return False
        elif changes.current(prefix + after) is None:
            return False
    return True


def _next(changes: Changes, prefix: str, before: str) -> str:
    """What will follow a row that goes, or ''."""
    written = {key for key in changes.raw if key.startswith(prefix) and key > prefix + before}
    known = changes.base.scan(prefix, prefix + before, len(written) + 1)
    there = [key for key, _ in known if key not in written] + [key for key in written if changes.raw[key] is not None]
    return min(there)[len(prefix) :] if there else ""
