"""Validity and exactly-once: what is executed was asked for, and takes effect one time."""

from __future__ import annotations

from collections import Counter

from ledger.envelope import envelope_from_bytes
from ledger.values import decode_value
from pbft.messages import decode_batch
from sim import contract
from sim.node import SimNode
from sim.world import World


def validity(world: World) -> list[str]:
    """Only what a client submitted is ever executed."""
    strange = {
        height
        for node in world.honest
        for height, block in enumerate(node.ledger.blocks, start=1)
        for raw in (decode_batch(block.body).envelopes if block.body else ())
        if envelope_from_bytes(raw).hash not in world.submitted
    }
    return [f"validity: a transaction that nobody submitted, at heights {sorted(strange)}"] if strange else []


def exactly_once(world: World) -> list[str]:
    """No transaction takes effect twice, and the counter that each adds one to says the same."""
    ones = {
        operation.tx_id
        for client in world.clients
        for operation in client.history
        if operation.function == "add" and operation.cell == contract.TOTAL
    }
    faults = []
    for node in world.honest:
        effects = effects_of(node)
        twice = [tx_id.hex()[:12] for tx_id, count in effects.items() if count > 1]
        if twice:
            faults.append(f"exactly once: node {node.place} executed {twice} more than once")
        entry = node.ledger.state.get(contract.CELL_KEY + contract.TOTAL)
        total = decode_value(entry.value)["value"] if entry is not None else 0
        expected = sum(1 for tx_id in effects if tx_id in ones)
        if total != expected:
            faults.append(f"exactly once: node {node.place} counts {total} for {expected} additions")
    return faults


def effects_of(node: SimNode) -> Counter[bytes]:
    """How often each transaction ran in the node's chain."""
    found: Counter[bytes] = Counter()
    for ran in node.ledger.ran:
        for tx_id, result in zip(ran.tx_ids, ran.executed.results[ran.block.deadlines :], strict=True):
            if result.gas_used:
                found[tx_id] += 1
    return found
