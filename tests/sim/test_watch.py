"""Faults that wait for something: they strike then and only then, and a world that is watched is the same world."""

from __future__ import annotations

import pytest

from pbft.messages import Proposal
from sim.catalogue import plan_of
from sim.checkers import check
from sim.plan import Fault, Plan, Trigger, Weather, decode_plan, encode_plan
from sim.run import judged
from sim.setting import stage_of
from sim.world import World


def _played(*faults: Fault, **fields: object) -> World:
    plan = Plan(1, "watched", faults=faults, **fields)  # type: ignore[arg-type]
    world = World(plan, stage_of(plan))
    assert judged(world).faults == ()
    return world


@pytest.mark.parametrize("adversary", ["buggify", "equivocate"])
def test_watching_changes_no_trace(adversary: str) -> None:
    plan = plan_of(3, 4, adversary)
    worlds = [World(plan, stage_of(plan), watched=watched) for watched in (False, True)]
    assert judged(worlds[0]).trace == judged(worlds[1]).trace
    assert worlds[1].watch is not None
    assert worlds[1].watch.seen


def test_a_primary_dies_between_two_copies_of_a_pre_prepare() -> None:
    when = Trigger(sent="pre-prepare", sequence=6, copies=2)
    world = _played(Fault(0, "crash", ((-1,),), when=when, for_ms=1_500))
    (struck,) = world.struck
    assert struck.fault.groups == ((0,),), "whoever led"
    world.network.heal()
    assert any("node 0 is struck down while it sends" in sentence for _, sentence in world.notes)


@pytest.mark.parametrize("copies", [1, 2])
def test_no_further_copy_leaves_who_was_struck_down(copies: int) -> None:
    when = Trigger(sent="pre-prepare", sequence=6, copies=copies)
    plan = Plan(2, "copies", faults=(Fault(0, "crash", ((-1,),), when=when),))
    world = World(plan, stage_of(plan))
    world.arrived = []
    world.begin()
    while not world.struck:
        world.run_until(world.now_ms + 1)
    world.run_until(world.now_ms + 300)
    at_ms = world.struck[0].at_ms
    last = [sent for sent in world.sent if sent.place == 0 and isinstance(sent.message, Proposal)][-1]
    assert (last.at_ms, last.message.pre_prepare.sequence) == (at_ms, 6)  # type: ignore[union-attr]
    heard = {arrived.to for arrived in world.arrived if arrived.place == 0 and arrived.sent_ms == at_ms}
    assert len(heard) == copies


def test_faults_wait_for_heights_and_views() -> None:
    world = _played(
        Fault(50, "crash", ((0,),), when=Trigger(height=5), for_ms=1_200),
        Fault(0, "crash", ((1,),), when=Trigger(view=1), for_ms=800),
    )
    assert world.watch is not None
    first, second = world.struck
    reached_ms = min(seen.at_ms for seen in world.watch.seen if seen.height >= 5)
    begun_ms = min(seen.at_ms for seen in world.watch.seen if seen.view >= 1 and seen.active)
    assert first.at_ms == reached_ms + 50
    assert second.at_ms == begun_ms


def test_a_fault_that_waits_for_what_never_comes_never_strikes() -> None:
    assert _played(Fault(0, "crash", ((0,),), when=Trigger(height=10_000))).struck == []


def test_links_of_a_node_have_weather_of_their_own_for_a_while() -> None:
    plan = Plan(1, "weather", faults=(Fault(500, "weather", ((1,),), weather=Weather(300, 400), for_ms=1_000),))
    world = World(plan, stage_of(plan))
    world.arrived = []
    assert judged(world).faults == ()

    def longest_ms(place: int, from_ms: int, to_ms: int) -> int:
        taken = [a.at_ms - a.sent_ms for a in world.arrived or () if a.place == place and from_ms <= a.sent_ms < to_ms]
        return max(taken)

    assert longest_ms(1, 500, 1_500) >= 300
    assert longest_ms(1, 1_600, 5_000) <= 20
    assert longest_ms(0, 1_600, 5_000) <= 20


def test_bad_requests_enter_no_batch_and_old_ones_take_effect_once() -> None:
    world = _played(Fault(200, "bad_requests", for_ms=4_000), Fault(3_000, "resubmit"))
    assert check(world) == []
    assert {node.replica.view for node in world.nodes} == {0}


def test_a_clock_jumps_and_jumps_back() -> None:
    world = _played(Fault(300, "clock", ((2,),), 4_000, for_ms=1_000))
    assert [node.skew_ms for node in world.nodes] == [0, 0, 0, 0]
    assert [sentence for _, sentence in world.notes if "clock" in sentence]


def test_plans_with_triggers_travel_as_text() -> None:
    plan = Plan(1, "text", faults=(Fault(0, "crash", ((-1,),), when=Trigger(sent="commit", copies=2), for_ms=10),))
    assert decode_plan(encode_plan(plan)) == plan
