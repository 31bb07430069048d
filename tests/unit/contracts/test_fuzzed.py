"""Programs by chance: whatever they do, they end with a code, within bounds that their gas sets, and always the same.

`make soak` runs the long form; WATTQ_SOAK_PROGRAMS says how many programs (100,000).
"""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from fuzzed import GAS, REFUSED, Program, outcome, outcomes, program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interpreters import answer, other_pythons

from contracts.codes import TrapCode
from contracts.machine import PythonMachine
from ledger.codes import RefusalCode

CODES = {REFUSED, "OK", "CODE", *map(str, TrapCode), *map(str, RefusalCode)} - {str(TrapCode.INTERNAL)}
OPERATIONS_PER_GAS_MAX = 8
BYTES_PER_GAS_MAX = 100
OPERATIONS_BESIDE = 30_000
"""What deploying, validating and the block of deadlines take."""
BYTES_BESIDE = 4_000_000
QUICK = 200
SOAK = int(os.environ.get("WATTQ_SOAK_PROGRAMS", "100000"))
SOAK_STEP = 500
MACHINE = PythonMachine()


@st.composite
def programs(draw: Callable[[Any], int]) -> str:
    return Program(lambda bound: draw(st.integers(0, bound - 1))).source()


def ends_well(found: list[Any]) -> bool:
    code, gas, _, late = found
    return code in CODES and 0 <= gas <= GAS and set(late) <= CODES


def operations(source: str) -> tuple[list[Any], int]:
    """What a program comes to, and how many functions were called for it, of Python's and of C's."""
    count = 0

    def called(frame: object, event: str, _: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        return outcome(source, MACHINE), count
    finally:
        sys.setprofile(before)


@settings(max_examples=QUICK, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_program_ends_with_a_code(source: str) -> None:
    assert ends_well(outcome(source, MACHINE)), source


def test_a_program_does_no_more_than_its_gas_pays_for() -> None:
    for seed in range(QUICK):
        outcome(program(seed), MACHINE)  # compiled before it is counted
        found, count = operations(program(seed))
        assert count <= OPERATIONS_BESIDE + OPERATIONS_PER_GAS_MAX * found[1], program(seed)


def test_a_program_takes_no_more_memory_than_its_gas_pays_for() -> None:
    for seed in range(QUICK // 2):
        tracemalloc.start()
        try:
            found = outcome(program(seed), MACHINE)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= BYTES_BESIDE + BYTES_PER_GAS_MAX * found[1], program(seed)


def test_the_programs_are_worth_it() -> None:
    codes = [code for code, *_ in outcomes(0, QUICK)]
    assert len(set(codes)) >= 8
    assert codes.count("OK") >= QUICK // 20
    assert QUICK // 5 <= codes.count(REFUSED) <= QUICK // 2


@pytest.mark.parametrize("hash_seed", ["1", "random"])
def test_programs_end_the_same_in_another_process(hash_seed: str) -> None:
    assert answer(sys.executable, "fuzzed", "0", str(QUICK), hash_seed=hash_seed) == outcomes(0, QUICK)


@pytest.mark.parametrize("python", other_pythons() or ["none"])
def test_programs_end_the_same_on_another_python(python: str) -> None:
    if python == "none":
        pytest.skip(f"no supported Python here but our own, {sys.version.split()[0]}")
    assert answer(python, "fuzzed", "0", str(QUICK), hash_seed="7") == outcomes(0, QUICK)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_programs_for_hours(capfd: pytest.CaptureFixture[str]) -> None:
    """Each program twice: here and in another process, another Python if there is one, with another hash seed."""
    pythons = (sys.executable, *other_pythons())
    for number, first in enumerate(range(0, SOAK, SOAK_STEP)):
        count = min(SOAK_STEP, SOAK - first)
        found = outcomes(first, count)
        bad = [first + place for place, row in enumerate(found) if not ends_well(row)]
        assert not bad, program(bad[0])
        python = pythons[number % len(pythons)]
        other = answer(python, "fuzzed", str(first), str(count), hash_seed=str(number % 1_000))
        differing = [first + place for place in range(count) if found[place] != other[place]]
        assert not differing, f"{python}\n{program(differing[0])}"
        with capfd.disabled():
            print(f"soak: {first + count:,} of {SOAK:,} programs end well and the same on {python}", flush=True)
