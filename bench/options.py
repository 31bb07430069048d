"""What a run of the bench is asked to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.fault import Fault
from bench.kinds import VALUE_BYTES, Kind
from bench.open_loop import Arrivals

SEED = 20_260_101
Say = Callable[[str], None]


class BenchError(Exception):
    """The bench cannot run; the message says why."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured."""

    nodes: int = 4
    clients: int = 2
    outstanding: int = 128
    """In flight a client: always in a closed loop, at most in an open one."""
    warm_up_s: float = 3.0
    measure_s: float = 10.0
    couchdb_urls: tuple[str, ...] = ()
    """One for each node; none: the embedded state database."""
    rate_tx_per_s: float | None = None
    """Of all clients together, in an open loop; None: a closed one."""
    arrivals: Arrivals = Arrivals.CONSTANT
    seed: int = SEED
    batch_transactions_max: int | None = None
    pipeline_depth: int | None = None
    """Of the nodes; None: as the configuration has it."""
    workload: Kind = Kind.MIXED
    value_bytes: int = VALUE_BYTES
    """Of assets."""
    fault: Fault = Fault.NONE
    """From the beginning of the measured time on."""
    link_delay_ms: int = 0
    link_jitter_ms: int = 0
    link_loss: float = 0.0
    """Of each frame between two nodes, all the time; the loss is a share of 1."""
