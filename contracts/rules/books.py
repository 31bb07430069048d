"""What stands in the books is what is open, in its place, and nothing else; an auction's terms never change, and its
trades are at its price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from contracts.rules.changes import TRADES, Changes, Violation, place_of
from contracts.rules.fills import AUCTIONED, DIRECTED, INTERVAL_MS, LISTINGS, ORDERS, RUNS
from contracts.rules.money import SEALED
from contracts.rules.terms import COUNTS, GATE_CLOSURE, PRICE_MAX, PRODUCTS
from ledger.execution import Call
from ledger.values import Value

REVEAL = "governance/parameter/reveal_s"
RUN_TERMS = ("product", "interval", "mechanism", "ties", "grid_fee", "order_wh_min", "entry_ms", "clear_ms")
FILLING = ("fill", "rest", "done")
"""The stages of an auction that has its price; one without trades has none in the end."""

Row = tuple[str, Value]


def books(call: Call, changes: Changes) -> Violation | None:
    """A row for each offer that is open, none for one that is closed, and none without an offer."""
    for prefix, (groups, row_of, status) in BOOKS.items():
        rows: dict[str, Value] = {}
        for key in changes.below(prefix):
            offer = changes.new(key)
            place, row = row_of(offer)
            rows[place] = row if offer["status"] == status else None
        if any(changes.current(place) != row for place, row in rows.items()):
            return Violation.OVERSOLD
        if any(key not in rows for group in groups for key in changes.below(group)):
            return Violation.OVERSOLD
    if _miscounts(changes):
        return Violation.OVERSOLD
    return None if all(_is_kept(changes, key) for key in changes.below(RUNS)) else Violation.LIMIT


def _rank(order: Value) -> str:
    return f"{PRICE_MAX - order['price'] if order['side'] == 'bid' else order['price']:010d}"


def _listing(offer: Value) -> Row:
    place = f"market/offer/{offer['interval']:010d}/{offer['price']:010d}/{offer['id']}"
    return place, [offer["id"], offer["remaining_wh"], offer["lot_wh"], offer["zone"]]


def _order(order: Value) -> Row:
    book = f"market/{order['side']}/{order['interval']:010d}/{order['product']}/{order['zone']}"
    return f"{book}/{_rank(order)}/{order['id']}", order["id"]


def _auctioned(order: Value) -> Row:
    book = f"auction/{order['side']}/{order['product']}/{order['interval']:010d}"
    return f"{book}/{_rank(order)}/{order['id']}", [order["energy_wh"], order["owner"], order["meter"]]


def _directed(offer: Value) -> Row:
    return f"offers/open/{offer['interval']:010d}/{offer['id']}", offer["id"]


def _sealed(order: Value) -> Row:
    return f"auction/unrevealed/{order['product']}/{order['interval']:010d}/{order['id']}", order["id"]


BOOKS: dict[str, tuple[tuple[str, ...], Callable[[Value], Row], str]] = {
    LISTINGS: (("market/offer/",), _listing, "open"),
    ORDERS: (("market/ask/", "market/bid/"), _order, "open"),
    AUCTIONED: (("auction/ask/", "auction/bid/"), _auctioned, "open"),
    DIRECTED: (("offers/open/",), _directed, "open"),
    SEALED: (("auction/unrevealed/",), _sealed, "sealed"),
}
"""By kind of offer: where its rows lie, which row it has, and while it has what status."""


def _miscounts(changes: Changes) -> bool:
    """Whether a meter's trades are counted otherwise than they are made."""
    made = Counter(place_of(changes.new(key)) for key in changes.below(TRADES) if changes.old(key) is None)
    counted = {key[len(COUNTS) :] for key in changes.below(COUNTS)}
    return any(
        (changes.current(COUNTS + place) or 0) != (changes.old(COUNTS + place) or 0) + made[place]
        for place in counted | set(made)
    )


def _is_kept(changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    if new is None or key != f"{RUNS}{new['product']}/{new['interval']:010d}":
        return False
    if old is None:
        return _is_opened(new, changes)
    if any(new[name] != old[name] for name in RUN_TERMS if name in old):
        return False
    return old["stage"] not in FILLING or new["price"] in (old["price"], 0)


def _is_opened(run: Value, changes: Changes) -> bool:
    """On its product's terms, cleared as the gate closes."""
    product = changes.current(PRODUCTS + run["product"])
    closure_s = changes.current(GATE_CLOSURE)["value"]
    reveal_s = changes.current(REVEAL)["value"]
    clear_ms = run["interval"] * INTERVAL_MS - closure_s * 1_000
    same = all(run[name] == product[name] for name in ("mechanism", "ties", "grid_fee"))
    return same and [run["clear_ms"], run["entry_ms"]] == [clear_ms, clear_ms - reveal_s * 1_000]
