"""The guard against getting slower: what a transaction's parts cost, as multiples of this machine's own verification.

No clock decides here, but two kinds of work of one thread against each other, both in processor time, so that neither
a slow machine nor a busy one fails it; what makes a part twice as dear does.
"""

from __future__ import annotations

import time

import pytest

from bench import guard
from contracts.validation import MarketValidator

ROUNDS = 2


def test_no_part_of_a_transaction_costs_more_verifications_than_it_may() -> None:
    figures = guard.measure(ROUNDS)
    assert guard.exceeded(figures) == [], figures


def test_what_makes_a_part_dearer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    check = MarketValidator.check

    def slow(self: MarketValidator, *args: object) -> str | None:
        until = time.thread_time() + 1e-3
        while time.thread_time() < until:
            pass
        return check(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(MarketValidator, "check", slow)
    assert {"validation", "execution"} <= {*guard.exceeded(guard.measure(1))}
