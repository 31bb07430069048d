"""Hostile and non-deterministic contracts: refused at deployment, trapped with a code, or harmless; always the same.

What each comes to, its gas included, is in tests/data/hostile_golden.json. After a change that is meant to change it:
`PYTHONPATH=.:tests/support python -m hostile --write`, and read the difference.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import hostile
import pytest
from hostile import GAS, REFUSED, golden, outcomes, snippets
from interpreters import answer, other_pythons

from contracts.codes import TrapCode
from contracts.machine import PythonMachine

HINT = "if contracts are meant to end differently now: PYTHONPATH=.:tests/support python -m hostile --write"
OWN_CODES = {"state/write-then-fail": "MINE", "state/fail-long-sentence": "CODE", "state/require-list": "EMPTY",
             "call/fails-all": "THEIRS"}  # fmt: skip
"""Those that end themselves."""
HARMLESS = {
    "call/args-aliased": "its own copy was changed",
    "call/caller-is-signer": "a contract sees who signed and who calls",
    "call/result-aliased": "its own copy was changed",
    "deadline/bad-arguments": "the deadline fails, not the block",
    "deadline/call-by-hand": "a contract may call its own function",
    "deadline/for-another": "a deadline is always the scheduling contract's own",
    "deadline/no-signers": "a deadline has no caller",
    "deadline/unknown-function": "the deadline fails, not the block",
    "determinism/count-empty": "between all characters, on every version",
    "determinism/dict-order": "the order of insertion is part of the language",
    "determinism/isdigit-superscript": "the ten digits of ASCII",
    "determinism/negative-modulo": "as Python defines it",
    "determinism/sort-stable": "lists are compared as wholes",
    "determinism/strip-whitespace": "space, tab and line end",
    "determinism/upper-sharp-s": "only ASCII letters change",
    "escape/encoding-cookie": "a comment",
    "gas/append-while-iterating": "the loop runs over a copy",
    "gas/deadline-burns": "a deadline has the limit of a transaction",
    "gas/deadline-loop": "one a block",
    "gas/epoch-nonsense": "sentences that say what is wrong",
    "gas/extend-self-iter": "the loop runs over a copy",
    "gas/repeat-empty-huge": "nothing, however often",
    "gas/repeat-negative": "nothing",
    "integer/floor-by-minus-one": "within the range",
    "integer/huge-insert": "at the end and at the beginning",
    "integer/huge-slice": "the whole list",
    "integer/key-below-limit": "two keys",
    "integer/limit": "within the range",
    "parse/comment-closes-brackets": "five brackets",
    "parse/if-tower": "within the depth that is allowed",
    "parse/long-comment": "a comment",
    "parse/many-functions": "they are never called",
    "parse/many-lines": "lines cost nothing",
    "state/key-escape-namespace": "a key in its own namespace",
    "state/mutate-after-put": "what was stored is a copy",
    "state/mutate-event": "what was told is a copy",
    "state/mutate-get": "what was read is a copy",
    "state/mutate-got": "what was read is a copy",
    "state/mutate-scanned": "what was read is a copy",
    "state/mutate-scheduled": "what was scheduled is a copy",
    "state/mutate-signers": "the list is a copy",
    "state/peek-key-injection": "state is open to all contracts",
    "state/peek-own-source": "state is open to all contracts",
    "type/arguments-order": "from left to right",
    "type/augmented-order": "the place first, and once",
}
"""What runs to its end, and why that does no harm."""


@cache
def found() -> dict[str, list[Any]]:
    return outcomes()


@pytest.mark.parametrize("name", sorted(snippets()))
def test_a_hostile_contract_is_refused_trapped_or_harmless(name: str) -> None:
    code, gas, _, deadlines = found()[name]
    trapped = code in set(TrapCode) - {TrapCode.INTERNAL} or code == OWN_CODES.get(name)
    assert code == REFUSED or trapped or (code == "OK" and name in HARMLESS)
    assert gas <= GAS
    assert TrapCode.INTERNAL not in deadlines


def test_outcomes_and_gas_are_the_golden_ones() -> None:
    assert found() == golden(), HINT


def test_each_ends_the_same_on_a_fresh_machine_and_in_another_order() -> None:
    first = found()
    again = {name: hostile.outcome(snippets()[name], PythonMachine()) for name in sorted(snippets(), reverse=True)}
    assert again == first


def test_there_are_enough_and_most_are_refused_before_they_run() -> None:
    listed, own = ((hostile.DATA / name).read_text("utf-8").splitlines() for name in hostile.FILES)
    assert (len(listed), len(own) >= 280) == (156, True)
    assert sum(row[0] == REFUSED for row in found().values()) >= 240
    assert set(HARMLESS) == {name for name, row in found().items() if row[0] == "OK"}


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_another_process_gives_the_golden_outcomes(hash_seed: str) -> None:
    assert answer(sys.executable, "hostile", hash_seed=hash_seed) == golden(), HINT


def test_warnings_as_errors_change_nothing() -> None:
    assert answer(sys.executable, "hostile", interpreter_options=("-W", "error")) == golden(), HINT


def test_optimisation_changes_nothing() -> None:
    assert answer(sys.executable, "hostile", interpreter_options=("-OO",)) == golden(), HINT


def test_the_stand_ins_for_our_packages_change_nothing() -> None:
    assert answer(sys.executable, "hostile", "--bare") == golden(), HINT


@pytest.mark.parametrize("python", other_pythons() or ["none"])
def test_another_python_gives_the_golden_outcomes(python: str) -> None:
    if python == "none":
        pytest.skip(f"no supported Python here but our own, {sys.version.split()[0]}")
    assert answer(python, "hostile", hash_seed="7") == golden(), HINT
