"""A sweep: one run after another, each on a network of its own, told as it ends, as a row of CSV or as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.fault import Fault
from bench.kinds import ON_ASSETS, Kind
from bench.options import BenchError, BenchOptions
from bench.samples import PERCENTILES
from cluster import ClusterError
from sdk.errors import SdkError
from sdk.ports import NoFreePorts

AXES = (
    "nodes", "rate_tx_per_s", "outstanding", "batch_transactions_max", "pipeline_depth", "clients", "arrivals",
    "workload", "value_bytes", "fault", "link_delay_ms", "link_jitter_ms", "link_loss", "measure_s", "seed",
)  # fmt: skip
FIGURES = (
    "committed_tx_per_s", "signature_limit_tx_per_s", "ratio_to_signature_limit", "node_cpu_ms_per_tx", "trades_per_s",
    "steady", "refused", "failed", "unfinished", "cores", "version", "commit", "measured_at",
)  # fmt: skip
LATENCIES = (*PERCENTILES, "max")
COLUMNS = (*AXES, *FIGURES, *(f"latency_ms_{name}" for name in LATENCIES), "send_lag_ms_p99", "load_average")
RUN_S = 20.0
"""About what a run takes beside its load: the network's beginning and end, and clients' admission."""

NOT_MADE = (BenchError, ClusterError, NoFreePorts, SdkError)
"""Why a run cannot be made; it does not end the sweep."""
Measure = Callable[[BenchOptions], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Done:
    """One run of a sweep: its figures or, where it could not be made, the reason."""

    options: BenchOptions
    figures: dict[str, Any] | None
    problem: str = ""


async def sweep(runs: Sequence[BenchOptions], measure: Measure) -> AsyncIterator[Done]:
    """Each run as it ends. One that cannot be made does not end the sweep."""
    for options in runs:
        try:
            yield Done(options, await measure(options))
        except NOT_MADE as error:
            yield Done(options, None, str(error))


def row(figures: dict[str, Any]) -> dict[str, Any]:
    """A run by column; nothing for what is null."""
    configuration, latencies = figures["configuration"], figures["latency_ms"]
    found = {
        **{name: configuration[name] for name in AXES},
        **{name: figures[name] for name in FIGURES},
        **{f"latency_ms_{name}": latencies[name] for name in LATENCIES},
        "send_lag_ms_p99": figures["send_lag_ms"]["p99"],
        "load_average": figures["load_average"][0],
    }
    return {name: "" if value is None else value for name, value in found.items()}


def named(options: BenchOptions) -> str:
    """What distinguishes a run, in words."""
    rate = "closed loop" if options.rate_tx_per_s is None else f"{options.rate_tx_per_s:g} a second"
    return ", ".join([f"{options.nodes} nodes", rate, f"{options.outstanding} outstanding", *_rest(options)])


def _rest(options: BenchOptions) -> Iterator[str]:
    if options.workload is not Kind.MIXED:
        yield str(options.workload)
    if options.fault is not Fault.NONE:
        yield str(options.fault)
    for what, value in (("delay", options.link_delay_ms), ("jitter", options.link_jitter_ms)):
        if value:
            yield f"{value} ms of {what}"
    if options.link_loss:
        yield f"{options.link_loss:.2%} lost"
    if options.workload in ON_ASSETS:
        yield f"{options.value_bytes} bytes"
    if options.batch_transactions_max is not None:
        yield f"{options.batch_transactions_max} a block"
    if options.pipeline_depth is not None:
        yield f"{options.pipeline_depth} blocks at a time"


def expected_s(runs: Sequence[BenchOptions]) -> float:
    """About how long it will take."""
    return sum(RUN_S + options.warm_up_s + options.measure_s for options in runs)
