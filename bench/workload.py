"""A workload file: what a sweep measures, in TOML.

[load]                      # the same at every point
measure_s = 20.0
repeats = 3

[sweep]                     # every combination of these
rate_tx_per_s = [50, 100, 200]
nodes = [4, 7]
batch_transactions_max = [100, 500]
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bench.fault import DELAY_MS_MAX, Fault
from bench.kinds import VALUE_BYTES, VALUE_BYTES_MAX, Kind
from bench.open_loop import Arrivals
from bench.options import SEED, BenchOptions

RUNS_MAX = 1_000
SEEDS_A_REPEAT = 100
"""More than there are clients, each of which has a seed of its own."""

Nodes = Annotated[int, Meta(ge=4, le=25)]
Outstanding = Annotated[int, Meta(ge=1, le=500)]
Rate = Annotated[float, Meta(gt=0, le=100_000)]
Transactions = Annotated[int, Meta(ge=1, le=100_000)]
Depth = Annotated[int, Meta(ge=1, le=1_000)]
Delay = Annotated[int, Meta(ge=0, le=DELAY_MS_MAX)]
Loss = Annotated[float, Meta(ge=0, lt=1)]
ValueBytes = Annotated[int, Meta(ge=1, le=VALUE_BYTES_MAX)]


class BadWorkload(Exception):
    """A workload file that cannot be used; the message says which and why."""


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is the same at every point. ``repeats``: how often each is measured, with other seeds each time."""

    clients: Annotated[int, Meta(ge=1, le=16)] = 2
    warm_up_s: Annotated[float, Meta(ge=0, le=600)] = 3.0
    measure_s: Annotated[float, Meta(ge=1, le=3_600)] = 10.0
    arrivals: Arrivals = Arrivals.POISSON
    seed: Annotated[int, Meta(ge=0, le=2**53)] = SEED
    repeats: Annotated[int, Meta(ge=1, le=100)] = 1


class Axes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values of each; those of a run unless they are named. No rate: closed loops."""

    nodes: tuple[Nodes, ...] = (4,)
    rate_tx_per_s: tuple[Rate, ...] = ()
    outstanding: tuple[Outstanding, ...] = (128,)
    batch_transactions_max: tuple[Transactions, ...] = ()
    pipeline_depth: tuple[Depth, ...] = ()
    workload: tuple[Kind, ...] = (Kind.MIXED,)
    value_bytes: tuple[ValueBytes, ...] = (VALUE_BYTES,)
    fault: tuple[Fault, ...] = (Fault.NONE,)
    link_delay_ms: tuple[Delay, ...] = (0,)
    link_jitter_ms: tuple[Delay, ...] = (0,)
    link_loss: tuple[Loss, ...] = (0.0,)


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file."""

    load: Load = Load()
    sweep: Axes = Axes()

    def points(self) -> list[BenchOptions]:
        """Every combination once, the last axis fastest."""
        load, axes = self.load, msgspec.structs.asdict(self.sweep)
        same = BenchOptions(
            clients=load.clients, warm_up_s=load.warm_up_s, measure_s=load.measure_s, arrivals=load.arrivals
        )
        return [
            replace(same, **dict(zip(axes, values, strict=True)))
            for values in product(*(chosen or (None,) for chosen in axes.values()))
        ]

    def runs(self) -> list[BenchOptions]:
        """In the order of measurement: all points once, then all again backwards, so that no point has a machine's calm
        hours to itself."""
        points, made = self.points(), []
        for repeat in range(self.load.repeats):
            seed = self.load.seed + repeat * SEEDS_A_REPEAT
            again = [replace(point, seed=seed) for point in points]
            made += again[::-1] if repeat % 2 else again
        return made


def read_workload(path: Path) -> Workload:
    """Raises ``BadWorkload``."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadWorkload(f"{path}: {error.strerror}") from None
    return parse_workload(data, path)


def parse_workload(data: bytes, path: Path) -> Workload:
    """What the bytes of the file at ``path`` say. Raises ``BadWorkload``."""
    try:
        workload = msgspec.toml.decode(data, type=Workload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadWorkload(f"{path}: {error}") from None
    for name, values in msgspec.structs.asdict(workload.sweep).items():
        if len(set(values)) < len(values):
            raise BadWorkload(f"{path}: {name} names a value twice")
    if (wanted := len(workload.points()) * workload.load.repeats) > RUNS_MAX:
        raise BadWorkload(f"{path}: {wanted:,} runs; at most {RUNS_MAX:,}")
    return workload
