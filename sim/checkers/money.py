"""The bank's and the market's money: what moves between accounts neither grows nor shrinks, in any state or answer."""

from __future__ import annotations

from ledger.values import decode_value
from sim import contract
from sim.checkers.market import market_faults
from sim.node import SimNode
from sim.world import World

ALL = contract.ENDOWMENT * len(contract.ACCOUNTS)


def money(world: World) -> list[str]:
    """Every honest node's accounts add up to what they began with, none is below zero, and every total that a client
    was told is that sum."""
    if world.plan.workload != contract.BANK:
        return [fault for fault in market_faults(world) if fault.startswith("money:")]
    faults = []
    for node in world.honest:
        held = balances(node)
        if sum(held) != ALL or min(held) < 0:
            faults.append(f"money: node {node.place} has {held} at height {node.ledger.height}, of {ALL}")
    wrong = [
        operation
        for client in world.clients
        for operation in client.history
        if operation.function == "total" and operation.answered is not None and operation.value != ALL
    ]
    return faults + [f"money: client {operation.client} was told of {operation.value}, of {ALL}" for operation in wrong]


def balances(node: SimNode) -> list[int]:
    """What each account holds in the node's newest state."""
    reader = node.ledger.reader()
    entries = [reader.get(contract.ACCOUNT_KEY + account) for account in contract.ACCOUNTS]
    return [contract.ENDOWMENT if entry is None else decode_value(entry.value)["balance"] for entry in entries]
