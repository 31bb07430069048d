"""The witness reads a real replica: who voted, who did not, who holds which outcome, and since when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from harness import Net, Node, request
from prometheus_client import CollectorRegistry

from api.measures import OPEN_BLOCKS_MAX, ChannelMeasures, Measures
from pbft.driver import Driver
from pbft.events import Output, Submitted
from pbft.messages import Commit, Message, Outcome, Prepare
from sdk.diagnosis import Diagnosis
from witness import Witness


def names(*indices: int) -> tuple[str, ...]:
    return tuple(f"node{index + 1}" for index in indices)


def fresh_measures() -> ChannelMeasures:
    return ChannelMeasures(Measures(CollectorRegistry()), "main")


def witness_of(net: Net, node: Node, measures: ChannelMeasures, away: tuple[int, ...] = ()) -> Witness:
    validators = tuple(SimpleNamespace(name=name) for name in names(*range(net.config.n)))
    session = SimpleNamespace(epoch=SimpleNamespace(validators=validators))
    driver = SimpleNamespace(replica=node.replica, session=session, alarms=node.alarms)
    gone = {net.config.validators[index] for index in away}
    return Witness(cast(Driver, driver), measures, lambda key: key not in gone, lambda: net.now_ms)


def told(net: Net, index: int, away: tuple[int, ...] = ()) -> Diagnosis:
    return witness_of(net, net.nodes[index], fresh_measures(), away).diagnosis(f"node{index + 1}", closed=False)


def stop(net: Net, *kinds: type[Message], of: tuple[int, ...]) -> None:
    """From now on nothing of these kinds comes from these nodes."""
    net.filter = lambda sender, receiver, message: not (sender in of and isinstance(message, kinds))


def test_prepares_that_miss_are_named_and_the_wait_for_them_measured() -> None:
    net = Net(4, request_timeout_ms=60_000)
    stop(net, Prepare, of=(2, 3))
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.advance(500)
    block = told(net, 0, away=(2, 3)).open_block
    assert block is not None
    assert (block.height, block.phase, block.view) == (1, "prepare", 0)
    assert (block.votes.cast, block.votes.missing, block.votes.needed) == (names(1), names(2, 3), 2)
    assert block.for_ms is not None
    assert 400 <= block.for_ms <= 500
    assert told(net, 0, away=(2, 3)).unreachable == names(2, 3)


def test_the_rounds_tell_who_sent_which_vote() -> None:
    net = Net(4, request_timeout_ms=60_000)
    stop(net, Commit, of=(3,))
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.until(lambda: all(node.replica.core.outcomes.certified == 1 for node in net.nodes[:3]))
    rounds = witness_of(net, net.nodes[1], fresh_measures()).rounds()
    assert (rounds.validators, rounds.me, rounds.quorum, rounds.view) == (names(0, 1, 2, 3), 1, 3, 0)
    (first,) = rounds.rounds
    assert (first.height, first.view, first.primary) == (1, 0, 0)
    assert set(first.prepares) == {1, 2, 3}
    assert set(first.commits) == {0, 1, 2}
    assert len(first.outcomes) >= 3
    assert (first.prepared, first.committed, first.executed, first.certified) == (True, True, True, True)


def test_a_round_that_stands_still_shows_how_far_it_came() -> None:
    net = Net(4, request_timeout_ms=60_000)
    stop(net, Prepare, of=(2, 3))
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.advance(500)
    (first,) = witness_of(net, net.nodes[0], fresh_measures()).rounds().rounds
    assert (first.prepares, first.commits, first.outcomes) == ((1,), (2, 3), ())
    assert (first.prepared, first.committed, first.executed, first.certified) == (False, False, False, False)


def test_commits_that_miss_are_named() -> None:
    net = Net(4, request_timeout_ms=60_000)
    stop(net, Commit, of=(1, 3))
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.advance(500)
    block = told(net, 0).open_block
    assert block is not None
    assert (block.phase, block.votes.cast, block.votes.missing, block.votes.needed) == (
        "commit", names(0, 2), names(1, 3), 3,
    )  # fmt: skip


def test_a_view_that_does_not_begin_names_who_asks_for_it() -> None:
    net = Net(4)
    for index in (2, 3):
        net.nodes[index].up = False
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.until(lambda: not net.nodes[1].replica.active)
    net.advance(100)
    change = told(net, 1).view_change
    assert change is not None
    assert (change.view, change.primary) == (1, "node2")
    assert (change.votes.cast, change.votes.missing, change.votes.needed) == (names(0, 1), names(2, 3), 3)
    assert change.next_in_ms is None, "too few ask for it, so that nobody goes on to the next"
    block = told(net, 0).open_block
    assert block is not None
    assert (block.view, block.phase) == (0, "prepare")


def test_two_against_two_have_two_sides_and_no_hope() -> None:
    net = Net(4, request_timeout_ms=60_000)
    for index in (2, 3):
        net.nodes[index].salt = b"another engine"
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.advance(2_000)
    found = told(net, 0)
    divergence, block = found.divergence, found.open_block
    assert divergence is not None
    assert divergence.hopeless
    assert sorted(side.nodes for side in divergence.sides) == [names(0, 1), names(2, 3)]
    assert len({side.state_root for side in divergence.sides}) == 2
    assert block is not None
    assert (block.height, block.phase, block.votes.cast) == (divergence.height, "outcome", names(0, 1))


def test_outcomes_that_miss_are_named_and_a_network_that_goes_on_has_no_divergence() -> None:
    net = Net(4, request_timeout_ms=60_000)
    net.advance(3_000)
    healthy = told(net, 0)
    assert not healthy.stands_still
    assert healthy.divergence is None
    stop(net, Outcome, of=(1, 2))
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.advance(1_000)
    block = told(net, 0).open_block
    assert block is not None
    assert (block.phase, block.votes.cast, block.votes.missing) == ("outcome", names(0, 3), names(1, 2))


def test_steps_are_timed_from_phase_to_phase_and_forgotten_once_certified() -> None:
    net, registry = Net(4), CollectorRegistry()
    clock = iter(range(1_000))
    measures = ChannelMeasures(Measures(registry), "main", lambda: float(next(clock)))
    witness = witness_of(net, net.nodes[1], measures)
    carry_out = net._carry_out

    def heard(node: Node, output: Output) -> None:
        if node.index == 1:
            witness.stepped([output])
            for execute in output.execute:
                measures.executed(execute.height, 1, 0)
        carry_out(node, output)

    net._carry_out = heard  # type: ignore[method-assign]
    net.give(net.nodes[0], Submitted((request("a"),), own=True))
    net.until(lambda: net.nodes[1].replica.core.outcomes.certified >= 1)

    def value(name: str, **labels: Any) -> float | None:
        return registry.get_sample_value(name, {"channel": "main", **labels})

    for phase in ("prepared", "committed", "executed", "certified"):
        assert value("wattq_consensus_phase_seconds_count", phase=phase) == 1, phase
    assert value("wattq_consensus_block_seconds_sum") == 4, "a clock that ticks once a phase"
    assert value("wattq_ledger_transactions_total", outcome="ok") == 1
    assert measures.in_flight == 0


def test_no_more_blocks_are_timed_than_there_may_be_on_their_way() -> None:
    measures = fresh_measures()
    for height in range(2 * OPEN_BLOCKS_MAX):
        measures.proposed(height)
    assert measures.in_flight == OPEN_BLOCKS_MAX
    measures.certified(OPEN_BLOCKS_MAX // 2)
    assert measures.in_flight < OPEN_BLOCKS_MAX
