"""A market day's energy: nothing is sold that was not offered, and nothing delivered that was not measured."""

from __future__ import annotations

from typing import Any

from ledger.values import decode_value
from sim.market_day import MARKET_DAY, faults_of
from sim.node import SimNode
from sim.world import World

ROWS_MAX = 100_000


def market_faults(world: World) -> list[str]:
    """What does not hold of some honest node's market, said once of each node."""
    if world.plan.workload != MARKET_DAY:
        return []
    history = [operation for client in world.clients for operation in client.history]
    highest = max(node.ledger.height for node in world.honest)
    return [
        f"{fault} (node {node.place}, height {node.ledger.height})"
        for node in world.honest
        if node.ledger.height == highest
        for fault in faults_of(market_of(node), history)
    ]


def energy(world: World) -> list[str]:
    return [fault for fault in market_faults(world) if fault.startswith("energy:")]


def market_of(node: SimNode) -> dict[str, Any]:
    """Every value of the market's contracts in a node's newest state."""
    reader = node.ledger.reader()
    return {
        key: decode_value(entry.value)
        for prefix in ("credit/", "market/", "settlement/")
        for key, entry in reader.scan(prefix, "", ROWS_MAX)
    }
