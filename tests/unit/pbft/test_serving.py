"""Serving peers: one request of a peer after another, bounded, and nothing that is not whole or not ours to sign."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lone import Lone
from network import until

from pbft import serving
from pbft.messages import (
    NULL_DIGEST,
    Chunk,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Message,
)
from pbft.serving import REQUESTS_WAITING_MAX, UNSENT_BYTES_MAX, Serving
from pbft.session import Session

PEER = 7
HEIGHTS = 20


class Served:
    """A ``Serving`` over a ledger of empty blocks, and what it sent."""

    def __init__(self, home: Path) -> None:
        self.lone = Lone(home)
        for height in range(1, HEIGHTS + 1):
            self.lone.ledger.execute(height, NULL_DIGEST, b"", 0, 0)
        self.sent: list[tuple[int, Message]] = []
        self.unsent = 0
        self.serving = Serving(self.lone.ledger, self._send, lambda session, peer: self.unsent)

    @property
    def session(self) -> Session:
        return self.lone.driver.session

    def _send(self, session: Session, peer: int, message: Message) -> None:
        self.sent.append((peer, message))

    async def sends(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.sent) >= count

        await until(enough, 10)


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    yield made
    await made.serving.idle()
    made.session.wal.close()


async def test_a_replica_that_is_not_whole_serves_nobody(served: Served) -> None:
    served.session.replica.core.whole = False
    for request in (FetchBlocks(1, 5), FetchManifest(1), FetchChunk(8, 0)):
        served.serving.serve(served.session, PEER, request)
    await served.serving.idle()
    assert served.sent == []
    assert served.lone.ledger.served == []
    assert served.serving.refused["fetch_while_not_whole"] == 3


async def test_a_peers_requests_are_answered_in_turn_and_too_many_are_dropped(served: Served) -> None:
    for index in range(REQUESTS_WAITING_MAX + 5):
        served.serving.serve(served.session, PEER, FetchChunk(8, index))
    served.serving.serve(served.session, PEER + 1, FetchChunk(8, 99))
    await served.sends(REQUESTS_WAITING_MAX + 1)
    await served.serving.idle()
    of_peer = [message.index for peer, message in served.sent if peer == PEER and isinstance(message, Chunk)]
    assert of_peer == list(range(REQUESTS_WAITING_MAX))
    assert (PEER + 1, Chunk(8, 99, b"chunk 99")) in served.sent
    assert served.serving.refused["fetch_while_served"] == 5


async def test_a_peer_waits_for_its_next_answer_and_nobody_else_does(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the rest: it ends when there is to be nothing more."""
    monkeypatch.setattr(serving, "REST_S_MAX", 3_600.0)
    monkeypatch.setattr(serving, "REST_PER_ANSWER", 10**9)
    for index in range(2):
        served.serving.serve(served.session, PEER, FetchChunk(8, index))
    await served.sends(1)
    for index in range(20):
        served.serving.serve(served.session, PEER + 1 + index, FetchChunk(8, index))
    await served.sends(21)
    assert served.sent[0] == (PEER, Chunk(8, 0, b"chunk 0"))
    assert PEER not in [peer for peer, _ in served.sent[1:]]
    await served.serving.idle()
    assert len(served.sent) == 21


async def test_nothing_is_read_for_a_peer_that_does_not_take_what_it_asked_for(served: Served) -> None:
    served.unsent = UNSENT_BYTES_MAX + 1
    served.serving.serve(served.session, PEER, FetchChunk(8, 0))
    await served.serving.idle()
    assert served.lone.ledger.served == []
    served.unsent = 0
    served.serving.serve(served.session, PEER, FetchChunk(8, 0))
    await served.sends(1)


async def test_a_snapshot_that_there_is_not_is_no_answer(served: Served) -> None:
    served.serving.serve(served.session, PEER, FetchManifest(1))
    served.serving.serve(served.session, PEER, FetchChunk(8, 1))
    await served.sends(1)
    assert served.sent == [(PEER, Chunk(8, 1, b"chunk 1"))]


async def test_one_request_brings_a_bounded_number_of_blocks_from_the_first_there_is(served: Served) -> None:
    most = served.session.config.fetch_blocks_max
    for request in (FetchBlocks(0, 3), FetchBlocks(5, 10**9), FetchBlocks(9, 2)):
        served.serving.serve(served.session, PEER, request)

    async def all_read() -> bool:
        return len(served.lone.ledger.served) == 3

    await until(all_read, 10)
    assert served.lone.ledger.served == [(1, 3), (5, 5 + most - 1), (9, 2)]


async def test_who_waits_is_forgotten_and_reading_has_ended_before_the_ledger_is_replaced(served: Served) -> None:
    """Otherwise a read would meet a ledger that is being closed, or mix the chunks of two."""
    reading, go_on = threading.Event(), threading.Event()
    read = served.lone.ledger.chunk

    def slow_chunk(height: int, index: int) -> bytes | None:
        reading.set()
        go_on.wait(10)
        return read(height, index)

    served.lone.ledger.chunk = slow_chunk  # type: ignore[method-assign]
    for index in range(3):
        served.serving.serve(served.session, PEER, FetchChunk(8, index))
    await asyncio.to_thread(reading.wait, 10)
    idle = asyncio.get_running_loop().create_task(served.serving.idle())
    await asyncio.sleep(0)
    assert not idle.done(), "one is being read"
    go_on.set()
    async with asyncio.timeout(10):
        await idle
    assert served.lone.ledger.served == [(8, 0)]
    served.serving.serve(served.session, PEER, FetchChunk(8, 7))
    await served.sends(2)
    assert [message for _, message in served.sent] == [Chunk(8, 0, b"chunk 0"), Chunk(8, 7, b"chunk 7")]


async def test_a_ledger_that_cannot_be_read_ends_the_node(served: Served) -> None:
    task = asyncio.get_running_loop().create_task(served.serving.run())
    served.lone.ledger.broken = True
    served.serving.serve(served.session, PEER, FetchChunk(8, 0))
    with pytest.raises(OSError, match="the disk is gone"):
        async with asyncio.timeout(10):
            await task
