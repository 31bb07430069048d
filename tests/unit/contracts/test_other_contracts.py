"""The validation module tells the shipped contracts' results from those of others that are almost the same.

What a contract with one place changed comes to is refused, unless it is what the shipped one comes to, or less of it:
what stays as it was looks like what a later step has to do. What else is let through is named here.
"""

from __future__ import annotations

import os
import random
from functools import cache

import pytest
from deadline_calls import DEADLINES
from forgery import Outcome
from other_contracts import Change, changed, changes_of, line_of
from signed_calls import CASES

from contracts.catalog import shipped_sources
from contracts.language import ContractInvalid, check
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.execution import OK
from ledger.state import Entry, StateReader, TransactionView
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import encode_value

SEED = int(os.environ.get("WATTQ_OTHER_CONTRACTS_SEED", "1"))
SAMPLE = 12
"""Changes of each contract that are tried each time; all of them in ``make test-full``."""
CONTRACTS = ("auction", "credit", "governance", "market", "offers", "origin", "registry", "settlement")


class Instead:
    """A state with another contract in it."""

    def __init__(self, base: StateReader, key: str, entry: Entry) -> None:
        self._base, self._key, self._entry = base, key, entry

    def get(self, key: str) -> Entry | None:
        return self._entry if key == self._key else self._base.get(key)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        return self._base.scan(prefix, after, limit)


@cache
def outcomes() -> dict[str, Outcome]:
    """What is called, and what it comes to."""
    found = {name: make() for name, make in DEADLINES.items()}
    for name, make in CASES.items():
        market, contract, function, args, signers = make()
        found[name] = Outcome(market, contract, function, args, *signers)
    return found


def let_through(contract: str, change: Change) -> list[tuple[str, str, str]]:
    """The calls, changed lines and groups of which the module takes what the changed contract writes."""
    source = shipped_sources()[contract]
    text = changed(source, change)
    try:
        check(text)
    except ContractInvalid:
        return []
    key = CONTRACT_PREFIX + contract
    entry = Entry(0, 0, encode_value({"source": text, "sha256": "", "version": 1}))
    machine, found = PythonMachine(), []
    for name, outcome in outcomes().items():
        if key not in outcome.view.reads:
            continue
        base = outcome.view.base
        view = TransactionView(Instead(base, key, entry))
        result = machine.run(outcome.call, view)
        if result.code != OK:
            continue
        judged = TransactionView(base)
        judged.writes = view.writes
        others = {each for each, data in view.writes.items() if data not in (_held(base, each), written(outcome, each))}
        if others and MarketValidator().check(outcome.call, result, judged) is None:
            found += [(name, line_of(source, change), group) for group in sorted({*map(group_of, others)})]
    return found


def _held(base: StateReader, key: str) -> bytes | None:
    entry = base.get(key)
    return None if entry is None else entry.value


def written(outcome: Outcome, key: str) -> bytes | None:
    return outcome.view.writes[key] if key in outcome.view.writes else _held(outcome.view.base, key)


def group_of(key: str) -> str:
    return "/".join(key.split("/")[:2]) + "/"


def is_known(name: str, group: str) -> bool:
    """How many a closing gate ends at a time, and how far a clearing gets in a step, or that it ends without a
    mechanism's answer; keys of a group that nobody else knows; and that none are counted as 0."""
    if name in ("market_gate_in_part", "offers_gate_in_part", "market_gate", "offers_gate"):
        return True
    if name.startswith(("work_", "rescue_")) and group in ("auction/run/", "system/deadline/"):
        return True
    if name in ("decide_trade", "decide_adjustment") and group == "credit/account/":
        return True  # one with nothing in it
    return group in ("registry/arbiterx/", "registry/admissionx/", "offers/count/")


def tried(contract: str) -> list[Change]:
    every = changes_of(shipped_sources()[contract])
    return random.Random(f"{SEED} {contract}").sample(every, min(SAMPLE, len(every)))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_that_is_almost_the_shipped_one_gets_nothing_else_through(contract: str) -> None:
    print(f"seed {SEED}")
    found = [each for change in tried(contract) for each in let_through(contract, change)]
    assert [each for each in found if not is_known(each[0], each[2])] == []


def test_no_adjustment_is_made_of_what_stays_the_same() -> None:
    every = changes_of(shipped_sources()["settlement"])
    line = "always: elif before != delivered and read:"
    (change,) = [each for each in every if line_of(shipped_sources()["settlement"], each) == line]
    assert let_through("settlement", change) == []


@pytest.mark.full
@pytest.mark.parametrize("part", range(16))
@pytest.mark.parametrize("contract", CONTRACTS)
def test_no_contract_that_is_almost_the_shipped_one_gets_anything_else_through(contract: str, part: int) -> None:
    found = [
        each for change in changes_of(shipped_sources()[contract])[part::16] for each in let_through(contract, change)
    ]
    assert [each for each in found if not is_known(each[0], each[2])] == []
