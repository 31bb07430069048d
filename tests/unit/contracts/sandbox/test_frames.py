"""A worker's answers are cut by gas, so that their bytes are bounded before they are decoded."""

from __future__ import annotations

import pytest

from contracts.machine import PythonMachine
from contracts.sandbox.protocol import (
    ANSWER_BYTES_MAX,
    PART_CALLS,
    PART_GAS_MAX,
    Outcome,
    Outcomes,
    encode,
    parts_of,
)
from ledger.envelope import GAS_LIMIT_MAX
from ledger.execution import Call
from ledger.state import Entry, MemoryState, TransactionView
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import encode_value


@pytest.mark.parametrize(
    ("limits", "parts"),
    [
        ([], []), ([1] * PART_CALLS, [PART_CALLS]), ([1] * (PART_CALLS + 1), [PART_CALLS, 1]),
        ([PART_GAS_MAX] * 3, [1, 1, 1]), ([PART_GAS_MAX + 1, 1], [1, 1]), ([PART_GAS_MAX // 2] * 3, [2, 1]),
        ([1, PART_GAS_MAX, 1], [1, 1, 1]),
    ],
)  # fmt: skip
def test_a_part_holds_so_many_calls_or_so_much_gas(limits: list[int], parts: list[int]) -> None:
    assert [*parts_of(limits)] == parts


READS = {
    "absent": "y = get('k' * 240 + str(n))",
    "of another": "y = peek('c' * 60, 'k' * 240 + str(n))",
    "standing": "y = standing('k' * 240 + str(n), [])",
    "scans": "y = scan('k' * 240 + str(n), '', 1)",
    "writes": "put('k' * 240 + str(n), 1)",
    "long events": "emit('e', {'x': 'a' * 60000})",
}


@pytest.mark.parametrize("body", READS.values(), ids=READS)
def test_the_most_that_a_calls_gas_can_say_fits_into_an_answer_twice(body: str) -> None:
    """Else a lawful call would end the worker."""
    source = f"@export('*')\ndef run():\n    n = 0\n    while True:\n        {body}\n        n += 1\n"
    contract = encode_value({"source": source, "sha256": "", "version": 1})
    state = MemoryState({CONTRACT_PREFIX + "big": Entry(0, 0, contract)})
    call = Call("big", "run", {}, ("s",), "", GAS_LIMIT_MAX, 5, 9, 0, "transaction")
    view = TransactionView(state)
    result = PythonMachine().run(call, view)
    assert result.code in ("OUT_OF_GAS", "TOO_MANY_EVENTS")
    ranges = [(each.prefix, each.after, each.limit, each.digest) for each in view.ranges]
    events = [("big", "e", b"a" * 60_000)] * (GAS_LIMIT_MAX // 60_000)
    outcome = Outcome(result.code, "", b"", 0, "", events, view.writes, view.reads, ranges)
    assert len(encode(Outcomes([outcome], 0.0))) * 2 < ANSWER_BYTES_MAX
