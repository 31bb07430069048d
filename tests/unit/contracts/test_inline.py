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


PLACES: tuple[Any, ...] = ({"k": 5}, {}, {"k": "a"}, {"k": None}, [], [5], [5, 6], "", "ab", 7, None, {"1": {"k": 1}})


def test_items_in_place_and_by_the_guard_agree() -> None:
    """A key that is a call's result is the guard's; of numbers a list is asked for, and a dictionary refuses them."""
    state = state_of(
        ["x['k']", "x[same('k')]", "x[0]", "x[same(0)]", "x[1]", "x[same(1)]", "x[y]", "x[same(y)]",
         "same(x)['k']", "same(x)[same('k')]", "same(x)[1]", "same(x)[same(1)]", "7['k']", "7[same('k')]",
         "'ab'[1]", "'ab'[same(1)]", "SEVEN[0]", "SEVEN[same(0)]", "None['k']", "None[same('k')]"]
    )  # fmt: skip
    for x, y, first in product(PLACES, ("k", "z", "k" * 257, 0, 1, -1, True, None, [1]), range(0, 20, 2)):
        plain, guarded = run(state, first, x, y), run(state, first + 1, x, y)
        assert (plain.code, plain.value) == (guarded.code, guarded.value), (x, y, first)


STORED = """
@export('*')
def f0(t: list):
    x = t[0]
    y = t[1]
    {0}
    return x


@export('*')
def f1(t: list):
    x = t[0]
    y = t[1]
    {1}
    return x


@export('*')
def f2(t: list):
    x = {{}}
    for n in range(100000):
        x['k' + str(n)] = n
    {0}


@export('*')
def f3(t: list):
    x = {{}}
    for n in range(100000):
        x['k' + str(n)] = n
    {1}


def same(x):
    return x
"""


@pytest.mark.parametrize(
    ("plain", "guarded"),
    [
        ("x['k'] = y", "x[same('k')] = y"),
        ("x['k'] = x['k']", "x[same('k')] = x[same('k')]"),
        *((f"x['k'] {op}= y", f"x[same('k')] {op}= y") for op in ("+", "-", "*", "//", "%")),
        *((f"x['k'] {op}= 7", f"x[same('k')] {op}= 7") for op in ("+", "-", "*", "//", "%")),
        ("x['more'] = 1", "x[same('more')] = 1"),
    ],
)
def test_what_is_stored_in_place_and_by_the_guard_agrees(plain: str, guarded: str) -> None:
    record = {"source": STORED.format(plain, guarded), "sha256": "", "version": 1}
    state = MemoryState({"governance/contract/c": Entry(0, 0, encode_value(record))})
    for x, y in product((*PLACES, {"k": 2**63 - 1}, {"k": 2**255}), (*NUMBERS, *OTHERS)):
        found, wanted = run(state, 0, x, y), run(state, 1, x, y)
        assert (found.code, found.value) == (wanted.code, wanted.value), (plain, x, y)


def test_a_dictionary_in_place_holds_no_more_than_it_may() -> None:
    source = STORED.format("x['more'] = 1", "x[same('more')] = 1")
    record = {"source": source, "sha256": "", "version": 1}
    state = MemoryState({"governance/contract/c": Entry(0, 0, encode_value(record))})
    for number in (2, 3):
        call = Call("c", f"f{number}", {"t": []}, ("s",), "", 10_000_000, 1, 1, 0, "transaction")
        assert MACHINE.run(call, TransactionView(state)).code == "TOO_LARGE"


def test_a_negative_literal_is_not_none() -> None:
    """Regression: Python warned of it when it compiled, and where warnings are errors the contract failed to load."""
    state = state_of(["-5 is None", "-5 is not None"])
    assert [run(state, number, 0, 0).value for number in (0, 1)] == [False, True]


@pytest.mark.parametrize("reached", ["r = x[{}]", "x[{}] = 1", "x[{}] += 1", "x[{}] = same([1])", "x[{}] -= y"])
def test_what_is_no_dictionary_is_told_so_where_the_tree_knows_the_key(reached: str) -> None:
    """The key stands there as it is: that ``x`` is no dictionary, the machine finds out."""
    body = "".join(
        f"\n\n@export('*')\ndef f{number}(t: list):\n    x = t[0]\n    y = t[1]\n    r = 0\n    {reached.format(key)}\n"
        "    return [r, x]\n"
        for number, key in enumerate(("'a'", "same('a')"))
    )
    state = MemoryState(
        {"governance/contract/c": Entry(0, 0, encode_value({"source": HEAD + body, "sha256": "", "version": 1}))}
    )
    for x in (*NUMBERS, *OTHERS, {"a": 5}, {"a": "text"}, {"b": 5}):
        plain, guarded = run(state, 0, x, 3), run(state, 1, x, 3)
        assert (plain.code, plain.value) == (guarded.code, guarded.value), (reached, x)
        assert plain.code in ("OK", "KEY_MISSING", "TYPE_MISMATCH")
        if type(x) is not dict:
            assert plain.code == "TYPE_MISMATCH", (reached, x)
