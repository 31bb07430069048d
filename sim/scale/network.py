"""Links with a fixed delay and one network card a node: what is sent waits for what was sent before.

A card sends and receives at its rate, both at once. Small messages go ahead of bulk, as the transport's queues
do; within a class the order is that of sending. A link's delay is fixed for a run: half the round trip, plus a
few percent drawn from the seed.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

NS_A_MS = 1_000_000
NS_A_S = 1_000_000_000
LAN_RTT_MS = 0.5
"""Between two machines of one data centre."""
JITTER_SHARE_MAX = 0.03

_REGIONS = Path(__file__).with_name("regions.toml")


@dataclass(frozen=True, slots=True)
class Profile:
    """A matrix of round trips, and where the nodes stand in it: node i in region i modulo their number."""

    name: str
    regions: tuple[str, ...]
    rtt_ms: tuple[tuple[float, ...], ...]

    def delays_ns(self, nodes: int, chance: random.Random) -> list[list[int]]:
        """One-way delays from node to node."""
        count = len(self.regions)
        return [
            [
                int(self.rtt_ms[a % count][b % count] / 2 * NS_A_MS * (1 + chance.uniform(0, JITTER_SHARE_MAX)))
                for b in range(nodes)
            ]
            for a in range(nodes)
        ]


def lan() -> Profile:
    """One data centre."""
    return Profile("lan", ("lan",), ((LAN_RTT_MS,),))


def wan() -> Profile:
    """Regions of a public cloud; the source is named in the data file."""
    with _REGIONS.open("rb") as file:
        matrix = tomllib.load(file)["matrix"]
    return Profile("wan", tuple(matrix["regions"]), tuple(tuple(map(float, row)) for row in matrix["rtt_ms"]))


class Card:
    """One direction of a network card."""

    __slots__ = ("_bulk_free", "_byte_ns", "_small_free", "busy_ns")

    def __init__(self, mbit_per_s: int) -> None:
        self._byte_ns = 8_000 / mbit_per_s
        self._small_free = 0
        self._bulk_free = 0
        self.busy_ns = 0

    def pass_through(self, now: int, size: int, bulk: bool, copies: int = 1) -> range:
        """When the last byte of each copy is through."""
        took = max(1, int(size * self._byte_ns))
        self.busy_ns += took * copies
        if bulk:
            first = max(now, self._bulk_free, self._small_free) + took
            self._bulk_free = first + (copies - 1) * took
        else:
            first = max(now, self._small_free) + took
            self._small_free = first + (copies - 1) * took
            if self._bulk_free > now:
                self._bulk_free += took * copies
        return range(first, first + copies * took, took)
