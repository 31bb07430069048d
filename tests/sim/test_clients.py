"""What simulated clients do, so that what they wait for says something of the network and not of them."""

from __future__ import annotations

import pytest

from ca.signatures import remembering
from sim.node import SimNode
from sim.plan import Plan
from sim.setting import stage_of
from sim.world import World


def test_a_client_that_has_no_answer_asks_each_node_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it drew a node anew each time, met the one liar nine times in a row, and seemed censored."""
    asked: list[int] = []
    monkeypatch.setattr(SimNode, "submit", lambda node, envelope, client: asked.append(node.place))
    plan = Plan(1, "none", clients=1, operations=1, chaos_ms=500, calm_ms_max=9_000)
    with remembering():
        world = World(plan, stage_of(plan))
        world.play()
    first, nodes = asked[0], len(world.nodes)
    assert len(asked) > nodes
    assert asked == [(first + number) % nodes for number in range(len(asked))]
