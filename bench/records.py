"""Runs as they were kept: one JSON object of `wattq bench run --json` each, one or several in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

FILE_BYTES_MAX = 256_000_000


class BadRecord(Exception):
    """A file that has no runs in it; the message says which and why."""


class Second(msgspec.Struct, frozen=True):
    """One measured second: receipts verified in it, and its latencies (docs/BENCH.md) in microseconds."""

    verified: int
    latency_hdr: str | None


class SteadyState(msgspec.Struct, frozen=True):
    """What a run did after its transient (``bench.steady``)."""

    cut_s: float
    committed_tx_per_s: float
    latency_ms: dict[str, float | None]


class Record(msgspec.Struct, frozen=True):
    """What is used of a run again; what else is in its JSON is left where it is."""

    committed_tx_per_s: float
    signature_limit_tx_per_s: float
    node_cpu_ms_per_tx: float
    latency_ms: dict[str, float | None]
    phases_ms: dict[str, dict[str, float | None]]
    unfinished: int
    failed: int
    by_second: list[Second]
    configuration: dict[str, Any]
    cores: int
    machine: str
    cpu: str | None
    system: str
    python: str
    version: str
    commit: str | None
    versions: dict[str, str | None]
    measured_at: str
    rate_tx_per_s: float | None = None
    steady: bool | None = None
    """None of runs that were measured before this was looked at."""
    steady_state: SteadyState | None = None

    @property
    def settled(self) -> SteadyState:
        """What it did in its steady state or, where none was seen, in all its measured time."""
        if self.steady and self.steady_state is not None:
            return self.steady_state
        return SteadyState(0.0, self.committed_tx_per_s, self.latency_ms)


def read_records(path: Path) -> list[Record]:
    """All runs of a file: JSON objects one after another, as ``>>`` leaves them. Raises ``BadRecord``."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadRecord(f"{path}: larger than {FILE_BYTES_MAX:,} bytes")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadRecord(f"{path}: {error.strerror}") from None
    try:
        records = [msgspec.json.decode(line, type=Record) for line in lines if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord(f"{path}: no run of `wattq bench run --json` on a line of its own: {error}") from None
    if not records:
        raise BadRecord(f"{path}: no runs in it")
    return records
