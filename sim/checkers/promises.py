"""What was promised to clients: an operation whose receipt a client verified is in every honest node's chain."""

from __future__ import annotations

from sim.world import World


def acknowledged(world: World) -> list[str]:
    """No acknowledged loss: each receipt's transaction stands at the receipt's height wherever that block is held."""
    promised = {
        operation.tx_id: operation.height
        for client in world.everyone
        for operation in client.history
        if operation.answered is not None
    }
    faults = []
    for node in world.honest:
        ledger = node.ledger
        for tx_id, height in promised.items():
            if not ledger.first_height <= height <= ledger.height:
                continue
            info = ledger.transaction(tx_id)
            if info is None or info.height != height:
                faults.append(f"acknowledged: node {node.place} lacks {tx_id.hex()[:12]}, promised at height {height}")
                break
    return faults + _behind(world, max(promised.values(), default=0))


def _behind(world: World, height: int) -> list[str]:
    """At the end of a calm that settled, nobody lacks a promised block."""
    if world.settled_ms is None:
        return []
    return [
        f"acknowledged: node {node.place} ends at height {node.ledger.height}, below a promise at {height}"
        for node in world.honest
        if not node.retired and node.ledger.height < height
    ]
