"""Agreement: honest nodes execute the same blocks to the same roots, and what is certified is kept."""

from __future__ import annotations

from pbft.messages import Statement
from sim.world import World


def agreement(world: World) -> list[str]:
    """No two executions of one height, by any honest nodes in any of their lives, came to different outcomes."""
    seen: dict[int, tuple[int, Statement]] = {}
    faults = []
    for node in world.honest:
        for statement in node.executed:
            place, known = seen.setdefault(statement.height, (node.place, statement))
            if known != statement:
                faults.append(f"agreement: nodes {place} and {node.place} differ at height {statement.height}")
                break
    return faults


def kept(world: World) -> list[str]:
    """What any honest node held a certificate for is in every honest node's chain, as far as that goes."""
    certified: dict[int, tuple[int, Statement]] = {}
    faults = []
    for node in world.honest:
        for height, statement in node.certified.items():
            place, known = certified.setdefault(height, (node.place, statement))
            if known != statement:
                faults.append(f"kept: nodes {place} and {node.place} hold certificates that differ at {height}")
    for node in world.honest:
        ledger = node.ledger
        for height, (place, statement) in sorted(certified.items()):
            if ledger.first_height <= height <= ledger.height and ledger.block(height).statement != statement:
                faults.append(f"kept: node {node.place} contradicts block {height}, which node {place} saw certified")
                break
    return faults
