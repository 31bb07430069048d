"""Castro and Liskov, OSDI '99, sections 4.1 and 4.2: requests, pre-prepare, prepare, commit."""

from __future__ import annotations

import msgspec
import pytest
from harness import Net, checked

from pbft.events import AlarmKind, Received, RejectReason, Tick
from pbft.messages import Batch, Commit, Message, Prepare, PrePrepare, Proposal, encode_batch


def test_a_request_executes_everywhere_and_is_certified() -> None:
    net = Net(4, real_signatures=True)
    net.submit(2, "a")
    net.until(lambda: net.all_executed("a"))
    net.advance(50)
    assert all(node.certificates for node in net.nodes)
    assert {len(c.signatures) for node in net.nodes for c in node.certificates.values()} == {3}
    net.check_agreement()


def test_an_idle_pipeline_proposes_at_once_and_a_busy_one_batches() -> None:
    net = Net(4, pipeline_depth=1, batch_delay_ms_max=10)
    net.submit(0, "first")
    net.submit(0, *(f"tx{i}" for i in range(20)))
    net.until(lambda: net.all_executed("first", *(f"tx{i}" for i in range(20))))
    sizes = [len(checked(body).tx_ids) for _, body, _, _ in net.nodes[1].blocks if body]
    assert sizes[0] == 1
    assert max(sizes) >= 10


def test_the_more_is_in_flight_the_longer_a_batch_waits_for_company() -> None:
    """Small blocks behind a full pipeline cost all replicas more than they let anybody gain."""
    net = Net(4, pipeline_depth=4, batch_delay_ms_max=20, status_interval_ms=200)
    net.filter = lambda sender, receiver, message: not isinstance(message, Commit)
    proposed_ms = []
    for number in range(4):
        net.submit(0, f"tx{number}")
        since_ms = net.now_ms
        net.drain()
        while len([message for message in net.nodes[0].sent if isinstance(message, Proposal)]) == number:
            net.advance(1)
        proposed_ms.append(net.now_ms - since_ms)
    assert proposed_ms == [0, 20, 60, 100]


def test_several_sequences_are_in_flight_between_the_watermarks() -> None:
    net = Net(4, pipeline_depth=4, batch_transactions_max=1)
    net.filter = lambda sender, receiver, message: not isinstance(message, Commit)
    net.submit(0, *(f"tx{i}" for i in range(10)))
    net.drain()
    proposals = [message for message in net.nodes[0].sent if isinstance(message, Proposal)]
    assert [p.pre_prepare.sequence for p in proposals] == [1, 2, 3, 4]
    assert all(node.height == 0 for node in net.nodes)


def proposal(net: Net, sequence: int, text: bytes = b"x", view: int = 0, sender: int = 0) -> Received:
    batch = checked(encode_batch(Batch("main", net.instant.clock_ms, (text,))))
    pre_prepare = PrePrepare(view, sequence, batch.digest, sender, b"s" * 64)
    return Received(sender, Proposal(pre_prepare, batch.body), batch)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"sequence": 0}, RejectReason.OUTSIDE_WATERMARKS),
        ({"sequence": 10_000}, RejectReason.OUTSIDE_WATERMARKS),
        ({"sequence": 1, "sender": 2}, RejectReason.NOT_PRIMARY),
        ({"sequence": 1, "view": 4}, RejectReason.WRONG_VIEW),
    ],
)
def test_a_backup_refuses_a_pre_prepare(event: dict[str, int], reason: RejectReason) -> None:
    net = Net(4)
    net.give(net.nodes[1], proposal(net, event["sequence"], view=event.get("view", 0), sender=event.get("sender", 0)))
    assert net.nodes[1].rejects[-1] == reason
    assert not [m for m in net.nodes[1].sent if isinstance(m, Prepare)]


@pytest.mark.row(1)
def test_a_second_pre_prepare_for_a_sequence_is_refused_and_raises_an_alarm() -> None:
    net = Net(4)
    net.give(net.nodes[1], proposal(net, 1, b"x"))
    net.give(net.nodes[1], proposal(net, 1, b"y"))
    assert net.nodes[1].rejects[-2:] == [RejectReason.CONFLICTING_PROPOSAL, RejectReason.PROVEN_LIE]
    assert net.nodes[1].alarms[-1].kind == AlarmKind.EQUIVOCATION
    assert len([m for m in net.nodes[1].sent if isinstance(m, Prepare)]) == 1


@pytest.mark.row(1)
def test_who_passes_the_second_pre_prepare_on_is_not_blamed_for_it() -> None:
    net = Net(4)
    net.give(net.nodes[1], proposal(net, 1, b"x"))
    second = proposal(net, 1, b"y").message
    assert isinstance(second, Proposal)
    net.give(net.nodes[1], Received(2, second.pre_prepare, None))
    assert net.nodes[1].rejects == [RejectReason.PROVEN_LIE], "the primary's"
    assert [evidence.accused for evidence in net.nodes[1].evidence] == [0]


@pytest.mark.row(17)
def test_a_proposal_beyond_the_clock_tolerance_is_refused() -> None:
    net = Net(4, clock_tolerance_ms=100)
    event = proposal(net, 1)
    net.now_ms += 5_000
    net.give(net.nodes[1], event)
    assert RejectReason.CLOCK_TOLERANCE in net.nodes[1].rejects


@pytest.mark.row(1)
def test_a_sender_has_one_vote_for_each_sequence_and_view() -> None:
    net = Net(4)
    vote = Prepare(0, 1, b"a" * 32, 2, b"s" * 64)
    net.give(net.nodes[1], Received(2, vote))
    net.give(net.nodes[1], Received(2, msgspec.structs.replace(vote, digest=b"b" * 32)))
    assert net.nodes[1].rejects[-2:] == [RejectReason.CONFLICTING_VOTE, RejectReason.PROVEN_LIE]
    assert net.nodes[1].alarms[-1].kind == AlarmKind.EQUIVOCATION


def test_nothing_commits_below_a_quorum() -> None:
    net = Net(4)
    lost = {1, 2}

    def two_are_deaf(sender: int, receiver: int, message: Message) -> bool:
        return receiver not in lost and sender not in lost

    net.filter = two_are_deaf
    net.submit(0, "a")
    net.drain()
    assert all(node.height == 0 for node in net.nodes)


@pytest.mark.row(18)
def test_records_are_persisted_with_or_before_the_votes_they_support() -> None:
    net = Net(4)
    net.submit(0, "a")
    net.until(lambda: net.all_executed("a"))
    for node in net.nodes:
        kinds = [type(record).__name__ for record in node.wal]
        assert kinds.index("Accepted") < kinds.index("Prepared")


@pytest.mark.row(9)
@pytest.mark.parametrize("n", [4, 5, 6, 7, 10, 13])
def test_any_number_of_replicas_agrees(n: int) -> None:
    net = Net(n)
    net.submit(n - 1, "a", "b")
    net.until(lambda: net.all_executed("a", "b"))
    net.check_agreement()


def test_a_full_pool_refuses_the_newest() -> None:
    net = Net(4, pool_transactions_max=2, client_pool_share_percent=100)
    net.filter = lambda sender, receiver, message: False
    net.submit(1, "a", "b", "c")
    assert len(net.nodes[1].replica.core.pool) == 2


@pytest.mark.row(10)
def test_one_client_can_fill_only_its_share_of_the_pool() -> None:
    net = Net(4, pool_transactions_max=10, client_pool_share_percent=50)
    net.filter = lambda sender, receiver, message: False
    net.submit(1, *(f"flood:{i}" for i in range(20)))
    net.submit(1, "other:1")
    assert len(net.nodes[1].replica.core.pool) == 6


def test_a_full_pipeline_asks_for_no_wake_up_in_the_past() -> None:
    """Found by the simulator, seed 148: a primary with a full pipeline and waiting requests spun without sleeping."""
    net = Net(4, pipeline_depth=2, batch_transactions_max=1)
    net.filter = lambda sender, receiver, message: not isinstance(message, Commit)
    net.submit(0, *(f"tx{i}" for i in range(6)))
    net.now_ms += 100
    net.give(net.nodes[0], Tick())
    assert net.nodes[0].wake_at_ms > net.now_ms
