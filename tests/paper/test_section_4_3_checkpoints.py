"""Castro and Liskov, OSDI '99, section 4.3: outcomes, certificates, watermarks, garbage collection."""

from __future__ import annotations

import msgspec
import pytest
from harness import Net

from pbft.events import AlarmKind, Received
from pbft.messages import Commit, Message, Outcome

K, L = 4, 12


@pytest.mark.row(5)
def test_the_low_watermark_moves_every_k_certified_blocks_and_the_log_is_cut() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50)
    net.until(lambda: min(node.height for node in net.nodes) >= 3 * K + 1)
    for node in net.nodes:
        core = node.replica.core
        assert core.low >= 2 * K
        assert min(core.log.slots, default=core.low + 1) > core.low


@pytest.mark.row(5)
def test_without_certificates_ordering_stops_at_the_high_watermark_without_a_view_change() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=20, request_timeout_ms=100)
    net.filter = lambda sender, receiver, message: not isinstance(message, Outcome)
    net.until(lambda: all(node.height == L for node in net.nodes))
    net.advance(5_000)
    assert {node.height for node in net.nodes} == {L}
    assert {node.replica.view for node in net.nodes} == {0}
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: min(node.height for node in net.nodes) > L)


def test_lost_outcomes_are_sent_again_until_certified() -> None:
    net = Net(4, block_idle_ms_max=10_000)
    net.filter = lambda sender, receiver, message: not isinstance(message, Outcome)
    net.submit(0, "a")
    net.until(lambda: net.all_executed("a"))
    assert not any(node.certificates for node in net.nodes)
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: all(node.certificates for node in net.nodes))


def contradict(net: Net, victim: int, text: str) -> None:
    """Let ``victim`` execute the block with ``text``, and show it a quorum of outcomes that say otherwise."""
    others: list[Outcome] = []

    def collect(sender: int, receiver: int, message: Message) -> bool:
        if isinstance(message, Outcome) and receiver == victim:
            others.append(message)
            return False
        return True

    net.filter = collect
    net.submit(0, text)
    net.until(lambda: net.all_executed(text))
    for outcome in others[:3]:
        false = msgspec.structs.replace(outcome.statement, state_root=b"!" * 32)
        net.give(net.nodes[victim], Received(outcome.sender, Outcome(false, outcome.sender, outcome.signature)))
    net.filter = lambda sender, receiver, message: True


def test_a_contradicted_replica_raises_an_alarm_and_withholds_outcomes() -> None:
    net = Net(4, block_idle_ms_max=10_000, checkpoint_interval_blocks=K, window_blocks=L)
    for node in net.nodes:
        node.snapshots = False
    contradict(net, 3, "a")
    assert net.nodes[3].alarms[-1].kind == AlarmKind.DIVERGED
    sent = len([m for m in net.nodes[3].sent if isinstance(m, Outcome)])
    net.submit(0, "b")
    net.until(lambda: "b" in net.nodes[0].texts())
    assert len([m for m in net.nodes[3].sent if isinstance(m, Outcome)]) == sent


def test_whoever_is_contradicted_before_it_has_executed_signs_no_outcome() -> None:
    """A tester left the guard out, and no test saw it: the others' word was there first."""
    net = Net(4, block_idle_ms_max=10_000, checkpoint_interval_blocks=K, window_blocks=L)
    for node in net.nodes:
        node.snapshots = False
    net.filter = lambda sender, receiver, message: receiver != 3 or not isinstance(message, Commit | Outcome)
    net.submit(0, "a")
    net.until(lambda: all("a" in node.texts() for node in net.nodes[:3]))
    height = net.nodes[0].height
    for sender in range(3):
        false = msgspec.structs.replace(net.nodes[0].statements[height - 1], state_root=b"!" * 32)
        net.give(net.nodes[3], Received(sender, Outcome(false, sender, b"s" * 64)))
    net.filter = lambda sender, receiver, message: receiver != 3 or not isinstance(message, Outcome)
    net.until(lambda: net.nodes[3].height == height, 20_000)
    assert [m for m in net.nodes[3].sent if isinstance(m, Outcome) and m.statement.height == height] == []
    assert net.nodes[3].alarms[-1].kind == AlarmKind.DIVERGED


@pytest.mark.row(6)
def test_a_contradicted_replica_repairs_itself_by_a_snapshot_that_is_beyond_the_contradiction() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50)
    contradict(net, 3, "a")
    assert net.nodes[3].alarms[-1].kind == AlarmKind.DIVERGED
    net.until(lambda: net.nodes[3].base > 0)
    assert not net.nodes[3].replica.core.diverged
    goal = net.nodes[0].height + 2
    net.until(lambda: min(max(node.certificates) for node in net.nodes) > goal)
    net.check_agreement()


def test_a_laggard_far_behind_catches_up_by_certified_blocks() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50)
    net.crash(3)
    net.until(lambda: net.nodes[0].height > 3 * L)
    net.restart(3)
    net.until(lambda: net.nodes[3].height >= net.nodes[0].height - 2)
    net.check_agreement()
