"""The bench measures a real network: verified transactions that trade, nothing refused, against its own limit."""

from __future__ import annotations

import pytest

from bench.load import PHASES
from bench.run import BenchOptions, run_bench
from cli.contracts import shipped_contracts

pytestmark = pytest.mark.cluster


async def test_a_short_bench() -> None:
    options = BenchOptions(clients=2, outstanding=8, warm_up_s=0.5, measure_s=2.0)
    said: list[str] = []
    figures = await run_bench(options, shipped_contracts(), said.append)
    assert figures["committed_tx_per_s"] > 0
    assert 0 < figures["trades_per_s"] < figures["committed_tx_per_s"]
    assert (figures["refused"], figures["failed"]) == (0, 0)
    before, after = figures["signature_limit_before_tx_per_s"], figures["signature_limit_after_tx_per_s"]
    assert figures["signature_limit_tx_per_s"] == pytest.approx((before + after) / 2, abs=0.2)
    ratio = figures["committed_tx_per_s"] / figures["signature_limit_tx_per_s"]
    assert figures["ratio_to_signature_limit"] == pytest.approx(ratio, abs=1e-3)
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert tuple(figures["phases_ms"]) == PHASES
    assert len(said) == 2
