"""A lying primary: wrong digests, batches without one client, and proposals that come late."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from ledger.codes import Refusal
from ledger.envelope import envelope_from_bytes
from pbft.events import Send
from pbft.messages import (
    Batch,
    Commit,
    Forward,
    Message,
    Prepare,
    PrePrepare,
    Proposal,
    batch_digest,
    decode_batch,
    encode_batch,
)
from sim.behaviour import Behaviour, Stand

ASK_AGAIN_MS = 100
"""How often a lying primary asks the same backup for its vote on another batch."""
ASK_FROM = 6
"""From which sequence on: by then a network of processes runs, too."""


def rebatched(message: Proposal, envelopes: Sequence[bytes], later_ms: int = 0) -> Proposal:
    """The same sequence with other envelopes or another time; not yet signed."""
    batch = decode_batch(message.body)
    time_ms = batch.proposed_time_ms + later_ms
    hashes = b"".join(envelope_from_bytes(raw).hash for raw in envelopes)
    digest = batch_digest(batch.channel, time_ms, hashes)
    body = encode_batch(Batch(batch.channel, time_ms, tuple(envelopes)))
    return Proposal(msgspec.structs.replace(message.pre_prepare, digest=digest), body)


class WrongDigest(Behaviour):
    """Proposals and votes name a digest that is no batch's, towards one half of the others."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        stand, others = self.stand, self.stand.others
        message = send.message
        if send.to is not None or not isinstance(message, Proposal | Prepare | Commit):
            return (send,)
        wrong = self._wrong(message)
        half = len(others) // 2
        return [Send(to, wrong if place < half else message) for place, to in enumerate(stand.others)]

    def _wrong(self, message: Proposal | Prepare | Commit) -> Message:
        digest = self.stand.chance.randbytes(32)
        match message:
            case Proposal(proposal, body):
                return Proposal(self.stand.sign(msgspec.structs.replace(proposal, digest=digest)), body)
            case Prepare():
                return self.stand.sign(msgspec.structs.replace(message, digest=digest))
            case Commit():
                return self.stand.sign(msgspec.structs.replace(message, digest=digest))


class SlowPrimary(Behaviour):
    """Every proposal leaves ``hold_ms`` late: just soon enough that no time-out complains."""

    def __init__(self, stand: Stand, hold_ms: int = 500) -> None:
        super().__init__(stand)
        self._hold_ms = hold_ms

    def outgoing(self, send: Send) -> Sequence[Send]:
        if not isinstance(send.message, Proposal):
            return (send,)
        self.stand.later(self._hold_ms, lambda: self.stand.emit(send))
        return ()


class Censor(Behaviour):
    """The requests of one client, the first that is seen, come into no batch; votes follow the changed batches."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._victim: str | None = None
        self._changed: dict[bytes, bytes] = {}

    def incoming(self, sender: int, message: Message) -> bool:
        if not isinstance(message, Forward):
            return True
        return not any(self._is_victims(raw) for raw in message.envelopes)

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        match message:
            case Proposal(proposal, body) if proposal.sender == self.stand.me and body:
                return (Send(send.to, self._censored(message)),)
            case Commit(digest=digest) if digest in self._changed:
                changed = msgspec.structs.replace(message, digest=self._changed[digest])
                return (Send(send.to, self.stand.sign(changed)),)
            case Forward(envelopes) if any(self._is_victims(raw) for raw in envelopes):
                return ()
            case _:
                return (send,)

    def _censored(self, message: Proposal) -> Proposal:
        envelopes = decode_batch(message.body).envelopes
        left = [raw for raw in envelopes if not self._is_victims(raw)]
        if len(left) == len(envelopes):
            return message
        without = rebatched(message, left)
        self._changed[message.pre_prepare.digest] = without.pre_prepare.digest
        return Proposal(self.stand.sign(without.pre_prepare), without.body)

    def _is_victims(self, raw: bytes) -> bool:
        try:
            signer = envelope_from_bytes(raw).payload.signers[0]
        except Refusal:
            return False  # another liar's flood
        if self._victim is None:
            self._victim = signer
        return signer == self._victim


class TwoProposals(Behaviour):
    """As primary, one batch to half of the backups and another to the rest, and a vote for both to everyone."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message, stand = send.message, self.stand
        if not isinstance(message, Proposal) or send.to is not None:
            return (send,)
        others = stand.others
        half = len(others) // 2 or 1
        twin = twin_of(stand, message)
        sends = [Send(node, message) for node in others[:half]] + [Send(node, twin) for node in others[half:]]
        for proposal in (message.pre_prepare, twin.pre_prepare):
            sends += [Send(None, vote) for vote in votes_for(stand, proposal)]
        return sends


def twin_of(stand: Stand, message: Proposal) -> Proposal:
    """Another batch for the same sequence, a millisecond younger, signed by us."""
    twin = rebatched(message, decode_batch(message.body).envelopes, later_ms=1)
    return Proposal(stand.sign(twin.pre_prepare), twin.body)


class AskTwice(Behaviour):
    """As primary, one batch to everyone and another for the same sequence ``later_ms`` after it: whoever has forgotten
    its vote meanwhile, or never minded, votes again."""

    def __init__(self, stand: Stand, later_ms: int = 25) -> None:
        super().__init__(stand)
        self._later_ms = later_ms

    def outgoing(self, send: Send) -> Sequence[Send]:
        message, stand = send.message, self.stand
        if isinstance(message, Proposal) and send.to is None and message.pre_prepare.sender == stand.me:
            twin = twin_of(stand, message)
            stand.later(self._later_ms, lambda: stand.emit(Send(None, twin)))
        return (send,)


class AskAgain(Behaviour):
    """As primary, from some sequence on, a batch to one backup alone, and as long as its view lasts another one for the
    same sequence to it, over and over: whoever forgets its vote in a crash, or with its log, votes again."""

    def __init__(self, stand: Stand, from_sequence: int = ASK_FROM) -> None:
        super().__init__(stand)
        self._from = from_sequence

    def outgoing(self, send: Send) -> Sequence[Send]:
        message, stand = send.message, self.stand
        if not isinstance(message, Proposal) or message.pre_prepare.sender != stand.me:
            return (send,)
        if message.pre_prepare.sequence < self._from:
            return (send,)
        twin = twin_of(stand, message)
        stand.later(ASK_AGAIN_MS, partial(self._again, twin))
        return (Send(stand.others[-1], message),)

    def _again(self, twin: Proposal) -> None:
        stand = self.stand
        if stand.leads and stand.node.replica.view == twin.pre_prepare.view:
            stand.emit(Send(stand.others[-1], twin))
            stand.later(ASK_AGAIN_MS, partial(self._again, twin))


def votes_for(stand: Stand, proposal: PrePrepare | Prepare | Commit) -> tuple[Prepare, Commit]:
    """Our votes of both phases for a proposal, whatever we voted before."""
    what = (proposal.view, proposal.sequence, proposal.digest, stand.me)
    return stand.sign(Prepare(*what)), stand.sign(Commit(*what))
