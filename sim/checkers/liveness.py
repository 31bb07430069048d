"""Termination after healing, and quiet where nobody lies."""

from __future__ import annotations

from sim.plan import CALM_TIMEOUTS_MAX
from sim.world import World


def termination(world: World) -> list[str]:
    """Within ``CALM_TIMEOUTS_MAX`` of the longest timeouts after the last fault, all that was asked for happened."""
    if world.settled_ms is not None:
        return []
    picture = ", ".join(
        f"{node.place}: view {node.replica.view}{'' if node.replica.active else '?'} height {node.ledger.height}"
        f" certified {node.replica.core.outcomes.certified}{'' if node.up else ' down'}"
        for node in world.honest
    )
    waiting = [client.number for client in world.clients if not client.idle]
    clients = f"; clients {waiting} still wait" if waiting else ""
    return [f"termination: not settled {CALM_TIMEOUTS_MAX} timeouts after the last fault ({picture}{clients})"]


def quiet(world: World) -> list[str]:
    """Honest nodes raise alarms only when somebody lies or has lost what was on disk."""
    excused = world.plan.byzantine or any(fault.kind in LOSSES for fault in world.plan.faults)
    alarms = [(node.place, alarm) for node in world.honest for alarm in node.alarms]
    if excused or not alarms:
        return []
    place, alarm = alarms[0]
    return [f"quiet: alarm at node {place} without a liar: {alarm.kind}: {alarm.detail}"]


LOSSES = frozenset({"rot", "lose_log", "lose_ledger"})
