"""What is measured as it happens: how long consensus takes from phase to phase, batches, view changes, REST's calls.

One set a node, labelled by channel. A block costs a handful of additions; what is only read when somebody asks is in
``api/metrics.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PHASES = ("prepared", "committed", "executed", "certified")
"""Each is measured from the one before; the first from the acceptance of the pre-prepare."""
OPEN_BLOCKS_MAX = 1_024
"""Blocks on their way that are timed at once, in a channel: more than any window that is sensible; others are not."""
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TRANSACTIONS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
_BYTES = (200, 1_000, 10_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000)


class Measures:
    """The instruments of one node."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        channel = ("channel",)
        self.phase_seconds = histogram(
            "wattq_consensus_phase_seconds", "From the phase before to this one.", (*channel, "phase"), _SECONDS
        )
        self.block_seconds = histogram(
            "wattq_consensus_block_seconds", "From the accepted pre-prepare to the certificate.", channel, _SECONDS
        )
        self.batch_transactions = histogram(
            "wattq_consensus_batch_transactions", "Transactions in an executed block.", channel, _TRANSACTIONS
        )
        self.batch_bytes = histogram("wattq_consensus_batch_bytes", "Bytes of an ordered batch.", channel, _BYTES)
        self.views_left = counter("wattq_consensus_views_left_total", "Views that this node has left.", *channel)
        self.alarms = counter("wattq_consensus_alarms_total", "Alarms raised, by kind.", *channel, "kind")
        self.transactions = counter(
            "wattq_ledger_transactions_total",
            "Transactions executed here: ok, or refused with a code.",
            *channel,
            "outcome",
        )
        self.requests = counter("wattq_rest_requests_total", "HTTP requests answered.", "route", "method", "status")
        self.request_seconds = histogram(
            "wattq_rest_request_seconds", "From the request's head to the answer.", ("route",), _SECONDS
        )

        self.workers_replaced = counter(
            "wattq_sandbox_workers_replaced_total", "Contract workers that failed and were replaced.", *channel
        )
        self.certificate_days = Gauge(
            "wattq_ca_certificate_days",
            "Days until a certificate ends: the node's own, and the CA root's that ends first.",
            ["certificate"],
            registry=registry,
        )
        self.streams = Gauge("wattq_node_streams", "Streams that are open.", channel, registry=registry)
        self.connections = Gauge("wattq_rest_connections", "Connections to REST that are open.", registry=registry)

    def channel(self, name: str) -> ChannelMeasures:
        return ChannelMeasures(self, name)


class ChannelMeasures:
    """One channel's. Heights come once a phase; what comes out of order, or twice, is measured once or not at all.

    ``executed`` and ``worker_replaced`` may be called on other threads than the rest: they touch the instruments, which
    lock, and one dict.
    """

    def __init__(self, all_channels: Measures, channel: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._phases = {name: all_channels.phase_seconds.labels(channel, name) for name in PHASES}
        self._whole = all_channels.block_seconds.labels(channel)
        self._batch_transactions = all_channels.batch_transactions.labels(channel)
        self._batch_bytes = all_channels.batch_bytes.labels(channel)
        self._views_left = all_channels.views_left.labels(channel)
        self._workers_replaced = all_channels.workers_replaced.labels(channel)
        self._alarms = all_channels.alarms
        self._channel = channel
        self._good = all_channels.transactions.labels(channel, "ok")
        self._bad = all_channels.transactions.labels(channel, "refused")
        self._open: dict[int, dict[str, float]] = {}
        """Of each block on its way: when it came to which phase."""

    @property
    def in_flight(self) -> int:
        """Blocks that are being timed."""
        return len(self._open)

    def proposed(self, height: int) -> None:
        """A pre-prepare was accepted; again, in a later view, begins anew."""
        if len(self._open) < OPEN_BLOCKS_MAX or height in self._open:
            self._open[height] = {"proposed": self._now_s()}

    def prepared(self, height: int) -> None:
        self._reach(height, "proposed", "prepared")

    def committed(self, height: int, batch_bytes: int) -> None:
        self._batch_bytes.observe(batch_bytes)
        self._reach(height, "prepared", "committed")

    def executed(self, height: int, good: int, bad: int) -> None:
        self._batch_transactions.observe(good + bad)
        self._good.inc(good)
        self._bad.inc(bad)
        self._reach(height, "committed", "executed")

    def certified(self, height: int) -> None:
        """A certificate settles every block up to its own."""
        for each in [known for known in self._open if known <= height]:
            self._reach(each, "executed", "certified")
            times = self._open.pop(each)
            if "certified" in times:
                self._whole.observe(times["certified"] - times["proposed"])

    def view_left(self) -> None:
        self._views_left.inc()

    def worker_replaced(self) -> None:
        self._workers_replaced.inc()

    def alarmed(self, kind: str) -> None:
        self._alarms.labels(self._channel, kind).inc()

    def _reach(self, height: int, before: str, phase: str) -> None:
        """Only from the phase right before: a block that was fetched has passed none of them here."""
        times = self._open.get(height)
        since_s = None if times is None else times.get(before)
        if times is None or since_s is None or phase in times:
            return
        times[phase] = now_s = self._now_s()
        self._phases[phase].observe(now_s - since_s)
