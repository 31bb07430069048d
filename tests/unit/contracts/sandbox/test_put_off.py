"""Deadlines that a block's gas puts off: a worker neither runs them nor gives up what comes after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ledgers import ALICE, START_MS, envelope, user_value

from contracts.machine import PythonMachine
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process
from contracts.sandbox.protocol import Miss, Outcomes, Page, Run
from contracts.validation import MarketValidator
from ledger.execution import (
    DEADLINE_GAS_MAX,
    DEADLINE_GAS_PER_BLOCK_MAX,
    DEADLINE_PREFIX,
    REMINDER_PREFIX,
    BlockExecutor,
    Machine,
)
from ledger.state import Entry, MemoryState
from ledger.values import Value, encode_value

HERE = PythonMachine()
SOURCE = """
@export("*")
def add():
    put("n", 1 if get("n") is None else get("n") + 1)

@deadline
def busy(number: int):
    put("busy/" + pad(number, 3), block_time())
    while gas_left() > 40000:
        pass

@deadline
def light(number: int):
    put("light/" + pad(number, 3), block_time())
"""


@pytest.fixture
def there() -> Iterator[WorkerMachine]:
    machine = WorkerMachine()
    yield machine
    machine.close()


@pytest.fixture
def gas_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the worker used for each call that it was asked, in vain or not."""
    found: list[int] = []
    ask = Process.ask

    def noted(self: Process, run: Run, page: Callable[[Miss], Page], seconds_max: float) -> Iterator[Outcomes]:
        for part in ask(self, run, page, seconds_max):
            found.extend(outcome.gas_used for outcome in part.outcomes)
            yield part

    monkeypatch.setattr(Process, "ask", noted)
    return found


def state_with(prefix: str, functions: list[str]) -> MemoryState:
    values: dict[str, Value] = {
        "governance/contract/other": {"source": SOURCE, "sha256": "", "version": 1},
        f"registry/user/{ALICE.signer}": user_value(ALICE, "seller"),
    }
    for number, function in enumerate(functions):
        what: dict[str, Value] = {"contract": "other", "function": function, "args": [number]}
        values[f"{prefix}{1:015d}/{0:012d}/00000/{number:03d}"] = what
    return MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})


def executed(machine: Machine, prefix: str, functions: list[str], blocks: int) -> list[object]:
    """So many blocks, each with ten transactions."""
    state, executor = state_with(prefix, functions), BlockExecutor(machine, MarketValidator())
    found: list[object] = []
    for height in range(1, blocks + 1):
        nonces = range(10 * height, 10 * height + 10)
        envelopes = [envelope(ALICE, contract="other", function="add", args={}, nonce=nonce) for nonce in nonces]
        ran = executor.execute(state, height, START_MS + height, envelopes)
        assert [result.code for result in ran.results[ran.deadlines :]] == ["OK"] * 10
        state.apply(ran.changes)
        executor.committed(state)
        found.append(ran)
    return found


@pytest.mark.parametrize("prefix", [DEADLINE_PREFIX, REMINDER_PREFIX])
@pytest.mark.parametrize("functions", [["busy"] * 5, ["light"] * 20 + ["busy"] * 5, ["light"] * 70])
def test_a_worker_comes_to_the_same(there: WorkerMachine, prefix: str, functions: list[str]) -> None:
    assert executed(there, prefix, functions, 2) == executed(HERE, prefix, functions, 2)


@pytest.mark.parametrize("prefix", [DEADLINE_PREFIX, REMINDER_PREFIX])
def test_a_worker_runs_no_more_deadlines_than_their_gas_is(
    there: WorkerMachine, gas_run: list[int], prefix: str
) -> None:
    """Regression: it ran all that were due beforehand, 256 of 2,000,000 gas each, and a block took twelve seconds."""
    executed(there, prefix, ["busy"] * 20, 1)
    assert sum(gas > DEADLINE_GAS_MAX // 2 for gas in gas_run) == DEADLINE_GAS_PER_BLOCK_MAX // DEADLINE_GAS_MAX
    light = [gas for gas in gas_run if 0 < gas < DEADLINE_GAS_MAX // 2]
    assert len(light) == 10  # the transactions, each of them once
