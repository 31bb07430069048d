"""The pool: whose requests find room, whom reminders name, and when a primary passes over somebody."""

from __future__ import annotations

from typing import Any

from harness import SCOPE, request

from pbft.config import ReplicaConfig
from pbft.events import PoolRequest
from pbft.ordering import RESERVED_SHARE, Pool

PATIENCE_MS = 100


def pool_of(places: int, **options: Any) -> Pool:
    keys = tuple(bytes([index]) for index in range(4))
    return Pool(ReplicaConfig(SCOPE, keys, 0, pool_transactions_max=places, **options))


def added(pool: Pool, at_ms: int, *texts: str) -> list[bool]:
    return [pool.add(request(text), at_ms, told=True) for text in texts]


def propose(pool: Pool, at_ms: int, *texts: str) -> None:
    """The primary proposes these, and they execute."""
    requests: list[PoolRequest] = [request(text) for text in texts]
    pool.mark_proposed(requests, 1)
    pool.note_served(frozenset(item.client for item in requests), at_ms)
    pool.remove(item.tx_id for item in requests)


def test_the_last_places_are_for_clients_that_have_nothing_in_the_pool() -> None:
    pool = pool_of(2 * RESERVED_SHARE)
    assert added(pool, 0, *(f"{name}:{number}" for number in range(7) for name in "ab")) == [True] * 14
    assert added(pool, 0, "a:8", "c:1", "c:2", "d:1", "e:1") == [False, True, False, True, False]


def test_reminders_name_one_client_after_another_and_others_the_next_time() -> None:
    pool = pool_of(100)
    added(pool, 0, "a:1", "a:2", "b:1", "c:1")
    told = [[item.client for item in pool.reminders(0, 2, 0)] for _ in range(3)]
    assert told == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert len(pool.reminders(0, 10, 0)) == 4
    assert pool.reminders(-1, 10, 0) == []


def test_a_second_turn_for_one_while_another_waits_is_censorship() -> None:
    pool = pool_of(100)
    added(pool, 0, "victim:1")
    propose(pool, PATIENCE_MS, "other:1")
    assert not pool.censored(PATIENCE_MS), "everybody may have one turn before"
    propose(pool, PATIENCE_MS + 1, "other:2")
    assert pool.censored(PATIENCE_MS)


def test_who_found_a_full_pool_here_may_have_found_one_there() -> None:
    pool = pool_of(RESERVED_SHARE)
    added(pool, 0, *(f"{number}:1" for number in range(RESERVED_SHARE)))
    assert added(pool, 5, "late:1") == [False]
    for turn in (1, 2):
        propose(pool, PATIENCE_MS * turn, "other:1")
    assert not pool.censored(PATIENCE_MS)


def test_a_later_request_of_the_same_client_proposed_first_is_censorship_unless_its_room_was_scarce() -> None:
    for others, censored in ((0, True), (50, False)):
        pool = pool_of(100, client_pool_share_percent=100)
        added(pool, 0, "client:1", *(f"other{number}:1" for number in range(others)))
        added(pool, PATIENCE_MS, "client:2")
        propose(pool, PATIENCE_MS, "client:2")
        assert pool.censored(PATIENCE_MS) == censored
    pool = pool_of(100, client_pool_share_percent=4)
    added(pool, 0, "client:1", "client:2")
    added(pool, PATIENCE_MS, "client:3")
    propose(pool, PATIENCE_MS, "client:3")
    assert not pool.censored(PATIENCE_MS), "half of its share was taken"


def test_nothing_is_owed_but_what_the_primary_was_told_of() -> None:
    pool = pool_of(100)
    pool.add(request("hidden:1"), 0)
    propose(pool, PATIENCE_MS, "other:1")
    propose(pool, 2 * PATIENCE_MS, "other:2")
    assert not pool.censored(PATIENCE_MS)
    assert (pool.oldest_told_ms(), pool.owed(1_000, 10)) == (None, [])
    assert [item.client for item in pool.reminders(0, 10, 300)] == ["hidden"]
    assert (pool.oldest_told_ms(), [item.client for item in pool.owed(300, 10)]) == (300, ["hidden"])
    assert pool.owed(299, 10) == []
    for turn in (3, 4):
        propose(pool, 300 + PATIENCE_MS * turn, "other:3")
    assert pool.censored(PATIENCE_MS)
    pool.restart((), 1_000)
    assert pool.oldest_told_ms() is None, "this view's primary was not"


def test_those_that_the_primary_was_not_told_of_are_told_first() -> None:
    pool = pool_of(100)
    pool.add(request("a:1"), 0, told=True)
    pool.add(request("a:2"), 0, told=True)
    pool.add(request("a:3"), 0)
    assert [item.envelope for item in pool.reminders(0, 2, 1)] == [b"a:1", b"a:3"]


def test_what_a_block_was_said_to_hold_and_does_not_waits_as_before_whatever_else_is_said_of_it() -> None:
    pool = pool_of(100)
    added(pool, 0, "victim:1")
    added(pool, 1, "victim:2", "other:1")
    pool.mark_proposed([request("victim:1")], 1)
    pool.mark_proposed([request("victim:1"), request("other:1")], 2)
    assert [item.client for item in pool.owed(5, 10)] == ["victim"]
    pool.settle(1)
    assert pool.owed(5, 10) == [request(text) for text in ("victim:1", "victim:2")], "in the order of being told"
    pool.remove([request("other:1").tx_id])
    pool.settle(2)
    assert pool.take() == [request(text) for text in ("victim:1", "victim:2")]
    propose(pool, PATIENCE_MS, "other:2")
    propose(pool, PATIENCE_MS + 1, "other:3")
    assert pool.censored(PATIENCE_MS), "it waits since it was told of, not since it was said to be proposed"
