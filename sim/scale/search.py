"""The saturation point: the highest load that a network carries with bounded latency, found by loads tried in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from pbft.quorum import faulty_max, quorum
from sim.scale.network import NS_A_S
from sim.scale.probe import Effort, Probe, light, probe
from sim.scale.world import Setting

FIRST_SHARE = 0.6
"""Where to begin, as a share of what the fullest resource would allow without any votes."""
STRIDE = 1.7
BRACKET_PROBES_MAX = 8
MODERATE_SHARE = 0.7
REFINEMENTS = 2
"""Halvings of the bracket: the answer is within STRIDE ** (1 / 2 ** REFINEMENTS), 14 percent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One network size: unloaded, and at the saturation point (or the given load)."""

    nodes: int
    light: Probe
    loaded: Probe
    moderate: Probe
    """At ``MODERATE_SHARE`` of the load of ``loaded``, where latency says more than at the brink."""
    probes: int

    @property
    def f(self) -> int:
        return faulty_max(self.nodes)

    @property
    def q(self) -> int:
        return quorum(self.nodes)

    @property
    def bottleneck(self) -> str:
        """The resource that was fullest."""
        busy = self.loaded.busy
        return max(busy, key=lambda name: busy[name])


Say = Callable[[str], None]


def study(setting: Setting, nodes: int, effort: Effort, tx_per_s: float | None, say: Say) -> Row:
    """Everything about one network size; at ``tx_per_s`` instead of the saturation point if it is given."""
    say(f"n = {nodes}: unloaded")
    unloaded = light(setting, nodes)
    unloaded_ms = unloaded.latency_ms_p50
    if tx_per_s is not None:
        say(f"n = {nodes}: {tx_per_s:,.0f} tx/s")
        loaded = probe(setting, nodes, tx_per_s, effort, unloaded_ms)
        return Row(nodes, unloaded, loaded, loaded, 1)
    loaded, probes = saturation(setting, nodes, effort, unloaded_ms, say)
    rate = MODERATE_SHARE * loaded.offered_tx_per_s
    say(f"n = {nodes}: {rate:,.0f} tx/s, for the latency")
    return Row(nodes, unloaded, loaded, probe(setting, nodes, rate, effort, unloaded_ms), probes)


def saturation(setting: Setting, nodes: int, effort: Effort, unloaded_ms: float, say: Say) -> tuple[Probe, int]:
    """The best load that was carried, and how many were tried; the lightest one tried if none was."""
    tried: list[Probe] = []

    def attempt(rate: float) -> Probe:
        say(f"n = {nodes}: {rate:,.0f} tx/s")
        tried.append(probe(setting, nodes, rate, effort, unloaded_ms))
        return tried[-1]

    best, refused = None, None
    rate = FIRST_SHARE * ceiling(setting, nodes)
    while (best is None or refused is None) and len(tried) < BRACKET_PROBES_MAX:
        found = attempt(rate)
        if found.carried:
            best, rate = found, rate * STRIDE
        else:
            refused, rate = found, rate / STRIDE
    for _ in range(REFINEMENTS if best is not None and refused is not None else 0):
        assert best is not None, "the bracket has a lower end"
        assert refused is not None, "and an upper one"
        found = attempt(sqrt(best.offered_tx_per_s * refused.offered_tx_per_s))
        if found.carried:
            best = found
        else:
            refused = found
    return best or min(tried, key=lambda item: item.offered_tx_per_s), len(tried)


def ceiling(setting: Setting, nodes: int) -> float:
    """Transactions a second that verification, Python or the primary's card allow, were there no votes at all."""
    costs = setting.costs
    frame = costs.receive_us + costs.send_us * (nodes - 1) / nodes
    python = costs.execute_us_per_tx + frame
    bits = 8 * setting.tx_bytes * (nodes - 1) * (1 + 1 / nodes)
    network = setting.mbit_per_s * 1e6 / bits
    return min(NS_A_S / 1_000 / max(python, 1.0), NS_A_S / 1_000 / max(costs.verify_us, 1.0), network)
