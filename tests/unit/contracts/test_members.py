"""Registry, credit and governance; and roles, which the executor asks before a contract runs."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import DEPOSIT, Market

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.codes import RefusalCode
from ledger.envelope import Envelope, Payload
from ledger.execution import BlockExecutor


def envelope(contract: str, function: str, args: dict[str, Any], *signers: str, nonce: int = 0) -> Envelope:
    """A transaction as the executor sees it: its signatures were checked before."""
    payload = Payload("", "main", signers, contract, function, args, nonce, 1_000, 2_000_000)
    return Envelope(b"", b"", nonce.to_bytes(32, "big"), b"", payload, ())


def executed(market: Market, *envelopes: Envelope) -> list[str]:
    executor = BlockExecutor(PythonMachine(), MarketValidator())
    market.chain.height += 1
    done = executor.execute(market.chain.state, market.chain.height, market.chain.time_ms + 1, envelopes)
    market.chain.state.apply(done.changes)
    return [result.code for result in done.results]


@pytest.mark.parametrize(
    ("contract", "function", "who", "code"),
    [
        ("market", "post_listing", "sol", "OK"), ("market", "post_listing", "sun", "OK"),
        ("market", "post_listing", "bea", "ROLE_REQUIRED"), ("market", "post_listing", "gate", "ROLE_REQUIRED"),
        ("market", "post_listing", "op1", "ROLE_REQUIRED"), ("market", "post_listing", "nobody", "NOT_REGISTERED"),
        ("market", "nothing", "sol", "FUNCTION_UNKNOWN"), ("none", "nothing", "sol", "CONTRACT_UNKNOWN"),
        ("market", "close_gate", "sol", "NOT_CALLABLE"), ("credit", "post", "sol", "NOT_CALLABLE"),
        ("credit", "hold", "op1", "NOT_CALLABLE"), ("credit", "balance", "sol", "NOT_CALLABLE"),
        ("settlement", "open_trade", "sol", "NOT_CALLABLE"), ("market", "check_terms", "sol", "FUNCTION_UNKNOWN"),
        ("credit", "deposit", "sol", "ROLE_REQUIRED"), ("registry", "bind_meter", "sol", "ROLE_REQUIRED"),
        ("governance", "revoke", "sol", "ROLE_REQUIRED"), ("settlement", "submit_readings", "sol", "ROLE_REQUIRED"),
        ("settlement", "confirm", "gate", "ROLE_REQUIRED"), ("market", "take_listing", "sol", "ROLE_REQUIRED"),
    ],
)  # fmt: skip
def test_only_the_right_role_calls_an_exported_function(
    market: Market, contract: str, function: str, who: str, code: str
) -> None:
    args = market.listing_args(who)
    assert executed(market, envelope(contract, function, args, who)) == [code]


@pytest.mark.parametrize("second", ["suspended", "unknown"])
def test_every_signer_is_authenticated(market: Market, second: str) -> None:
    market.ok("registry", "suspend", {"user": "bea", "reason": "x"}, "op1")
    who, code = ("bea", "SUSPENDED") if second == "suspended" else ("nobody", "NOT_REGISTERED")
    assert executed(market, envelope("settlement", "confirm", {"trade": "x"}, "sol", who)) == [code]


def test_a_failed_transaction_changes_its_nonce_only(market: Market) -> None:
    before = dict(market.chain.state.entries)
    bad = market.listing_args(energy_wh=-1)
    assert executed(market, envelope("market", "post_listing", bad, "sol")) == ["ENERGY_INVALID"]
    changed = {key for key, entry in market.chain.state.entries.items() if before.get(key) != entry}
    assert changed == {"system/nonce/sol"}
    good = envelope("market", "post_listing", market.listing_args(), "sol")
    assert executed(market, good) == [RefusalCode.NONCE_USED]


def test_in_one_block_the_earlier_transaction_has_priority(market: Market) -> None:
    """Time priority is (height, index): two takings of the same last lot in one block."""
    listing = market.offer(energy_wh=100)
    takings = [
        envelope("market", "take_listing", market.taking_args(listing, 100, who), who, nonce=index)
        for index, who in enumerate(("bob", "bea"))
    ]
    assert executed(market, *takings) == ["OK", "NOT_ENOUGH_LEFT"]
    (trade,) = market.records("settlement/trade/")
    assert trade["buyer"] == "bob"


# -------------------------------------------------------------------------------------------------- money


def test_a_deposit_and_a_withdrawal_move_the_total(market: Market) -> None:
    market.ok("credit", "deposit", {"account": "sol", "amount": 5}, "op1", "op2")
    market.ok("credit", "withdraw", {"account": "sol", "amount": 7}, "op1", "op2")
    assert market.account("sol") == (DEPOSIT - 2, 0)
    assert market.get("credit/total") == {"total": market.money()}
    view = market.chain.view("credit", "balance", {"account": "sol"})
    assert view.value["available"] == DEPOSIT - 2
    assert market.chain.view("credit", "total", {}).value == {"total": market.money()}


@pytest.mark.parametrize(
    ("function", "changed", "signers", "code"),
    [
        ("deposit", {}, ("op1",), "TWO_OPERATORS"), ("deposit", {}, ("op1", "sol"), "TWO_OPERATORS"),
        ("deposit", {}, ("op1", "op1"), "TWO_OPERATORS"),
        ("deposit", {"amount": 0}, ("op1", "op2"), "AMOUNT_INVALID"),
        ("deposit", {"amount": -5}, ("op1", "op2"), "AMOUNT_INVALID"),
        ("deposit", {"amount": 10**15 + 1}, ("op1", "op2"), "AMOUNT_INVALID"),
        ("deposit", {"amount": 1 << 256}, ("op1", "op2"), "VALUE_INVALID"),
        ("deposit", {"account": "nobody"}, ("op1", "op2"), "NOT_REGISTERED"),
        ("withdraw", {}, ("op1",), "TWO_OPERATORS"), ("withdraw", {"amount": -5}, ("op1", "op2"), "AMOUNT_INVALID"),
        ("withdraw", {"amount": DEPOSIT + 1}, ("op1", "op2"), "INSUFFICIENT_FUNDS"),
        ("withdraw", {"account": "nobody"}, ("op1", "op2"), "INSUFFICIENT_FUNDS"),
    ],
)  # fmt: skip
def test_bad_deposits_and_withdrawals(
    market: Market, function: str, changed: dict[str, Any], signers: tuple[str, ...], code: str
) -> None:
    assert market.code("credit", function, {"account": "sol", "amount": 5, **changed}, *signers) == code


@pytest.mark.parametrize("function", ["deposit", "withdraw"])
def test_two_operators_of_one_organisation_move_no_money(market: Market, function: str) -> None:
    market.chain.user("op1b", "operator", "organisation of op1")
    market.chain.user("guest", "operator", "an organisation that does not govern")
    args = {"account": "sol", "amount": 5}
    for signers in (("op1", "op1b"), ("op1", "guest")):
        assert market.code("credit", function, args, *signers) == "TWO_OPERATORS"
    market.ok("credit", function, args, "op1", "op1b", "op2")


def test_where_one_organisation_governs_two_of_its_operators_move_money(market: Market) -> None:
    market.chain.user("op1b", "operator", "organisation of op1")
    market.chain.put("governance/organisations", {"names": ["organisation of op1"], "threshold": 1})
    args = {"account": "sol", "amount": 5}
    assert market.code("credit", "deposit", args, "op1", "op2") == "TWO_OPERATORS"
    market.ok("credit", "deposit", args, "op1", "op1b")


def test_held_money_is_not_withdrawn(market: Market) -> None:
    market.offer()
    args = {"account": "sol", "amount": DEPOSIT}
    assert market.code("credit", "withdraw", args, "op1", "op2") == "INSUFFICIENT_FUNDS"


# ----------------------------------------------------------------------------------------------- registry


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"capacity_w": 0}, "CAPACITY_INVALID"), ({"capacity_w": -4}, "CAPACITY_INVALID"),
        ({"capacity_w": 10**9 + 1}, "CAPACITY_INVALID"), ({"owner": "nobody"}, "NOT_REGISTERED"),
        ({"owner": "op2"}, "ROLE_REQUIRED"), ({"gateway": "sol"}, "ROLE_REQUIRED"), ({"meter": ""}, "METER_INVALID"),
        ({"meter": "a/b"}, "METER_INVALID"), ({"meter": "m" * 65}, "METER_INVALID"), ({"meter": "a b"}, "KEY_INVALID"),
    ],
)  # fmt: skip
def test_bad_meters(market: Market, changed: dict[str, Any], code: str) -> None:
    terms = {"meter": "m-new", "owner": "sol", "zone": "z", "capacity_w": 1_000, "gateway": "gate", **changed}
    assert market.code("registry", "bind_meter", terms, "op1") == code


def test_what_is_registered_can_be_viewed(market: Market) -> None:
    assert market.chain.view("registry", "get_meter", {"serial": "m-sol"}).value["owner"] == "sol"
    assert market.chain.view("registry", "get_user", {"signer": "sol"}).value["role"] == "seller"
    assert market.chain.view("registry", "get_user", {"signer": "nobody"}).value is None


@pytest.mark.parametrize("function", ["suspend", "resume"])
def test_nobody_suspends_or_resumes_a_stranger(market: Market, function: str) -> None:
    args = {"user": "nobody"} | ({"reason": "x"} if function == "suspend" else {})
    assert market.code("registry", function, args, "op1") == "NOT_FOUND"


# --------------------------------------------------------------------------------------------- governance


def test_a_revocation_bars_its_holder_once(market: Market) -> None:
    serial = market.get("registry/user/sol")["serial"]
    market.ok("governance", "revoke", {"serial": serial, "reason": "lost"}, "op1", "op2")
    assert executed(market, envelope("market", "post_listing", market.listing_args(), "sol")) == ["CERTIFICATE_REVOKED"]
    again = {"serial": serial, "reason": "lost"}
    assert market.code("governance", "revoke", again, "op1", "op2") == "ALREADY_REVOKED"


@pytest.mark.parametrize(
    ("name", "value", "signers", "code"),
    [
        ("fee_permille", 20, ("op1", "op2"), "OK"), ("fee_permille", 1_000, ("op1", "op2"), "OK"),
        ("fee_permille", 1_001, ("op1", "op2"), "PARAMETER_INVALID"),
        ("fee_permille", -1, ("op1", "op2"), "PARAMETER_INVALID"),
        ("imbalance_price", 10**9 + 1, ("op1", "op2"), "PARAMETER_INVALID"),
        ("gate_closure_s", 31_622_401, ("op1", "op2"), "PARAMETER_INVALID"),
        ("confirmation_deadline_s", 10**15, ("op1", "op2"), "PARAMETER_INVALID"),
        ("fee_permille", 20, ("op1",), "CONSENT_LACKING"), ("fee_permille", 20, ("op1", "sol"), "CONSENT_LACKING"),
        ("unknown", 20, ("op1", "op2"), "PARAMETER_UNKNOWN"), ("", 20, ("op1", "op2"), "KEY_INVALID"),
    ],
)  # fmt: skip
def test_parameters_change_by_two_organisations_within_bounds(
    market: Market, name: str, value: int, signers: tuple[str, ...], code: str
) -> None:
    """Regression: a fee above the whole amount, or a deadline beyond all time, made open trades impossible to pay."""
    assert market.code("governance", "set_parameter", {"name": name, "value": value}, *signers) == code


def test_the_imbalance_price_of_a_trade_is_fixed_when_it_is_offered(market: Market) -> None:
    listing = market.offer()
    market.ok("governance", "set_parameter", {"name": "imbalance_price", "value": 1}, "op1", "op2")
    assert market.trade(market.take(listing, 100))["imbalance_price"] == 400_000
