"""Termination after healing, no client left behind, and quiet where nobody lies."""

from __future__ import annotations

from pbft.quorum import faulty_max
from sim.faults import LOSSES
from sim.history import Operation
from sim.plan import CALM_TIMEOUTS_MAX, HEALED_TIMEOUTS, SERVED_TIMEOUTS, TIMEOUT_MS_MAX
from sim.world import World


def termination(world: World) -> list[str]:
    """Within ``CALM_TIMEOUTS_MAX`` of the longest timeouts after the last fault, all that was asked for happened."""
    if world.settled_ms is not None:
        return []
    picture = ", ".join(
        f"{node.place}: view {node.replica.view}{'' if node.replica.active else '?'} height {node.ledger.height}"
        f" certified {node.replica.core.outcomes.certified}{'' if node.replica.core.votes else ' without a vote'}"
        f"{'' if node.up else ' down'}"
        for node in world.honest
    )
    waiting = [client.number for client in world.clients if not client.idle]
    clients = f"; clients {waiting} still wait" if waiting else ""
    return [f"termination: not settled {CALM_TIMEOUTS_MAX} timeouts after the last fault ({picture}{clients})"]


def censorship(world: World) -> list[str]:
    """Every request has its receipt within ``SERVED_TIMEOUTS`` + f of the longest timeouts of its first sending where
    nothing but liars keeps it waiting; elsewhere within ``HEALED_TIMEOUTS`` + f of the last fault."""
    from_ms = 0 if world.plan.fair else world.plan.chaos_ms
    limit_ms = served_ms_max(world)
    return [
        f"censorship: client {client.number} waited {waited_ms} ms for its {operation.function}"
        for client in world.clients
        if client.barred_from is None
        for operation in client.history
        if (waited_ms := _waited_ms(world, operation, from_ms)) > limit_ms
    ]


def served_ms_max(world: World) -> int:
    """How long a client may wait. A liar may have had a whole window ordered ahead of it, which executes first."""
    timeouts = SERVED_TIMEOUTS if world.plan.fair else HEALED_TIMEOUTS
    window_ms = world.genesis.limits.window_blocks * world.plan.execution.block_ms
    return (timeouts + faulty_max(world.plan.nodes)) * TIMEOUT_MS_MAX + window_ms


def _waited_ms(world: World, operation: Operation, from_ms: int) -> int:
    """How long the operation has waited since ``from_ms``; where it has no answer, up to now."""
    waited_ms = operation.waited_ms
    until_ms = world.now_ms if waited_ms is None else operation.asked_ms + waited_ms
    return until_ms - max(operation.asked_ms, from_ms)


def quiet(world: World) -> list[str]:
    """Honest nodes raise alarms only when somebody lies or has lost what was on disk."""
    excused = world.plan.byzantine or any(fault.kind in LOSSES for fault in world.plan.faults)
    alarms = [(node.place, alarm) for node in world.honest for alarm in node.alarms]
    if excused or not alarms:
        return []
    place, alarm = alarms[0]
    return [f"quiet: alarm at node {place} without a liar: {alarm.kind}: {alarm.detail}"]
