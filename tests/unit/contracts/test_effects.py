"""A call that succeeded has done what its function is for."""

from __future__ import annotations

import pytest
from contract_market import PRICE, Market
from deadline_calls import DEADLINES
from forgery import Outcome
from lies import OtherState, verdict
from msgspec.structs import replace
from signed_calls import CASES

from contracts.catalog import shipped_sources
from contracts.language import check
from contracts.rules import fills, groups
from contracts.rules.changes import Changes
from contracts.rules.effects import EFFECTS
from contracts.validation import Violation

AGAIN = {
    ("settlement", "submit_readings"), ("settlement", "confirm"), ("settlement", "confirm_many"),
    ("settlement", "confirm_adjustments"), ("origin", "mint"),
}  # fmt: skip
"""What can be said again, and then writes nothing."""
CHANNELS = {("channels", "create"), ("channels", "close")}
"""Each of which is a group of its own."""


@pytest.mark.parametrize("name", CASES)
def test_a_call_that_succeeded_has_done_something(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    outcome.view.writes = {}
    assert outcome.verdict() == (None if function == "mint" else Violation.SIGNATURES)


def test_each_function_that_people_call_has_its_effect() -> None:
    exported = {
        (name, each.name)
        for name, source in shipped_sources().items()
        for each in check(source).functions.values()
        if each.marker == "export"
    }
    known = {(contract, function) for contract, functions in EFFECTS.items() for function in functions}
    assert exported == known | AGAIN | CHANNELS


@pytest.mark.parametrize(
    "name", ["metering_without_a_reading", "metering_of_what_came_late", "overdue", "adjustment_overdue"]
)
def test_a_deadline_that_nobody_sets_again_has_done_its_work(name: str) -> None:
    """A trade that waited for a reading when the time to meter was over, waited for good."""
    outcome = DEADLINES[name]()
    assert outcome.verdict() is None
    outcome.view.writes = {}
    outcome.result = replace(outcome.result, events=())
    assert outcome.verdict() == Violation.DEADLINE


def test_money_that_is_sent_arrives() -> None:
    market, contract, function, args, signers = CASES["transfer_money"]()
    nothing = '    record["available"] += available\n', ""
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("credit", *nothing))
    assert found == Violation.PAYMENT


@pytest.mark.parametrize("name", ["confirm", "confirm_many", "confirm_adjustments"])
def test_who_signs_has_signed(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    unsigned = '        record[side + "_confirmed"] = True\n    return found', "        pass\n    return found"
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("settlement", *unsigned))
    assert found == Violation.SIGNATURES


def unmatched(state: OtherState) -> None:
    state.edit("market", "found = match(record, book)", 'found = {"trades": [], "held": 0, "stopped": False}')


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_book_never_stands_crossed(side: str) -> None:
    """An order that rested though it met another would have let the next one go before it."""
    market = Market()
    other = "ask" if side == "bid" else "bid"
    market.order(other, {"ask": "sol", "bid": "bea"}[other], 100, PRICE)
    who = {"ask": "sun", "bid": "bob"}[side]
    better = PRICE + 1 if side == "bid" else PRICE - 1
    for price, refused in ((better, Violation.LIMIT), (PRICE, Violation.LIMIT), (2 * PRICE - better, None)):
        call = ("market", "place_order", market.order_args(side, who, 100, price))
        assert verdict(market, call, (who,), unmatched) == refused


def test_the_grid_fee_keeps_two_zones_apart() -> None:
    market = Market()
    market.bind("m-bob", "bob", zone="y")
    market.ok("governance", "set_grid_fee", {"from_zone": "z", "to_zone": "y", "fee": 9, "from_ms": 0}, "op1", "op2")
    market.order("ask", "sol", 100, PRICE)
    for price, refused in ((PRICE + 9, Violation.LIMIT), (PRICE + 8, None)):
        call = ("market", "place_order", market.order_args("bid", "bob", 100, price))
        assert verdict(market, call, ("bob",), unmatched) == refused


@pytest.mark.parametrize("amount", [-(10**9), 0, 10**15 + 1, True])
@pytest.mark.parametrize("function", ["transfer", "deposit", "withdraw"])
def test_what_is_moved_is_more_than_nothing(function: str, amount: int) -> None:
    """By a transfer of less than nothing its sender took what it liked from anybody."""
    market = Market()
    for who in ("sol", "bea"):
        market.ok("credit", "deposit", {"account": who, "amount": 10**15}, "op1", "op2")
    args = {"account": "bea", "amount": amount} | ({"to": "sol"} if function == "transfer" else {})
    signers = ("bea",) if function == "transfer" else ("op1", "op2")
    bound = "require(0 < amount and amount <= AMOUNT_MAX", "require(amount != 0 or amount == 0"

    def unbounded(state: OtherState) -> None:
        state.edit("credit", *bound)

    if type(amount) is bool:
        found = verdict(market, ("credit", function, {**args, "amount": 1}), signers, said=(function, args))
    else:
        found = verdict(market, ("credit", function, args), signers, unbounded)
    assert found is not None


@pytest.mark.parametrize("after_wh", [999, 1_500])
def test_a_correction_cuts_no_more_of_certificates_than_it_has_to(after_wh: int) -> None:
    """What others had been given was cut to nothing, and certified anew for the meter's owner."""
    market = Market()
    market.to_end()
    market.read("sol", 1_000)
    market.ok("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")
    call = ("settlement", "submit_readings", {"readings": [market.reading("sol", after_wh, sequence=2)]})

    def all_of_it(state: OtherState) -> None:
        state.edit(
            "settlement",
            'call("origin", "cut", [meter, interval, record["export_wh"]])',
            'call("origin", "cut", [meter, interval, 0])',
        )
        state.edit("settlement", 'minted["energy_wh"] > record["export_wh"]', 'minted["energy_wh"] > 0')

    assert verdict(market, call, ("gate",)) is None
    assert verdict(market, call, ("gate",), all_of_it) == Violation.CERTIFICATE


def test_enough_keys_of_a_policy_are_a_signature() -> None:
    """One of two that had both signed could dispute alone."""
    market = Market()
    market.chain.user("ann", "buyer")
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "ann"], "threshold": 2}, "bea", "ann")
    listing = market.offer(lot_wh=1)
    trade = market.ok("market", "take_listing", market.taking_args(listing, 300), "bea", "ann")
    market.to_end()
    market.read("sol", 300)
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    incomplete = "        complete = is_complete(policy)", "        complete = False"
    call = ("settlement", "confirm", {"trade": trade})
    assert verdict(market, call, ("bea", "ann")) is None
    found = verdict(market, call, ("bea", "ann"), lambda state: state.edit("settlement", *incomplete))
    assert found == Violation.SIGNATURES


def test_the_second_signature_pays() -> None:
    market = Market()
    trade = market.take(market.offer(lot_wh=1), 300)
    market.to_end()
    market.read("sol", 300)
    unpaid = '    if record["seller_confirmed"] and record["buyer_confirmed"]:\n        settle(record, [])\n', ""
    call = ("settlement", "confirm", {"trade": trade})
    found = verdict(market, call, ("sol", "bea"), lambda state: state.edit("settlement", *unpaid))
    assert found == Violation.SIGNATURES


@pytest.mark.parametrize("resting", [51, 60])
def test_an_amended_order_may_meet_more_than_an_order_meets(resting: int) -> None:
    """It was refused: the order that it replaces was counted among those that it met."""
    market = Market()
    order, _ = market.order("bid", "bea", 10, 1)
    for _ in range(resting):
        market.order("ask", "sol", 10, PRICE)
    call = ("market", "amend_order", {"order": order, "energy_wh": 1_000, "price": PRICE})
    assert verdict(market, call, ("bea",)) is None


def test_who_has_no_account_may_offer_where_nothing_is_held() -> None:
    market = Market()
    market.chain.user("new", "seller")
    market.bind("m-new", "new")
    market.ok("governance", "set_parameter", {"name": "imbalance_price", "value": 0}, "op1", "op2")
    call = ("market", "place_order", {**market.order_args("ask", "sol", 10, PRICE), "meter": "m-new"})
    assert verdict(market, call, ("new",)) is None


def test_what_is_withheld_of_the_book_is_not_cancelled_instead() -> None:
    market = Market()
    market.order("ask", "sol", 100, PRICE)
    call = ("market", "place_order", market.order_args("bid", "bea", 100, PRICE, "ioc"))
    assert verdict(market, call, ("bea",), unmatched) == Violation.LIMIT


def test_one_party_has_so_many_offers_open() -> None:
    market = Market()
    market.chain.put(f"offers/count/{market.interval:010d}/sol", 200)
    args = {"to": "bea", "side": "ask", "meter": "m-sol", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    found = verdict(
        market, ("offers", "propose", args), ("sol",), lambda state: state.edit("offers", "count < OPEN_MAX", "True")
    )
    assert found == Violation.OVERSOLD


def test_an_order_names_its_keys_only_where_there_are_others() -> None:
    market, contract, function, args, signers = CASES["auction_place_order"]()
    always = "if names != [owner]:", "if True:"
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("auction", *always))
    assert found == Violation.LIMIT


def test_a_call_that_tells_more_readings_than_it_may_is_not_gone_through() -> None:
    market, contract, function, args, signers = CASES["submit_readings"]()
    outcome = Outcome(market, contract, function, args, *signers)
    told = outcome.get(outcome.keys("settlement/reading/")[0])
    for interval in range(100):
        outcome.put(f"settlement/reading/m-sol/{interval:010d}", {**told, "interval": interval})
    assert outcome.verdict() == Violation.READING


def test_a_call_that_makes_more_trades_than_it_may_is_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    market, contract, function, args, signers = CASES["match_order"]()
    outcome = Outcome(market, contract, function, args, *signers)
    trade = outcome.get(outcome.keys("settlement/trade/")[0])
    for number in range(1, 101):
        name = f"{trade['id'][:-3]}{number:03d}"
        outcome.put(f"settlement/trade/{name}", {**trade, "id": name})

    def looked_at(*trade_and_offers: object) -> bool:
        raise AssertionError("there are too many to be looked at")

    monkeypatch.setitem(fills.SOURCES, "book", (groups.ORDERS, looked_at))
    assert fills.fills(outcome.call, Changes(outcome.view)) == Violation.LIMIT


def test_what_the_arbiter_decides_is_settled() -> None:
    market, contract, function, args, signers = CASES["decide_trade"]()
    unpaid = "settle(record, [])", "record.get('status')"
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("settlement", *unpaid))
    assert found == Violation.SIGNATURES
