"""Runs of the bench that nobody measured: their JSON, with the throughput and latencies that a test wants."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from bench.load import PHASES
from bench.records import Record
from bench.samples import encoded, percentiles

LIMIT = 7_000.0


def run_json(
    tx_per_s: float = 40.0,
    latency_ms: float = 50.0,
    seed: int = 1,
    seconds: int = 30,
    rate_tx_per_s: float | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """A run whose seconds vary by a tenth or so, and whose latencies are log-normal round ``latency_ms``."""
    chance = random.Random(seed)
    counts = [max(1, round(chance.gauss(tx_per_s, tx_per_s / 10))) for _ in range(seconds)]
    latencies = [[latency_ms * chance.lognormvariate(0.0, 0.4) for _ in range(count)] for count in counts]
    committed = sum(counts) / seconds
    configuration = {"nodes": 4, "clients": 2, "outstanding": 128, "rate_tx_per_s": rate_tx_per_s}
    told = {
        "committed_tx_per_s": committed,
        "rate_tx_per_s": rate_tx_per_s,
        "signature_limit_tx_per_s": LIMIT,
        "ratio_to_signature_limit": committed / LIMIT,
        "node_cpu_ms_per_tx": 5.0,
        "latency_ms": percentiles(each for found in latencies for each in found),
        "phases_ms": {name: {"p50": latency_ms / 4, "p99": latency_ms} for name in PHASES},
        "unfinished": 0,
        "failed": 0,
        "by_second": [
            {"verified": count, "latency_hdr": encoded(found)} for count, found in zip(counts, latencies, strict=True)
        ],
        "configuration": configuration,
        "cores": 2,
        "machine": "x86_64",
        "cpu": "a processor",
        "system": "Linux",
        "python": "3.11.2",
        "version": "0.1.0",
        "commit": "abc",
        "versions": {"openssl": "3"},
        "measured_at": "2026-11-28T10:00:00+00:00",
    }
    return told | changed


def run_record(**wanted: Any) -> Record:
    """The same as it is read."""
    return msgspec.convert(run_json(**wanted), Record)
