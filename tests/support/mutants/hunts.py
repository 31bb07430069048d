"""Hunts: scenarios by seed, each giving sentences about what did not hold. Without a bug every one of them gives none.

An assertion of ours that fails counts as caught, like anything that a checker says. Replica 3 is the liar where one
is needed; what its replica sends is then dropped or changed, and lies are put on the network in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from ca.signatures import verify
from pbft.evidence import Evidence, EvidenceKind, verify_evidence
from pbft.messages import (
    Batch,
    BatchBody,
    CertifiedBlock,
    Commit,
    Complaint,
    ExecutionCertificate,
    Message,
    NewView,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Statement,
    ViewChange,
    batch_digest,
    decode_batch,
    encode_batch,
)
from pbft.quorum import primary_of
from sim import byzzfuzz, twins
from sim.arena import CLOCK_START_MS, Arena, Member, has_executed, safety
from sim.catalogue import plan_of
from sim.chain import RECONFIGURE
from sim.plan import Fault, Plan, decode_plan
from sim.run import run_plan, run_seed
from sim.wires import view_of

PLANS = Path(__file__).resolve().parents[2] / "data" / "plans"
CALM_MS = 4_000
LIAR = 3
EVIL = b"evil"
VIEWS_FOR_ONE_WORD = 1
Hunt = Callable[[int], list[str]]


def hunted(hunt: Hunt, seed: int) -> list[str]:
    """What a hunt finds."""
    try:
        return hunt(seed)
    except AssertionError as error:
        return [f"assertion: {error}"]


# ------------------------------------------------------------------------------------------ general hunts


def sampled_twins(seed: int) -> list[str]:
    """A Twins scenario by chance, of three to six rounds."""
    return twins.play(twins.sampled(seed))


def fuzzed(seed: int) -> list[str]:
    """A ByzzFuzz run."""
    return byzzfuzz.play(byzzfuzz.fuzz_of(seed))


def world_of(adversary: str) -> Hunt:
    """The whole simulator against an adversary."""

    def hunt(seed: int) -> list[str]:
        return list(run_seed(seed, 4, adversary).faults)

    hunt.__name__ = f"world_of_{adversary}"
    return hunt


def kept_waiting(adversary: str, for_ms: int) -> Hunt:
    """The whole simulator for so long, which is too short for all to end: whether a client has waited too long."""

    def hunt(seed: int) -> list[str]:
        plan = plan_of(seed, 4, adversary)
        plan = msgspec.structs.replace(plan, chaos_ms=plan.chaos_ms // 2, calm_ms_max=for_ms - plan.chaos_ms // 2)
        return [fault for fault in run_plan(plan).faults if fault.startswith("censorship")]

    hunt.__name__ = f"kept_waiting_by_{adversary}"
    return hunt


def stored(name: str) -> Hunt:
    """A plan that once showed a bug, whatever the seed."""

    def hunt(seed: int) -> list[str]:
        return list(run_plan(decode_plan((PLANS / f"{name}.json").read_bytes())).faults)

    hunt.__name__ = f"stored_{name}"
    return hunt


def revoked_client(seed: int) -> list[str]:
    """Operators revoke a client's certificate, and it goes on asking every node for more."""
    return list(run_plan(Plan(seed, "revoked-client", faults=(Fault(800, "revoke", amount=1),))).faults)


# ------------------------------------------------------------------------------------------- what they share


def ended(arena: Arena, *, last: str | None = "last") -> list[str]:
    """The faults are over: a last request must execute everywhere; then all that does not hold."""
    arena.carry = lambda sender, receiver, message: (message,)
    if last is None:
        return safety(arena)
    arena.submit(next(member.place for member in arena.honest if member.up), last)
    done = arena.run(CALM_MS, lambda: has_executed(arena, last))
    return safety(arena) + ([] if done else ["termination: the last request did not execute everywhere"])


def signed(arena: Arena, message: Any, by: int | None = None) -> Any:
    """With a good signature of its sender's, or of another's."""
    key = arena.keys[message.sender if by is None else by]
    return msgspec.structs.replace(message, signature=key.sign(message.signed(arena.config.scope)))


def tell(arena: Arena, message: Message, to: Iterable[int], liar: int = LIAR) -> None:
    """Put a message on the network in the liar's name."""
    for place in to:
        arena.deliver(arena.members[liar], arena.members[place], message)


def batch_of(arena: Arena, *envelopes: bytes, at_ms: int = 0) -> tuple[bytes, bytes]:
    """A batch's body and digest."""
    names = [sha256(envelope).digest() for envelope in envelopes]
    arena.submitted.update(names)
    time_ms = CLOCK_START_MS + arena.now_ms + at_ms
    return encode_batch(Batch("main", time_ms, envelopes)), batch_digest("main", time_ms, b"".join(names))


def proposal_of(arena: Arena, sequence: int, *envelopes: bytes, view: int = 0, at_ms: int = 0) -> Proposal:
    """A proposal of the view's primary, whoever that is."""
    body, digest = batch_of(arena, *envelopes, at_ms=at_ms)
    return Proposal(signed(arena, PrePrepare(view, sequence, digest, arena.config.primary(view))), body)


def with_liar(liar: int = LIAR, **options: Any) -> Arena:
    """Four replicas, one of which lies: what its own replica sends is lost."""
    arena = Arena(range(4), **options)
    arena.liars = {liar}
    arena.carry = lambda sender, receiver, message: () if sender.index == liar else (message,)
    return arena


# ------------------------------------------------------------------------------------- votes and proposals


def one_digest_two_bodies(seed: int) -> list[str]:
    """The first primary sends one pre-prepare with another batch to each of two halves."""
    arena = with_liar(0)
    proposal = proposal_of(arena, 1, b"this")
    other, _ = batch_of(arena, b"that")
    tell(arena, proposal, [1, 2], liar=0)
    tell(arena, Proposal(proposal.pre_prepare, other), [3], liar=0)
    arena.run(40)
    return ended(arena)


def restarted_voter(seed: int) -> list[str]:
    """A replica votes, crashes, starts again, and is asked to vote for another batch at the same sequence."""
    return _asked_twice(1 + seed % 3, without_log=False)


def forgetful_voter(seed: int) -> list[str]:
    """The same, while the log was lost: it must not vote at all."""
    return _asked_twice(1 + seed % 3, without_log=True)


def _asked_twice(victim: int, *, without_log: bool) -> list[str]:
    arena = with_liar(0)
    tell(arena, proposal_of(arena, 1, b"this"), [victim], liar=0)
    arena.run(5)
    arena.crash(victim)
    arena.restart(victim, without_log=without_log)
    tell(arena, proposal_of(arena, 1, b"that"), [victim], liar=0)
    arena.run(5)
    return ended(arena, last=None)


def copied_votes(seed: int) -> list[str]:
    """Of all commits, one replica's reach one other, each three times."""
    arena = Arena(range(4))

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        if isinstance(message, Commit):
            return (message,) * 3 if (sender.place, receiver.place) == (1 + seed % 3, 0) else ()
        return (message,)

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(20)
    alone = ["quorum: executed with two replicas' commits"] if arena.members[0].chain.height else []
    return alone + ended(arena)


def borrowed_names(seed: int) -> list[str]:
    """The liar sends votes in others' names, signed by itself, to a primary that hears nobody else."""
    arena = with_liar()
    arena.carry = lambda sender, receiver, message: ()
    arena.submit(0, "a")
    accepted = arena.members[0].replica.core.log.slots[1].accepted
    assert accepted is not None, "the primary accepts its own proposal"
    for kind in (Prepare, Commit):
        for name in (1, 2, LIAR):
            vote = kind(0, 1, accepted.digest, name)
            tell(arena, signed(arena, vote, by=LIAR), [0])
    arena.run(20)
    alone = ["quorum: the primary executed alone with a liar"] if arena.members[0].chain.height else []
    return alone + ended(arena)


def far_sequences(seed: int) -> list[str]:
    """The liar votes for hundreds of sequences, near and far."""
    arena = with_liar()
    for sequence in range(200):
        for kind in (Prepare, Commit):
            tell(arena, signed(arena, kind(seed % 5, sequence, bytes(32), LIAR)), [0, 1, 2])
    arena.run(20)
    return safety(arena) + ended(arena)


def climbing_views(seed: int) -> list[str]:
    """The liar votes for one sequence in hundreds of views, one after another."""
    arena = with_liar()
    for view in range(300):
        tell(arena, signed(arena, Commit(view, 1, sha256(b"%d" % view).digest(), LIAR)), [0, 1, 2])
    arena.run(5)
    sizes = [_size(arena.members[place].replica.core.log.slots.get(1)) for place in (0, 1, 2)]
    return [f"bounds: {size} entries for one vote" for size in sizes if size > SLOT_ENTRIES_MAX] + ended(arena)


SLOT_ENTRIES_MAX = 40


def _size(slot: Any) -> int:
    """How many entries the containers of a slot's votes have."""
    votes = getattr(slot, "commits", None)
    parts = [getattr(votes, name) for name in getattr(type(votes), "__slots__", ())]
    return sum(len(part) for part in parts if isinstance(part, dict | list | set))


def far_future(seed: int) -> list[str]:
    """The first primary proposes a batch of a day ahead."""
    arena = with_liar(0)
    tell(arena, proposal_of(arena, 1, b"tomorrow", at_ms=86_400_000), [1, 2, 3], liar=0)
    arena.run(40)
    return _times(arena) + ended(arena)


def _times(arena: Arena) -> list[str]:
    bodies = [item.body for member in arena.honest for _, item in member.chain.blocks if item.body]
    latest = CLOCK_START_MS + arena.now_ms + arena.config.clock_tolerance_ms
    return [f"time: a block of {t}" for body in bodies if (t := decode_batch(body).proposed_time_ms) > latest]


# --------------------------------------------------------------------------------------- outcomes and blocks


def few_outcomes(seed: int) -> list[str]:
    """Only one replica's outcomes reach others, for longer than a window of blocks."""
    arena = Arena(range(4))
    arena.carry = lambda sender, receiver, message: (
        () if isinstance(message, Outcome) and sender.place != seed % 4 else (message,)
    )
    arena.submit(0, "a")
    arena.run(700)
    return safety(arena) + ended(arena)


def nulled(seed: int) -> list[str]:
    """The first of two batches does not prepare and the second does, so that the next view has a null request in the
    place of the first. What was in that is to be proposed in this view, and not when its time is up."""
    arena = Arena(range(4), batch_transactions_max=1)

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        lost = isinstance(message, Commit) or (isinstance(message, Prepare) and message.sequence == 1)
        return () if lost and view_of(message) == 0 else (message,)

    arena.carry = carry
    arena.submit(seed % 4, "a", "b")
    arena.run(100)
    arena.crash(0)
    begun = arena.run(6_000, lambda: all(m.replica.view == 1 and m.replica.active for m in arena.members[1:]))
    served = arena.run(1_500, lambda: all(m.chain.has(b"a") and m.chain.has(b"b") for m in arena.members[1:]))
    views = sorted({member.replica.view for member in arena.members[1:]})
    good = begun and served and views == [1]
    return safety(arena) + ([] if good else [f"censorship: view 1 begun: {begun}, both served: {served} in {views}"])


def late_to_one(seed: int) -> list[str]:
    """The liar leads and keeps its proposals from one replica, and its own votes and complaints from all: the others
    need that one's vote. Nothing would be ordered in this view."""
    arena = Arena(range(4))
    arena.liars = {0}
    late = 1 + seed % 3

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        kept = isinstance(message, Prepare | Commit | Complaint) or (
            isinstance(message, Proposal) and receiver.place == late
        )
        return () if sender.place == 0 and kept else (message,)

    arena.carry = carry
    arena.submit(late, "a")
    served = arena.run(6_000, lambda: has_executed(arena, "a"))
    views = sorted({member.replica.view for member in arena.honest})
    return safety(arena) + ([] if served and views == [0] else [f"termination: served {served} in views {views}"])


def forged_block(seed: int) -> list[str]:
    """A replica that hears nobody else is given a block with a certificate that q replicas never signed."""
    arena = with_liar()
    arena.carry = lambda sender, receiver, message: ()
    body, digest = batch_of(arena, EVIL)
    arena.submitted.clear()
    header = msgspec.msgpack.encode((1, bytes(32), digest))
    statement = Statement(1, sha256(header).digest(), bytes(32), bytes(32), bytes(32))
    outcome = signed(arena, Outcome(statement, LIAR))
    signers = [range(3), [LIAR], [1, LIAR]][seed % 3]
    certificate = ExecutionCertificate(0, statement, tuple((signer, outcome.signature) for signer in signers))
    tell(arena, CertifiedBlock(header, body, 0, 0, certificate), [0])
    arena.run(20)
    return safety(arena)


def ended_epoch(seed: int) -> list[str]:
    """A change of membership executes; the load goes on across the boundary."""
    arena = Arena(range(4), batch_transactions_max=1)
    arena.submit(seed % 4, RECONFIGURE.decode())
    for number in range(40):
        arena.submit(number % 4, *(f"request {number}.{part}" for part in range(4)))
        arena.run(5)
    arena.run(400)
    faults = safety(arena)
    heights = {member.chain.height for member in arena.members}
    boundaries = {member.chain.boundary for member in arena.members}
    return faults if heights == boundaries else [*faults, f"boundary: heights {heights} at boundary {boundaries}"]


# ------------------------------------------------------------------------------------------------- views


def lone_executor(seed: int) -> list[str]:
    """One replica alone commits; then the primary dies, and a view without knowledge of it must not undo that."""
    arena = Arena(range(4))
    lucky = 1 + seed % 3

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        first = isinstance(message, Commit) and message.view == 0
        lost = isinstance(message, Outcome) or (first and receiver.place != lucky)
        return () if lost else (message,)

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(10)
    arena.crash(0)
    arena.submit(1, "b")
    arena.run(400, lambda: all(member.replica.view for member in arena.members if member.up))
    arena.carry = lambda sender, receiver, message: () if isinstance(message, Outcome) else (message,)
    arena.run(200)
    return ended(arena)


def lone_preparer(seed: int) -> list[str]:
    """A batch prepares at one replica alone, which the next view begins without; that must not matter."""
    arena = Arena(range(4))
    lucky = 2 + seed % 2

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        if sender.replica.view == 0:
            lost = isinstance(message, Prepare) and receiver.place != lucky
            return () if lost or isinstance(message, Outcome) else (message,)
        apart = lucky in (sender.place, receiver.place) and not isinstance(message, Complaint)
        return () if apart or isinstance(message, Outcome) else (message,)

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(400)
    return ended(arena)


def gap(seed: int) -> list[str]:
    """The second of two proposals prepares, the first is lost, the primary dies."""
    arena = Arena(range(4), batch_transactions_max=1)

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        first = isinstance(message, Proposal) and message.pre_prepare.sequence == 1
        return () if first or isinstance(message, Commit) else (message,)

    arena.carry = carry
    arena.submit(0, "a", "b")
    arena.run(10)
    arena.crash(0)
    return ended(arena)


def settled_again(seed: int) -> list[str]:
    """View 1's primary lies: it proposes another batch for the first height that the laggard lacks, which the others
    have certified already. The new view began above that height, so that its O says nothing of it."""
    arena = Arena(range(4), checkpoint_interval_blocks=8, window_blocks=24)
    liar, laggard = 1, 2 + seed % 2
    arena.liars = {liar}
    for number in range(4):
        arena.submit(0, f"request {number}")
        arena.run(10)

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        settles = isinstance(message, Proposal | Prepare | Commit | Outcome | CertifiedBlock)
        return () if settles and (laggard in (sender.index, receiver.index) or sender.index == liar) else (message,)

    arena.carry = lambda sender, receiver, message: () if laggard in (sender.index, receiver.index) else (message,)
    for number in range(4, 6):
        arena.submit(0, f"request {number}")
        arena.run(10)
    arena.carry = lambda sender, receiver, message: (
        () if isinstance(message, Proposal) else carry(sender, receiver, message)
    )
    arena.run(400, lambda: all(member.replica.view == 1 and member.replica.active for member in arena.members))
    height = arena.members[laggard].chain.height + 1
    lie = proposal_of(arena, height, EVIL, view=1)
    arena.carry = lambda sender, receiver, message: (
        () if isinstance(message, CertifiedBlock) or sender.index == liar else (message,)
    )
    honest = [member.index for member in arena.honest]
    tell(arena, lie, honest, liar)
    tell(arena, signed(arena, Commit(1, height, lie.pre_prepare.digest, liar)), honest, liar)
    arena.run(50)
    return ended(arena)


def one_complainer(seed: int) -> list[str]:
    """The liar complains and asks for later views; nobody else has a reason to."""
    arena = with_liar()
    for step in range(10):
        tell(arena, signed(arena, Complaint(0, LIAR)), [0, 1, 2])
        tell(arena, signed(arena, ViewChange(1 + (seed + step) % 8, None, (), LIAR)), [0, 1, 2])
        arena.submit(step % 3, f"request {step}")
        arena.run(20)
    moved = [member.index for member in arena.honest if member.replica.view]
    return ([f"stability: one liar moved {moved}"] if moved else []) + ended(arena)


def far_complaint(seed: int) -> list[str]:
    """An honest replica hears no proposals, and complains time and again, but has the blocks; the liar, who votes well,
    complained once about a view far ahead."""
    arena = Arena(range(4), status_interval_ms=200)
    arena.liars = {LIAR}
    deaf = 1 + seed % 2
    arena.carry = lambda sender, receiver, message: (
        () if isinstance(message, Proposal) and receiver.index == deaf else (message,)
    )
    tell(arena, signed(arena, Complaint(10 ** (2 + seed), LIAR)), [0, 1, 2])
    for step in range(100):
        arena.submit(step % 3, f"request {step}")
        arena.run(20)
    views = max(member.replica.view for member in arena.honest)
    return ([f"stability: {views} views for one word"] if views > VIEWS_FOR_ONE_WORD else []) + ended(arena)


def untrue_new_view(seed: int) -> list[str]:
    """Replica 1 leads view 1 and proposes there something else at a sequence that one replica executed."""

    def lie(arena: Arena, message: NewView, digest: bytes) -> NewView:
        other = tuple(signed(arena, msgspec.structs.replace(p, digest=digest)) for p in message.pre_prepares)
        return msgspec.structs.replace(message, pre_prepares=other)

    return _lied_about_what_is_open(lie)


def unproven_new_view(seed: int) -> list[str]:
    """The same, and it claims without proof that this prepared in view 0, ahead of those who say what did."""

    def lie(arena: Arena, message: NewView, digest: bytes) -> NewView:
        claim = PreparedCertificate(PrePrepare(0, 1, digest, 0), ())
        own = signed(arena, ViewChange(1, None, (claim,), 1))
        others = [change for change in message.view_changes if change.sender != 1]
        proposal = signed(arena, PrePrepare(1, 1, digest, 1))
        return msgspec.structs.replace(message, view_changes=(own, *others), pre_prepares=(proposal,), prepared=())

    return _lied_about_what_is_open(lie)


def forged_new_view(seed: int) -> list[str]:
    """The same, with a proof in others' names that nobody signed."""

    def lie(arena: Arena, message: NewView, digest: bytes) -> NewView:
        proposal = PrePrepare(0, 1, digest, 0, b"s" * 64)
        votes = tuple(Prepare(0, 1, digest, backup, b"s" * 64) for backup in (1, 2))
        own = signed(arena, ViewChange(1, None, (PreparedCertificate(PrePrepare(0, 1, digest, 0), ()),), 1))
        others = [change for change in message.view_changes if change.sender != 1]
        return msgspec.structs.replace(
            message,
            view_changes=(own, *others),
            pre_prepares=(signed(arena, PrePrepare(1, 1, digest, 1)),),
            prepared=(PreparedCertificate(proposal, votes),),
        )

    return _lied_about_what_is_open(lie)


def _lied_about_what_is_open(lie: Callable[[Arena, NewView, bytes], NewView]) -> list[str]:
    arena = with_liar(1)
    arena.submitted.add(sha256(EVIL).digest())
    body, digest = batch_of(arena, EVIL)

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        match message:
            case Outcome():
                return ()
            case Commit(view=0):
                return (message,) if receiver.place == 2 else ()
            case Proposal() if sender.place == 0 and arena.now_ms > 10:
                return ()
            case ViewChange() if sender.place == 0 and receiver.place == 1:
                return ()
            case NewView() if message.sender == 1:
                return signed(arena, lie(arena, message, digest)), BatchBody(body)
            case Prepare() | Commit() | Proposal() if sender.place == 1 and view_of(message) == 1:
                return ()
            case _:
                return (message,)

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(400)
    return ended(arena)


def dead_primary_after_a_storm(seed: int) -> list[str]:
    """NEW-VIEWs are lost for many views; the network heals when the turn is a dead replica's."""
    arena = Arena(range(4))
    arena.crash(LIAR)
    arena.carry = lambda sender, receiver, message: () if isinstance(message, NewView | Proposal) else (message,)
    arena.submit(0, "a")

    def is_turn_of_the_dead() -> bool:
        views = {member.replica.view for member in arena.honest if member.up}
        return len(views) == 1 and min(views) >= 11 + 4 * (seed % 2) and min(views) % 4 == LIAR

    found = arena.run(60_000, is_turn_of_the_dead)
    return ended(arena) if found else ["termination: views stopped"]


# ------------------------------------------------------------------- a false P-set against an executed batch

Lie = Callable[[Arena, int, PreparedCertificate], PreparedCertificate]


def overturned(lie: Lie | None, view: int) -> list[str]:
    """Batch A prepares in view 0 at replica 3 alone; batch B commits in view 1 at replica 1 alone; the views after
    that come to nothing, until ``view`` begins with V from replicas 1, 2 and 3, whose P-set is ``lie``'s."""
    arena = Arena(range(4))
    arena.liars = {LIAR} if lie is not None else set()
    told: list[PreparedCertificate] = []

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        at = view_of(message)
        at = sender.replica.view if at is None else at
        if isinstance(message, Outcome | CertifiedBlock):
            return ()
        if at == 0:
            for_liar = isinstance(message, Prepare) and receiver.place == LIAR
            return (message,) if for_liar or isinstance(message, Complaint | Proposal) else ()
        if at == 1:
            apart = LIAR in (sender.place, receiver.place) and not isinstance(message, Complaint)
            lost = isinstance(message, Commit) and receiver.place != 1
            return () if apart or lost else (message,)
        if at < view:
            return (message,) if isinstance(message, Complaint | ViewChange) else ()
        if isinstance(message, ViewChange) and sender.place == 0 and at == view:
            return ()
        if isinstance(message, ViewChange) and sender.place == LIAR and at == view and lie is not None:
            slot = arena.members[LIAR].replica.core.log.slots[1]
            if slot.prepared is not None:
                told.append(slot.prepared)
            false = lie(arena, view, told[0])
            return (signed(arena, msgspec.structs.replace(message, prepared=(false,), certificate=None)),)
        return (message,)

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(100)
    arena.submit(1, "b")
    reached = arena.run(6_000, lambda: all(m.replica.view >= view and m.replica.active for m in arena.members[1:3]))
    arena.run(100)
    executed = arena.members[1].chain.height >= 1
    return ended(arena) if reached and executed else [f"scenario: view reached {reached}, executed {executed}"]


def redated_p_set(seed: int) -> list[str]:
    """The liar's certificate of view 0, with its signatures, is said to be of view 4, which has the same primary."""

    def lie(arena: Arena, view: int, true: PreparedCertificate) -> PreparedCertificate:
        prepares = tuple(msgspec.structs.replace(prepare, view=4) for prepare in true.prepares)
        return PreparedCertificate(msgspec.structs.replace(true.pre_prepare, view=4), prepares)

    return overturned(lie, 5)


def unsigned_p_set(seed: int) -> list[str]:
    """The liar leads view 3; it invents the votes of others for its proposal there."""

    def lie(arena: Arena, view: int, true: PreparedCertificate) -> PreparedCertificate:
        proposal = signed(arena, PrePrepare(3, 1, true.pre_prepare.digest, LIAR))
        prepares = [signed(arena, Prepare(3, 1, proposal.digest, sender), by=LIAR) for sender in (1, 2)]
        return PreparedCertificate(proposal, tuple(prepares))

    return overturned(lie, 5)


def short_p_set(seed: int) -> list[str]:
    """A certificate with good signatures, but the liar's only, and it led no such view."""

    def lie(arena: Arena, view: int, true: PreparedCertificate) -> PreparedCertificate:
        proposal = signed(arena, PrePrepare(4, 1, true.pre_prepare.digest, LIAR))
        votes = [(), (signed(arena, Prepare(4, 1, proposal.digest, LIAR)),)][seed % 2]
        return PreparedCertificate(proposal, votes)

    return overturned(lie, 5)


def older_p_set(seed: int) -> list[str]:
    """Nobody lies: of two certificates for one sequence the one of the later view counts."""
    return overturned(None, 5)


# -------------------------------------------------------------------------------------------------- evidence


def one_opinion(seed: int) -> list[str]:
    """One replica's complaint is presented as a reason to skip a primary."""
    arena = Arena(range(4))
    complaint = signed(arena, Complaint(0, 1 + seed % 3))
    evidence = Evidence(EvidenceKind.COMPLAINTS, arena.config.scope, 0, (), (complaint,))
    keys = tuple(key.public_key for key in arena.keys)
    convicts = verify_evidence(evidence, keys, lambda view: primary_of(view, (0, 1, 2, 3)), verify)
    return ["blacklist: one replica's opinion convicts a primary"] if convicts else []
