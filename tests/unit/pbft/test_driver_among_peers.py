"""The driver of one of four validators: peers are played by the tests, which hold their keys."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lone import CHAIN, INTERVAL, Lone, TextLedger
from network import until

from ca.keys import SigningKey
from ca.signatures import verify
from pbft.core import CONVICTIONS_MAX
from pbft.driver import Transfer
from pbft.epoch import Epoch, Validator
from pbft.epoch_logs import NEW_MARK
from pbft.events import AlarmKind, CheckedBatch
from pbft.evidence import Evidence, EvidenceKind, verify_evidence
from pbft.messages import (
    NULL_DIGEST,
    CertifiedBlock,
    Chunk,
    Commit,
    ExecutionCertificate,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Handover,
    Manifest,
    Message,
    Prepare,
    Scope,
    Status,
    decode_message,
    encode_frame,
    encode_message,
    split_frame,
    statement_bytes,
)

PEERS = [SigningKey.from_seed(b"peer%d" % number) for number in range(3)]
"""Validators 0, 1 and 2; we are number 3."""
SCOPE = Scope(CHAIN, "main", 0)
WINDOW = 2 * INTERVAL
HEIGHT = 40
CHUNKS = 3


class FollowersLedger(TextLedger):
    """The ledger of validator 3 of four. It takes the snapshots that peers give: the ``peers`` ledger so far."""

    def __post_init__(self) -> None:
        keys = [*(peer.public_key for peer in PEERS), self.key]
        self.epochs = [Epoch(0, 1, tuple(Validator(f"v{number}", key) for number, key in enumerate(keys)))]
        self.peers = peers_ledger()
        self.begun: list[int] = []
        self.staged: list[int] = []

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        return None

    def check_manifest(self, manifest: Manifest) -> None:
        """All good."""

    def check_chunk(self, chunk: Chunk) -> None:
        """All good."""

    def begin_transfer(self, manifest: Manifest) -> None:
        self.begun.append(manifest.height)
        self.staged = []

    def stage(self, chunk: Chunk) -> None:
        self.staged.append(chunk.index)

    def install(self) -> None:
        height = self.begun[-1]
        self.statements, self.blocks = self.peers.statements[:height], self.peers.blocks[:height]
        self.certificates = self.peers.certificates[:height]


def peers_ledger() -> TextLedger:
    """Empty blocks, each certified by the three peers."""
    ledger = TextLedger(b"", b"")
    for height in range(1, HEIGHT + 1):
        statement = ledger.execute(height, NULL_DIGEST, b"", 0, 0).statement
        signatures = tuple((n, key.sign(statement_bytes(SCOPE, statement))) for n, key in enumerate(PEERS))
        ledger.certificates.append(ExecutionCertificate(0, statement, signatures))
    return ledger


class Among(Lone):
    """Validator 3 and its wire: ``sent`` holds who got what, and whether as bulk."""

    def __init__(self, home: Path, ledger: TextLedger | None = None, **options: int) -> None:
        key = SigningKey.from_seed(b"me").public_key
        super().__init__(home, ledger or FollowersLedger(key, key), **options)
        self.sent: list[tuple[bytes, Message, bool]] = []
        self.answer: Callable[[bytes, Message], None] = lambda to, message: None
        self.transport.send = self._send  # type: ignore[method-assign]

    @property
    def follower(self) -> FollowersLedger:
        assert isinstance(self.ledger, FollowersLedger)
        return self.ledger

    def transfer(self) -> Transfer | None:
        return self.driver.transfer

    def _send(self, keys: Iterable[bytes], data: bytes, *, bulk: bool) -> None:
        message = decode_message(split_frame(data)[1])
        for key in keys:
            self.sent.append((key, message, bulk))
            self.answer(key, message)

    def hear(self, peer: int, message: Message, epoch: int = 0) -> None:
        self.transport.deliver(PEERS[peer].public_key, encode_frame(epoch, message))

    def block(self, height: int) -> CertifiedBlock:
        return CertifiedBlock(b"", b"", 0, 0, self.follower.peers.certificates[height - 1])

    def hear_statuses(self, height: int, whole: tuple[int, ...] = (0, 1, 2)) -> None:
        for peer in range(3):
            self.hear(peer, Status(0, 0, True, height, height, 1, peer in whole))

    def fetched(self, kind: type[Any]) -> list[tuple[int, Any]]:
        """What of one kind was asked of which peer."""
        order = [peer.public_key for peer in PEERS]
        return [(order.index(key), message) for key, message, _ in self.sent if isinstance(message, kind)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / NEW_MARK).touch()
    return tmp_path


@asynccontextmanager
async def running(lone: Lone) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(lone.driver.run())
    try:
        yield
    finally:
        lone.driver.stop()
        await task


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, 15)


def by(peer: int, message: Any) -> Any:
    return msgspec.structs.replace(message, signature=PEERS[peer].sign(message.signed(SCOPE)))


# -------------------------------------------------------------------------------------------- snapshots


async def test_a_snapshot_is_staged_reported_installed_and_a_new_replica_goes_on_from_it(home: Path) -> None:
    among = Among(home, snapshot_gap_blocks=10, chunks_in_flight_max=1)
    manifest = Manifest(among.follower.peers.certificates[HEIGHT - 1], b"", 0, (), (), CHUNKS)
    async with running(among):
        first = among.driver.replica
        among.hear_statuses(HEIGHT, whole=(0, 1))
        await eventually(lambda: bool(among.fetched(FetchManifest)))
        peer, _ = among.fetched(FetchManifest)[0]
        among.hear(peer, manifest)
        await eventually(lambda: len(among.fetched(FetchChunk)) == 2)
        assert among.follower.begun == [HEIGHT], "chunks are asked for once they can be checked"
        assert among.transfer() == Transfer(HEIGHT, CHUNKS, 0)
        given = 0
        while given < CHUNKS:
            for source, fetch in among.fetched(FetchChunk)[given:]:
                among.hear(source, Chunk(HEIGHT, fetch.index, b"data"))
                given += 1
            if given < CHUNKS:
                await eventually(lambda: among.transfer() == Transfer(HEIGHT, CHUNKS, 2))
                await eventually(lambda: len(among.fetched(FetchChunk)) == CHUNKS)
        await eventually(lambda: among.driver.replica is not first)
        assert sorted(among.follower.staged) == list(range(CHUNKS))
        assert {source for source, _ in among.fetched(FetchChunk)} == {0, 1}
        assert among.transfer() is None
        assert among.driver.replica.core.executed == HEIGHT
        assert among.driver.replica.core.votes


async def test_certified_blocks_that_a_peer_gives_are_executed_and_their_certificates_told(home: Path) -> None:
    among = Among(home)
    certificates = among.follower.peers.certificates

    def give(to: bytes, message: Message) -> None:
        if isinstance(message, Status) and to == PEERS[0].public_key:
            among.hear_statuses(HEIGHT)
        if isinstance(message, FetchBlocks):
            for height in range(message.first_height, message.last_height + 1):
                among.hear(0, among.block(height))

    told: list[ExecutionCertificate] = []
    among.driver.execution.on_certified = told.extend
    among.answer = give
    async with running(among):
        await eventually(lambda: told == certificates)
        assert among.ledger.height == HEIGHT
        assert among.ledger.certificates == certificates


async def test_the_log_is_cut_only_behind_the_certificate_that_allows_it(home: Path) -> None:
    """A power cut between both would leave us without votes that still bind us."""
    among = Among(home)
    order: list[tuple[str, int]] = []
    go_on = threading.Event()
    certify, wal = among.ledger.certify, among.driver.session.wal
    cut = wal.truncate_below

    def slow_certify(certificates: Sequence[ExecutionCertificate]) -> None:
        assert go_on.wait(10)
        certify(certificates)
        order.append(("certified", certificates[-1].statement.height))

    def noted_cut(sequence: int) -> None:
        order.append(("cut", sequence))
        cut(sequence)

    among.ledger.certify = slow_certify  # type: ignore[method-assign]
    wal.truncate_below = noted_cut  # type: ignore[method-assign]
    async with running(among):
        among.hear_statuses(HEIGHT)
        for height in range(1, INTERVAL + 1):
            among.hear(0, among.block(height))
        await eventually(lambda: among.driver.replica.core.low == INTERVAL)
        assert order == [], "steps go on while the certificate is being written"
        go_on.set()
        await eventually(lambda: ("cut", INTERVAL) in order)
    assert order.index(("certified", INTERVAL)) < order.index(("cut", INTERVAL))


# ---------------------------------------------------------------------------------------------- amnesia


async def test_after_a_lost_log_votes_begin_again_beyond_the_window_and_restarts_do_not_change_that(
    tmp_path: Path,
) -> None:
    among = Among(tmp_path)
    assert among.logs.amnesia
    async with running(among):
        among.hear_statuses(0)
        await eventually(lambda: len(among.driver.replica.core.peers) == len(PEERS))
    mute = Among(tmp_path, among.ledger)
    async with running(mute):
        mute.hear_statuses(WINDOW)
        for height in range(1, WINDOW + 1):
            mute.hear(1, mute.block(height))
        await eventually(lambda: mute.ledger.height == WINDOW and mute.ledger.uncertified() == ())
        assert mute.driver.alarms[-1].detail == f"no votes: until block {WINDOW} is certified"
        assert not mute.driver.replica.core.votes
        mute.hear(1, mute.block(WINDOW + 1))
        mute.hear_statuses(WINDOW + 1)
        await eventually(lambda: not mute.logs.amnesia)
    assert not [message for lone in (among, mute) for _, message, _ in lone.sent if isinstance(message, Prepare)]
    again = Among(tmp_path, among.ledger)
    async with running(again):
        await eventually(lambda: bool(again.sent))
        assert again.driver.replica.core.votes
        assert not again.driver.alarms


# ------------------------------------------------------------------------------------- faults of others


async def test_proof_of_a_lie_is_kept_before_anyone_hears_of_it(home: Path) -> None:
    among = Among(home)
    heard: list[tuple[Evidence, bool]] = []
    among.driver.on_evidence = lambda evidence: heard.append((evidence, evidence in among.kept.evidence))
    async with running(among):
        for digest in (b"a" * 32, b"b" * 32):
            among.hear(1, by(1, Prepare(0, 1, digest, 1)))
        await eventually(lambda: bool(heard))
    ((evidence, was_kept),) = heard
    assert was_kept
    assert (evidence.kind, evidence.accused) == (EvidenceKind.TWO_PREPARES, 1)
    assert verify_evidence(evidence, among.ledger.epoch.keys, lambda view: 0, verify)
    assert [alarm.kind for alarm in among.driver.alarms] == [AlarmKind.EQUIVOCATION]


@pytest.mark.row(14)
async def test_proven_lies_count_as_faults_of_the_liars_link(home: Path) -> None:
    """Found by a tester: conflicting votes cost every honest node a signature check each, for nothing."""
    among = Among(home)
    faults: list[bytes] = []
    among.transport.fault = lambda key: bool(faults.append(key))  # type: ignore[method-assign, func-returns-value]
    async with running(among):
        for number in range(30):
            among.hear(1, by(1, Prepare(0, 1, bytes([number]) * 32, 1)))
        await eventually(lambda: len(faults) == 29)
    assert set(faults) == {PEERS[1].public_key}
    assert len(among.kept.evidence) == CONVICTIONS_MAX


async def test_what_the_core_rejects_is_counted_by_reason_beside_what_the_edge_rejects(home: Path) -> None:
    among = Among(home)
    async with running(among):
        among.hear(1, by(1, Commit(0, 10_000, b"a" * 32, 1)))
        among.hear(2, Commit(0, 1, b"a" * 32, 2, bytes(64)))
        await eventually(lambda: among.driver.rejects.total() == 2)
    assert among.driver.rejects == {"outside_watermarks": 1, "bad_signature": 1}


# --------------------------------------------------------------------------------------------- serving


async def test_blocks_go_to_the_peer_that_asked_behind_everyones_votes(home: Path) -> None:
    ledger = FollowersLedger(SigningKey.from_seed(b"me").public_key, b"")
    ledger.begun = [HEIGHT]
    ledger.install()
    among = Among(home, ledger)
    async with running(among):
        among.hear(2, FetchBlocks(HEIGHT - 1, HEIGHT))
        await eventually(lambda: sum(isinstance(message, CertifiedBlock) for _, message, _ in among.sent) == 2)
    given = [(key, m.height, bulk) for key, m, bulk in among.sent if isinstance(m, CertifiedBlock)]
    assert given == [(PEERS[2].public_key, height, True) for height in (HEIGHT - 1, HEIGHT)]
    assert not any(bulk for _, message, bulk in among.sent if isinstance(message, Status))


# ------------------------------------------------------------------------------------- our own clients


async def test_the_same_request_submitted_twice_at_once_answers_both(home: Path) -> None:
    lone = Lone(home)
    both = [asyncio.get_running_loop().create_task(lone.submit("a")) for _ in range(2)]
    await asyncio.sleep(0)
    async with running(lone):
        assert await asyncio.gather(*both) == [[True], [True]]
        await eventually(lambda: lone.ledger.height > 2)
    assert lone.ledger.texts == ["a"]


async def test_a_caller_that_gives_up_takes_nobody_else_with_it(home: Path) -> None:
    """A client that repeats its request over a new connection waits for the same answer as its first call."""
    lone = Lone(home)
    first, second = (asyncio.get_running_loop().create_task(lone.submit("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with running(lone):
        assert await second == [True]
        await eventually(lambda: lone.ledger.texts == ["a"])


async def test_who_finds_no_room_in_the_pool_is_told_so_and_only_he(home: Path) -> None:
    lone = Lone(home, pool_transactions_max=2)
    waiting = asyncio.get_running_loop().create_task(lone.submit("a", "b", "c"))
    await asyncio.sleep(0)
    async with running(lone):
        assert await waiting == [True, True, False]
        await eventually(lambda: lone.ledger.texts == ["a", "b"])
        assert await lone.submit("c") == [True]


async def test_a_hand_over_verified_for_an_epoch_that_has_ended_moves_nobody(home: Path) -> None:
    """Its view number would mean another view of the next epoch."""
    lone = Lone(home)
    asked, go_on = threading.Event(), threading.Event()

    def slow_check(handover: Handover) -> bool:
        asked.set()
        return go_on.wait(10)

    lone.ledger.check_handover = slow_check  # type: ignore[method-assign]
    async with running(lone):
        order = encode_message(Handover(0, 0, ((lone.key.public_key, bytes(64)),)))
        handing = asyncio.get_running_loop().create_task(lone.driver.hand_over(order))
        await asyncio.to_thread(asked.wait, 10)
        await lone.submit("boundary:8:stay")
        await eventually(lambda: lone.driver.session.epoch.number == 1)
        go_on.set()
        assert await handing is None, "the operator must ask again"
        await lone.submit("after")
        await eventually(lambda: "after" in lone.ledger.texts)
        assert lone.driver.replica.view == 0
