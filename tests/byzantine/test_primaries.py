"""Primaries that are slow or pass over a client, against real replicas. Rows 12 and 13 of the reliability table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mutants.hunts import ended

from ca.signatures import remembering
from pbft.events import PoolRequest
from pbft.messages import Message, Proposal
from sim.arena import Arena, Member, has_executed, safety
from sim.byzantine.deceivers import LATE_MS
from sim.catalogue import plan_of
from sim.checkers import check
from sim.plan import Plan
from sim.setting import stage_of
from sim.world import World

RUN_MS = 2_000
EVERY_MS = 20
REQUESTS = 3
"""Offered every 20 ms, by as many clients."""
HOLD_MS = 50
"""A slow primary keeps each proposal that long: below every time-out."""
SHARE_PERCENT_MIN = 80
"""Throughput with f slow replicas against none: at least this much (row 12)."""
OPTIONS: dict[str, Any] = {
    "batch_transactions_max": 4,
    "pipeline_depth": 1,
    "primary_window_ms": 300,
    "block_idle_ms_max": 200,
    "request_timeout_ms": 2_000,
    "view_change_timeout_ms": 200,
    "view_change_timeout_ms_max": 2_000,
}


def _throughput(slow: frozenset[int], nodes: int = 4, **options: Any) -> int:
    """Requests executed everywhere in ``RUN_MS``; each slow replica's proposals leave late, whenever it leads."""
    arena = Arena(range(nodes), nodes, **(OPTIONS | options))
    arena.liars = set(slow)

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        if not isinstance(message, Proposal) or sender.index not in slow:
            return (message,)
        arena.later(HOLD_MS, lambda: arena.deliver(sender, receiver, message))
        return ()

    arena.carry = carry
    for number in range(RUN_MS // EVERY_MS):
        for client in range(REQUESTS):
            arena.submit((number + client) % nodes, f"client {client}: {number}")
        arena.run(EVERY_MS)
    assert safety(arena) == []
    return min(len(member.chain.executed) for member in arena.honest)


@pytest.mark.row(12)
@pytest.mark.parametrize(("nodes", "slow"), [(4, [0]), (4, [1]), pytest.param(7, [0, 1], marks=pytest.mark.full)])
def test_throughput_with_f_slow_primaries_keeps_the_stated_share(nodes: int, slow: list[int]) -> None:
    without = _throughput(frozenset(), nodes)
    share = 100 * _throughput(frozenset(slow), nodes) // without
    print(f"n = {nodes}, slow {slow}: {share} % of {without} requests")
    assert share >= SHARE_PERCENT_MIN


@pytest.mark.row(12)
def test_without_the_measurement_a_slow_primary_would_cost_much() -> None:
    """The test above can fail."""
    share = 100 * _throughput(frozenset([0]), primary_share_percent_min=0) // _throughput(frozenset())
    assert share < SHARE_PERCENT_MIN


def _median_ms(plan: Plan) -> int:
    """How long clients wait for a receipt."""
    with remembering():
        world = World(plan, stage_of(plan))
        world.play()
        assert check(world) == []
    waited = sorted(o.waited_ms for client in world.clients for o in client.history if o.waited_ms is not None)
    return waited[len(waited) // 2]


@pytest.mark.row(12)
@pytest.mark.parametrize("behaviour", ["late-commit", "date-back"])
def test_a_primary_makes_nobody_wait_for_its_vote_by_deceiving_one_backup(behaviour: str) -> None:
    """The others had no quorum without its COMMIT, which came just before they would have complained."""
    assert _median_ms(plan_of(0, 4, behaviour)) < LATE_MS / 2


@pytest.mark.row(13)
@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("censors", [1, 2])
def test_a_censored_client_is_served_by_the_next_honest_primary(nodes: int, censors: int) -> None:
    """The first primaries pass over one client while they serve all others."""
    if censors > (nodes - 1) // 3:
        censors = 1
    arena = Arena(range(nodes), nodes)
    arena.liars = set(range(censors))
    for liar in range(censors):
        _censor(arena.members[liar], "victim")
    arena.submit(nodes - 1, "victim: pay me")
    for number in range(60):
        arena.submit(number % nodes, *(f"client {client}: {number}" for client in range(3)))
        arena.run(EVERY_MS)
    assert has_executed(arena, "victim: pay me")
    assert all(member.replica.view >= censors for member in arena.honest)
    assert ended(arena) == []


def _censor(member: Member, client: str) -> None:
    """Its pool never takes the client's requests in."""
    pool = member.replica.core.pool
    add = pool.add

    def without(request: PoolRequest, now_ms: int, *, told: bool = False) -> bool:
        return request.client == client or add(request, now_ms, told=told)

    setattr(pool, "add", without)  # noqa: B010 - mypy forbids assigning a method


@pytest.mark.row(13)
def test_a_client_whose_requests_reach_one_liar_only_changes_no_view() -> None:
    """One replica's word is no reason: f + 1 must have waited for the request themselves."""
    arena = Arena(range(4))
    arena.liars = {3}
    arena.carry = lambda sender, receiver, message: () if sender.place == 3 else (message,)
    arena.submit(3, "victim: known to the liar alone")
    for number in range(30):
        arena.submit(number % 3, f"client: {number}")
        arena.run(EVERY_MS)
    assert {member.replica.view for member in arena.honest} == {0}
    assert ended(arena) == []
