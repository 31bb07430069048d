"""What happened, as lines that a person can read: who sent what to whom, and what befell the world."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import msgspec

from pbft.evidence import Conflicting, Evidence, encode_evidence
from pbft.messages import (
    NULL_DIGEST,
    BatchBody,
    CertifiedBlock,
    Chunk,
    Commit,
    Complaint,
    Complaints,
    FetchBatch,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Handover,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    PrePrepare,
    Proposal,
    Status,
    ViewChange,
    decode_batch,
)
from sim.world import World

LINES = 60
CHATTER = (Status, Forward)
"""Left out of transcripts: they are sent all the time and decide nothing."""


def transcript(world: World, lines: int = LINES, *, chatter: bool = False) -> str:
    """All that befell the world, and the last ``lines`` messages before the end of the play."""
    sent = [line for line in _sent(world) if chatter or not isinstance(line[1], CHATTER)]
    told_lines = [(at_ms, f"-- {note}") for at_ms, note in world.notes]
    told_lines += [(at_ms, f"{who}: {told(message)}") for at_ms, message, who in sent[-lines:]]
    told_lines.sort(key=lambda line: line[0])
    cut = [f"(without the first {len(sent) - lines} messages)"] if len(sent) > lines else []
    return "\n".join([*cut, *(f"{at_ms:>7} ms  {text}" for at_ms, text in told_lines)])


def _sent(world: World) -> Iterator[tuple[int, Message, str]]:
    for sent in world.sent:
        to = "all" if sent.to is None else str(sent.to)
        liar = " (liar)" if world.nodes[sent.place].owner in world.plan.byzantine else ""
        yield sent.at_ms, sent.message, f"{sent.place}{liar} > {to}"


def told(message: Message) -> str:
    """A message in a few words."""
    match message:
        case Proposal(pre_prepare, body):
            return f"PRE-PREPARE {_place(pre_prepare)} with {_requests(body)}"
        case PrePrepare():
            return f"PRE-PREPARE {_place(message)}"
        case Prepare() | Commit():
            return f"{type(message).__name__.upper()} {_place(message)}"
        case Outcome(statement, _, _):
            return (
                f"OUTCOME h{statement.height} {statement.header_hash.hex()[:6]} root {statement.state_root.hex()[:6]}"
            )
        case ViewChange(view, certificate, prepared, _, _):
            certified = certificate.statement.height if certificate is not None else 0
            return f"VIEW-CHANGE v{view} certified h{certified} P {_places([p.pre_prepare for p in prepared])}"
        case NewView(view, changes, proposals, _, _):
            return f"NEW-VIEW v{view} V {[change.sender for change in changes]} O {_places(proposals)}"
        case Complaint(view, _, _):
            return f"COMPLAINT about v{view}"
        case Complaints(complaints):
            return f"COMPLAINTS about v{complaints[0].view if complaints else '?'} by {[c.sender for c in complaints]}"
        case Handover(view, to, _):
            return f"HAND-OVER of v{view} to {to}"
        case Status(epoch, view, active, executed, certified, first, whole):
            state = ("" if active else " leaving") + ("" if whole else " not whole")
            return f"STATUS e{epoch} v{view}{state} executed h{executed} certified h{certified} from h{first}"
        case _:
            return _told_transfer(message)


def _told_transfer(message: Message) -> str:
    match message:
        case CertifiedBlock():
            return f"CERTIFIED-BLOCK h{message.height} by the certificate of h{message.certificate.statement.height}"
        case FetchBlocks(first, last):
            return f"FETCH-BLOCKS h{first}..h{last}"
        case FetchBatch(digest):
            return f"FETCH-BATCH {digest.hex()[:6]}"
        case BatchBody(body):
            return f"BATCH-BODY of {_requests(body)}"
        case FetchManifest(height):
            return f"FETCH-MANIFEST from h{height} on"
        case Manifest():
            return f"MANIFEST h{message.height} in {message.chunks} chunks"
        case FetchChunk(height, index):
            return f"FETCH-CHUNK h{height} {index}"
        case Chunk(height, index, data):
            return f"CHUNK h{height} {index}, {len(data)} bytes"
        case Forward(envelopes):
            return f"FORWARD {len(envelopes)} requests"
        case _:
            return type(message).__name__


def told_evidence(evidence: Evidence) -> tuple[str, ...]:
    """What the accused signed, a line a message, with the beginning of each signature."""
    signed: tuple[Conflicting | Complaint, ...] = (*evidence.messages, *evidence.complaints)
    return tuple(f"{told(message)}, signature {message.signature.hex()[:16]}..." for message in signed)


def encoded_evidence(evidence: Evidence) -> str:
    """The whole proof in base64, as nodes keep it and governance takes it."""
    return base64.b64encode(encode_evidence(evidence)).decode()


def _requests(body: bytes) -> str:
    """How many; a liar's body may be anything."""
    try:
        return f"{len(decode_batch(body).envelopes)} requests"
    except msgspec.DecodeError:
        return f"{len(body)} bytes that are no batch"


def _place(vote: PrePrepare | Prepare | Commit) -> str:
    digest = "null" if vote.digest == NULL_DIGEST else vote.digest.hex()[:6]
    return f"v{vote.view} s{vote.sequence} {digest}"


def _places(proposals: Sequence[PrePrepare]) -> str:
    return "{" + ", ".join(_place(proposal) for proposal in proposals) + "}"
