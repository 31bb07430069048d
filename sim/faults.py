"""The kinds of a plan's timeline entries, and what each does to the world.

Every kind is harmless where it does not apply (a crash of a node that is down), so that a plan from which entries
were dropped is still a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sim import nuisance
from sim.plan import Fault

if TYPE_CHECKING:
    from sim.node import SimNode
    from sim.world import World


LOSSES = frozenset({"rot", "lose_log", "lose_ledger"})
"""After these a replica may have to keep silent for a while."""


PRIMARY = -1
"""In a fault's groups: whoever leads when it strikes."""
UNDONE_BY = {
    "crash": "start",
    "rot": "start",
    "lose_log": "start",
    "lose_ledger": "start",
    "begin_anew": "start",
    "partition": "join",
    "isolate": "join",
    "ring": "join",
    "cut": "join",
    "clog": "unclog",
    "weather": "fair",
    "clock": "clock_back",
}
"""What a fault that lasts ``for_ms`` ends by; the kinds that are not named pass by themselves."""


def resolved(world: World, fault: Fault) -> Fault:
    """The fault with the place of whoever leads now where ``PRIMARY`` stands."""
    if not any(PRIMARY in group for group in fault.groups):
        return fault
    leader = world.primary
    groups = tuple(tuple(leader if place == PRIMARY else place for place in group) for group in fault.groups)
    return msgspec.structs.replace(fault, groups=groups)


def told(fault: Fault) -> str:
    """The fault in a few words: its kind, places (groups and links with bars between) and amount."""
    groups = " | ".join(" ".join(map(str, group)) for group in fault.groups)
    return " ".join(filter(None, (fault.kind, groups, f"by {fault.amount}" if fault.amount else "")))


def undo_fault(world: World, fault: Fault) -> None:
    """End a fault whose time is over."""
    if fault.kind in UNDONE_BY:
        KINDS[UNDONE_BY[fault.kind]](world, fault)


def apply_fault(world: World, fault: Fault) -> None:
    """Let ``fault`` happen now."""
    KINDS[fault.kind](world, fault)


def _named(world: World, fault: Fault) -> list[SimNode]:
    """The nodes meant, but those that have retired: they never run again, and their disks are only read by checkers."""
    named = [world.nodes[place] for group in fault.groups for place in group if place < len(world.nodes)]
    return [node for node in named if not node.retired]


def _crash(world: World, fault: Fault) -> None:
    """The places in ``groups`` lose memory and, as the disk pleases, what was not synced."""
    for node in _named(world, fault):
        node.crash()


def _start(world: World, fault: Fault) -> None:
    for node in _named(world, fault):
        if not node.up:
            node.start()


def _power_cut(world: World, fault: Fault) -> None:
    """The places crash at their next disk operation but ``amount``, and start again by themselves."""
    for node in _named(world, fault):
        node.disk.cut_power_in(fault.amount + 1)


def _partition(world: World, fault: Fault) -> None:
    world.network.partition(fault.groups)


def _isolate(world: World, fault: Fault) -> None:
    """Each group is cut off from all others."""
    inside = {place for group in fault.groups for place in group}
    rest = tuple(node.place for node in world.nodes if node.place not in inside)
    world.network.partition((*fault.groups, rest))


def _weather(world: World, fault: Fault) -> None:
    """The links of the places in ``groups``, both ways, or all links, have this weather."""
    world.network.change_weather(_links(world, fault), fault.weather)


def _fair(world: World, fault: Fault) -> None:
    """Such links have the network's own weather again."""
    world.network.change_weather(_links(world, fault), None)


def _links(world: World, fault: Fault) -> list[tuple[int, int]]:
    named = {place for group in fault.groups for place in group}
    places = [node.place for node in world.nodes]
    return [(a, b) for a in places for b in places if a != b and (not named or a in named or b in named)]


def _clock(world: World, fault: Fault) -> None:
    """The places' clocks jump by ``amount`` ms, which may be below zero."""
    for node in _named(world, fault):
        node.skew_ms += fault.amount


def _clock_back(world: World, fault: Fault) -> None:
    for node in _named(world, fault):
        node.skew_ms -= fault.amount


def _bad_requests(world: World, fault: Fault) -> None:
    """A client sends requests with something wrong to every node, for ``for_ms``."""
    nuisance.send_bad_requests(world, world.now_ms + fault.for_ms)


def _resubmit(world: World, fault: Fault) -> None:
    """Every transaction so far is sent to every node again."""
    nuisance.send_again(world)


def _ring(world: World, fault: Fault) -> None:
    """Only neighbours in the one group reach each other."""
    world.network.ring(fault.groups[0])


def _cut(world: World, fault: Fault) -> None:
    """``groups``: links (sender, receiver) that lose everything."""
    world.network.cut((sender, receiver) for sender, receiver in fault.groups)


def _join(world: World, fault: Fault) -> None:
    world.network.cut(())


def _clog(world: World, fault: Fault) -> None:
    world.network.clog((sender, receiver) for sender, receiver in fault.groups)


def _unclog(world: World, fault: Fault) -> None:
    world.network.unclog([(sender, receiver) for sender, receiver in fault.groups])


def _rot(world: World, fault: Fault) -> None:
    """The places crash, and one bit of what they have on disk turns; ``amount`` says which."""
    for node in _named(world, fault):
        node.crash()
        node.disk.rot(fault.amount)


def _lose_log(world: World, fault: Fault) -> None:
    """The places crash and their logs are gone."""
    for node in _named(world, fault):
        node.crash()
        node.disk.lose("wal")


def _lose_ledger(world: World, fault: Fault) -> None:
    """The places crash and their blocks and states are gone."""
    for node in _named(world, fault):
        node.crash()
        node.disk.lose("ledger")


def _begin_anew(world: World, fault: Fault) -> None:
    """The places, liars', crash, have forgotten everything, and say that they have never run."""
    for node in _named(world, fault):
        node.crash()
        node.disk.lose("ledger")
        node.disk.lose("wal")
        node.disk.mark_as_new()


def _validators(world: World, fault: Fault) -> None:
    """No fault at all: operators vote the owners in ``groups[0]`` in as the next validators; ``amount`` leads first."""
    world.governor.propose(fault.groups[0], fault.amount)


def _revoke(world: World, fault: Fault) -> None:
    """No fault either: operators revoke the certificates of the places in ``groups[0]``, or of client ``amount``."""
    for node in _named(world, fault):
        world.governor.revoke(node.key.public_key)
    if not fault.groups:
        client = world.clients[fault.amount]
        world.governor.revoke(client.key.public_key, client)


def _hand_over(world: World, fault: Fault) -> None:
    """No fault either: operators tell the places in ``groups[0]`` that replica ``amount`` shall lead."""
    for place in fault.groups[0]:
        world.hand_over(place, fault.amount)


KINDS: dict[str, Callable[[World, Fault], None]] = {
    "crash": _crash,
    "start": _start,
    "power_cut": _power_cut,
    "partition": _partition,
    "isolate": _isolate,
    "ring": _ring,
    "cut": _cut,
    "join": _join,
    "clog": _clog,
    "unclog": _unclog,
    "rot": _rot,
    "lose_log": _lose_log,
    "lose_ledger": _lose_ledger,
    "begin_anew": _begin_anew,
    "weather": _weather,
    "fair": _fair,
    "clock": _clock,
    "clock_back": _clock_back,
    "bad_requests": _bad_requests,
    "resubmit": _resubmit,
    "validators": _validators,
    "hand_over": _hand_over,
    "revoke": _revoke,
}
