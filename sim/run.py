"""Running seeds: make the network once, play each seed in a world of its own, and say what broke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ca.keys import SigningKey
from ledger.genesis import Genesis
from sim.checkers import check
from sim.setting import make_genesis, node_keys, operator_keys
from sim.world import Storm, World, plan_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """A seed's outcome. ``faults`` empty means that everything held."""

    seed: int
    plan: str
    faults: tuple[str, ...]
    trace: str
    height: int
    view: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What all seeds share."""

    genesis: Genesis
    keys: list[SigningKey]
    operators: list[SigningKey]


def make_stage(sources: Mapping[str, str], parameters: Mapping[str, int], nodes: int = 4) -> Stage:
    keys, operators = node_keys(nodes), operator_keys()
    return Stage(make_genesis(keys, operators, sources, parameters), keys, operators)


def run_seed(stage: Stage, seed: int, adversary: str = "mixed") -> Verdict:
    """Play one seed and check it."""
    plan = plan_of(seed, len(stage.keys), adversary)
    world = World(plan, stage.genesis, stage.keys, stage.operators)
    try:
        world.play()
        faults = tuple(check(world))
    except Storm as storm:
        faults = (str(storm),)
    finally:
        world.close()
    height = max(node.ledger.height for node in world.honest)
    view = max(node.replica.view for node in world.honest)
    return Verdict(seed, str(plan), faults, world.trace, height, view)
