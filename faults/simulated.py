"""The simulator as a target: a scenario becomes a plan, a world plays it, and its records become an observation."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

import msgspec

from faults.observation import Accusation, Commit, Cry, Observation, Operation, Stand, Strike
from faults.scenario import PRIMARY, Fault, Node, Scenario, Services, Topology, Tuning, Weather, When
from faults.target import Unfit
from sim import faults as sim_faults
from sim import plan as sim_plan
from sim.byzzfuzz import fuzz_of
from sim.catalogue import BEHAVIOURS
from sim.diagram import diagram
from sim.run import Verdict, judged
from sim.setting import stage_of
from sim.transcript import CHATTER, encoded_evidence, told_evidence, transcript
from sim.world import World

GENESIS = ("checkpoint_interval_blocks", "window_blocks")
"""Fields of ``Tuning`` that the genesis file has; the others are a replica's own."""
PICTURE_BEFORE_MS, PICTURE_AFTER_MS = 120, 400
"""How much round a fault a picture shows."""


class SimTarget:
    """Every run in a world of its own; the same seed gives the same run."""

    name, jobs, waits = "sim", 2, True

    def check(self, scenario: Scenario) -> None:
        """Raises ``Unfit`` for a fault or a behaviour that the simulator does not have."""
        for number, fault in enumerate(scenario.timeline):
            where = f"{scenario.name}: timeline[{number}]"
            if fault.fault not in sim_faults.KINDS:
                raise Unfit(f"{where}: only real processes have the fault {fault.fault!r}; --target processes runs it")
            if fault.fault == "revoke" and any(node in scenario.topology.observing for node in fault.nodes):
                raise Unfit(f"{where}: only real processes look at observers' certificates; --target processes runs it")
        if scenario.topology.services != Services():
            raise Unfit(f"{scenario.name}: topology.services: only real processes have services beside them")
        for number, liar in enumerate(scenario.topology.byzantine):
            where = f"{scenario.name}: topology.byzantine[{number}]"
            if liar.behaviour not in BEHAVIOURS:
                known = ", ".join(sorted(BEHAVIOURS))
                raise Unfit(f"{where}.behaviour: there is no {liar.behaviour!r}; allowed: {known}")
            known_options = list(signature(BEHAVIOURS[liar.behaviour]).parameters)[1:]
            if strange := [name for name in liar.options if name not in known_options]:
                allowed = ", ".join(known_options) or "none"
                raise Unfit(f"{where}.options: {liar.behaviour} has no {strange[0]!r}; allowed: {allowed}")

    def run(self, scenario: Scenario, seed: int) -> Observation:
        world, verdict = play(scenario, seed)
        return observe(scenario, world, verdict)


def play(scenario: Scenario, seed: int, *, drawn: bool = False) -> tuple[World, Verdict]:
    """The world after a run. ``drawn``: it keeps what arrived, for pictures."""
    plan = plan_of(scenario, seed)
    world = World(plan, stage_of(plan), watched=True)
    world.arrived = [] if drawn else None
    return world, judged(world)


def told(scenario: Scenario, seed: int, lines: int) -> str:
    """The run's transcript, line by line."""
    return transcript(play(scenario, seed)[0], lines)


def picture(scenario: Scenario, seed: int) -> str:
    """The messages round the first fault, drawn as SVG; the first ones where nothing strikes."""
    world, _ = play(scenario, seed, drawn=True)
    began_ms = min((sent.at_ms for sent in world.sent if not isinstance(sent.message, CHATTER)), default=0)
    at_ms = min((struck.at_ms for struck in world.struck), default=began_ms + PICTURE_BEFORE_MS)
    return diagram(world, max(0, at_ms - PICTURE_BEFORE_MS), at_ms + PICTURE_AFTER_MS)


# ------------------------------------------------------------------------------------------ scenario to plan


def plan_of(scenario: Scenario, seed: int) -> sim_plan.Plan:
    """The plan that the simulator plays for one seed of the scenario."""
    topology, workload = scenario.topology, scenario.workload
    genesis, options = _tuning(topology.tuning)
    return sim_plan.Plan(
        seed,
        scenario.name,
        topology.nodes,
        newcomers=topology.observers,
        twins=topology.twins,
        liars=tuple(_liars(topology, seed)),
        wires=tuple(_wires(topology, seed)),
        weather=_weather(topology.weather),
        disks=msgspec.convert(msgspec.to_builtins(topology.disks), sim_plan.Disks),
        execution=msgspec.convert(msgspec.to_builtins(topology.execution), sim_plan.Execution),
        faults=tuple(_fault(fault, topology.places) for fault in scenario.timeline),
        skews_ms=topology.clocks_ms,
        clients=workload.clients,
        operations=workload.operations,
        workload=workload.kind,
        chaos_ms=scenario.faults_end_ms,
        reports=topology.reports,
        options=options,
        genesis=genesis,
    )


def _tuning(tuning: Tuning) -> tuple[dict[str, int], dict[str, int]]:
    given: dict[str, int] = msgspec.to_builtins(tuning)
    return (
        {name: value for name, value in given.items() if name in GENESIS},
        {name: value for name, value in given.items() if name not in GENESIS},
    )


def _liars(topology: Topology, seed: int) -> Iterator[sim_plan.Liar]:
    for liar in topology.byzantine:
        yield sim_plan.Liar(liar.node, liar.behaviour, dict(liar.options))
    if topology.mutated:
        yield sim_plan.Liar(fuzz_of(seed, topology.nodes).liar, "exempt")


def _wires(topology: Topology, seed: int) -> Iterator[sim_plan.Named]:
    if topology.mutated:
        yield sim_plan.Named("small-mutations", {"seed": seed})
    if topology.partitions_of_views:
        partitions = [list(groups) for groups in topology.partitions_of_views]
        yield sim_plan.Named("view-partitions", {"partitions": partitions})


def _weather(weather: Weather) -> sim_plan.Weather:
    fields: dict[str, Any] = msgspec.structs.asdict(weather)
    low, high = fields.pop("delay_ms")
    return sim_plan.Weather(low, high, **fields)


def _fault(fault: Fault, places: int) -> sim_plan.Fault:
    return sim_plan.Fault(
        at_ms=fault.after_ms if fault.at_ms is None else fault.at_ms,
        kind=fault.fault,
        groups=_groups(fault, places),
        amount=fault.to or fault.operations or fault.bit or fault.by_ms or fault.client or 0,
        when=None if fault.when is None else _trigger(fault.when),
        for_ms=fault.for_ms,
        weather=None if fault.weather is None else _weather(fault.weather),
    )


def _groups(fault: Fault, places: int) -> tuple[tuple[int, ...], ...]:
    if fault.fault == "hand_over":
        return (tuple(range(places)),)
    if fault.groups or fault.links:
        return tuple(_places(group) for group in fault.groups or fault.links)
    return (_places(fault.nodes),) if fault.nodes else ()


def _places(nodes: tuple[Node, ...]) -> tuple[int, ...]:
    return tuple(sim_faults.PRIMARY if node == PRIMARY else int(node) for node in nodes)


def _trigger(when: When) -> sim_plan.Trigger:
    return sim_plan.Trigger(when.height, when.view, when.epoch, when.sent or "", when.sequence, when.copies)


# -------------------------------------------------------------------------------------- world to observation


def observe(scenario: Scenario, world: World, verdict: Verdict) -> Observation:
    """What the world's records say."""
    watch = world.watch
    assert watch is not None, "the world is watched"
    return Observation(
        target=SimTarget.name,
        scenario=scenario.name,
        seed=world.plan.seed,
        nodes=world.plan.places,
        liars=tuple(node.place for node in world.nodes if node.owner in world.plan.byzantine),
        faults_end_ms=scenario.faults_end_ms,
        ended_ms=world.now_ms,
        settled_ms=world.settled_ms,
        struck=tuple(_strikes(world)),
        befallen=world.befallen,
        commits=tuple(_commits(world)),
        stands=tuple(_stands(world)),
        operations=tuple(_operations(world)),
        accusations=tuple(_accusations(world)),
        cries=tuple(Cry(*cry) for cry in watch.cries if _is_honest(world, cry.place)),
        violations=verdict.faults,
        view_changes=verdict.view_changes,
        transfers=verdict.transfers,
        messages=verdict.messages,
        trace=verdict.trace,
    )


def _is_honest(world: World, place: int) -> bool:
    return world.nodes[place].owner not in world.plan.byzantine


def _strikes(world: World) -> Iterator[Strike]:
    for struck in world.struck:
        fault = struck.fault
        nodes = tuple(dict.fromkeys(place for group in fault.groups for place in group))
        yield Strike(struck.at_ms, struck.number, fault.kind, nodes, struck.at_ms + fault.for_ms or None)


def _commits(world: World) -> Iterator[Commit]:
    assert world.watch is not None, "the world is watched"
    top = 0
    for seen in world.watch.seen:
        if _is_honest(world, seen.place) and seen.height > top:
            yield from (Commit(seen.at_ms, height) for height in range(top + 1, seen.height + 1))
            top = seen.height


def _stands(world: World) -> Iterator[Stand]:
    assert world.watch is not None, "the world is watched"
    last: dict[int, tuple[int, int, bool]] = {}
    for seen in world.watch.seen:
        stand = (seen.epoch, seen.view, seen.active)
        if last.get(seen.place) != stand:
            last[seen.place] = stand
            yield Stand(seen.at_ms, seen.place, *stand)


def _operations(world: World) -> Iterator[Operation]:
    for client in world.clients:
        for operation in client.history:
            waited_ms = operation.waited_ms
            answered_ms = None if waited_ms is None else operation.asked_ms + waited_ms
            yield Operation(
                client.number, operation.function, operation.asked_ms, answered_ms, operation.code, operation.height
            )


def _accusations(world: World) -> Iterator[Accusation]:
    owners = {node.key.public_key: node.owner for node in world.nodes}
    holders: dict[tuple[int, str], list[int]] = {}
    proofs: dict[tuple[int, str], tuple[tuple[str, ...], str]] = {}
    for node in world.honest:
        epochs = {epoch.number: epoch for epoch in node.epochs}
        for evidence in node.evidence:
            accused = owners[epochs[evidence.scope.epoch].keys[evidence.accused]]
            case = (accused, str(evidence.kind))
            held = holders.setdefault(case, [])
            if case not in proofs:
                proofs[case] = told_evidence(evidence), encoded_evidence(evidence)
            if node.place not in held:
                held.append(node.place)
    for (accused, kind), held in sorted(holders.items()):
        yield Accusation(accused, kind, tuple(held), *proofs[accused, kind])
