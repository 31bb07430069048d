"""The simulator's lies at a real node: each works with what a driver has, and says something else than the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from network import until

from faults import simulated
from faults.real.liar import LIES, Liar, Place
from faults.shelf import library
from pbft.driver import Driver
from pbft.gate import Gate
from pbft.messages import encode_frame
from sdk.configuration import ConfigurationError
from sim.catalogue import plan_of
from sim.node import SimNode
from sim.plan import Plan
from sim.setting import stage_of
from sim.world import World

TIMERS_S_MAX = 5.0
"""Lies that a timer tells come within a second."""
Carried = list[tuple[Sequence[bytes], bytes]]


def played(plan: Plan) -> World:
    world = World(plan, stage_of(plan))
    world.play()
    return world


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    """Runs in which every kind of message is sent: view changes, epochs, state transfers."""
    behind = library()["requests-again-behind-a-snapshot"]
    return [played(plan_of(1, 4, "crash")), played(simulated.plan_of(behind, 1)), played(plan_of(3, 4, "leaders"))]


def driver_of(node: SimNode) -> Driver:
    """What a liar asks of a driver: the session."""
    epoch = SimpleNamespace(number=node.config.scope.epoch)
    gate = Gate(node.config, node.ledger)
    session = SimpleNamespace(epoch=epoch, config=node.config, gate=gate, numbers=node.numbers, replica=node.replica)
    return cast(Driver, SimpleNamespace(session=session, replica=node.replica))


class Told:
    """One node of a run as a liar: what it put on its links, and what an honest one would have."""

    def __init__(self, world: World, place: int, names: Sequence[str]) -> None:
        self.carried: Carried = []
        self.honest: Carried = []
        self._world, self._node = world, world.nodes[place]
        node = self._node
        where = Place(driver_of(node), node.key, lambda: node.clock_ms)
        self.liar = Liar(names, driver_of(node), where, lambda keys, frame, _: self.carried.append((keys, frame)), 1)

    def replay(self) -> None:
        """Hear and say what the node did in the run."""
        numbers, epoch = self._node.numbers, self._node.config.scope.epoch
        for sent in self._world.sent:
            if sent.epoch != epoch:
                continue
            frame = encode_frame(epoch, sent.message)
            if sent.place != self._node.place:
                self.liar.lets_in(self._world.nodes[sent.place].key.public_key, frame)
                continue
            keys = numbers.others if sent.to is None else (numbers.key(sent.to),)
            self.honest.append((keys, frame))
            self.liar.send(keys, frame, False)

    @property
    def lied(self) -> bool:
        return self.carried != self.honest

    async def waited(self) -> bool:
        """Whether it has lied once its timers have run."""

        async def has_lied() -> bool:
            return self.lied

        self.liar.begin()
        with contextlib.suppress(TimeoutError):
            await until(has_lied, TIMERS_S_MAX)
        return self.lied


@pytest.mark.parametrize("lie", LIES)
async def test_every_lie_says_something_else_than_the_truth(worlds: list[World], lie: str) -> None:
    told = [Told(world, place, (lie,)) for world in worlds for place in range(4)]
    for each in told:
        each.replay()
    assert any(each.lied for each in told) or await told[0].waited()


async def test_without_lies_every_byte_is_the_replicas_own(worlds: list[World]) -> None:
    told = Told(worlds[0], 0, ())
    told.replay()
    assert told.honest
    assert not told.lied


async def test_what_is_of_an_earlier_epoch_passes_as_it_is(worlds: list[World]) -> None:
    told = Told(worlds[0], 0, ("silent",))
    keys, frame = worlds[0].nodes[0].numbers.others, encode_frame(9, worlds[0].sent[0].message)
    told.liar.send(keys, frame, False)
    assert told.carried == [(keys, frame)]


async def test_garbage_is_the_gates_business(worlds: list[World]) -> None:
    assert Told(worlds[0], 0, ("censor",)).liar.lets_in(worlds[0].nodes[1].key.public_key, b"garbage")


async def test_what_no_real_node_can_show_is_named(worlds: list[World]) -> None:
    with pytest.raises(
        ConfigurationError, match="no real node can show 'amnesia'; there are agree-with-all, ask-again, boast"
    ):
        Told(worlds[0], 0, ("amnesia",))
