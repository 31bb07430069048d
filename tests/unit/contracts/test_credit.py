"""Transfers between accounts: who signs for the payer signs, and the total stays."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import DEPOSIT, Market


def test_a_transfer_moves_available_money_and_leaves_the_total(market: Market) -> None:
    result = market.call("credit", "transfer", {"account": "bea", "to": "sol", "amount": 7}, "bea")
    assert [event.data for event in result.events] == [{"owner": "bea", "to": "sol", "amount": 7}]
    assert (market.account("bea"), market.account("sol")) == ((DEPOSIT - 7, 0), (DEPOSIT + 7, 0))
    assert market.get("credit/total") == {"total": 4 * DEPOSIT}


def test_a_transfer_opens_the_payees_account(market: Market) -> None:
    market.chain.user("new", "buyer")
    market.ok("credit", "transfer", {"account": "bea", "to": "new", "amount": 7}, "bea")
    assert market.account("new") == (7, 0)


@pytest.mark.parametrize(
    ("changed", "who", "code"),
    [
        ({"amount": 0}, "bea", "AMOUNT_INVALID"), ({"amount": -7}, "bea", "AMOUNT_INVALID"),
        ({"amount": 10**15 + 1}, "bea", "AMOUNT_INVALID"), ({"amount": DEPOSIT + 1}, "bea", "INSUFFICIENT_FUNDS"),
        ({"to": "bea"}, "bea", "SAME_ACCOUNT"), ({"to": "nobody"}, "bea", "NOT_REGISTERED"),
        ({"to": "balancing"}, "bea", "NOT_REGISTERED"), ({}, "sol", "SIGNATURES_LACKING"),
        ({"account": "balancing"}, "bea", "SIGNATURES_LACKING"), ({"account": "a b"}, "bea", "KEY_INVALID"),
    ],
)  # fmt: skip
def test_bad_transfers(market: Market, changed: dict[str, Any], who: str, code: str) -> None:
    args = {"account": "bea", "to": "sol", "amount": 7, **changed}
    assert market.code("credit", "transfer", args, who) == code


def test_held_money_is_not_transferred(market: Market) -> None:
    market.take(market.offer(), 1_000)
    available, held = market.account("bea")
    assert held == 200_000
    args = {"account": "bea", "to": "sol", "amount": available + 1}
    assert market.code("credit", "transfer", args, "bea") == "INSUFFICIENT_FUNDS"
    market.ok("credit", "transfer", {**args, "amount": available}, "bea")
    assert market.account("bea") == (0, held)


def test_a_companys_money_moves_by_its_keys(market: Market) -> None:
    market.chain.user("ann", "buyer")
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "ann"], "threshold": 2}, "bea", "ann")
    args = {"account": "bea", "to": "sol", "amount": 7}
    assert market.code("credit", "transfer", args, "bea") == "SIGNATURES_LACKING"
    market.ok("credit", "transfer", args, "ann", "bea")


def test_a_suspended_owners_money_stays(market: Market) -> None:
    """Others that sign for the account could move it; what a lost or expired certificate left behind they still can."""
    market.chain.user("ann", "buyer")
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "ann"], "threshold": 1}, "bea", "ann")
    args = {"account": "bea", "to": "ann", "amount": 7}
    user = market.get("registry/user/bea")
    market.chain.put("registry/user/bea", {**user, "suspended": True})
    assert market.code("credit", "transfer", args, "ann") == "SUSPENDED"
    market.chain.put("registry/user/bea", {**user, "not_after_ms": 0})
    market.ok("credit", "transfer", args, "ann")
