"""Whatever people do, in whatever order: money and energy add up, holds cover exactly what is open, and time frees all.

Random sequences of operations, good and bad, by everyone, with time passing in between; the same every run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from contract_market import DEPOSIT, Market
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.testing import DAY_MS
from ledger.execution import DEADLINE_PREFIX

PEOPLE = ("sol", "sun", "bea", "bob")
ENERGY = st.one_of(st.integers(1, 30), st.sampled_from([-1, 0, 7_000, 100_001]))
NEAR = st.integers(99_990, 100_010)
PRICE = st.one_of(NEAR, st.sampled_from([0, 333, 10**9]))
WHO = st.sampled_from(PEOPLE)
PICK = st.integers(0, 30)

OPERATION = st.one_of(
    st.tuples(st.just("offer"), WHO, ENERGY, PRICE, st.integers(1, 4)),
    st.tuples(st.just("take"), WHO, PICK, ENERGY, PRICE),
    st.tuples(st.just("order"), WHO, st.sampled_from(["bid", "ask"]), ENERGY, PRICE),
    st.tuples(st.just("order"), st.sampled_from(["sol", "sun"]), st.just("ask"), st.integers(1, 30), NEAR),
    st.tuples(st.just("order"), st.sampled_from(["bea", "bob"]), st.just("bid"), st.integers(1, 30), NEAR),
    st.tuples(st.just("cancel"), WHO, PICK),
    st.tuples(st.just("amend"), WHO, PICK, ENERGY, PRICE),
    st.tuples(st.just("propose"), WHO, WHO, st.sampled_from(["bid", "ask"]), ENERGY, PRICE),
    st.tuples(st.just("propose"), st.just("sol"), st.just("bea"), st.just("ask"), st.integers(1, 30), NEAR),
    st.tuples(
        st.just("answer"), st.sampled_from(["accept", "counter", "decline", "withdraw"]), PICK, st.integers(1, 9)
    ),
    st.tuples(st.just("agree"), st.sampled_from(["sol", "sun"]), WHO, ENERGY, PRICE),
    st.tuples(st.just("suspend"), WHO, st.booleans()),
    st.tuples(st.just("withdraw"), WHO, st.sampled_from([1, 10**6, DEPOSIT])),
)
READINGS = st.dictionaries(st.sampled_from(["sol", "sun"]), st.integers(0, 60))
SIGNATURES = st.lists(st.tuples(PICK, st.lists(WHO, min_size=1, max_size=2, unique=True)), max_size=12)


def perform(market: Market, operation: tuple[Any, ...]) -> None:
    kind, who, *rest = operation
    if kind == "offer":
        energy_wh, price, lot_wh = rest
        args = market.listing_args(who, energy_wh=energy_wh, price=price, lot_wh=lot_wh)
        market.call("market", "post_listing", args, who)
    elif kind == "take":
        take(market, who, *rest)
    elif kind == "order":
        side, energy_wh, price = rest
        market.call("market", "place_order", market.order_args(side, who, energy_wh, price), who)
    elif kind == "cancel":
        market.call("market", "cancel_order", {"order": chosen(market, "market/order/", rest[0])}, who)
        market.call("market", "cancel_listing", {"listing": chosen(market, "market/listing/", rest[0])}, who)
    elif kind == "amend":
        order = chosen(market, "market/order/", rest[0])
        market.call("market", "amend_order", {"order": order, "energy_wh": rest[1], "price": rest[2]}, who)
    elif kind in ("propose", "answer", "agree"):
        deal(market, kind, who, *rest)
    elif kind == "suspend":
        function, args = ("suspend", {"user": who, "reason": "x"}) if rest[0] else ("resume", {"user": who})
        market.call("registry", function, args, "op1")
    else:
        market.call("credit", "withdraw", {"account": who, "amount": rest[0]}, "op1", "op2")


def take(market: Market, who: str, pick: int, energy_wh: int, price_max: int) -> None:
    """Nobody pays more than they signed, whatever a listing asks for."""
    terms = {"listing": chosen(market, "market/listing/", pick), "meter": f"m-{who}", "energy_wh": energy_wh}
    made = market.call("market", "take_listing", {**terms, "price_max": price_max}, who)
    assert made.code != "OK" or market.trade(str(made.value))["price"] <= price_max


def deal(market: Market, kind: str, who: str, *rest: Any) -> None:
    """Directed offers; the answer comes from whose turn it is."""
    if kind == "propose":
        to, side, energy_wh, price = rest
        terms = {"side": side, "meter": f"m-{who}", "interval": market.interval, "energy_wh": energy_wh, "price": price}
        market.call("offers", "propose", {"to": to, **terms}, who)
    elif kind == "agree":
        buyer, energy_wh, price = rest
        terms = {"interval": market.interval, "energy_wh": energy_wh, "price": price, "price_max": 100_000}
        meters = {"seller_meter": f"m-{who}", "buyer_meter": f"m-{buyer}"}
        market.call("offers", "agree", {**meters, **terms}, who, buyer)
    else:
        function, (pick, energy_wh) = who, rest
        offer = chosen(market, "offers/offer/", pick)
        record = market.get(f"offers/offer/{offer}") or {"owner": "sol", "to": "bea"}
        speaker = record["owner" if function == "withdraw" else "to"]
        args: dict[str, Any] = {"offer": offer}
        if function in ("accept", "counter"):
            args["meter"] = f"m-{speaker}"
        if function == "accept":
            args["price_limit"] = 100_000
        if function == "counter":
            args |= {"energy_wh": energy_wh, "price": 100_000}
        market.call("offers", function, args, speaker)


def chosen(market: Market, prefix: str, pick: int) -> str:
    records = market.records(prefix)
    return str(records[pick % len(records)]["id"]) if records else "none"


def check_money(market: Market) -> None:
    """The accounts add up to the deposits, and each holds exactly what its open offers and trades may cost it."""
    assert market.get("credit/total") == {"total": market.money()}
    held: Counter[str] = Counter()
    for listing in market.records("market/listing/"):
        if listing["status"] == "open":
            held[listing["seller"]] -= -listing["remaining_wh"] * listing["imbalance_price"] // 1_000
    for order in market.records("market/order/") + market.records("offers/offer/"):
        if order["status"] == "open":
            held[order["owner"]] -= -order["remaining_wh"] * order["collateral_price"] // 1_000
    for trade in market.records("settlement/trade/"):
        if trade["status"] == "matched":
            held[trade["buyer"]] += trade["energy_wh"] * trade["price"] // 1_000
            held[trade["seller"]] += trade["energy_wh"] * trade["imbalance_price"] // 1_000
        elif trade["status"] != "settled":
            whole = trade["energy_wh"] * trade["price"] // 1_000
            held[trade["buyer"]] += whole if trade.get("unread") else trade["amount"]
            held[trade["seller"]] += trade["penalty"]
    for who in (*PEOPLE, "balancing"):
        assert market.held(who) == held[who], who
        assert min(market.account(who)) >= 0


def check_energy(market: Market) -> None:
    """What a meter sold is what its offers still have plus its trades; bids lose what asks lose."""
    for who in ("sol", "sun"):
        offers = [o for place in ("market/listing/", "market/order/", "offers/offer/") for o in market.records(place)]
        mine = [o for o in offers if o["meter"] == f"m-{who}" and o.get("side") != "bid" and o["status"] == "open"]
        trades = [trade for trade in market.records("settlement/trade/") if trade["meter"] == f"m-{who}"]
        sold = market.get(f"market/sold/m-{who}/{market.interval:010d}") or 0
        assert sold == sum(o["remaining_wh"] for o in mine) + sum(trade["energy_wh"] for trade in trades)
        assert sold * 4 <= 400_000
    book = [trade for trade in market.records("settlement/trade/") if trade["source"] == "book"]
    bids = [order for order in market.records("market/order/") if order["side"] == "bid"]
    assert sum(o["energy_wh"] - o["remaining_wh"] for o in bids) == sum(trade["energy_wh"] for trade in book)


def check_book(market: Market) -> None:
    """The book is not crossed, but for people who cannot trade with each other."""
    orders = [order for order in market.records("market/order/") if order["status"] == "open"]
    asks = [order for order in orders if order["side"] == "ask"]
    for bid in (order for order in orders if order["side"] == "bid"):
        for ask in asks:
            assert ask["price"] > bid["price"]


@settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATION, min_size=10, max_size=30), READINGS, SIGNATURES)
def test_money_and_energy_add_up_whatever_people_do(
    operations: list[tuple[Any, ...]], readings: dict[str, int], signatures: list[tuple[int, list[str]]]
) -> None:
    market = Market({"imbalance_price": 333_333})  # so that halves of collateral round
    for operation in operations:
        perform(market, operation)
        check_money(market)
    check_energy(market)
    check_book(market)

    assert set(market.to_gate()) <= {"OK"}
    for place in ("market/order/", "market/listing/", "offers/offer/"):
        assert not [offer for offer in market.records(place) if offer["status"] == "open"]
    check_money(market)
    check_energy(market)

    market.to_end()
    for who, export_wh in readings.items():
        market.read(who, export_wh)
        trades = [trade for trade in market.records("settlement/trade/") if trade["meter"] == f"m-{who}"]
        contracted = sum(trade["energy_wh"] for trade in trades)
        assert sum(trade["delivered_wh"] for trade in trades) == min(contracted, export_wh)
    for pick, signers in signatures:
        market.call("settlement", "confirm", {"trade": chosen(market, "settlement/trade/", pick)}, *signers)
        check_money(market)

    for _ in range(2):  # the deadline for readings, then that for confirmations
        assert {code for code, _ in market.chain.advance(2 * DAY_MS)} <= {"OK"}
    check_money(market)
    for trade in market.records("settlement/trade/"):
        assert trade["status"] in ("settled", "overdue")
        market.ok("settlement", "confirm", {"trade": trade["id"]}, trade["seller"], trade["buyer"])
    check_money(market)
    assert [market.held(who) for who in PEOPLE] == [0] * 4
    assert market.chain.state.scan(DEADLINE_PREFIX, "", 1) == []
