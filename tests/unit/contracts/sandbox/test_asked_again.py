"""What a worker says that calls read is asked again of the state, and no more of it than their gas can have paid."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from contracts.machine import PythonMachine
from contracts.sandbox.machine import accepted
from contracts.sandbox.process import WorkerFailed
from contracts.sandbox.protocol import Outcome
from ledger.envelope import GAS_LIMIT_MAX
from ledger.execution import Call
from ledger.state import Entry, MemoryState, Overlay, TransactionView
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import encode_value

ROWS = 3_000
READERS = {
    "absent": "y = get('k' + str(n))",
    "of another": "y = peek('c', 'k' + str(n))",
    "standing": "y = standing('k' + str(n), [])",
    "all rows": "y = scan('r/', '', 1000)",
    "one row": "y = scan('r/' + pad(n, 4), '', 1)",
    "past one deleted": "delete('r/' + pad(n, 4))\n        y = scan('r/', '', 1)",
    "past one deleted twice": "delete('r/0001')\n        y = scan('r/', '', 1)",
    "past one written": "put('r/' + pad(n % 3000, 4), 1)\n        y = scan('r/' + pad(n % 3000, 4), '', 9)",
}


def told_by(body: str, gas: int = GAS_LIMIT_MAX) -> tuple[Call, Outcome, TransactionView]:
    """What a worker of ours tells of a call that does this until its gas is spent."""
    source = f"@export('*')\ndef run():\n    n = 0\n    while True:\n        {body}\n        n += 1\n"
    entries = {CONTRACT_PREFIX + "big": encode_value({"source": source, "sha256": "", "version": 1})}
    entries |= {f"big/r/{number:04d}": encode_value(number) for number in range(ROWS)}
    base = Overlay(MemoryState({key: Entry(0, 0, value) for key, value in entries.items()}))
    call = Call("big", "run", {}, ("s",), "", gas, 5, 9, 0, "transaction")
    view = TransactionView(base)
    result = PythonMachine().run(call, view)
    ranges = [(each.prefix, each.after, each.limit, each.digest) for each in view.ranges]
    outcome = Outcome(
        result.code, result.message, encode_value(None), result.gas_used, result.code_hash, [], view.writes, view.reads,
        ranges,
    )  # fmt: skip
    return call, outcome, TransactionView(base)


@pytest.mark.parametrize("gas", [400, 1_000, 24_000, GAS_LIMIT_MAX])
@pytest.mark.parametrize("body", READERS.values(), ids=READERS)
def test_what_gas_can_pay_is_accepted(body: str, gas: int) -> None:
    call, outcome, view = told_by(body, gas)
    assert accepted(call, outcome, view).code == "OUT_OF_GAS"
    assert view.reads == outcome.reads


def rows_wanted(asked: tuple[str, str, int, bytes]) -> int:
    return asked[2]


@pytest.mark.parametrize(
    "much",
    [
        lambda outcome: replace(outcome, reads={str(number): None for number in range(2_000)}),
        lambda outcome: replace(outcome, ranges=outcome.ranges[:1] * 2_000),
        lambda outcome: replace(outcome, ranges=[max(outcome.ranges, key=rows_wanted)] * 150),
    ],
    ids=["reads", "range queries", "rows"],
)
def test_more_than_gas_can_pay_costs_a_worker_its_place_though_all_of_it_is_true(
    much: Callable[[Outcome], Outcome],
) -> None:
    call, outcome, view = told_by("y = scan('r/', '', 64)", 24_000)
    with pytest.raises(WorkerFailed, match="another state"):
        accepted(call, much(outcome), view)
