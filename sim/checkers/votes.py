"""What honest replicas sign: one vote for each place, in all their lives, within their epoch; never proof of a lie."""

from __future__ import annotations

from functools import partial

from ca.signatures import verify
from pbft.evidence import EvidenceKind, verify_evidence
from pbft.messages import NULL_DIGEST, Commit, Prepare, PrePrepare, Proposal
from pbft.quorum import leaders_of, primary_of
from sim.node import SimNode
from sim.votes import VoteBook
from sim.world import World


def one_vote(world: World) -> list[str]:
    """One vote for each (epoch, view, sequence, phase) and sender, also across crashes."""
    books: dict[tuple[int, int], VoteBook] = {}
    honest = {node.place for node in world.honest}
    for sent in world.sent:
        if sent.place in honest:
            books.setdefault((sent.place, sent.epoch), VoteBook()).note(sent.place, sent.message)
    return [fault for book in books.values() for fault in book.faults]


def integrity(world: World) -> list[str]:
    """Nothing is ordered that nobody proposed: each executed batch was in a proposal for its height, or is null."""
    if world.plan.wires:
        return []  # filters change proposals on their way
    proposed = {
        (sent.message.pre_prepare.sequence, sent.message.pre_prepare.digest)
        for sent in world.sent
        if isinstance(sent.message, Proposal)
    }
    faults = []
    for node in world.honest:
        for height, digest in node.ordered:
            if digest != NULL_DIGEST and (height, digest) not in proposed:
                faults.append(f"integrity: node {node.place} executed at {height} what nobody proposed there")
                break
    return faults


def membership(world: World) -> list[str]:
    """Votes of an epoch are for its own heights: nobody votes above a boundary early, or below it late."""
    firsts = {epoch.number: epoch.first_height for node in world.nodes for epoch in node.epochs}
    honest = {node.place for node in world.honest}
    faults = []
    for sent in world.sent:
        vote = sent.message.pre_prepare if isinstance(sent.message, Proposal) else sent.message
        if sent.place not in honest or not isinstance(vote, PrePrepare | Prepare | Commit):
            continue
        end = firsts.get(sent.epoch + 1)
        if vote.sequence < firsts[sent.epoch] or (end is not None and vote.sequence >= end):
            name = type(vote).__name__
            faults.append(f"membership: node {sent.place} sent {name} for {vote.sequence} in epoch {sent.epoch}")
            break
    return faults


def innocent(world: World) -> list[str]:
    """Evidence convicts, and never an honest replica. Complaints are no proof of a lie, but where nothing keeps anybody
    waiting there is nothing to complain of."""
    return [fault for node in world.honest for fault in _wrong_evidence(world, node)]


def _wrong_evidence(world: World, node: SimNode) -> list[str]:
    owners = {other.key.public_key: other.owner for other in world.nodes}
    epochs = {epoch.number: epoch for epoch in node.epochs}
    faults = []
    for evidence in node.evidence:
        epoch = epochs[evidence.scope.epoch]
        leaders = leaders_of(len(epoch.keys), epoch.first_primary, tuple(skip.index for skip in epoch.skipped))
        primary = partial(primary_of, leaders=leaders)
        what = f"node {node.place}'s evidence of {evidence.kind} against replica {evidence.accused}"
        if not verify_evidence(evidence, epoch.keys, primary, verify):
            faults.append(f"innocent: {what} does not convict")
        elif evidence.kind is EvidenceKind.COMPLAINTS and (world.plan.byzantine or not world.plan.fair):
            continue
        elif owners[epoch.keys[evidence.accused]] not in world.plan.byzantine:
            faults.append(f"innocent: {what}, which is honest")
    return faults
