"""The validation module tells the shipped contracts' results from those of others that are almost the same.

What a contract with one place changed comes to is refused, unless it is what the shipped one comes to, or less of it:
what stays as it was looks like what a later step has to do. What else is let through is named here.
"""

from __future__ import annotations

import os
import random
from functools import cache

import pytest
from contract_market import Market
from deadline_calls import DEADLINES
from forgery import Outcome
from other_contracts import Change, changed, changes_of, line_of
from party_calls import MORE_CASES
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
SAMPLE = 8
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
    """What is called, and what it comes to, where everybody may buy and sell: a role refuses many a lie."""
    found = {name: make() for name, make in DEADLINES.items()}
    for name, make in (CASES | MORE_CASES).items():
        market, contract, function, args, signers = make()
        have_all_trade(market)
        found[name] = Outcome(market, contract, function, args, *signers)
    return found


def have_all_trade(market: Market) -> None:
    for user in market.records("registry/user/"):
        if user["role"] in ("seller", "buyer"):
            market.chain.put(f"registry/user/{user['signer']}", {**user, "role": "prosumer"})


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
        others = {each for each, data in view.writes.items() if data not in lawful(outcome, each)}
        if others and MarketValidator().check(outcome.call, result, judged) is None:
            found += [(name, line_of(source, change), group) for group in sorted({*map(group_of, others)})]
    return found


def lawful(outcome: Outcome, key: str) -> tuple[bytes | None, ...]:
    """What a key may hold: what it held, what the shipped contract writes, and an account that lacked, nothing."""
    held = _held(outcome.view.base, key)
    group, _, owner = key.rpartition("/")
    empty = {"type": "account", "signer": owner, "available": 0, "held": 0}
    nothing = (encode_value(empty),) if held is None and group == "credit/account" else ()
    return held, written(outcome, key), *nothing


def _held(base: StateReader, key: str) -> bytes | None:
    entry = base.get(key)
    return None if entry is None else entry.value


def written(outcome: Outcome, key: str) -> bytes | None:
    return outcome.view.writes[key] if key in outcome.view.writes else _held(outcome.view.base, key)


def group_of(key: str) -> str:
    return "/".join(key.split("/")[:2]) + "/"


def is_known(name: str, group: str) -> bool:
    """How many a closing gate ends at a time, and how far a clearing gets in a step, or that it ends without a
    mechanism's answer."""
    if name in ("market_gate_in_part", "offers_gate_in_part", "market_gate", "offers_gate"):
        return True
    return name.startswith(("work_", "rescue_")) and group in ("auction/run/", "system/deadline/")


def tried(contract: str) -> list[Change]:
    every = changes_of(shipped_sources()[contract])
    return random.Random(f"{SEED} {contract}").sample(every, min(SAMPLE, len(every)))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_that_is_almost_the_shipped_one_gets_nothing_else_through(contract: str) -> None:
    print(f"seed {SEED}")
    found = [each for change in tried(contract) for each in let_through(contract, change)]
    assert [each for each in found if not is_known(each[0], each[2])] == []


LET_THROUGH_ONCE = [
    ("settlement", "always: elif before != delivered and read:"),
    ("settlement", 'other text: BALANCING = "balancing"'),
    ("market", 'always: if record["remaining_wh"] > 0:'),
    ("auction", 'opposite: energy_wh = min(states["bid"]["share_wh"], states["ask"]["share_wh"])'),
    (
        "offers",
        'opposite: record = new_offer(seller, buyer, "ask", seller_meter, interval, energy_wh, price, "")',
    ),
]
"""An adjustment of what stays the same; one that mandates do not sign; a trade of no energy; more traded than an
order's share; a seller made the buyer of what both agreed."""


@pytest.mark.full
@pytest.mark.parametrize(("contract", "line"), LET_THROUGH_ONCE)
def test_what_was_let_through_once_is_refused(contract: str, line: str) -> None:
    source = shipped_sources()[contract]
    changes = [each for each in changes_of(source) if line_of(source, each) == line]
    assert changes
    assert [let_through(contract, each) for each in changes] == [[]] * len(changes)


@pytest.mark.full
@pytest.mark.parametrize("part", range(16))
@pytest.mark.parametrize("contract", CONTRACTS)
def test_no_contract_that_is_almost_the_shipped_one_gets_anything_else_through(contract: str, part: int) -> None:
    found = [
        each for change in changes_of(shipped_sources()[contract])[part::16] for each in let_through(contract, change)
    ]
    assert [each for each in found if not is_known(each[0], each[2])] == []
