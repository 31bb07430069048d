"""Whether a node is ready to serve: executed and certified near its peers, its stores healthy; else why not."""

from __future__ import annotations

from sdk.methods import NodeStatus

BEHIND_BLOCKS_MAX = 32
"""Farther behind what f + 1 other validators say to have, a node gives answers that are too old."""
STATE_LAG_MS_MAX = 30_000
"""A state database that is behind for longer is no longer a moment's matter."""


def faults_of(status: NodeStatus) -> tuple[str, ...]:
    """Sentences; none if it is ready. A network that stands still leaves its nodes ready: they can be read."""
    if not status.whole:
        return ("Its ledger is damaged; a snapshot of a peer has to replace it.",)
    return (*_consensus_faults(status), *_state_faults(status))


def _consensus_faults(status: NodeStatus) -> list[str]:
    if status.closed:
        return []
    heard = [peer for peer in status.peers if peer.connected and peer.told]
    weak = _weak_quorum(len(status.validators))
    if len(heard) < min(weak, len(status.peers)):
        return [f"It hears {len(heard)} other validators; {weak} have to say where the network stands."]
    faults = []
    for what, own, told in (
        ("executed", status.executed_height, [peer.executed_height for peer in heard]),
        ("certified", status.certified_height, [peer.certified_height for peer in heard]),
    ):
        others = sorted(told, reverse=True)[weak - 1] if len(told) >= weak else 0
        if own + BEHIND_BLOCKS_MAX < others:
            faults.append(f"It has {what} block {own}; others are at {others}.")
    if status.diverged:
        faults.append("A certificate contradicts what it executed: it is to be repaired by a snapshot.")
    return faults


def _weak_quorum(validators: int) -> int:
    """f + 1: among so many validators one at least is honest."""
    return (validators - 1) // 3 + 1


def _state_faults(status: NodeStatus) -> list[str]:
    state = status.state_database
    if state is None:
        return []
    if state.fault:
        return [f"Its state database does not get on: {state.fault}."]
    if state.lag_ms > STATE_LAG_MS_MAX:
        return [f"Its state database is {state.lag_blocks} blocks and {state.lag_ms // 1000} s behind."]
    return []
