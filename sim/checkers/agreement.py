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
    """What any honest node holds a certificate for, no honest node's chain contradicts or, at the end, lacks."""
    certified = {
        height: certificate.statement
        for node in world.honest
        for height, certificate in node.ledger.certificates.items()
    }
    return [
        f"kept: node {node.place} contradicts the certified block {height}"
        for node in world.honest
        for height, statement in sorted(certified.items())
        if node.ledger.height >= height and node.ledger.statements[height - 1] != statement
    ]
