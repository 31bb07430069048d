"""What is written out in place of a guard comes to the same: value and code of odd operands, and integers' gas."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from contracts.machine import PythonMachine
from ledger.execution import Call, CallResult
from ledger.state import Entry, MemoryState, TransactionView
from ledger.values import encode_value

OPERATORS = ("+", "-", "*", "//", "%", "<", "<=", ">", ">=", "==", "!=")
NUMBERS = (0, 7, -7, 2**63 - 1, 2**63, -(2**63), 2**255)
OTHERS: tuple[Any, ...] = (True, "", "a", None, [], [1], {})
FIXED = ("0", "7", "SEVEN", "-7", str(2**63), "'a'")
HEAD = "SEVEN = 7\n\n\ndef same(x):\n    return x\n"
MACHINE = PythonMachine()


def state_of(expressions: list[str]) -> MemoryState:
    """A contract with a function for each expression of x and y; all cost the same nodes."""
    functions = [
        f"\n\n@export('*')\ndef f{number}(t: list):\n    x = t[0]\n    y = t[1]\n    r = {expression}\n    return r\n"
        for number, expression in enumerate(expressions)
    ]
    record = {"source": HEAD + "".join(functions), "sha256": "", "version": 1}
    return MemoryState({"governance/contract/c": Entry(0, 0, encode_value(record))})


def run(state: MemoryState, number: int, x: Any, y: Any) -> CallResult:
    call = Call("c", f"f{number}", {"t": [x, y]}, ("s",), "", 100_000, 1, 1, 0, "transaction")
    return MACHINE.run(call, TransactionView(state))


@pytest.mark.parametrize("op", OPERATORS)
def test_what_is_in_place_and_the_guard_agree(op: str) -> None:
    """The guard is called where the right side is a call; what the call costs more is the same for all integers."""
    state = state_of([f"x {op} y", f"x {op} same(y)", f"(x {op} y) {op} y", f"same(x {op} same(y)) {op} same(y)"])
    extra = {first: run(state, first + 1, 7, 7).gas_used - run(state, first, 7, 7).gas_used for first in (0, 2)}
    for x, y in product((*NUMBERS, *OTHERS), repeat=2):
        for first in (0, 2):
            plain, guarded = run(state, first, x, y), run(state, first + 1, x, y)
            assert (plain.code, plain.value) == (guarded.code, guarded.value), (op, x, y)
            if plain.code == "OK" and type(x) is type(y) is int:
                assert guarded.gas_used - plain.gas_used == extra[first], (op, x, y)


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("fixed", FIXED)
def test_numbers_that_the_tree_knows(op: str, fixed: str) -> None:
    state = state_of(
        [f"x {op} {fixed}", f"x {op} same({fixed})", f"{fixed} {op} same(x)", f"same({fixed}) {op} same(x)"]
    )
    for x in (*NUMBERS, *OTHERS):
        for first in (0, 2):
            plain, guarded = run(state, first, x, 0), run(state, first + 1, x, 0)
            assert (plain.code, plain.value) == (guarded.code, guarded.value), (op, x, fixed)
