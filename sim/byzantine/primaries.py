"""A primary that misuses its lead: proposals below its view's base or far ahead, and a pipeline of its own requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from ledger.codes import Refusal
from ledger.envelope import Envelope, envelope_from_bytes
from pbft.events import PoolRequest, Send
from pbft.messages import Batch, CertifiedBlock, Commit, Forward, PrePrepare, Proposal, batch_digest, encode_batch
from pbft.view_change import base_of
from sim import contract
from sim.behaviour import Behaviour, Stand
from sim.byzantine.proposals import votes_for
from sim.clients import envelope_of

AGAIN_MS = 20
"""How often a lying primary proposes anew what is settled."""
SETTLED_MAX = 6
"""How far below its view's base."""
FILL_MS = 10
FILL_COUNT = 4
"""Requests in each batch of a primary that fills the pipeline: enough not to look slow."""
REPEATED = 16
"""Old requests: as many as a pipeline of such batches takes."""
COLLUDERS_MAX = 4
"""Registered clients that collude with such a primary; honest clients are the others."""
COLLUDING = "colluding"


def new_batch(stand: Stand, *envelopes: bytes) -> tuple[bytes, bytes]:
    """A batch of this moment, by our clock: body and digest."""
    channel, time_ms = stand.scope.channel, stand.node.clock_ms
    hashes = b"".join(envelope_from_bytes(raw).hash for raw in envelopes)
    return encode_batch(Batch(channel, time_ms, envelopes)), batch_digest(channel, time_ms, hashes)


class BelowBase(Behaviour):
    """As primary, proposes other batches at the certified heights that its view began above, which others may not have
    executed yet; it commits them too, and gives nobody the blocks that stand there."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._lies: dict[tuple[int, int], Proposal] = {}
        """(view, sequence) -> what it proposes there: always the same."""

    def begin(self) -> None:
        self.stand.later(AGAIN_MS, self._again)

    def outgoing(self, send: Send) -> Sequence[Send]:
        return () if isinstance(send.message, CertifiedBlock) else (send,)

    def _again(self) -> None:
        stand = self.stand
        core = stand.node.replica.core if stand.node.up else None
        if core is not None and core.new_view is not None and stand.leads:
            base = base_of(core.config, core.new_view.view_changes)
            for sequence in range(max(core.low, base - SETTLED_MAX) + 1, base + 1):
                self._propose(core.view, sequence)
        stand.later(AGAIN_MS, self._again)

    def _propose(self, view: int, sequence: int) -> None:
        stand, lie = self.stand, self._lies.get((view, sequence))
        if lie is None:
            body, digest = new_batch(stand)
            lie = Proposal(stand.sign(PrePrepare(view, sequence, digest, stand.me)), body)
            self._lies[view, sequence] = lie
        stand.emit(Send(None, lie))
        stand.emit(Send(None, votes_for(stand, lie.pre_prepare)[1]))


class FarAhead(Behaviour):
    """As primary, proposes one client's requests at the high watermark, and sometimes beyond, instead of next."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._victim: str | None = None
        self._far: dict[tuple[int, int], bytes] = {}
        """(view, sequence) -> the digest that was proposed there."""
        self._seen: set[tuple[int, bytes]] = set()

    def admits(self, request: PoolRequest) -> bool:
        if self._victim is None:
            self._victim = request.client
        if request.client != self._victim:
            return True
        if self.stand.leads:
            self._put_off(request)
        return False

    def outgoing(self, send: Send) -> Sequence[Send]:
        match send.message:
            case Proposal(proposal) if (proposal.view, proposal.sequence) in self._far:
                return ()
            case Commit(view, sequence, sender=me) as vote if me == self.stand.me and (view, sequence) in self._far:
                far = msgspec.structs.replace(vote, digest=self._far[view, sequence])
                return (Send(send.to, self.stand.sign(far)),)
            case _:
                return (send,)

    def _put_off(self, request: PoolRequest) -> None:
        stand, core = self.stand, self.stand.node.replica.core
        if (core.view, request.tx_id) in self._seen:
            return
        self._seen.add((core.view, request.tx_id))
        sequence = core.high + (1 if stand.chance.random() < 0.2 else 0)
        while (core.view, sequence) in self._far:
            sequence -= 1
        if sequence <= core.ordered:
            return
        body, digest = new_batch(stand, request.envelope)
        self._far[core.view, sequence] = digest
        stand.emit(Send(None, Proposal(stand.sign(PrePrepare(core.view, sequence, digest, stand.me)), body)))


class FillPipeline(Behaviour):
    """As primary, proposes nothing but requests that only it holds, of clients that collude with it, without end: the
    pipeline is never empty, every batch is full enough, and honest clients get nothing."""

    def __init__(self, stand: Stand, colluders: int = COLLUDERS_MAX) -> None:
        super().__init__(stand)
        self._keys = stand.world.stage.operators[-colluders:]
        self._names = {key.signer for key in self._keys}
        self._numbers: Iterator[int] = stand.cabal.setdefault(COLLUDING, count())
        """Of the requests of all that collude with any liar."""

    def begin(self) -> None:
        self.stand.later(FILL_MS, self._fill)

    def admits(self, request: PoolRequest) -> bool:
        return request.client in self._names

    def outgoing(self, send: Send) -> Sequence[Send]:
        """Nobody else ever holds those requests before they are proposed."""
        message = send.message
        return () if isinstance(message, Forward) and any(map(self._is_ours, message.envelopes)) else (send,)

    def _is_ours(self, raw: bytes) -> bool:
        try:
            return envelope_from_bytes(raw).payload.signers[0] in self._names
        except Refusal:
            return False

    def _fill(self) -> None:
        node = self.stand.node
        if node.up and self.stand.leads and len(node.replica.core.pool) < FILL_COUNT * node.config.pipeline_depth:
            for _ in range(FILL_COUNT):
                node.take_in(self._request())
        self.stand.later(FILL_MS, self._fill)

    def _request(self) -> bytes:
        return self._envelope().raw

    def _envelope(self) -> Envelope:
        world, number = self.stand.world, next(self._numbers)
        key, nonce = self._keys[number % len(self._keys)], number // len(self._keys)
        envelope = envelope_of(world.genesis, key, nonce, contract.NAME, "read", {"cell": contract.TOTAL})
        world.submitted.add(envelope.tx_id)
        return envelope


class RepeatRequests(FillPipeline):
    """As primary, proposes a few requests of colluders again and again, which have executed long since: blocks wait for
    execution all the time, and bring nothing."""

    def __init__(self, stand: Stand, colluders: int = COLLUDERS_MAX) -> None:
        super().__init__(stand, colluders)
        self._old: list[Envelope] = []

    def _fill(self) -> None:
        node = self.stand.node
        if node.up and self.stand.leads:
            while len(self._old) < REPEATED:
                self._old.append(self._envelope())
            for envelope in self._old:
                if node.ledger.has(envelope.tx_id):
                    node.take_in_again(envelope)
                else:
                    node.take_in(envelope.raw)
        self.stand.later(FILL_MS, self._fill)
