"""Every checker can fail: each is shown a world that was changed in the one way that it is there to see."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from ca.signatures import remembering
from ledger.ledger import TransactionInfo
from pbft.catch_up import CatchUp
from pbft.core import Core
from pbft.events import Alarm, AlarmKind
from pbft.evidence import Evidence, EvidenceKind, conflict
from pbft.messages import Commit, Complaint, Prepare, Proposal
from sim import contract, setting
from sim.catalogue import plan_of
from sim.checkers import CHECKERS, check
from sim.checkers.agreement import agreement, kept
from sim.checkers.effects import exactly_once, validity
from sim.checkers.linearizable import has_order, linearizable
from sim.checkers.liveness import censorship, quiet, served_ms_max, termination
from sim.checkers.market import energy
from sim.checkers.money import balances, money
from sim.checkers.promises import acknowledged
from sim.checkers.votes import innocent, integrity, membership, one_vote
from sim.history import Operation
from sim.plan import Fault, Plan
from sim.setting import stage_of
from sim.world import Sent, World


def played(plan: Plan) -> World:
    with remembering():
        world = World(plan, stage_of(plan))
        world.play()
    return world


def play(plan: Plan) -> World:
    world = played(plan)
    assert check(world) == []
    return world


@pytest.fixture
def world() -> World:
    return play(Plan(1, "none", clients=2, operations=4, chaos_ms=1_000))


def last_vote(world: World, place: int) -> Sent:
    return next(sent for sent in reversed(world.sent) if sent.place == place and isinstance(sent.message, Prepare))


@pytest.fixture
def coining(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bank whose transfers make money."""
    setting._stage.cache_clear()
    source = contract.BANK_SOURCE
    coins = source.replace("balance(target) + amount}", "balance(target) + amount + 1}")
    assert coins != source
    monkeypatch.setattr(contract, "BANK_SOURCE", coins)
    yield
    setting._stage.cache_clear()


@pytest.mark.row(21)
@pytest.mark.usefixtures("coining")
def test_money_sees_a_bank_that_makes_money() -> None:
    faults = money(played(Plan(1, "bank", clients=3, operations=10, workload="bank")))
    assert any("node 0 has" in fault for fault in faults)
    assert any("was told of" in fault for fault in faults)


@pytest.mark.row(20)
def test_money_moves_and_its_sum_stays() -> None:
    world = play(Plan(1, "bank", clients=3, operations=10, workload="bank"))
    assert balances(world.nodes[0]) != [contract.ENDOWMENT] * len(contract.ACCOUNTS)
    answered = [operation for client in world.clients for operation in client.history]
    assert {operation.value for operation in answered if operation.function == "total"} == {400}
    assert "POOR" in {operation.code for operation in answered}


def test_agreement_sees_another_outcome_at_one_height(world: World) -> None:
    statement = world.nodes[2].executed[3]
    world.nodes[2].executed.append(msgspec.structs.replace(statement, state_root=bytes(32)))
    assert agreement(world) == ["agreement: nodes 0 and 2 differ at height 4"]


def test_kept_sees_a_chain_without_what_was_certified(world: World) -> None:
    statement = world.nodes[1].certified[2]
    for node in world.nodes:
        node.certified[2] = msgspec.structs.replace(statement, state_root=bytes(32))
    assert len(kept(world)) == len(world.nodes)


def test_kept_sees_two_certificates_for_one_height(world: World) -> None:
    statement = world.nodes[1].certified[2]
    world.nodes[3].certified[2] = msgspec.structs.replace(statement, state_root=bytes(32))
    assert any("certificates that differ at 2" in fault for fault in kept(world))


def test_validity_sees_a_transaction_that_nobody_made(world: World) -> None:
    world.submitted.discard(world.clients[0].history[0].tx_id)
    assert len(validity(world)) == 1


def test_integrity_sees_a_batch_that_nobody_proposed(world: World) -> None:
    world.nodes[0].ordered.append((3, b"?" * 32))
    assert integrity(world) == ["integrity: node 0 executed at 3 what nobody proposed there"]


@pytest.mark.parametrize("kind", [Prepare, Commit])
def test_one_vote_sees_two_votes_for_one_place(world: World, kind: type[Prepare] | type[Commit]) -> None:
    sent = next(sent for sent in world.sent if sent.place == 2 and isinstance(sent.message, kind))
    vote = msgspec.structs.replace(sent.message, digest=b"?" * 32)
    world.sent.append(sent._replace(message=vote))
    assert len(one_vote(world)) == 1


def test_one_vote_sees_two_proposals_for_one_place(world: World) -> None:
    sent = next(sent for sent in world.sent if isinstance(sent.message, Proposal))
    assert isinstance(sent.message, Proposal)
    other = msgspec.structs.replace(sent.message.pre_prepare, digest=b"?" * 32)
    world.sent.append(sent._replace(message=Proposal(other, sent.message.body)))
    assert len(one_vote(world)) == 1


def test_membership_sees_a_vote_below_the_epoch(world: World) -> None:
    sent = last_vote(world, 1)
    world.sent.append(sent._replace(message=msgspec.structs.replace(sent.message, sequence=0)))
    assert membership(world) == ["membership: node 1 sent Prepare for 0 in epoch 0"]


def test_membership_sees_a_vote_above_a_boundary() -> None:
    world = play(plan_of(1, 4, "reconfigure"))
    boundary = next(e.first_height for node in world.nodes for e in node.epochs if e.number == 1) - 1
    sent = next(sent for sent in world.sent if sent.epoch == 0 and isinstance(sent.message, Commit))
    world.sent.append(sent._replace(message=msgspec.structs.replace(sent.message, sequence=boundary)))
    assert membership(world) == []
    world.sent.append(sent._replace(message=msgspec.structs.replace(sent.message, sequence=boundary + 1)))
    assert len(membership(world)) == 1


def test_exactly_once_sees_a_second_effect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = world.nodes[0].ledger
    original = ledger.transactions_of

    def twice(height: int) -> list[TransactionInfo]:
        return original(height) * 2

    for node in world.nodes:
        monkeypatch.setattr(node.ledger, "transactions_of", twice)
    faults = exactly_once(world)
    assert any("more than once" in fault for fault in faults)
    assert any("counts" in fault for fault in faults)


@pytest.mark.row(20)
def test_linearizable_sees_an_answer_that_no_order_explains(world: World) -> None:
    operation = next(o for c in world.clients for o in c.history if o.function == "add")
    operation.value += 100
    assert len(linearizable(world)) == 1


@pytest.mark.row(20)
def test_acknowledged_sees_a_promise_at_another_height(world: World) -> None:
    world.clients[0].history[0].height += 1
    assert len(acknowledged(world)) == len(world.nodes)


def test_acknowledged_sees_a_node_that_ends_below_a_promise(world: World) -> None:
    world.clients[0].history[0].height = world.nodes[0].ledger.height + 1
    assert len(acknowledged(world)) == len(world.nodes)


@pytest.mark.row(21)
def test_termination_sees_that_nothing_happens() -> None:
    plan = Plan(1, "none", chaos_ms=1_000)
    with remembering():
        world = World(plan, stage_of(plan))
        world.begin()
        world.run_until(500)
        for node in world.nodes[2:]:
            node.crash()
        world.run_until(20_000)
    assert len(termination(world)) == 1


def test_innocent_sees_evidence_against_an_honest_replica(world: World) -> None:
    node, scope = world.nodes[1], world.nodes[1].config.scope
    votes = [Prepare(0, 1, bytes([number]) * 32, 1) for number in (1, 2)]
    signed = [msgspec.structs.replace(vote, signature=node.key.sign(vote.signed(scope))) for vote in votes]
    world.nodes[0].evidence.append(conflict(EvidenceKind.TWO_PREPARES, scope, *signed))
    assert ["which is honest" in fault for fault in innocent(world)] == [True]


def test_innocent_sees_evidence_that_proves_nothing(world: World) -> None:
    scope = world.nodes[1].config.scope
    votes = (Prepare(0, 1, b"1" * 32, 1, b"?" * 64), Prepare(0, 1, b"2" * 32, 1, b"?" * 64))
    world.nodes[0].evidence.append(Evidence(EvidenceKind.TWO_PREPARES, scope, 1, votes))
    assert ["does not convict" in fault for fault in innocent(world)] == [True]


@pytest.mark.row(21)
def test_innocent_sees_complaints_where_nothing_keeps_anybody_waiting(world: World) -> None:
    scope = world.nodes[1].config.scope
    complaints = [Complaint(0, index) for index in (1, 2)]
    signed = tuple(
        msgspec.structs.replace(word, signature=world.nodes[word.sender].key.sign(word.signed(scope)))
        for word in complaints
    )
    world.nodes[1].evidence.append(Evidence(EvidenceKind.COMPLAINTS, scope, 0, complaints=signed))
    assert ["which is honest" in fault for fault in innocent(world)] == [True]
    world.plan = msgspec.structs.replace(world.plan, faults=(Fault(500, "join"),))
    assert innocent(world) == []


@pytest.mark.row(21)
@pytest.mark.parametrize("kind", ["crash", "lose_log"])
def test_termination_sees_an_honest_replica_that_never_votes_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quorum of the others is well without it, whatever it lost."""
    faults = (Fault(500, kind, ((3,),)), Fault(600, "start", ((3,),)))
    plan = Plan(1, "none", clients=1, operations=2, chaos_ms=1_000, faults=faults)
    play(plan)
    votes = vars(Core)["votes"].fget
    if kind == "crash":
        mute = property(lambda core: votes(core) and (core.me != 3 or core.now.timer_ms < 500))
        monkeypatch.setattr(Core, "votes", mute)
    else:
        monkeypatch.setattr(CatchUp, "unmute", lambda self: None)
    found = termination(played(plan))
    assert ["3: " in fault and "without a vote" in fault for fault in found] == [True]


def test_quiet_sees_an_alarm_without_a_liar(world: World) -> None:
    world.nodes[1].alarms.append(Alarm(AlarmKind.DIVERGED, "made up"))
    assert quiet(world) == ["quiet: alarm at node 1 without a liar: diverged: made up"]


@pytest.mark.row(21)
def test_censorship_sees_a_client_that_waited_too_long(world: World) -> None:
    limit_ms = served_ms_max(world)
    world.clients[1].history[2].waited_ms = limit_ms
    assert censorship(world) == []
    world.clients[1].history[2].waited_ms = limit_ms + 1
    function = world.clients[1].history[2].function
    assert censorship(world) == [f"censorship: client 1 waited {limit_ms + 1} ms for its {function}"]


def test_censorship_sees_a_client_that_waits_for_ever(world: World) -> None:
    world.clients[0].history[-1].waited_ms = None
    assert censorship(world) == []
    world.now_ms += served_ms_max(world)
    assert len(censorship(world)) == 1


def test_censorship_counts_from_the_last_fault_where_there_was_one(world: World) -> None:
    world.plan = msgspec.structs.replace(world.plan, faults=(Fault(500, "join"),))
    operation = world.clients[1].history[2]
    limit_ms = served_ms_max(world)
    operation.waited_ms = limit_ms + 1
    assert operation.asked_ms < world.plan.chaos_ms
    assert censorship(world) == []
    operation.waited_ms = limit_ms + 1 + world.plan.chaos_ms
    assert len(censorship(world)) == 1


def test_every_checker_is_shown_failing() -> None:
    shown = {
        agreement, kept, validity, integrity, one_vote, membership, exactly_once, linearizable, money, energy,
        acknowledged, termination, censorship, innocent, quiet,
    }  # fmt: skip
    assert set(CHECKERS) == shown


# --------------------------------------------------------------------------------- linearizability by itself


def operation(function: str, invoked: int, answered: int | None, result: object, **arguments: int) -> Operation:
    differs = result == "DIFFERS"
    code, value = ("DIFFERS", None) if differs else ("OK", result)
    return Operation(0, function, {"cell": "a", **arguments}, b"", invoked, answered, code, value)


def test_operations_one_after_another_have_their_order() -> None:
    assert has_order([operation("write", 1, 2, 0, value=7), operation("read", 3, 4, 7)])


@pytest.mark.row(20)
def test_a_read_never_returns_what_was_overwritten_before_it_began() -> None:
    assert not has_order([operation("write", 1, 2, 0, value=7), operation("read", 3, 4, 0)])


def test_operations_at_one_time_have_either_order() -> None:
    for value in (0, 7):
        assert has_order([operation("write", 1, 4, 0, value=7), operation("read", 2, 3, value)])
    assert not has_order([operation("write", 1, 4, 0, value=7), operation("read", 2, 3, 8)])


def test_two_reads_never_go_back_in_time() -> None:
    write, old, new = operation("write", 1, 10, 0, value=7), operation("read", 5, 6, 0), operation("read", 2, 3, 7)
    assert not has_order([write, old, new])


def test_an_operation_without_an_answer_may_have_happened_or_not() -> None:
    for value in (0, 7):
        assert has_order([operation("write", 1, None, None, value=7), operation("read", 5, 6, value)])


def test_an_operation_without_an_answer_happens_once() -> None:
    reads = [operation("read", 5, 6, 1), operation("read", 7, 8, 2)]
    assert not has_order([operation("add", 1, None, None, amount=1), *reads])


def test_a_swap_succeeds_only_on_what_it_expected() -> None:
    assert has_order([operation("swap", 1, 2, 5, old=0, new=5), operation("swap", 3, 4, "DIFFERS", old=0, new=9)])
    assert not has_order([operation("swap", 1, 2, 5, old=0, new=5), operation("swap", 3, 4, 9, old=0, new=9)])


def test_a_lost_update_is_seen() -> None:
    """Two additions at one time that both say 1: one of them is lost."""
    assert not has_order([operation("add", 1, 4, 1, amount=1), operation("add", 2, 3, 1, amount=1)])
