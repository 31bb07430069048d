"""Hunts on the simulator's disks: what a power cut must find, whenever it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

from ca.signatures import remembering
from pbft.events import Send
from pbft.messages import Message, Outcome
from pbft.wal import WriteAheadLog
from sim import node as node_module
from sim.disk import SimDisk
from sim.node import SimNode
from sim.plan import Disks, Plan
from sim.run import judge
from sim.setting import LIMITS, stage_of
from sim.world import World

SEGMENT_BYTES = 4_000
"""Small, so that every checkpoint lets some go."""
INTERVAL = LIMITS["checkpoint_interval_blocks"]
RARE = 1e-9
"""Never by chance, but disks start empty, as they do where power is cut."""


def power_cuts_at_checkpoints(seed: int) -> list[str]:
    """The power goes within or next to what follows a cut of the log. No start may find one that is cut above the
    ledger's newest certificate."""
    return _power_cuts(seed, lambda message: False)


def power_cuts_behind_checkpoints(seed: int) -> list[str]:
    """Likewise where a checkpoint's own outcomes are lost, so that a later block's certificate stands for it."""
    return _power_cuts(seed, lambda message: isinstance(message, Outcome) and not message.statement.height % INTERVAL)


def _power_cuts(seed: int, is_lost: Callable[[Message], bool]) -> list[str]:
    plan = Plan(seed, "power cuts at checkpoints", disks=Disks(power_cut=RARE))
    faults: list[str] = []
    below: Counter[int] = Counter()
    cut, begin, emit = WriteAheadLog.truncate_below, SimNode._begin, World.emit

    def noted_cut(log: WriteAheadLog, sequence: int) -> None:
        before = set(log._tops)
        cut(log, sequence)
        if before - set(log._tops):
            below[id(log._files)] = sequence
            disk: SimDisk = log._files._disk  # type: ignore[attr-defined]
            disk.cut_power_in(1 + seed % 2)

    def checked_begin(node: SimNode, damaged: bool = False) -> None:
        begin(node, damaged)
        low, certified = below[id(node._wal._files)], node.ledger.certified_height
        if certified < low:
            faults.append(f"log: node {node.place} starts with a log cut at {low}, and a certificate of {certified}")

    def lossy_emit(world: World, node: SimNode, send: Send) -> None:
        if not is_lost(send.message):
            emit(world, node, send)

    with (
        patch.object(node_module, "LOG_SEGMENT_BYTES_MAX", SEGMENT_BYTES),
        patch.object(WriteAheadLog, "truncate_below", noted_cut),
        patch.object(SimNode, "_begin", checked_begin),
        patch.object(World, "emit", lossy_emit),
        remembering(),
    ):
        world = World(plan, stage_of(plan))
        return [*judge(world).faults, *faults]
