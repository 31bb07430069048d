"""How often meters gave nothing when they were asked, and why: for metrics, and for whoever looks after them."""

from __future__ import annotations

from collections import Counter

import prometheus_client
from prometheus_client import CollectorRegistry

from meter.errors import DeviceError, DeviceRefused, Garbage, LineDown, NoAnswer

WHY: dict[type[DeviceError] | type[LineDown], str] = {
    NoAnswer: "silent",
    DeviceRefused: "refused",
    Garbage: "garbage",
    LineDown: "unreachable",
}
OTHER = "wrong"
"""An answer of another device than the profile describes, or a value that cannot be."""


class MeterFailures:
    """One a gateway; it holds as many counts as there are meters and reasons."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._counted: Counter[tuple[str, str]] = Counter()
        self._metric = prometheus_client.Counter(
            "wattq_meter_failures_total",
            "Turns of a meter that gave no sample.",
            ["meter", "why"],
            registry=registry or CollectorRegistry(),
        )

    def count(self, serial: str, error: DeviceError | LineDown) -> None:
        why = WHY.get(type(error), OTHER)
        self._counted[serial, why] += 1
        self._metric.labels(serial, why).inc()

    def told(self, serial: str) -> dict[str, int]:
        """Why and how often, of one meter."""
        return {why: count for (meter, why), count in sorted(self._counted.items()) if meter == serial}
