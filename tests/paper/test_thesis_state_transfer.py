"""The thesis, section 5.3.2 (state transfer), and recovery after the loss of disk: snapshots, damage, amnesia."""

from __future__ import annotations

import pytest
from harness import CHUNKS, Net, Node, checked

from pbft.events import AlarmKind, Received, RejectReason
from pbft.messages import (
    Batch,
    CertifiedBlock,
    Chunk,
    Commit,
    Complaint,
    Complaints,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Manifest,
    Message,
    Outcome,
    Prepare,
    PrePrepare,
    Proposal,
    Status,
    ViewChange,
    encode_batch,
)
from pbft.records import Accepted, Cut, Muted, Prepared

K, L = 4, 12


def running(gap: int = 20) -> Net:
    net = Net(
        4,
        checkpoint_interval_blocks=K,
        window_blocks=L,
        block_idle_ms_max=50,
        snapshot_gap_blocks=gap,
        chunks_in_flight_max=2,
    )
    net.submit(0, "a")
    net.until(lambda: net.all_executed("a"))
    return net


def left_behind(net: Net, index: int, blocks: int) -> Node:
    """A node that was down while the others made ``blocks`` blocks."""
    node = net.nodes[index]
    goal = node.height + blocks
    net.crash(index)
    net.until(lambda: all(n.height > goal for n in net.nodes if n is not node))
    net.restart(index)
    return node


def caught_up(net: Net, node: Node) -> bool:
    return node.height >= max(other.height for other in net.nodes) - 2 and not node.replica.transfer.wanted


def test_a_replica_far_behind_takes_a_snapshot_and_then_blocks() -> None:
    net = running()
    node = left_behind(net, 3, 60)
    net.until(lambda: caught_up(net, node))
    assert node.base >= 60
    assert node.base % K == 0
    net.check_agreement()


def test_one_that_is_a_little_behind_takes_blocks_only() -> None:
    net = running(gap=100)
    node = left_behind(net, 3, 30)
    net.until(lambda: caught_up(net, node))
    assert node.base == 0
    assert not [m for m in node.sent if isinstance(m, FetchManifest)]


def test_chunks_come_from_several_peers_at_once() -> None:
    net = running()
    asked: set[int] = set()

    def watch(sender: int, receiver: int, message: object) -> bool:
        if isinstance(message, FetchChunk):
            asked.add(receiver)
        return True

    net.filter = watch
    node = left_behind(net, 3, 60)
    net.until(lambda: caught_up(net, node))
    assert len(asked) >= 2


@pytest.mark.row(6)
@pytest.mark.parametrize("liar", [0, 1, 2])
def test_a_liar_is_asked_no_more_and_the_others_give_the_snapshot(liar: int) -> None:
    net = running()
    net.nodes[liar].lies = True
    node = left_behind(net, 3, 60)
    net.until(lambda: caught_up(net, node))
    assert node.base >= 60
    net.check_agreement()


def test_peers_that_no_longer_have_the_snapshot_lead_to_a_newer_one() -> None:
    net = running()
    taken: list[Manifest] = []

    def forget(sender: int, receiver: int, message: object) -> bool:
        if isinstance(message, Manifest):
            taken.append(message)
            if len(taken) == 1:
                for other in net.nodes:
                    other.certificates.pop(message.height, None)
        return True

    net.filter = forget
    node = left_behind(net, 3, 60)
    net.until(lambda: caught_up(net, node))
    assert len({manifest.height for manifest in taken}) >= 2
    net.check_agreement()


@pytest.mark.row(6)
def test_whose_manifest_led_to_nothing_is_asked_after_all_others() -> None:
    """Found by a tester: a liar with the lowest number offered an old snapshot that nobody keeps, over and over."""
    net = running()
    asked: list[int] = []

    def starve(sender: int, receiver: int, message: Message) -> bool:
        if isinstance(message, FetchManifest):
            asked.append(receiver)
        return not (isinstance(message, Chunk) and set(asked) == {0})

    net.filter = starve
    node = left_behind(net, 3, 60)
    net.until(lambda: caught_up(net, node), 120_000)
    assert asked[0] == 0
    assert set(asked) != {0}
    net.check_agreement()


def test_a_transfer_ends_though_chunks_and_manifests_are_lost() -> None:
    net = running()
    net.filter = lambda s, r, message: not (isinstance(message, Manifest | Chunk) and net.random.random() < 0.4)
    node = left_behind(net, 3, 60)
    net.until(lambda: caught_up(net, node), 120_000)
    net.check_agreement()


@pytest.mark.parametrize("kind", [Manifest, Chunk])
def test_answers_that_always_come_too_late_still_bring_the_snapshot(kind: type[Message]) -> None:
    """Cutting a snapshot, and sending a chunk over a slow link, may take longer than an answer is awaited."""
    net = running()
    late: list[tuple[int, int, int, Message]] = []
    on_time: list[Message] = []

    def delay(sender: int, receiver: int, message: Message) -> bool:
        if not isinstance(message, kind) or any(message is other for other in on_time):
            return True
        late.append((net.now_ms + 2 * net.config.request_timeout_ms, sender, receiver, message))
        return False

    net.filter = delay
    node = left_behind(net, 3, 60)
    end = net.now_ms + 60_000
    while node.base == 0:
        assert net.now_ms < end, "no snapshot was installed"
        net.advance(20)
        due = [item for item in late if item[0] <= net.now_ms]
        late[:] = [item for item in late if item[0] > net.now_ms]
        for _, sender, receiver, message in due:
            on_time.append(message)
            net.wire.append((sender, receiver, message))
    net.check_agreement()


@pytest.mark.row(6)
def test_a_damaged_ledger_is_replaced_and_nobody_is_served_before() -> None:
    net = running()
    net.until(lambda: net.nodes[0].height > 3 * K)
    net.crash(2)
    net.until(lambda: net.nodes[0].height > 4 * K)
    node = net.nodes[2]
    node.sent.clear()
    served: list[object] = []

    def watch(sender: int, receiver: int, message: object) -> bool:
        if sender == 2 and not node.replica.core.whole:
            served.append(message)
        return True

    net.filter = watch
    net.restart(2, damaged=True)
    assert not node.replica.core.whole
    net.until(lambda: caught_up(net, node) and node.replica.core.whole)
    kinds = {type(message).__name__ for message in served}
    assert kinds <= {"Status", "FetchManifest", "FetchChunk"}
    net.check_agreement()


def test_a_pruned_peer_cannot_serve_blocks_so_that_a_snapshot_is_taken() -> None:
    net = running(gap=10_000)
    node = left_behind(net, 3, 40)
    for other in net.nodes[:3]:
        other.replica.core.first_height = 30
        other.base = 29
    net.until(lambda: caught_up(net, node))
    assert node.base >= 30


def test_who_says_to_have_blocks_and_gives_none_keeps_no_snapshot_away() -> None:
    net = running(gap=10_000)
    node = left_behind(net, 3, 40)
    for other in net.nodes[:3]:
        other.base = 29
    for honest in net.nodes[1:3]:
        honest.replica.core.first_height = 30
    net.until(lambda: caught_up(net, node))
    assert node.base >= 30


@pytest.mark.row(6)
def test_the_giver_of_a_manifest_is_asked_for_its_chunks_whatever_its_last_status_said() -> None:
    """It may have made a snapshot since. Where no chunk comes, another is asked for one after two rounds."""
    net = running()
    net.advance(2 * net.config.status_interval_ms)
    node = net.nodes[3]
    net.filter = lambda s, r, message: not (r == 3 and isinstance(message, Status | Manifest | Chunk)) and r != 3
    told = node.replica.core.peers[0].certified_height
    net.until(lambda: max((h for h in net.nodes[0].certificates if h % K == 0), default=0) > told)
    node.sent.clear()
    node.replica.transfer.want(1)
    node.replica.transfer.tick()
    net.advance(1)
    new = max(h for h in net.nodes[0].certificates if h % K == 0)
    net.give(node, Received(0, Manifest(net.nodes[0].certificates[new], b"", 0, (), (), CHUNKS)))
    assert [message.height for message in node.sent if isinstance(message, FetchChunk)] != []
    node.sent.clear()
    began_ms = net.now_ms
    net.until(lambda: any(isinstance(message, FetchManifest) for message in node.sent), 60_000)
    assert net.now_ms - began_ms <= 4 * net.config.request_timeout_ms


def test_proposals_are_sent_again_only_to_whom_nothing_is_settled() -> None:
    """Found by a tester: under full batches every uncertified one went out again twice a second."""
    net = Net(4, request_timeout_ms=60_000)
    net.filter = lambda s, r, message: not isinstance(message, Commit | Status)
    net.submit(0, "a")
    net.advance(net.config.status_interval_ms)
    primary = net.nodes[0]
    for ordered, kinds in ((1, {Commit}), (0, {Commit, Proposal})):
        net.advance(net.config.status_interval_ms)
        primary.sent.clear()
        net.give(primary, Received(2, Status(0, 0, True, 0, 0, ordered_height=ordered)))
        assert {type(message) for message in primary.sent} & {Commit, Proposal} == kinds


def test_a_snapshot_that_our_own_ledger_has_overtaken_is_not_installed() -> None:
    net = running()
    held: list[tuple[int, int, Message]] = []

    def hold_chunks(sender: int, receiver: int, message: Message) -> bool:
        if isinstance(message, Chunk):
            held.append((sender, receiver, message))
        return not isinstance(message, Chunk)

    net.filter = hold_chunks
    node = net.nodes[3]
    node.replica.transfer.want(node.height + 1)
    net.until(lambda: node.replica.transfer.progress is not None)
    manifest = next(m for n in net.nodes for m in n.sent if isinstance(m, FetchChunk))
    net.until(lambda: node.height > manifest.height + 1)
    net.filter = lambda s, r, message: True
    net.wire.extend(held)
    net.until(lambda: not node.replica.transfer.wanted)
    assert node.base == 0
    net.check_agreement()


def test_a_snapshot_older_than_what_is_needed_is_not_taken() -> None:
    """What is needed may rise while the answer is on its way, or the peer may not care what it was asked for."""
    net = running()
    node = net.nodes[3]
    net.until(lambda: len([h for h in net.nodes[0].certificates if h % K == 0]) > 2)
    old, new = sorted(h for h in net.nodes[0].certificates if h % K == 0)[-2:]
    net.filter = lambda s, r, message: not isinstance(message, Manifest)
    node.replica.transfer.want(new)
    net.until(lambda: any(isinstance(message, FetchManifest) for message in node.sent))
    peer = net.nodes[0].replica.core.me
    for height, taken in ((old, False), (new, True)):
        manifest = Manifest(net.nodes[0].certificates[height], b"", 0, (), (), CHUNKS)
        net.give(node, Received(peer, manifest))
        assert (node.replica.transfer.progress is not None) == taken
    assert node.rejects[-1] == RejectReason.USELESS


def test_a_late_word_that_a_peer_has_the_snapshot_no_more_calls_off_nobody_asked_since() -> None:
    net = running()
    asked: list[tuple[int, FetchChunk]] = []

    def slow_first_chunk(sender: int, receiver: int, message: Message) -> bool:
        if isinstance(message, FetchChunk) and message.index == 0:
            asked.append((receiver, message))
        return not (isinstance(message, Chunk) and message.index == 0)

    net.filter = slow_first_chunk
    node = left_behind(net, 3, 60)
    net.until(lambda: len(asked) == 2)
    (first, fetch), (second, _) = asked
    assert first != second
    node.sent.clear()
    net.give(node, Received(first, Chunk(fetch.height, 0, b"")))
    assert not [message for message in node.sent if isinstance(message, FetchChunk)]
    net.give(node, Received(second, Chunk(fetch.height, 0, b"chunk")))
    assert node.base == fetch.height
    assert len(asked) == 2


# ----------------------------------------------------------------------------------------------- amnesia


@pytest.mark.row(1)
def test_a_replica_without_its_log_votes_on_nothing_that_it_may_have_voted_on() -> None:
    net = running()
    before = net.nodes[0].height
    net.crash(3)
    node = net.nodes[3]
    node.sent.clear()
    net.restart(3, amnesia=True)
    assert node.alarms[-1].kind == AlarmKind.AMNESIA
    net.until(lambda: not node.replica.core.muted)
    assert max(node.certificates) > before + L
    assert not [m for m in node.sent if isinstance(m, Prepare | Commit)]
    net.crash(0)
    net.submit(1, "b")
    net.until(lambda: any(isinstance(m, Commit) for m in node.sent))
    net.check_agreement()
    assert min(m.view for m in node.sent if isinstance(m, ViewChange | Prepare | Commit)) == 5
    assert {m.view for m in net.nodes[1].sent if isinstance(m, ViewChange)} == {1, 5}, "the others skip to it"
    assert min(m.sequence for m in node.sent if isinstance(m, Prepare | Commit)) > before + L


@pytest.mark.row(1)
def test_it_stays_mute_across_a_restart() -> None:
    net = running()
    net.crash(3)
    net.restart(3, amnesia=True)
    net.until(lambda: any(isinstance(r, Muted) and r.until_height is not None for r in net.nodes[3].wal))
    net.crash(3)
    net.restart(3)
    assert net.nodes[3].replica.core.muted
    net.until(lambda: not net.nodes[3].replica.core.muted)
    net.check_agreement()


@pytest.mark.row(1)
def test_it_stays_mute_until_a_quorum_of_others_stands_in_one_view() -> None:
    """Of fewer none may be among those who know how far it went."""
    net = running()
    net.crash(3)
    net.restart(3, amnesia=True)
    net.until(lambda: any(isinstance(r, Muted) and r.until_height is not None for r in net.nodes[3].wal))
    node = net.nodes[3]
    until = next(r.until_height for r in node.wal if isinstance(r, Muted) and r.until_height is not None)
    net.filter = lambda s, r, m: not (s == 2 and r == 3 and isinstance(m, Status))
    net.until(lambda: node.replica.core.outcomes.certified > until)
    net.advance(3_000)
    assert node.replica.core.muted
    net.filter = lambda s, r, m: True
    net.until(lambda: not node.replica.core.muted)


@pytest.mark.row(1)
def test_it_votes_in_no_view_that_it_may_have_left() -> None:
    """Found by a tester, and unsafe: it had left view 0, as only a liar knew, lost its log, and voted in view 0 again.
    What it helped to commit there was missing from the liar's view 1, whose V held its old VIEW-CHANGE."""
    net = running()
    net.crash(3)
    node = net.nodes[3]
    node.sent.clear()
    net.restart(3, amnesia=True)
    net.until(lambda: not node.replica.core.muted)
    net.submit(0, "b")
    net.until(lambda: net.all_executed("b"))
    net.advance(2_000)
    assert not [m for m in node.sent if isinstance(m, Prepare | Commit)]
    assert {m.view for m in node.sent if isinstance(m, ViewChange)} == {5}, "a round of leaders ahead"


def test_it_asks_for_no_view_that_it_may_have_asked_for() -> None:
    """Found by a tester: it sent a second, other VIEW-CHANGE for the same view, which is evidence against it."""
    net = running()
    net.filter = lambda s, r, m: not (s == 3 and not (r == 2 and isinstance(m, ViewChange))) and r != 3
    net.give(net.nodes[3], Received(2, Complaints((Complaint(0, 2), Complaint(0, 1)))))
    net.drain()
    assert net.nodes[3].replica.view == 1
    net.crash(3)
    net.filter = lambda s, r, m: True
    net.restart(3, amnesia=True)
    net.until(lambda: not net.nodes[3].replica.core.muted)
    net.crash(3)
    net.restart(3)
    net.crash(0)
    net.submit(1, "c")
    net.until(lambda: "c" in net.nodes[2].texts(), 60_000)
    assert [evidence for node in net.nodes for evidence in node.evidence if evidence.accused == 3] == []
    net.check_agreement()


def test_the_others_go_on_meanwhile_and_it_follows() -> None:
    net = running()
    net.crash(3)
    net.restart(3, amnesia=True)
    net.submit(1, "b")
    net.until(lambda: net.all_executed("b"))
    assert net.nodes[3].replica.core.muted


# --------------------------------------------------------------------------------------- certificate gaps


def test_blocks_whose_certificates_only_a_silent_replica_held_are_served_through_later_headers() -> None:
    """Found by reading: A and B executed blocks that only D could certify; D went silent, and C never caught up."""
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50)
    net.submit(0, "a")
    net.until(lambda: net.all_executed("a"))
    cut = net.nodes[0].height
    net.crash(2)
    net.filter = lambda s, r, message: not (isinstance(message, Outcome) and r in (0, 1))
    net.until(lambda: net.nodes[3].height > cut + 3)
    assert max(net.nodes[3].certificates) > max(net.nodes[0].certificates)
    net.filter = lambda s, r, message: True
    net.wire = [item for item in net.wire if not isinstance(item[2], Outcome)]
    net.crash(3)
    net.restart(2)
    net.submit(0, "b")
    net.until(lambda: {"b"} <= set(net.nodes[2].texts()), 60_000)
    net.check_agreement()


@pytest.mark.row(10)
def test_a_fetch_that_brings_nothing_new_is_not_repeated_at_the_speed_of_the_network() -> None:
    """Found by the Twins enumeration: the last block of a range came, earlier ones were lost, and the range was asked
    for again at once, for ever."""
    net = running(gap=10_000)
    net.crash(3)
    goal = net.nodes[0].height + 20
    net.until(lambda: net.nodes[0].height > goal)
    lost = net.nodes[3].height + 1
    net.filter = lambda s, r, m: not (r == 3 and isinstance(m, CertifiedBlock) and m.height == lost)
    net.restart(3)
    net.nodes[3].sent.clear()
    net.advance(net.config.request_timeout_ms)
    asked = [m for m in net.nodes[3].sent if isinstance(m, FetchBlocks)]
    assert 1 <= len(asked) <= 3


@pytest.mark.row(10)
def test_who_is_gone_for_good_keeps_nobody_from_asking_those_who_once_gave_nothing() -> None:
    """Found by the soak: a newcomer had asked all who were left, in vain, while messages were lost; it waited for one
    who had said that it held the block, and had been removed since, and the network had no quorum any more."""
    net = running(gap=10_000)
    node = left_behind(net, 3, 20)
    asked: set[int] = set()
    told: list[Message] = []

    def lossy(sender: int, receiver: int, message: Message) -> bool:
        if sender == 3 and isinstance(message, FetchBlocks):
            asked.add(receiver)
        if (sender, receiver) == (2, 3) and isinstance(message, Status) and asked:
            told.append(message)
        heard = sender != 2 or len(told) == 1
        return receiver != 3 or (heard and not isinstance(message, CertifiedBlock))

    net.filter = lossy
    net.until(lambda: bool(told) and asked >= {0, 1}, 60_000)
    net.advance(2 * net.config.request_timeout_ms)
    assert asked == {0, 1}
    net.crash(2)
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: caught_up(net, node), 60_000)


@pytest.mark.row(1)
def test_nothing_is_voted_on_anew_that_has_executed_though_the_log_no_longer_tells() -> None:
    """Found by a tester: the log may be cut before the certificate is durable, and the power go between."""
    net = running()
    net.until(lambda: net.nodes[2].height >= 6)
    node = net.nodes[2]
    net.crash(2)
    node.wal = [record for record in node.wal if not isinstance(record, Accepted | Prepared)]
    node.certificates = {}
    net.restart(2)
    body = encode_batch(Batch("main", net.now_ms, (b"evil:1",)))
    batch = checked(body)
    node.sent.clear()
    net.give(node, Received(0, Proposal(PrePrepare(0, 5, batch.digest, 0), body), batch))
    assert node.rejects[-1] == RejectReason.CONFLICTING_PROPOSAL
    assert not [message for message in node.sent if isinstance(message, Prepare) and message.sequence == 5]


def test_no_more_blocks_are_asked_for_than_execution_can_take() -> None:
    """What is fetched waits in memory until it has executed."""
    net = Net(4)
    node, told = net.nodes[1], Status(0, 0, True, 900, 900)
    node.replica.core.ordered = net.config.fetch_blocks_max
    net.give(node, Received(2, told))
    assert not [m for m in node.sent if isinstance(m, FetchBlocks)]
    node.replica.core.ordered -= 1
    net.give(node, Received(3, told))
    assert [m for m in node.sent if isinstance(m, FetchBlocks)]


def forgetful(net: Net, index: int) -> None:
    """A liar that acts as if it had never run."""
    node = net.nodes[index]
    net.crash(index)
    node.wal, node.blocks, node.statements, node.certificates, node.executed = [], [], [], {}, set()
    net.restart(index)


def forks(net: Net, first: int, second: int) -> list[int]:
    """Where two nodes hold certificates that contradict each other."""
    a, b = net.nodes[first].certificates, net.nodes[second].certificates
    return [height for height in sorted(a.keys() & b.keys()) if a[height].statement != b[height].statement]


def lagging(net: Net) -> None:
    """Node 1 is cut off while the others certify some checkpoints, and cut their logs behind them."""
    net.until(lambda: all(4 in node.certificates for node in net.nodes))
    net.filter = lambda s, r, m: 1 not in (s, r)
    for number in range(8):
        net.submit(2, f"alice:{number}")
        net.advance(150)
    net.until(lambda: min(net.nodes[index].height for index in (0, 2, 3)) >= 20)


@pytest.mark.row(1)
def test_a_second_start_after_damage_signs_nothing_that_the_first_life_may_have_signed() -> None:
    """Found by a tester: the ledger set aside, an empty one in its place, and the log cut behind checkpoints that were
    no more. With one liar it voted on the same heights once more."""
    net = Net(4, checkpoint_interval_blocks=4, window_blocks=8, block_idle_ms_max=100)
    lagging(net)
    net.crash(3)
    net.filter = lambda s, r, m: False
    net.restart(3, damaged=True)
    net.crash(3)
    net.restart(3)
    forgetful(net, 0)
    net.wire.clear()
    net.filter = lambda s, r, m: 2 not in (s, r)
    net.submit(1, "mallory:1")
    net.advance(6_000)
    assert forks(net, 1, 2) == []
    assert AlarmKind.AMNESIA in {alarm.kind for alarm in net.nodes[3].alarms}
    net.filter = lambda s, r, m: True
    net.until(lambda: net.nodes[3].replica.core.votes and net.nodes[3].height >= net.nodes[2].height)
    net.check_agreement()


@pytest.mark.row(1)
def test_a_mute_replica_with_a_ledger_older_than_its_log_stays_mute_until_that_is_made_good() -> None:
    """It left a view that it had no vote in, and ended."""
    net = Net(4, checkpoint_interval_blocks=4, window_blocks=8, block_idle_ms_max=100)
    net.advance(4_000)
    node = net.nodes[3]
    cut = node.height - 8
    net.crash(3)
    node.wal = [Muted(None), Muted(6), Cut(cut)]
    node.blocks, node.statements, node.certificates, node.executed = [], [], {}, set()
    net.restart(3)
    net.until(lambda: node.replica.core.votes, 20_000)
    assert node.replica.core.outcomes.certified >= cut
    net.check_agreement()


@pytest.mark.row(6)
def test_no_snapshot_from_below_the_cut_of_the_log_is_taken() -> None:
    """The same by a liar's old, true snapshot, in one start."""
    net = Net(4, checkpoint_interval_blocks=4, window_blocks=8, block_idle_ms_max=100)
    lagging(net)
    low = net.nodes[3].replica.core.low
    net.crash(3)
    net.restart(3, damaged=True)
    node = net.nodes[3]
    node.sent.clear()
    net.advance(1_000)
    asked = [message.height_min for message in node.sent if isinstance(message, FetchManifest)]
    assert set(asked) == {low}
    net.give(node, Received(0, Manifest(net.nodes[0].certificates[4], b"", 0, (), (), CHUNKS)))
    assert node.transfer is None or node.transfer.height >= low
