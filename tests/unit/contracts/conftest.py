"""Small contracts on a chain in memory, and a market with people, meters and money."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from contract_market import Market, Run

from contracts.testing import Chain
from ledger.execution import CallResult


@pytest.fixture
def run() -> Run:
    """``run(body)`` puts the statements into an exported function ``run()`` and calls it on a fresh chain."""

    def run_body(body: str, gas: int = 2_000_000, others: Mapping[str, str] | None = None) -> CallResult:
        lines = "\n".join("    " + line for line in body.splitlines())
        chain = Chain({"main": f'@export("*")\ndef run():\n{lines}\n', **(others or {})}, {"fee": 7})
        return chain.call("main", "run", {}, ["alice", "bob"], gas)

    return run_body


@pytest.fixture
def market() -> Market:
    return Market()
