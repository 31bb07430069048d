"""What must hold of a world, whatever happened in it. Each checker gives sentences about what does not."""

from __future__ import annotations

from collections import Counter

from ledger.envelope import envelope_from_bytes
from ledger.values import decode_value
from pbft.messages import decode_batch
from sim.node import SimNode
from sim.world import World


def check(world: World) -> list[str]:
    """Every violation found; an empty list is a pass."""
    return [fault for checker in CHECKERS for fault in checker(world)]


def agreement(world: World) -> list[str]:
    """Honest nodes executed the same blocks to the same roots, as far as each came (prefix consistency)."""
    longest = max(world.honest, key=lambda node: node.ledger.height)
    expected = longest.ledger.statements
    return [
        f"agreement: node {node.index} differs from node {longest.index} at or below height {node.ledger.height}"
        for node in world.honest
        if node.ledger.statements != expected[: node.ledger.height]
    ]


def validity(world: World) -> list[str]:
    """Only what a client submitted is ever executed."""
    strange = [
        height
        for node in world.honest
        for height, block in enumerate(node.ledger.blocks, start=1)
        for raw in (decode_batch(block.body).envelopes if block.body else ())
        if envelope_from_bytes(raw).hash not in world.client.submitted
    ]
    return [f"validity: a transaction that nobody submitted, at heights {sorted(set(strange))}"] if strange else []


def exactly_once(world: World) -> list[str]:
    """No transaction takes effect twice, and the money says the same."""
    faults = []
    for node in world.honest:
        effects = _effects(node)
        twice = [tx_id.hex()[:12] for tx_id, count in effects.items() if count > 1]
        if twice:
            faults.append(f"exactly once: node {node.index} executed {twice} more than once")
        entry = node.ledger.state.get("credit/total")
        total = decode_value(entry.value)["total"] if entry is not None else 0
        if total != len(effects):
            faults.append(f"exactly once: node {node.index} holds {total} for {len(effects)} deposits")
    return faults


def _effects(node: SimNode) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for ran in node.ledger.ran:
        for tx_id, result in zip(ran.tx_ids, ran.executed.results[ran.block.deadlines :], strict=True):
            if result.gas_used:
                found[tx_id] += 1
    return found


def certified_is_kept(world: World) -> list[str]:
    """What any honest node held a certificate for is in every honest node's chain at the end: no acknowledged loss."""
    statements = {
        height: certificate.statement
        for node in world.honest
        for height, certificate in node.ledger.certificates.items()
    }
    return [
        f"loss: node {node.index} lacks or contradicts the certified block {height}"
        for node in world.honest
        for height, statement in sorted(statements.items())
        if node.ledger.height < height - TAIL or _differs(node, height, statement)
    ]


TAIL = 8
"""Blocks that may still be on their way when the simulation stops."""


def _differs(node: SimNode, height: int, statement: object) -> bool:
    return node.ledger.height >= height and node.ledger.statements[height - 1] != statement


def termination(world: World) -> list[str]:
    """Some time after the faults ended, a new request has executed at every honest node."""
    tx_id = envelope_from_bytes(world.client.last).tx_id
    return [
        f"termination: node {node.index} (view {node.replica.view}, height {node.ledger.height}) lacks the last request"
        for node in world.honest
        if tx_id not in _effects(node)
    ]


def quiet(world: World) -> list[str]:
    """Honest nodes raise alarms only when somebody lies."""
    alarms = [alarm for node in world.honest for alarm in node.alarms]
    return [f"alarm without a liar: {alarms[0]}"] if alarms and not world.byzantine else []


CHECKERS = (agreement, validity, exactly_once, certified_is_kept, termination, quiet)
