"""Lies about what is held for late readings, who decides and who has signed: a machine that writes anything else than
the shipped settlement contract gets nothing through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from contract_market import PRICE, Market
from forgery import Outcome
from lies import OtherState, verdict

from contracts.validation import Violation
from ledger.values import decode_value, encode_value

TRADE, ADJUSTMENT, BEA = "settlement/trade/", "settlement/adjustment/", "credit/account/bea"
BALANCING = "credit/account/balancing"
HELD = 200_000
"""Of a trade of 1,000 Wh."""
Writes = dict[str, bytes | None]


def written(writes: Writes, prefix: str) -> tuple[str, dict[str, Any]]:
    key = next(key for key in writes if key.startswith(prefix))
    return key, dict(decode_value(writes[key] or b""))


def say(prefix: str, name: str, value: object = None) -> Callable[[Writes], None]:
    """A record says something else of itself, or None: nothing."""

    def forge(writes: Writes) -> None:
        key, record = written(writes, prefix)
        record.pop(name, None)
        writes[key] = encode_value(record if value is None else {**record, name: value})

    return forge


def free(writes: Writes, market: Market, amount: int = HELD) -> None:
    """The buyer has what should be held."""
    known = writes.get(BEA)
    account = market.get(BEA) if known is None else decode_value(known)
    changed = {"available": account["available"] + amount, "held": account["held"] - amount}
    writes[BEA] = encode_value({**account, **changed})


@pytest.fixture
def unread(market: Market) -> str:
    """A trade that was proposed without a reading."""
    market.chain.user("arb", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "arb"}, "op1", "op2")
    trade = market.take(market.offer(), 1_000)
    market.to_end()
    market.to(market.chain.time_ms + 7_300_000)
    return trade


def settling(trade: str) -> tuple[str, str, dict[str, Any]]:
    return "settlement", "confirm", {"trade": trade}


def test_a_proposal_without_a_reading_says_so(market: Market) -> None:
    market.take(market.offer(), 1_000)
    market.to_end()
    market.chain.time_ms += 7_200_000
    outcome = Outcome(market, "settlement", "close_metering", ["m-sol", market.interval])
    writes = outcome.view.writes
    say(TRADE, "unread")(writes)
    free(writes, market)
    assert outcome.verdict() == Violation.DELIVERY


def test_a_proposal_by_a_reading_keeps_nothing_back(market: Market) -> None:
    market.take(market.offer(), 1_000)
    market.to_end()
    readings = {"readings": [market.reading("sol", 500)]}

    def keep(writes: Writes) -> None:
        say(TRADE, "unread", True)(writes)
        free(writes, market, -HELD // 2)

    assert verdict(market, ("settlement", "submit_readings", readings), ("gate",), forge=keep) == Violation.DELIVERY


def test_what_a_late_reading_found_stays_held_as_the_trade_is_settled(market: Market, unread: str) -> None:
    market.read("sol", 1_000)
    assert verdict(market, settling(unread), ("sol", "bea")) is None

    def uncover(writes: Writes) -> None:
        say(ADJUSTMENT, "covered")(writes)
        free(writes, market)

    def leave_out(writes: Writes) -> None:
        del writes[written(writes, ADJUSTMENT)[0]]
        free(writes, market)

    for forge in (uncover, leave_out):
        assert verdict(market, settling(unread), ("sol", "bea"), forge=forge) == Violation.ADJUSTMENT


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_correction_added_stays_held_as_far_as_the_money_goes(market: Market, count: int) -> None:
    """Whether the call settles the trade alone or with another."""
    trades = [market.take(market.offer(), 1_000) for _ in range(count)]
    market.to_end()
    market.to(market.chain.time_ms + 7_300_000)
    market.read("sol", 400)
    market.read("sol", 1_000, 2)
    (_, second) = market.records(ADJUSTMENT)
    call: tuple[str, str, dict[str, Any]] = ("settlement", "confirm_many", {"trades": trades})
    assert verdict(market, call, ("sol", "bea")) is None

    def leave_out(writes: Writes) -> None:
        del writes[ADJUSTMENT + second["id"]]
        free(writes, market, second["amount"])

    assert verdict(market, call, ("sol", "bea"), forge=leave_out) == Violation.ADJUSTMENT


def test_nothing_is_covered_before_both_have_signed(market: Market, unread: str) -> None:
    """The buyer would hold it twice."""
    market.read("sol", 1_000)
    (record,) = market.records(ADJUSTMENT)

    def cover(writes: Writes) -> None:
        writes[ADJUSTMENT + record["id"]] = encode_value({**record, "covered": True})
        free(writes, market, -HELD)

    assert verdict(market, settling(unread), ("bea",), forge=cover) == Violation.ADJUSTMENT


def test_a_party_that_is_the_arbiter_decides_for_nobody(market: Market, unread: str) -> None:
    market.ok(*settling(unread), "bea")
    market.to(market.chain.time_ms + 90_000_000)
    market.chain.user("bea", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "bea"}, "op1", "op2")

    def ask_nothing(state: OtherState) -> None:
        state.edit("settlement", 'require(side_of(record, caller()) == "", "NOT_PARTY"', 'require(True, "NOT_PARTY"')

    call = ("settlement", "decide_trade", {"trade": unread})
    assert verdict(market, call, ("bea",), ask_nothing) == Violation.SIGNATURES


def test_a_dispute_is_signed_by_as_many_as_it_takes(market: Market) -> None:
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "bob"], "threshold": 2}, "bea", "bob")
    trade = market.take(market.offer(), 1_000)
    market.to_end()
    market.read("sol", 1_000)
    market.ok(*settling(trade), "bob")
    asked = 'require(votes_now(record, {}, side), "SIGNATURES_LACKING", "Too few have signed for the account.")'

    def ask_nobody(state: OtherState) -> None:
        state.edit("settlement", asked, "pass_by = 0")

    call = ("settlement", "dispute", {"trade": trade, "amount": 7, "reason": ""})
    assert verdict(market, call, ("bea",), ask_nobody) == Violation.DISPUTE


def corrected_under_mandates(market: Market) -> tuple[str, str, dict[str, Any]]:
    """The call that corrects a settled trade's reading, between two who have given mandates."""
    for party in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, party)
    market.take(market.offer(), 1_000)
    market.to_end()
    market.read("sol", 400)
    return ("settlement", "submit_readings", {"readings": [market.reading("sol", 1_000, 2)]})


def test_a_mandate_signs_whoever_writes_the_account_as_it_was(market: Market) -> None:
    """What is available in an account that the call writes is known too."""
    call = corrected_under_mandates(market)
    assert verdict(market, call, ("gate",)) is None

    def leave_unsigned(state: OtherState) -> None:
        asked = 'if trade[side + "_mandate"] and has(record[side], cost):'
        state.edit("settlement", asked, asked.replace("if ", 'if side == "seller" and '))

    forge = partial(free, market=market, amount=0)
    assert verdict(market, call, ("gate",), leave_unsigned, forge=forge) == Violation.SIGNATURES


def test_what_both_mandates_signed_is_paid_whoever_writes_the_accounts_that_pay(market: Market) -> None:
    call = corrected_under_mandates(market)

    def leave_unpaid(state: OtherState) -> None:
        state.edit("settlement", "if both and has(GRID,", "if False and has(GRID,")

    def write_balancing(writes: Writes) -> None:
        writes[BALANCING] = encode_value(market.get(BALANCING))

    assert market.get(BALANCING)["available"] > 0
    assert verdict(market, call, ("gate",), leave_unpaid, forge=write_balancing) == Violation.SIGNATURES


@pytest.mark.parametrize("before", [(), ("sol",)])
def test_the_second_signature_pays_an_adjustment(market: Market, before: tuple[str, ...]) -> None:
    """What it costs would stay held, and the seller would get nothing."""
    trade = market.take(market.offer(), 1_000)
    market.to_end()
    market.read("sol", 400)
    market.ok(*settling(trade), "sol", "bea")
    market.read("sol", 1_000, 2)
    call: tuple[str, str, dict[str, Any]] = ("settlement", "confirm_adjustments", {"adjustments": [f"{trade}-01"]})
    if before:
        market.ok(*call, *before)
    signers = tuple({"sol", "bea"} - {*before})
    assert verdict(market, call, signers) is None

    def leave_unpaid(state: OtherState) -> None:
        paying = '        settle_adjustment(record)\n    put("adjustment/" + name, record)'
        state.edit("settlement", paying, paying.replace("settle_adjustment(record)", "pass_by = 0"))

    assert verdict(market, call, signers, leave_unpaid) == Violation.SIGNATURES


def test_no_trade_is_of_no_energy(market: Market) -> None:
    listing = market.offer()
    taking = market.taking_args(listing, 0)

    def take_nothing(state: OtherState) -> None:
        state.edit("market", 'require(fits, "ENERGY_INVALID"', 'require(True, "ENERGY_INVALID"')

    assert verdict(market, ("market", "take_listing", taking), ("bea",), take_nothing) == Violation.DELIVERY


def test_an_order_is_barred_only_where_it_is_met(market: Market) -> None:
    """A bid below an ask's price does not meet it, whoever the ask is of."""
    market.order("ask", "sol", 100, PRICE)
    market.ok("registry", "suspend", {"user": "sol", "reason": "x"}, "op1")
    call = ("market", "place_order", market.order_args("bid", "bea", 10, PRICE - 1))

    def meet_all(state: OtherState) -> None:
        state.edit("market", 'meets = rank <= record["price"]', "meets = True")

    assert verdict(market, call, ("bea",), meet_all) == Violation.OVERSOLD
