"""A result of other arguments than were signed is refused, whatever the machine says: of each function, each one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from forgery import Outcome
from signed_calls import CASES

from contracts.catalog import shipped_sources
from contracts.language import check
from contracts.rules.changes import Changes
from contracts.rules.signed import signed
from ledger.values import Value

FREE = {("market", "place_order", "execution")} | {
    ("registry", function, "reason") for function in ("suspend", "suspend_meter")
}
"""What an order's execution leaves behind, others bring about too; a reason is told and not kept."""
LOOSER = {
    ("market", "take_listing", "price_max"): 1, ("offers", "accept", "price_limit"): 1,
    ("offers", "agree", "price_max"): 1,
}  # fmt: skip
"""Limits, and by what they become looser: what is within one is within a looser one too."""
ELSEWHERE = {
    "governance": {"add_root", "remove_root", "deploy", "upgrade", "cancel_upgrade", "set_organisations",
                   "set_validators", "cancel_change", "report", "revoke"},
    "channels": {"create", "close"}, "registry": {"register", "admit"},
}  # fmt: skip
"""See the tests of upgrades, epochs, channels and people."""


def is_looser(argument: tuple[str, str, str], value: Value, other: Value) -> bool:
    return argument in LOOSER and bool(other == value + LOOSER[argument])


def others(value: Value) -> list[Value]:
    """What could have been signed in its place."""
    if type(value) is bool:
        return [not value]
    if type(value) is int:
        return [value + 1, value - 1]
    if type(value) is str:
        return [value + "x", {"ask": "bid", "sol": "sun", "bea": "bob", "time": "pro rata"}.get(value, "")]
    if type(value) is list:
        return [
            [],
            *[[*value[:at], other, *value[at + 1 :]] for at in range(len(value)) for other in others(value[at])],
        ]
    return [{**value, name: other} for name, item in value.items() for other in others(item)]


@pytest.mark.parametrize("name", CASES)
def test_a_result_of_other_arguments_than_were_signed_is_refused(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    assert outcome.verdict() is None
    tried = 0
    for argument, value in args.items():
        if (contract, function, argument) in FREE:
            continue
        for other in others(value):
            if other == value or is_looser((contract, function, argument), value, other):
                continue
            outcome.call = replace(outcome.call, args={**args, argument: other})
            assert outcome.verdict() is not None, (argument, other)
            tried += 1
    assert tried


@pytest.mark.parametrize("name", CASES)
def test_a_result_of_another_function_than_was_signed_is_refused(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    for other in (*check(shipped_sources()[contract]).functions, "none"):
        if other != function:
            outcome.call = replace(outcome.call, function=other)
            assert outcome.verdict() is not None, other


@pytest.mark.parametrize("name", ["post_listing", "place_order", "auction_place_order", "seal_order", "propose"])
def test_an_offer_is_the_first_signers_and_no_other_signers(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    outcome.call = replace(outcome.call, signers=("sun", *signers))
    assert outcome.verdict() is not None


def test_a_grid_fee_names_the_one_before() -> None:
    market, contract, function, args, signers = CASES["set_grid_fee"]()
    outcome = Outcome(market, contract, function, args, *signers)
    outcome.change("governance/grid_fee/", before=1)
    assert outcome.verdict() is not None


def test_orders_that_rest_are_filled_by_orders_alone() -> None:
    """Whatever else the buyer signs: here to withdraw an order of its own."""
    market, contract, function, args, signers = CASES["match_order"]()
    outcome = Outcome(market, contract, function, args, *signers)
    filled = next(key for key in outcome.keys("market/order/") if outcome.get(key)["owner"] == "sol")
    call = replace(outcome.call, function="cancel_order", args={"order": filled.rpartition("/")[2]})
    assert signed(call, Changes(outcome.view)) is not None
    outcome.view.writes = {key: data for key, data in outcome.view.writes.items() if key == filled}
    assert signed(call, Changes(outcome.view)) is not None


def test_every_function_that_can_be_signed_is_tried() -> None:
    tried = {(contract, function) for _, contract, function, _, _ in (make() for make in CASES.values())}
    for contract, source in shipped_sources().items():
        functions = {each.name for each in check(source).functions.values() if each.marker == "export"}
        assert functions - ELSEWHERE.get(contract, set()) == {name for each, name in tried if each == contract}
