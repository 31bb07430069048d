"""What offers lose, trades take: each trade is of offers that lose its energy, at a price and a grid fee of theirs.

Nobody pays more than a bid or gets less than an ask, no order is filled beyond its energy, and who offered nothing and
signed nothing trades nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from contracts.rules.changes import Changes, Violation
from contracts.rules.groups import AUCTIONED, DIRECTED, GRID_FEES, LISTINGS, METERS, ORDERS, PARAMETERS, RUNS, TRADES
from ledger.execution import Call
from ledger.values import Value

IMBALANCE_PRICE, ORDER_WH_MIN = PARAMETERS + "imbalance_price", PARAMETERS + "order_wh_min"
INTERVAL_MS = 900_000
TRADES_MADE_MAX, OFFERS_FILLED_MAX = 100, 202
"""By a call, as by a step of an auction's clearing."""

Place = tuple[str, str, str, int]
"""A side, whose, of which meter, in which interval."""
Lot = tuple[Place, int, int]
"""What offers lose and trades take, where it has to be the same: the price of what stood in the book, and the
imbalance price that an ask holds for; 0 where it need not be."""


def fills(call: Call, changes: Changes) -> Violation | None:
    """By source, party, meter and interval: orders lose exactly what their trades take, on their terms."""
    made: defaultdict[str, list[Value]] = defaultdict(list)
    for key in changes.below(TRADES):
        if changes.old(key) is None:
            trade = changes.new(key)
            made[trade["source"]].append(trade)
    for source, (prefix, are_terms) in SOURCES.items():
        trades = made.pop(source, [])
        found = _lost(changes, prefix)
        if not trades and not found:
            continue
        if len(trades) > TRADES_MADE_MAX or sum(map(len, found.values())) > OFFERS_FILLED_MAX:
            return Violation.LIMIT
        for trade in trades:
            asks, bids = found.get(_sold_at(trade), []), found.get(_bought_at(trade), [])
            if not are_terms(trade, asks, bids, changes):
                return Violation.LIMIT
        if source == "auction" and not all(
            _is_within(*offer, changes) for offers in found.values() for offer in offers
        ):
            return Violation.LIMIT
        if _are_unequal(source, found, trades):
            return Violation.OVERSOLD
    return Violation.LIMIT if made else None


def _are_unequal(source: str, found: dict[Place, Offers], trades: list[Value]) -> bool:
    """Whether trades take otherwise than offers lose, lot by lot: a party's energy is not one for another's price."""
    left: Counter[Lot] = Counter()
    incoming = {place[0] for place, offers in found.items() for _, old in offers if old is None}
    for place, offers in found.items():
        for new, old in offers:
            price = new["price"] if source == "book" and old is not None else 0
            held = new.get("collateral_price", new.get("imbalance_price")) if place[0] == "ask" else 0
            left[place, price, held] += _loss_wh(new, old)
    for trade in trades:
        sold, bought = _sold_at(trade), _bought_at(trade)
        rests = {side: source == "book" and side not in incoming for side in ("ask", "bid")}
        if sold in found:
            left[sold, trade["price"] - trade["grid_fee"] if rests["ask"] else 0, trade["imbalance_price"]] -= trade[
                "energy_wh"
            ]
        if bought in found:
            left[bought, trade["price"] if rests["bid"] else 0, 0] -= trade["energy_wh"]
    return any(left.values())


def _is_within(order: Value, old: Value, changes: Changes) -> bool:
    """Whether an auction's price is within the limit of an order that it fills."""
    run = changes.old(f"{RUNS}{order['product']}/{order['interval']:010d}")
    return bool(order["price"] <= run["seller_price"] if order["side"] == "ask" else run["price"] <= order["price"])


Offers = list[tuple[Value, Value]]
"""Offers that lose energy, as they will be and as they were."""


def _lost(changes: Changes, prefix: str) -> dict[Place, Offers]:
    found: dict[Place, Offers] = {}
    for key in changes.below(prefix):
        new, old = changes.new(key), changes.old(key)
        if _loss_wh(new, old):
            found.setdefault(_place(new), []).append((new, old))
    return found


def _loss_wh(new: Value, old: Value) -> int:
    return int((new["energy_wh"] if old is None else old["remaining_wh"]) - new["remaining_wh"])


def _place(offer: Value) -> Place:
    owner = offer["seller"] if "seller" in offer else offer["owner"]
    return (offer.get("side", "ask"), owner, offer["meter"], offer["interval"])


def _sold_at(trade: Value) -> Place:
    return ("ask", trade["seller"], trade["meter"], trade["interval"])


def _bought_at(trade: Value) -> Place:
    return ("bid", trade["buyer"], trade["buyer_meter"], trade["interval"])


def _by_listing(trade: Value, asks: Offers, bids: Offers, changes: Changes) -> bool:
    """For the taker's own meter."""
    meter = changes.current(METERS + trade["buyer_meter"])
    return bool(meter["owner"] == trade["buyer"]) and any(
        ask["imbalance_price"] == trade["imbalance_price"] and _pays_ask(trade, ask, meter["zone"], changes)
        for ask, _ in asks
    )


def _by_book(trade: Value, asks: Offers, bids: Offers, changes: Changes) -> bool:
    """At the price of the one that stood already, within the limit of the other."""
    net = trade["price"] - trade["grid_fee"]
    for ask, asked in asks:
        for bid, bidden in bids:
            if ask["collateral_price"] != trade["imbalance_price"] or trade["price"] > bid["price"]:
                continue
            if ask["product"] != bid["product"]:
                continue
            rests = asked is not None and bidden is None and _pays_ask(trade, ask, bid["zone"], changes)
            if rests or (bidden is not None and asked is None and _pays_bid(trade, bid, ask["zone"], changes)):
                return bool(net >= ask["price"])
    return False


def _by_auction(trade: Value, asks: Offers, bids: Offers, changes: Changes) -> bool:
    """At the auction's one price, which it has before the first trade, within the limits of both."""
    net = trade["price"] - trade["grid_fee"]
    runs = [changes.old(f"{RUNS}{ask['product']}/{ask['interval']:010d}") for ask, _ in asks]
    if [trade["price"], net] not in [[run["price"], run["seller_price"]] for run in runs]:
        return False
    asked = any(ask["price"] <= net and ask["collateral_price"] == trade["imbalance_price"] for ask, _ in asks)
    return asked and any(trade["price"] <= bid["price"] for bid, _ in bids)


def _by_offer(trade: Value, asks: Offers, bids: Offers, changes: Changes) -> bool:
    """To the letter: the parties, meters, energy and price of the one offer that names the trade. Who accepts does it
    with a meter of its own."""
    for offer, _ in [*asks, *bids]:
        if offer["trade"] != trade["id"] or offer["energy_wh"] != trade["energy_wh"] or offer["status"] != "accepted":
            continue
        other, meter = offer["to"], offer["other_meter"]
        if changes.current(METERS + meter)["owner"] != other:
            return False
        if offer["side"] == "ask":
            named = (other, meter, offer["collateral_price"]) == _terms_of(trade, "buyer", "buyer_meter")
            return named and _pays_ask(trade, offer, _zone(meter, changes), changes)
        named = (other, meter, changes.current(IMBALANCE_PRICE)["value"]) == _terms_of(trade, "seller", "meter")
        return named and _pays_bid(trade, offer, _zone(meter, changes), changes)
    return False


def _terms_of(trade: Value, party: str, meter: str) -> tuple[str, str, int]:
    return (trade[party], trade[meter], trade["imbalance_price"])


def _zone(meter: str, changes: Changes) -> str:
    return str(changes.current(METERS + meter)["zone"])


def _pays_ask(trade: Value, ask: Value, buyers_zone: str, changes: Changes) -> bool:
    fee = grid_fee_of(ask["zone"], buyers_zone, trade["interval"], changes)
    return bool(trade["grid_fee"] == fee and trade["price"] == ask["price"] + fee)


def _pays_bid(trade: Value, bid: Value, sellers_zone: str, changes: Changes) -> bool:
    fee = grid_fee_of(sellers_zone, bid["zone"], trade["interval"], changes)
    return bool(trade["grid_fee"] == fee and trade["price"] == bid["price"])


def grid_fee_of(from_zone: str, to_zone: str, interval: int, changes: Changes) -> int:
    known = changes.current(f"{GRID_FEES}{from_zone}/{to_zone}")
    if known is None:
        return 0
    return int(known["before"] if interval * INTERVAL_MS < known["from_ms"] else known["fee"])


SOURCES: dict[str, tuple[str, Callable[[Value, Offers, Offers, Changes], bool]]] = {
    "listing": (LISTINGS, _by_listing),
    "book": (ORDERS, _by_book),
    "auction": (AUCTIONED, _by_auction),
    "offer": (DIRECTED, _by_offer),
}
"""What a trade says that it comes of, where such offers lie, and what their terms are."""
