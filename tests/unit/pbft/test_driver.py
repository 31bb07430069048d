"""The driver through whole lives: epochs, restarts, lost logs, retirement. One validator, no network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import request
from lone import Lone, TextLedger
from network import until

from ca.keys import SigningKey
from pbft import driver as driver_module
from pbft.epoch_logs import NEW_MARK
from pbft.events import Submitted
from pbft.messages import (
    BatchBody,
    FetchBatch,
    Handover,
    Prepare,
    Proposal,
    Status,
    decode_message,
    encode_frame,
    encode_message,
    split_frame,
)
from pbft.serving import UNSENT_BYTES_MAX


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / NEW_MARK).touch()
    return tmp_path


@asynccontextmanager
async def running(lone: Lone) -> AsyncIterator[Lone]:
    task = asyncio.get_running_loop().create_task(lone.driver.run())
    try:
        yield lone
    finally:
        lone.driver.stop()
        await task


def lose_logs(home: Path) -> None:
    for path in home.glob("wal/*/*.wal"):
        path.unlink()


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, 15)


async def test_a_driver_goes_on_with_another_configuration_as_after_a_restart(home: Path) -> None:
    async with running(Lone(home)) as lone:
        await eventually(lambda: lone.ledger.height > 2)
        lone.block_idle_ms_max = 86_400_000
        before = lone.driver.session
        lone.driver.reconfigure()
        await eventually(lambda: lone.driver.session is not before)
        assert lone.driver.session.config.block_idle_ms_max == 86_400_000
        height = lone.ledger.height
        assert await lone.submit("a") == [True]
        await eventually(lambda: len(lone.ledger.certificates) == lone.ledger.height and "a" in lone.ledger.texts)
        assert lone.ledger.height == height + 1, "no empty blocks come between"
        lone.block_idle_ms_max = 20
        lone.driver.reconfigure()
        await eventually(lambda: lone.ledger.height > height + 3)


async def test_what_holds_the_ledger_up_is_told_to_let_go_when_the_driver_ends(home: Path) -> None:
    lone, let_go, held = Lone(home), threading.Event(), threading.Event()
    execute = lone.ledger.execute

    def waits(*block: Any) -> Any:
        held.set()
        assert let_go.wait(15), "nobody told it"
        return execute(*block)

    lone.ledger.execute = waits  # type: ignore[method-assign,assignment]
    lone.driver.execution.on_ending = let_go.set
    async with running(lone):
        await eventually(held.is_set)


async def test_what_is_submitted_is_ordered_executed_and_certified(home: Path) -> None:
    async with running(Lone(home)) as lone:
        assert await lone.submit("a", "b") == [True, True]
        await eventually(lambda: lone.ledger.texts == ["a", "b"] and lone.ledger.uncertified() == ())


async def test_at_the_boundary_another_replica_goes_on_from_the_ledger(home: Path) -> None:
    async with running(Lone(home)) as lone:
        first = lone.driver.replica
        await lone.submit("boundary:8:stay")
        await eventually(lambda: lone.driver.session.epoch.number == 1)
        assert lone.driver.replica is not first
        assert lone.ledger.height >= 8
        await lone.submit("in the next epoch")
        await eventually(lambda: "in the next epoch" in lone.ledger.texts and lone.ledger.uncertified() == ())
        assert [c.epoch for c in lone.ledger.certificates[:8]] == [0] * 8
        assert {c.epoch for c in lone.ledger.certificates[8:]} == {1}
        assert sorted(path.name for path in (home / "wal").iterdir() if path.is_dir()) == ["00000000", "00000001"]


async def test_nothing_is_ordered_above_the_boundary_in_the_old_epoch(home: Path) -> None:
    async with running(Lone(home)) as lone:
        await lone.submit("boundary:8:stay")
        await eventually(lambda: lone.driver.session.epoch.number == 1)
        assert all(certificate.epoch == 0 for certificate in lone.ledger.certificates[:8])


async def test_requests_that_wait_at_the_boundary_are_ordered_in_the_next_epoch(home: Path) -> None:
    """Batches of one: while block after block comes, most of them wait."""
    texts = [f"t{number:02}" for number in range(30)]
    async with running(Lone(home, batch_transactions_max=1)) as lone:
        await lone.submit("boundary:8:stay", *texts)
        await eventually(lambda: set(texts) <= set(lone.ledger.texts))
        assert lone.driver.session.epoch.number == 1


async def test_a_restart_goes_on_where_the_log_stands(home: Path) -> None:
    async with running(Lone(home)) as lone:
        await lone.submit("a")
        await eventually(lambda: lone.ledger.texts == ["a"])
    async with running(Lone(home, lone.ledger)) as again:
        assert again.driver.replica.core.votes
        await again.submit("b")
        await eventually(lambda: again.ledger.texts == ["a", "b"])


async def test_a_restart_without_the_log_is_mute(home: Path) -> None:
    async with running(Lone(home)) as lone:
        await lone.submit("a")
        await eventually(lambda: lone.ledger.texts == ["a"])
    lose_logs(home)
    again = Lone(home, lone.ledger)
    async with running(again):
        await eventually(lambda: bool(again.driver.alarms))
        assert not again.driver.replica.core.votes
    third = Lone(home, lone.ledger)
    async with running(third):
        await eventually(lambda: bool(third.driver.alarms))
        assert not third.driver.replica.core.votes, "another restart does not make it well"


async def test_a_validator_that_was_taken_out_ends_when_the_others_have_taken_over(home: Path) -> None:
    lone = Lone(home)
    other = SigningKey.from_seed(b"other").public_key
    task = asyncio.get_running_loop().create_task(lone.driver.run())
    await lone.submit("boundary:8:leave")
    await eventually(lambda: lone.driver.session.epoch.number == 1)
    assert not task.done()
    assert not lone.driver.replica.core.votes
    status = Status(1, 0, True, 8, 8)
    lone.transport.deliver(other, encode_frame(1, status))
    async with asyncio.timeout(10):
        await task


async def test_an_observer_does_not_end_although_others_vote(home: Path) -> None:
    other = SigningKey.from_seed(b"other").public_key
    async with running(Lone(home, TextLedger(other, other))) as observer:
        observer.transport.deliver(other, encode_frame(0, Status(0, 0, True, 0, 0)))
        await eventually(lambda: observer.driver.replica.core.peers != {})
        assert not observer.driver.replica.core.votes


async def test_a_vote_of_another_epoch_is_dropped_and_a_status_is_taken(home: Path) -> None:
    other = SigningKey.from_seed(b"other").public_key
    async with running(Lone(home)) as lone:
        lone.transport.deliver(other, encode_frame(7, Prepare(0, 1, bytes(32), 0, bytes(64))))
        lone.transport.deliver(other, encode_frame(7, Status(7, 0, True, 0, 0)))
        await eventually(lambda: lone.driver.replica.core.peers != {})
        assert lone.driver.rejects["other_epoch"] == 1


async def test_a_hand_over_that_nobody_signed_is_refused(home: Path) -> None:
    async with running(Lone(home)) as lone:
        assert await lone.driver.hand_over(b"\xff") is None
        assert await lone.driver.hand_over(encode_message(Status(0, 0, True, 0, 0))) is None
        assert await lone.driver.hand_over(encode_message(Handover(0, 0))) is None
        signed = Handover(0, 0, ((lone.key.public_key, bytes(64)),))
        assert await lone.driver.hand_over(encode_message(signed)) == 0


async def test_what_the_ledger_raises_ends_the_node(home: Path) -> None:
    lone = Lone(home)
    task = asyncio.get_running_loop().create_task(lone.driver.run())
    await lone.submit("a")
    await eventually(lambda: lone.ledger.texts == ["a"])
    lone.ledger.statements.append(lone.ledger.statements[-1])
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(10):
            await task


async def test_batches_are_not_queued_for_who_does_not_take_what_it_asked_for(home: Path) -> None:
    """Found in review: a request of forty bytes made the node encode and queue a megabyte, however often it came."""
    lone = Lone(home)
    other = SigningKey.from_seed(b"other").public_key
    sent: list[bytes] = []
    unsent = [0]
    lone.transport.send = lambda keys, frame, bulk: sent.extend([frame] if tuple(keys) == (other,) else [])  # type: ignore[method-assign,misc]
    lone.transport.queued_bytes = lambda key: unsent[0]  # type: ignore[method-assign]

    def asked() -> int:
        """Ask for every batch at hand; how often that was refused so far."""
        for slot in lone.driver.replica.core.log.ascending():
            for digest in slot.bodies:
                lone.transport.deliver(other, encode_frame(0, FetchBatch(digest)))
        return lone.driver.rejects["fetch_while_served"]

    def bodies() -> int:
        return sum(isinstance(decode_message(split_frame(frame)[1]), BatchBody | Proposal) for frame in sent)

    async with running(lone):
        await eventually(lambda: asked() == 0 and bodies() > 0)
        unsent[0] = UNSENT_BYTES_MAX + 1
        await eventually(lambda: asked() > 0)
        queued, refused = bodies(), asked()
        await eventually(lambda: asked() > refused + 10)
        assert bodies() == queued


async def test_a_peers_requests_for_which_the_pool_has_no_room_are_counted(home: Path) -> None:
    lone = Lone(home, pool_transactions_max=1)
    texts = [request(f"flood{number}:x") for number in range(5)]
    lone.driver._events.extend([Submitted((one,), False, b"a peer") for one in texts])
    lone.driver._step_all()
    assert lone.driver._reception._refused[b"a peer"]._count == 4
    lone.driver._reception.close()
    lone.driver.session.wal.close()


async def test_a_backlog_is_looked_at_a_part_a_block_and_all_of_it_in_turn(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a tester: the whole of it was asked again at every block, on the execution thread."""
    monkeypatch.setattr(driver_module, "RECHECKED_MAX", 3)
    lone = Lone(home, request_timeout_ms=1)
    lone.driver._events.append(Submitted(tuple(request(f"client{number}:x") for number in range(8)), True))
    lone.driver._step_all()
    seen = [[item.client for item in lone.driver._stale()] for _ in range(3)]
    assert [len(part) for part in seen] == [3, 3, 3]
    assert {name for part in seen for name in part} == {f"client{number}" for number in range(8)}
    lone.driver._reception.close()
    lone.driver.session.wal.close()
