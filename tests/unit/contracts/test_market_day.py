"""A market day of 10,000 transactions has the golden results, roots and gas: in any process, on any Python.

`PYTHONPATH=.:tests/support python -m market_day --write` records them anew after a change that is meant to change them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from interpreters import answer, other_pythons
from market_day import GOLDEN, QUICK, WHOLE, Day

HINT = "if the market is meant to do otherwise now: PYTHONPATH=.:tests/support python -m market_day --write"
PYTHONS = other_pythons() or ("none",)
KINDS = {
    "market.place_order", "market.post_listing", "market.take_listing", "market.amend_order", "offers.propose",
    "offers.accept", "auction.place_order", "auction.reveal_order", "settlement.submit_readings", "settlement.confirm",
}  # fmt: skip


def golden(transactions: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8"))[str(transactions)]
    return found


def elsewhere(python: str, transactions: int, hash_seed: str) -> dict[str, Any]:
    if python == "none":
        pytest.skip(f"no supported Python here but our own, {sys.version.split()[0]}")
    found: dict[str, Any] = answer(python, "market_day", str(transactions), hash_seed=hash_seed)
    return found


def test_the_golden_days_hold_what_a_market_does() -> None:
    whole = golden(WHOLE)
    assert (golden(QUICK)["transactions"], whole["transactions"]) == (QUICK, WHOLE)
    assert set(whole["functions"]) >= KINDS
    assert whole["codes"]["OK"] > WHOLE // 2
    assert len(whole["codes"]) >= 15
    assert not {code for code in whole["codes"] if code == "INTERNAL" or code.startswith("VALIDATION")}


def test_the_quick_day_is_the_golden_one() -> None:
    assert Day(QUICK).run() == golden(QUICK), HINT


def test_another_seed_is_another_day() -> None:
    assert Day(100, seed=2).run()["digest"] != Day(100, seed=1).run()["digest"]


@pytest.mark.parametrize("hash_seed", ["1", "random"])
def test_the_quick_day_in_another_process(hash_seed: str) -> None:
    assert elsewhere(sys.executable, QUICK, hash_seed) == golden(QUICK), HINT


@pytest.mark.parametrize("python", PYTHONS)
def test_the_quick_day_on_another_python(python: str) -> None:
    assert elsewhere(python, QUICK, "7") == golden(QUICK), HINT


@pytest.mark.full
@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_whole_day_in_another_process(hash_seed: str) -> None:
    assert elsewhere(sys.executable, WHOLE, hash_seed) == golden(WHOLE), HINT


@pytest.mark.full
@pytest.mark.parametrize("python", PYTHONS)
def test_the_whole_day_on_another_python(python: str) -> None:
    assert elsewhere(python, WHOLE, "7") == golden(WHOLE), HINT
