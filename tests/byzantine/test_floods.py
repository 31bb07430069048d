"""Floods and garbage: what one replica sends costs the others a bounded number of bytes and never their lives.

Rows 10 and 14 of the reliability table.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from mutants import hunts
from mutants.hunts import LIAR, ended, signed, tell, with_liar

from pbft.gate import Gate, Rejected
from pbft.messages import (
    BatchBody,
    Commit,
    Complaint,
    FetchBatch,
    Forward,
    Message,
    Outcome,
    Prepare,
    Statement,
    Status,
    ViewChange,
    encode_message,
)
from sim.arena import Arena, Member

FLOOD = 400
"""Messages of one kind in the first flood; the second is four times as many."""
BYTES_PER_SENDER_MAX = 400_000
"""What one liar can make a replica with a window of 12 keep, by this measure of Python objects."""


def _bytes_of(root: object) -> int:
    """The size of everything that a replica refers to, keys and configuration included."""
    seen: set[int] = set()
    todo = [root]
    total = 0
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        if isinstance(item, dict):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            todo += item
        else:
            todo += list(getattr(item, "__dict__", {}).values())
            slots = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
            todo += [getattr(item, name) for name in slots if hasattr(item, name)]
            todo += [getattr(item, name) for name in getattr(item, "__struct_fields__", ())]
    return total


def _statement(number: int) -> Statement:
    return Statement(number, *(sha256(b"%d" % (number + part)).digest() for part in range(4)))


MAKERS: dict[str, Callable[[Arena, int], Message]] = {
    "prepare, views": lambda arena, i: signed(arena, Prepare(i, 1 + i % 12, sha256(b"%d" % i).digest(), LIAR)),
    "prepare, sequences": lambda arena, i: signed(arena, Prepare(0, i, sha256(b"%d" % i).digest(), LIAR)),
    "commit, views": lambda arena, i: signed(arena, Commit(i, 1 + i % 12, sha256(b"%d" % i).digest(), LIAR)),
    "commit, sequences": lambda arena, i: signed(arena, Commit(9, i, sha256(b"%d" % i).digest(), LIAR)),
    "outcome, heights": lambda arena, i: signed(arena, Outcome(_statement(i), LIAR)),
    "outcome, states": lambda arena, i: signed(
        arena, Outcome(Statement(1 + i % 8, sha256(b"%d" % i).digest(), b"", b"", b""), LIAR)
    ),
    "view change": lambda arena, i: signed(arena, ViewChange(i + 1, None, (), LIAR)),
    "complaint": lambda arena, i: signed(arena, Complaint(i, LIAR)),
    "proposal": lambda arena, i: hunts.proposal_of(arena, i, b"x" * 300, view=3),
    "status": lambda arena, i: Status(0, i, True, i, i),
    "fetch": lambda arena, i: FetchBatch(sha256(b"%d" % i).digest()),
    "body": lambda arena, i: BatchBody(hunts.batch_of(arena, b"%d" % i * 50)[0]),
}


@pytest.mark.row(10)
@pytest.mark.parametrize("kind", MAKERS)
def test_what_a_flood_leaves_behind_does_not_grow_with_it(kind: str) -> None:
    once, four_times = (_left_behind(kind, count) for count in (FLOOD, 4 * FLOOD))
    print(f"{kind}: {once} bytes after {FLOOD}, {four_times} after {4 * FLOOD}")
    assert once < BYTES_PER_SENDER_MAX
    assert four_times < once + once // 10 + 10_000


def _left_behind(kind: str, count: int) -> int:
    """How much larger replica 1 is after so many messages, beside one that got none."""
    arena = with_liar()
    arena.carry = lambda sender, receiver, message: ()
    before = _bytes_of(arena.members[1].replica.core)
    for number in range(count):
        tell(arena, MAKERS[kind](arena, number), [1])
    arena.run(10)
    return max(0, _bytes_of(arena.members[1].replica) - before)


@pytest.mark.row(10)
def test_a_flood_of_every_kind_changes_nothing() -> None:
    arena = with_liar()
    for number in range(60):
        for maker in MAKERS.values():
            tell(arena, maker(arena, number), [0, 1, 2])
        arena.submit(number % 3, f"request {number}")
        arena.run(5)
    assert all(member.replica.view == 0 for member in arena.honest)
    assert all(member.chain.has(b"request 50") for member in arena.honest)
    assert ended(arena) == []


@pytest.mark.row(10)
@pytest.mark.parametrize("seed", range(2))
def test_votes_far_ahead_keep_the_log_within_its_window(seed: int) -> None:
    assert hunts.far_sequences(seed) == []
    assert hunts.climbing_views(seed) == []


# ---------------------------------------------------------------------------------------------- garbage

SAMPLES: tuple[Message, ...] = (
    Prepare(1, 1, b"x" * 32, 1, b"y" * 64),
    Forward((b"abc",)),
    BatchBody(b"zzzz"),
    Status(0, 0, True, 1, 1),
    Complaint(1, 1, b"x"),
    Outcome(_statement(3), 1, b"y" * 64),
    ViewChange(1, None, (), 1, b"y" * 64),
)


@pytest.mark.row(14)
@pytest.mark.parametrize("seed", range(8))
def test_no_bytes_get_past_the_gate_but_as_a_message_or_a_typed_reject(seed: int) -> None:
    chance = random.Random(seed)
    member = Arena(range(4)).members[0]
    rejected = sum(_refuses(member.gate, _garbage(chance)) for _ in range(2_000))
    assert rejected > 500


def _garbage(chance: random.Random) -> bytes:
    data = bytearray(encode_message(chance.choice(SAMPLES)))
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.randint(0, len(data))] if chance.random() < 0.2 else data)


def _refuses(gate: Gate, data: bytes) -> bool:
    try:
        gate.verify(1, gate.decode(data))
    except Rejected:
        return True
    return False


@pytest.mark.row(14)
def test_text_that_is_no_utf_8_is_refused_like_any_garbage() -> None:
    """A tag of invalid UTF-8: thirteen bytes that once ended every node they reached."""
    gate = Arena(range(4)).members[0].gate
    assert _refuses(gate, b"\x98\xa6b\xaeatus\x00\x00\xc3\x01\xe8\x01\xc3")
    assert _refuses(gate, encode_message(BatchBody(b"\x93\xa4ma\xffn\x00\x90")))


@pytest.mark.row(14)
def test_bytes_that_are_no_batch_start_no_view_change() -> None:
    arena = with_liar()
    bodies: list[Any] = [b"", b"\x00", b"\x93\xa4ma\xffn\x00\x90", bytes(100)]
    for number in range(20):
        tell(arena, BatchBody(bodies[number % 4]), [0, 1, 2])
        arena.submit(number % 3, f"request {number}")
        arena.run(10)
    members: list[Member] = arena.honest
    assert all(member.replica.view == 0 and member.refused for member in members)
    assert ended(arena) == []
