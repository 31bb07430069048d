"""What arrives from peers: turns, bounds, epochs, blame. Bytes go in at the transport, events come out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from harness import checked
from lone import CHAIN, Lone
from network import until

from ca.keys import SigningKey
from pbft import reception
from pbft.epoch import Epoch, Validator
from pbft.events import CheckedBatch, Event, Instant, Received, Refuted, Submitted
from pbft.gate import Gate
from pbft.messages import (
    Batch,
    BatchBody,
    Chunk,
    Commit,
    ExecutionCertificate,
    FetchBlocks,
    Forward,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    PrePrepare,
    Proposal,
    Scope,
    Statement,
    Status,
    ViewChange,
    encode_batch,
    encode_frame,
)
from pbft.numbers import Numbers
from pbft.ports import SnapshotUnknown
from pbft.reception import (
    FORWARD_PIECE,
    INBOX_BYTES_MAX,
    REFUSED_PER_S_MAX,
    ROUND_CHECKS_MAX,
    STEP_COST,
    Reception,
)
from pbft.replica import Replica
from pbft.serving import Fetch
from pbft.session import Session
from pbft.transport import USELESS_BYTES

KEYS = [SigningKey.from_seed(b"peer%d" % number) for number in range(3)]
PEERS = [key.public_key for key in KEYS]
STATUS = Status(0, 0, True, 0, 0)


class Edge:
    """A reception before one lone validator; ``faults`` are those that the transport was told of."""

    def __init__(self, home: Path) -> None:
        self.lone = Lone(home)
        self.session: Session = self.lone.driver.session
        self.events: list[Event] = []
        self.fetches: list[tuple[int, Fetch]] = []
        self.faults: Counter[bytes] = Counter()
        self.useless: Counter[bytes] = Counter()
        self.paused_after, self.useless_after = 1_000, 1_000_000
        self.lone.transport.fault = self._fault  # type: ignore[method-assign]
        self.lone.transport.useless = self._useless  # type: ignore[method-assign]
        self.reception = Reception(
            self.lone.ledger,
            self.lone.transport,
            lambda: self.session,
            lambda session, event: self.events.append(event),
            lambda session, peer, fetch: self.fetches.append((peer, fetch)),
        )
        self.task = asyncio.get_running_loop().create_task(self.reception.run())

    def _fault(self, key: bytes) -> bool:
        self.faults[key] += 1
        return self.faults[key] == self.paused_after

    def _useless(self, key: bytes, count: int) -> bool:
        self.useless[key] += count
        return self.useless[key] >= self.useless_after > self.useless[key] - count

    def deliver(self, peer: int, message: Message, epoch: int = 0) -> bool:
        return self.raw(peer, encode_frame(epoch, message))

    def raw(self, peer: int, data: bytes) -> bool:
        return self.lone.transport.deliver(PEERS[peer], data)

    def among_validators(self, view: int = 0) -> None:
        """The peers vote too, from now on: they are validators 1 to 3."""
        lone, ours = self.lone, self.lone.key.public_key
        keys = (ours, *PEERS)
        epoch = Epoch(0, 1, tuple(Validator(f"node{place}", key) for place, key in enumerate(keys)))
        config = lone.config_of(epoch, 0)
        replica = Replica(config, lone.key.sign)
        replica.core.view = view
        self.session = Session(epoch, config, replica, Gate(config, lone.ledger), Numbers(keys, ours), self.session.wal)

    def number(self, peer: int) -> int:
        return self.session.numbers.number(PEERS[peer])


def by(sender: int, message: Any) -> Any:
    """With the good signature of a peer, a validator."""
    return msgspec.structs.replace(message, signature=KEYS[sender - 1].sign(message.signed(Scope(CHAIN, "main", 0))))


def proposal(text: bytes, sender: int = 1) -> Proposal:
    """Of view 1, which validator 1 leads."""
    batch = checked(encode_batch(Batch("main", 0, (text,))))
    return Proposal(by(sender, PrePrepare(1, 1, batch.digest, sender)), batch.body)


@pytest_asyncio.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)
    made.reception.close()
    made.session.wal.close()


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, 10)


async def test_a_good_message_comes_out_under_its_senders_number(edge: Edge) -> None:
    edge.deliver(1, STATUS)
    await eventually(lambda: edge.events == [Received(edge.number(1), STATUS)])
    assert edge.number(1) >= edge.session.config.n


async def test_a_request_for_data_goes_to_serving(edge: Edge) -> None:
    edge.deliver(0, FetchBlocks(1, 2), epoch=9)
    await eventually(lambda: edge.fetches == [(edge.number(0), FetchBlocks(1, 2))])


@pytest.mark.parametrize("data", [b"", b"\x00" * 4, b"\x00" * 8 + b"\xc1", b"\x00" * 8 + b"\x92\xa6status\xff"])
async def test_bytes_that_are_no_message_are_blamed_on_their_sender(edge: Edge, data: bytes) -> None:
    edge.raw(2, data)
    await eventually(lambda: edge.faults[PEERS[2]] == 1)
    assert edge.reception.rejects["malformed"] == 1


async def test_a_vote_in_anothers_name_is_blamed_on_its_sender(edge: Edge) -> None:
    edge.among_validators()
    edge.deliver(2, Prepare(0, 1, bytes(32), 0, bytes(64)))
    await eventually(lambda: edge.faults[PEERS[2]] == 1)
    assert edge.events == []


@pytest.mark.row(10)
async def test_what_only_validators_send_is_dropped_from_others_before_anything_is_checked(edge: Edge) -> None:
    edge.deliver(2, Prepare(0, 1, bytes(32), 0, bytes(64)))
    edge.deliver(2, BatchBody(b"x" * 1_000))
    edge.deliver(2, STATUS)
    await eventually(lambda: len(edge.events) == 1)
    assert edge.reception.rejects["not_a_validator"] == 2
    assert edge.faults[PEERS[2]] == 0


async def test_a_vote_of_another_epoch_is_dropped_without_blame(edge: Edge) -> None:
    edge.deliver(2, Prepare(0, 1, bytes(32), 0, bytes(64)), epoch=1)
    edge.deliver(2, STATUS, epoch=1)
    await eventually(lambda: len(edge.events) == 1)
    assert edge.reception.rejects["other_epoch"] == 1
    assert edge.faults[PEERS[2]] == 0


async def test_a_wrong_manifest_or_chunk_is_refuted_so_that_others_are_asked(edge: Edge) -> None:
    certificate = ExecutionCertificate(0, Statement(8, bytes(32), bytes(32), bytes(32), bytes(32)), ())
    edge.session.replica.transfer.want(1)
    manifest = Manifest(certificate, b"", 0, (), (), 1)
    edge.deliver(0, manifest)
    await eventually(lambda: edge.events == [Refuted(edge.number(0))])
    edge.session.replica.transfer._manifest = manifest
    edge.deliver(1, Chunk(8, 0, b"wrong"))
    await eventually(lambda: edge.events == [Refuted(edge.number(0)), Refuted(edge.number(1))])
    assert (edge.faults[PEERS[0]], edge.faults[PEERS[1]]) == (1, 1)


async def test_a_chunk_of_a_snapshot_that_is_forgotten_is_no_lie(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: with manifests that nobody asked for, a liar made honest peers' chunks look like lies."""

    def unknown(chunk: Chunk) -> None:
        raise SnapshotUnknown("of no snapshot that was offered")

    monkeypatch.setattr(edge.lone.ledger, "check_chunk", unknown)
    certificate = ExecutionCertificate(0, Statement(8, bytes(32), bytes(32), bytes(32), bytes(32)), ())
    edge.session.replica.transfer._manifest = Manifest(certificate, b"", 0, (), (), 1)
    edge.deliver(0, Chunk(8, 0, b"late"))
    await eventually(lambda: edge.reception.rejects["useless"] == 1)
    assert (edge.events, edge.faults) == ([], Counter())


async def test_forwarded_envelopes_are_blamed_only_where_bytes_alone_decide(edge: Edge) -> None:
    edge.deliver(0, Forward((b"!NONCE_USED", b"good")))
    edge.deliver(1, Forward((b"!SIGNATURE_INVALID", b"!PAYLOAD_INVALID")))
    await eventually(lambda: len(edge.events) == 2)
    assert (edge.faults[PEERS[0]], edge.faults[PEERS[1]]) == (0, 2)
    first = edge.events[0]
    assert isinstance(first, Submitted)
    assert [request.envelope for request in first.requests] == [b"good"]


async def test_a_peer_that_is_paused_for_its_faults_loses_what_waits(edge: Edge) -> None:
    edge.paused_after = 3
    for _ in range(3 * ROUND_CHECKS_MAX):
        edge.raw(0, b"")
    edge.deliver(1, STATUS)
    await eventually(lambda: len(edge.events) == 1)
    await eventually(lambda: edge.faults[PEERS[0]] >= 3)
    await asyncio.sleep(0)
    assert edge.reception.rejects["malformed"] <= ROUND_CHECKS_MAX


async def test_a_flood_of_one_peer_does_not_hold_up_another(edge: Edge) -> None:
    """Each has its share of what goes through the gate together."""
    for number in range(20 * ROUND_CHECKS_MAX):
        edge.deliver(0, Status(0, 0, True, number, 0))
    edge.deliver(1, STATUS)
    await eventually(lambda: Received(edge.number(1), STATUS) in edge.events)
    assert edge.events.index(Received(edge.number(1), STATUS)) < ROUND_CHECKS_MAX


@pytest.mark.row(14)
async def test_who_sends_what_costs_much_has_fewer_turns_than_who_sends_little(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a tester: 128 batches of 500 requests went through the gate together, while all votes waited."""
    monkeypatch.setattr(reception, "ROUND_CHECKS_MAX", 20)
    big = encode_frame(0, Forward((b"x" * 99 * reception.CHECK_BYTES,)))
    assert reception.checks_of(big) == 100
    for _ in range(4):
        edge.raw(0, big)
    for number in range(200):
        edge.deliver(1, Status(0, 0, True, number, 0))
    await eventually(lambda: len(edge.events) == 204)
    places = [place for place, event in enumerate(edge.events) if isinstance(event, Submitted)]
    assert places == [0, 91, 182, 203], "what costs a hundred checks goes once while the other has nearly as many"
    assert edge.faults == Counter()


async def test_a_long_forward_goes_through_in_pieces_and_in_order(edge: Edge) -> None:
    envelopes = tuple(b"%d" % number for number in range(3 * FORWARD_PIECE + 1))
    edge.deliver(0, Forward(envelopes))
    edge.deliver(0, STATUS)
    edge.deliver(1, STATUS)
    await eventually(lambda: len(edge.events) == 6)
    pieces = [event for event in edge.events if isinstance(event, Submitted)]
    assert [len(piece.requests) for piece in pieces] == [FORWARD_PIECE] * 3 + [1]
    assert tuple(request.envelope for piece in pieces for request in piece.requests) == envelopes
    assert edge.events.index(Received(edge.number(1), STATUS)) < edge.events.index(pieces[1])


async def test_a_peer_that_is_paused_loses_the_rest_of_its_forward(edge: Edge) -> None:
    edge.paused_after = 1
    edge.deliver(0, Forward((b"!SIGNATURE_INVALID",) * 2 * FORWARD_PIECE))
    edge.deliver(1, STATUS)
    await eventually(lambda: Received(edge.number(1), STATUS) in edge.events)
    await eventually(lambda: edge.faults[PEERS[0]] == FORWARD_PIECE)
    assert edge.reception._rest == {}
    assert sum(isinstance(event, Submitted) for event in edge.events) == 1


async def test_who_waits_alone_is_never_made_to_wait(edge: Edge) -> None:
    for _ in range(3):
        edge.raw(0, encode_frame(0, Forward((b"x" * 4_000_000,))))
    await eventually(lambda: len(edge.events) == 3)


async def test_only_the_pre_prepare_of_a_second_proposal_goes_through_the_gate(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.among_validators(view=1)
    looked_at: list[bytes] = []
    check_body = edge.lone.ledger.check_body

    def noted(body: bytes) -> CheckedBatch:
        looked_at.append(body)
        return check_body(body)

    monkeypatch.setattr(edge.lone.ledger, "check_body", noted)
    first, second = proposal(b"x"), proposal(b"y")
    edge.deliver(0, first)
    await eventually(lambda: len(edge.events) == 1)
    edge.session.replica.core.log.slot(1).accepted = first.pre_prepare
    edge.deliver(0, first)
    edge.deliver(0, second)
    edge.deliver(1, proposal(b"z", sender=2))
    await eventually(lambda: len(edge.events) == 2)
    assert edge.events[1] == Received(1, second.pre_prepare)
    assert looked_at == [first.body]
    assert edge.reception.rejects["useless"] == 2


async def test_a_proposal_is_taken_behind_its_new_view_and_not_before(edge: Edge) -> None:
    edge.among_validators()
    ahead = proposal(b"x")
    edge.deliver(0, ahead)
    await eventually(lambda: edge.reception.rejects["useless"] == 1)
    changes = tuple(by(sender, ViewChange(1, None, (), sender)) for sender in (1, 2, 3))
    edge.deliver(0, by(1, NewView(1, changes, (), 1)))
    edge.deliver(0, ahead)
    await eventually(lambda: len(edge.events) == 2)
    assert isinstance(edge.events[1], Received)
    assert edge.events[1].message == ahead
    assert edge.session.replica.view == 0, "nobody has stepped it"


async def test_reading_from_a_peer_pauses_while_its_inbox_is_full(edge: Edge) -> None:
    resumed: list[bytes] = []
    edge.lone.transport.resume_reading = lambda key: resumed.append(key)  # type: ignore[method-assign]
    big = encode_frame(0, Chunk(8, 0, bytes(INBOX_BYTES_MAX // 4)))
    assert [edge.raw(0, big) for _ in range(5)] == [True, True, True, False, False]
    await eventually(lambda: PEERS[0] in resumed)


async def test_reading_goes_on_only_once_the_inbox_is_down_to_its_bound(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full inbox is taken in turns; each but the last leaves more in it than may wait."""
    turn = ROUND_CHECKS_MAX * len(encode_frame(0, STATUS))
    monkeypatch.setattr(reception, "INBOX_BYTES_MAX", turn - 1)
    at_resume: list[int] = []
    edge.lone.transport.resume_reading = lambda key: at_resume.append(len(edge.events))  # type: ignore[method-assign]
    taken = [edge.deliver(0, STATUS) for _ in range(4 * ROUND_CHECKS_MAX)]
    assert taken == [True] * (ROUND_CHECKS_MAX - 1) + [False] * (3 * ROUND_CHECKS_MAX + 1)
    await eventually(lambda: len(edge.events) == 4 * ROUND_CHECKS_MAX)
    await eventually(lambda: bool(at_resume))
    assert at_resume == [4 * ROUND_CHECKS_MAX]


async def test_a_vote_that_can_change_nothing_is_dropped_before_its_signature_is_checked(edge: Edge) -> None:
    """Otherwise replaying old votes would cost a verification each."""
    edge.among_validators()
    edge.deliver(0, Prepare(0, 0, bytes(32), 1, b"no signature"))
    edge.deliver(0, ViewChange(0, None, (), 1))
    edge.deliver(0, BatchBody(b"nobody asked for it"))
    edge.deliver(0, Chunk(8, 0, b"nor for this"))
    edge.deliver(0, STATUS)
    await eventually(lambda: len(edge.events) == 1)
    assert edge.reception.rejects["useless"] == 4
    assert edge.faults[PEERS[0]] == 0


# --------------------------------------------------------------------------------- what is of no use, and costs


@pytest.mark.parametrize(("message", "cost"), [(STATUS, STEP_COST), (FetchBlocks(1, 2), 1)])
async def test_what_honest_peers_send_rarely_counts_as_useless(edge: Edge, message: Message, cost: int) -> None:
    edge.deliver(0, message)
    await eventually(lambda: bool(edge.events or edge.fetches))
    assert edge.useless == {PEERS[0]: cost}


async def test_a_first_vote_costs_nothing_and_each_later_one_in_its_place_does(edge: Edge) -> None:
    edge.among_validators()
    for view in range(4):
        edge.deliver(1, by(2, Prepare(view, 1, bytes(32), 2)))
        await eventually(lambda: len(edge.events) == view + 1)  # noqa: B023 # awaited in this very round
        event = edge.events[view]
        assert isinstance(event, Received)
        edge.session.replica.step(event, Instant(1, 1))
    assert edge.useless == {PEERS[1]: 3 * STEP_COST}


async def test_a_vote_that_comes_again_is_dropped_and_one_that_contradicts_it_is_not(edge: Edge) -> None:
    edge.among_validators()
    statements = [Statement(1, *[bytes([number]) * 32] * 4) for number in range(2)]
    firsts = (by(2, Commit(1, 1, bytes(32), 2)), by(2, Outcome(statements[0], 2)))
    others = (by(2, Commit(1, 1, b"x" * 32, 2)), by(2, Outcome(statements[1], 2)))
    for message in firsts:
        edge.deliver(1, message)
    await eventually(lambda: len(edge.events) == 2)
    for event in edge.events:
        edge.session.replica.step(event, Instant(1, 1))
    for message in (*firsts, by(2, Commit(0, 1, b"y" * 32, 2)), *others):
        edge.deliver(1, message)
    await eventually(lambda: len(edge.events) == 4)
    assert edge.events[2:] == [Received(edge.number(1), message) for message in others]
    assert edge.reception.rejects == {"useless": 3}


async def test_what_changes_nothing_counts_by_its_size_too(edge: Edge) -> None:
    edge.among_validators()
    edge.deliver(0, BatchBody(bytes(3 * USELESS_BYTES)))
    await eventually(lambda: edge.reception.rejects["useless"] == 1)
    assert edge.useless == {PEERS[0]: 4}


async def test_whoever_is_paused_for_being_useless_loses_what_waits_and_nobody_else_does(edge: Edge) -> None:
    edge.useless_after = 5
    for _ in range(20):
        edge.deliver(0, STATUS)
    edge.reception.useless(PEERS[0], 5)
    edge.deliver(1, STATUS)
    await eventually(lambda: bool(edge.events))
    assert edge.events == [Received(edge.number(1), STATUS)]


async def test_what_was_admissible_a_block_ago_may_be_forwarded_at_any_rate(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a tester: with short-lived requests a client had an honest node's forwards dropped, then its votes."""
    monkeypatch.setattr(edge.lone.ledger, "check_envelopes", lambda raws: ["EXPIRED" for _ in raws])
    edge.deliver(0, Forward((b"x",) * 10 * REFUSED_PER_S_MAX))
    await eventually(lambda: edge.reception.rejects["forwarded_expired"] == 10 * REFUSED_PER_S_MAX)
    edge.deliver(0, Forward((b"x",)))
    await eventually(lambda: edge.reception.rejects["forwarded_expired"] == 10 * REFUSED_PER_S_MAX + 1)
    assert edge.reception.rejects["forwarded_too_many"] == 0


async def test_a_peer_whose_forwarded_requests_are_refused_is_heard_but_its_forwards_are_not(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.lone.ledger, "check_envelopes", lambda raws: ["NOT_REGISTERED" for _ in raws])
    edge.deliver(0, Forward((b"x",) * 10 * REFUSED_PER_S_MAX))
    await eventually(lambda: edge.reception.rejects["forwarded_not_registered"] > REFUSED_PER_S_MAX)
    edge.deliver(0, Forward((b"x",)))
    edge.deliver(1, Forward((b"x",)))
    edge.deliver(0, STATUS)
    await eventually(lambda: Received(edge.number(0), STATUS) in edge.events)
    assert edge.reception.rejects["forwarded_too_many"] == 1
    pieces = 1 + REFUSED_PER_S_MAX // FORWARD_PIECE
    assert edge.reception.rejects["forwarded_not_registered"] == pieces * FORWARD_PIECE + 1
    assert edge.faults == {}


async def test_forwarded_requests_that_find_no_room_count_as_refused(edge: Edge) -> None:
    """Found by a tester: the same ones could be sent for ever, each verified anew."""
    edge.deliver(0, Forward((b"x",)))
    await eventually(lambda: bool(edge.events))
    assert [event.sender for event in edge.events if isinstance(event, Submitted)] == [PEERS[0]]
    edge.reception.refuse(PEERS[0], REFUSED_PER_S_MAX)
    edge.deliver(0, Forward((b"y",)))
    await eventually(lambda: len(edge.events) == 2)
    edge.reception.refuse(PEERS[0], 1)
    edge.deliver(0, Forward((b"z",)))
    await eventually(lambda: edge.reception.rejects["forwarded_too_many"] == 1)
    assert len(edge.events) == 2


async def test_whose_inbox_is_dropped_is_read_from_again(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: its link was held for the full inbox for ever, since no round had anything of it to take."""
    resumed: list[bytes] = []
    monkeypatch.setattr(edge.lone.transport, "resume_reading", resumed.append)
    edge.useless_after = 1
    assert not edge.raw(0, bytes(INBOX_BYTES_MAX + 1))
    edge.reception.useless(PEERS[0])
    assert resumed == [PEERS[0]]
    assert edge.reception._inbox == {}
