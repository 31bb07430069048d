"""The validation module: it accepts what the contracts do, and rejects each result that breaks an invariant.

Each violation starts from a real call's writes and changes one thing, as a faulty or dishonest machine would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contract_market import Market
from forgery import Outcome

from contracts.testing import Chain
from contracts.validation import VALUE_BYTES_MAX, WRITES_MAX, MarketValidator, Violation
from ledger.execution import Call, CallResult
from ledger.state import TransactionView
from ledger.values import decode_value, encode_value


def take(market: Market) -> Outcome:
    listing = market.offer()
    return Outcome(market, "market", "take_listing", market.taking_args(listing, 300), "bea")


def trade_of(market: Market, metered_wh: int | None = None) -> str:
    trade = market.take(market.offer(), 300)
    market.to_end()
    if metered_wh is not None:
        market.read(export_wh=metered_wh)
    return trade


def meter(market: Market) -> Outcome:
    trade_of(market)
    return Outcome(market, "settlement", "submit_readings", {"readings": [market.reading(export_wh=200)]}, "gate")


def confirm(market: Market) -> Outcome:
    trade = trade_of(market, 200)
    return Outcome(market, "settlement", "confirm", {"trade": trade}, "sol")


def settle(market: Market) -> Outcome:
    trade = trade_of(market, 200)
    return Outcome(market, "settlement", "confirm", {"trade": trade}, "sol", "bea")


def deposit(market: Market) -> Outcome:
    return Outcome(market, "credit", "deposit", {"account": "sol", "amount": 9}, "op1", "op2")


def bid(market: Market) -> Outcome:
    market.order("ask", "sol", 100, 200_000)
    return Outcome(market, "market", "place_order", market.order_args("bid", "bea", 150, 300_000), "bea")


def cancel(market: Market) -> Outcome:
    return Outcome(market, "market", "cancel_listing", {"listing": market.offer()}, "sol")


Make = Callable[[Market], Outcome]


@pytest.mark.parametrize("make", [take, meter, confirm, settle, deposit, bid, cancel])
def test_what_the_contracts_do_is_accepted(market: Market, make: Make) -> None:
    assert make(market).verdict() is None


BEA, SOL, BALANCING = "credit/account/bea", "credit/account/sol", "credit/account/balancing"
ACCOUNT = {"type": "account", "signer": "x", "available": 0, "held": 0}
TRADE, LISTING, ORDER, SOLD = "settlement/trade/", "market/listing/", "market/order/", "market/sold/"


@pytest.mark.parametrize(
    ("make", "prefix", "changes", "violation"),
    [
        # Money is neither made nor lost, and nothing is negative.
        (take, BEA, {"available": 1}, Violation.MONEY), (take, BEA, {"held": -1}, Violation.MONEY),
        (settle, SOL, {"available": 5}, Violation.MONEY), (deposit, SOL, {"available": 1}, Violation.MONEY),
        (deposit, "credit/total", {"total": 1}, Violation.MONEY),
        (take, BEA, {"available": -(10**10), "held": 10**10}, Violation.NEGATIVE_BALANCE),
        (take, BEA, {"available": 10**10, "held": -(10**10)}, Violation.NEGATIVE_BALANCE),
        (take, BEA, {"available": "9"}, Violation.SHAPE),
        (take, BEA, {"held": None}, Violation.SHAPE),
        # Nothing is sold twice.
        (take, LISTING, {"remaining_wh": 300}, Violation.OVERSOLD),
        (take, LISTING, {"remaining_wh": 100}, Violation.OVERSOLD),
        (take, LISTING, {"remaining_wh": -800}, Violation.OVERSOLD),
        (take, LISTING, {"energy_wh": 300}, Violation.OVERSOLD),
        (take, LISTING, {"meter": "m-sun"}, Violation.OVERSOLD), (take, LISTING, {"price": 1}, Violation.OVERSOLD),
        (take, TRADE, {"energy_wh": 1}, Violation.OVERSOLD), (take, TRADE, {"meter": "m-sun"}, Violation.OVERSOLD),
        (take, LISTING, {"status": "cancelled"}, Violation.SIGNATURES),
        (cancel, LISTING, {"status": "open"}, Violation.OVERSOLD),
        # Delivery is bounded by the contract and by the meter; terms and payments follow the trade.
        (take, TRADE, {"delivered_wh": 1}, Violation.DELIVERY),
        (take, TRADE, {"status": "settled"}, Violation.SHAPE),
        (take, TRADE, {"status": "proposed"}, Violation.DELIVERY),
        (meter, TRADE, {"delivered_wh": 101}, Violation.DELIVERY),
        (meter, TRADE, {"delivered_wh": 1, "amount": 200, "penalty": -400}, Violation.DELIVERY),
        (meter, TRADE, {"delivered_wh": -201}, Violation.DELIVERY), (meter, TRADE, {"amount": 1}, Violation.DELIVERY),
        (meter, TRADE, {"penalty": -1}, Violation.DELIVERY), (meter, TRADE, {"fee": 10**9}, Violation.DELIVERY),
        (meter, TRADE, {"fee": -(10**9)}, Violation.DELIVERY), (meter, TRADE, {"price": -1}, Violation.DELIVERY),
        (meter, "settlement/reading/", {"export_wh": -1}, Violation.DELIVERY),
        (meter, "settlement/reading/", {"quality": "suspect"}, Violation.DELIVERY),
        (confirm, TRADE, {"buyer": "sol"}, Violation.DELIVERY), (confirm, TRADE, {"amount": -1}, Violation.DELIVERY),
        (settle, TRADE, {"price": 1}, Violation.DELIVERY),
        # Nobody pays without both signatures.
        (confirm, TRADE, {"buyer_confirmed": True}, Violation.SIGNATURES),
        (settle, TRADE, {"buyer_confirmed": False}, Violation.SIGNATURES),
        (settle, TRADE, {"seller_confirmed": False}, Violation.SIGNATURES),
        (meter, TRADE, {"seller_confirmed": True}, Violation.SIGNATURES),
        (confirm, TRADE, {"seller_confirmed": False, "status": "settled"}, Violation.PAYMENT),
        # What is settled is paid, and only that.
        (settle, TRADE, {"status": "proposed"}, Violation.PAYMENT),
        (confirm, TRADE, {"status": "settled"}, Violation.PAYMENT),
        # What is no record of the shipped contracts.
        (take, LISTING, {"remaining_wh": "1"}, Violation.SHAPE), (take, TRADE, {"energy_wh": None}, Violation.SHAPE),
        (take, LISTING, {"interval": "x"}, Violation.SHAPE), (meter, TRADE, {"delivered_wh": "1"}, Violation.SHAPE),
    ],
)  # fmt: skip
def test_a_forged_record_is_rejected(
    market: Market, make: Make, prefix: str, changes: dict[str, Any], violation: Violation
) -> None:
    outcome = make(market)
    outcome.change(prefix, **changes)
    assert outcome.verdict() == violation


@pytest.mark.parametrize(
    ("make", "prefix", "changes"),
    [(settle, TRADE, {"amount": -60_000, "buyer_disputed": 1}), (bid, ORDER, {"interval": "x"})],
)
def test_what_cannot_be_reckoned_with_is_refused(
    market: Market, make: Make, prefix: str, changes: dict[str, Any]
) -> None:
    """A division by zero came out of the module: whoever ran the node's contracts could have stopped it."""
    outcome = make(market)
    outcome.change(prefix, **changes)
    assert outcome.verdict() is not None


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 60_000, b"\xa1", b"\xc1", b"", b"\xc0\xc0", b"\xc7\x01\x05a", b"\xcb" + bytes(8), b"\xc4\x01a",
        b"\x81\xc0\x01", b"\x82\xa1b\x01\xa1a\x01", b"\xcc\x01", b"\x91\xcb" + bytes(8),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [take, meter, settle, bid])
def test_every_value_can_be_read(market: Market, make: Make, data: bytes) -> None:
    """What no rule looked at, as a row of a book, could be any bytes: the next contract that read it would have raised,
    and so would whoever shows it."""
    outcome = make(market)
    for key, written in list(outcome.view.writes.items()):
        outcome.view.writes[key] = data
        assert outcome.verdict() in (Violation.SHAPE, Violation.NAMESPACE), key
        outcome.view.writes[key] = written


@pytest.mark.parametrize("make", [take, meter, confirm, bid])
def test_money_does_not_move_between_accounts_without_a_settled_trade(market: Market, make: Make) -> None:
    """Sums agree and nothing is negative, and still it is theft."""
    outcome = make(market)
    for who, amount in (("bea", -50), ("bob", 50)):
        record = decode_value(outcome.view.get(f"credit/account/{who}") or b"")
        outcome.put(f"credit/account/{who}", {**record, "available": record["available"] + amount})
    assert outcome.verdict() == Violation.PAYMENT


def test_a_settlement_pays_the_seller_of_the_trade_and_nobody_else(market: Market) -> None:
    outcome = settle(market)
    outcome.change(SOL, available=-7)
    outcome.put("credit/account/bob", {**market.get("credit/account/bob"), "available": 10**9 + 7})
    assert outcome.verdict() == Violation.PAYMENT


@pytest.mark.parametrize("signers", [(), ("op1",), ("op1", "op1"), ("op1", "colleague"), ("op1", "bea")])
def test_money_enters_by_operators_of_two_organisations_only(market: Market, signers: tuple[str, ...]) -> None:
    market.chain.user("colleague", "operator", market.get("registry/user/op1")["organisation"])
    outcome = deposit(market)
    outcome.call = Call("credit", "deposit", {}, signers, "", 1, 1, 1, 0, "transaction")
    assert outcome.verdict() == Violation.OPERATORS


def test_a_trade_without_an_offer_sells_twice(market: Market) -> None:
    outcome = take(market)
    (key,) = [key for key in outcome.view.writes if key.startswith(TRADE)]
    outcome.put(key + "x", {**decode_value(outcome.view.get(key) or b""), "id": "other"})
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize("by", [1, -1, -5_000])
def test_what_a_meter_sold_grows_by_what_is_offered(market: Market, by: int) -> None:
    outcome = Outcome(market, "market", "post_listing", market.listing_args(), "sol")
    key = f"{SOLD}m-sol/{market.interval:010d}"
    outcome.put(key, decode_value(outcome.view.get(key) or b"") + by)
    assert outcome.verdict() == Violation.OVERSOLD


def test_a_meter_offers_no_more_than_its_capacity(market: Market) -> None:
    outcome = Outcome(market, "market", "post_listing", market.listing_args(), "sol")
    meter = market.get("registry/meter/m-sol")
    market.chain.put("registry/meter/m-sol", {**meter, "capacity_w": 3_999})
    assert outcome.verdict() == Violation.OVERSOLD
    outcome.view.base.apply({"registry/meter/m-sol": None})  # type: ignore[attr-defined]
    assert outcome.verdict() == Violation.LIMIT


def test_energy_metered_once_is_delivered_once(market: Market) -> None:
    """Two trades of 300 and 200 Wh, 400 injected: each within its contract, together beyond the meter."""
    listing = market.offer()
    trades = [market.take(listing, energy_wh) for energy_wh in (300, 200)]
    market.to_end()
    outcome = Outcome(market, "settlement", "submit_readings", {"readings": [market.reading(export_wh=400)]}, "gate")
    assert outcome.verdict() is None
    outcome.change(TRADE + trades[1], delivered_wh=100, amount=20_000, penalty=-40_000)
    assert outcome.verdict() == Violation.DELIVERY


def test_a_settled_trade_is_over(market: Market) -> None:
    trade = trade_of(market, 200)
    outcome = Outcome(market, "settlement", "confirm", {"trade": trade}, "sol", "bea")
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert outcome.verdict() is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("governance/contract/market", {"source": ""}), ("governance/root/00", {}), ("governance/validators", []),
        ("governance/parameter/fee_permille", {"value": 0}), ("registry/user/sol", {}), ("system/nonce/sol", {}),
        ("system/anything", 1), ("stranger/key", 1), ("", 1), ("market", 1),
    ],
)  # fmt: skip
def test_writes_stay_in_the_namespaces_of_the_call(market: Market, key: str, value: Any) -> None:
    outcome = take(market)
    outcome.put(key, value)
    assert outcome.verdict() == Violation.NAMESPACE


def test_nobody_deletes_a_deadline(market: Market) -> None:
    outcome = take(market)
    outcome.view.delete(market.chain.state.scan("system/deadline/", "", 1)[0][0])
    assert outcome.verdict() == Violation.NAMESPACE


DESK = '@export("*")\ndef sell(x: int):\n    call("{}", "note", [x])\n'
NOTES = '@internal("{}")\ndef note(x: int):\n    {}\n    put("noted", x)\n'


@pytest.mark.parametrize(
    ("sources", "code"),
    [
        ({"desk": DESK.format("book"), "book": NOTES.format("desk", "pass")}, "OK"),
        (
            {
                "desk": DESK.format("book"),
                "book": NOTES.format("desk", "call('shelf', 'note', [x])"),
                "shelf": NOTES.format("book", "pass"),
            },
            "OK",
        ),
        ({"desk": DESK.format("book"), "book": NOTES.format("other", "pass")}, "NOT_CALLABLE"),
    ],
)
def test_authors_contracts_may_write_for_each_other(sources: dict[str, str], code: str) -> None:
    """Regression: what a contract's internal function wrote for another one was rejected, unless both were shipped."""
    chain = Chain(sources, {})
    assert chain.call("desk", "sell", {"x": 7}, ["alice"]).code == code
    written = [name for name in sources if chain.get(f"{name}/noted") == 7]
    assert written == ([name for name in sources if name != "desk"] if code == "OK" else [])


@pytest.mark.parametrize("callee", ["credit", "book"])
def test_a_worker_that_says_so_writes_for_nobody_else(callee: str) -> None:
    chain = Chain({"desk": DESK.format("book"), "book": NOTES.format("other", "pass")}, {})
    call = Call("desk", "sell", {"x": 7}, ("alice",), "", 100_000, 0, 1, 0, "transaction")
    view = TransactionView(chain.state)
    view.put(f"{callee}/noted", encode_value(7))
    result = CallResult("OK", "", None, 1, ())
    assert MarketValidator().check(call, result, view) == Violation.NAMESPACE


@pytest.mark.parametrize(
    ("contract", "verdict"), [("own", None), ("credit", Violation.NAMESPACE), ("other", Violation.NAMESPACE)]
)
def test_other_contracts_write_below_their_own_name(market: Market, contract: str, verdict: str | None) -> None:
    view = TransactionView(market.chain.state)
    view.put("own/k", encode_value(1))
    call = Call(contract, "f", {}, (), "", 1, 1, 1, 0, "transaction")
    assert MarketValidator().check(call, CallResult("OK", "", None, 0, ()), view) == verdict


@pytest.mark.parametrize("size", ["writes", "value", "key"])
def test_results_are_bounded(market: Market, size: str) -> None:
    outcome = take(market)
    if size == "writes":
        for i in range(WRITES_MAX):
            outcome.put(f"market/sold/{i}", 1)
    else:
        outcome.put(
            "market/sold/" + "x" * (400 if size == "key" else 1), "x" * (VALUE_BYTES_MAX if size == "value" else 1)
        )
    assert outcome.verdict() == Violation.SIZE


@pytest.mark.parametrize("prefix", [LISTING, TRADE, BEA])
@pytest.mark.parametrize("data", [None, b"\xc1", b"", encode_value(7), encode_value([]), encode_value({})])
def test_a_deleted_or_malformed_record_is_rejected_not_a_crash(market: Market, prefix: str, data: bytes | None) -> None:
    """Regression: a record that was missing or of another shape raised in the validation module and ended the node."""
    outcome = take(market)
    (key,) = [key for key in outcome.view.writes if key.startswith(prefix)]
    outcome.view.writes[key] = data
    assert outcome.verdict() in set(Violation)


def test_a_call_that_writes_nothing_is_fine(market: Market) -> None:
    call = Call("market", "f", {}, (), "", 1, 1, 1, 0, "transaction")
    result = CallResult("OK", "", None, 0, ())
    assert MarketValidator().check(call, result, TransactionView(market.chain.state)) is None
