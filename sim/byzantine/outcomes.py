"""Lies about results: outcomes and certificates of other states, bad answers to clients, bad blocks and chunks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger.snapshots import Pairs, encode_chunk
from pbft.events import Send
from pbft.messages import (
    BatchBody,
    CertifiedBlock,
    Chunk,
    ExecutionCertificate,
    Manifest,
    Outcome,
    Statement,
    Status,
    statement_bytes,
)
from sim import contract
from sim.behaviour import Behaviour, Stand

_replace = msgspec.structs.replace
_read_pairs = msgspec.msgpack.Decoder(Pairs).decode
OFFERED_EVERY_MS = 250
MANIFESTS_MAX = 16
BURST = 0.2


class LieAboutOutcomes(Behaviour):
    """Signs outcomes of states that do not exist: to all (``share_percent`` 100), or another one to each of some."""

    def __init__(self, stand: Stand, share_percent: int = 60) -> None:
        super().__init__(stand)
        self._share_percent = share_percent

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, Outcome):
            return (send,)
        targets = self.stand.others if send.to is None else [send.to]
        return [Send(to, self._perhaps(message)) for to in targets]

    def _perhaps(self, message: Outcome) -> Outcome:
        if self.stand.chance.randrange(100) >= self._share_percent:
            return message
        return self.stand.sign(_replace(message, statement=self._other(message.statement)))

    def _other(self, statement: Statement) -> Statement:
        field = self.stand.chance.choice(["header_hash", "state_root", "results_hash", "next_validators_hash"])
        return _replace(statement, **{field: self.stand.chance.randbytes(32)})


class ForgeCheckpoints(Behaviour):
    """Answers and volunteers certified blocks whose certificates have one signer, or the same one q times."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        match message:
            case Outcome():
                block = CertifiedBlock(b"", b"", 0, self.stand.me, self._forged(message.statement))
                return send, Send(None, block)
            case CertifiedBlock():
                return send, Send(send.to, _replace(message, certificate=self._forged(message.certificate.statement)))
            case _:
                return (send,)

    def _forged(self, statement: Statement) -> ExecutionCertificate:
        stand = self.stand
        lie = _replace(statement, state_root=stand.chance.randbytes(32))
        own = stand.key.sign(statement_bytes(stand.scope, lie))
        signers = stand.chance.choice([[stand.me], list(range(stand.config.q)), [stand.me] * stand.config.q])
        return ExecutionCertificate(stand.scope.epoch, lie, tuple((signer, own) for signer in signers))


class LieToClients(Behaviour):
    """Clients get answers with a changed byte, the answer to something else, or none."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._last = b""

    def answered(self, tx_id: bytes, answer: bytes) -> bytes | None:
        place = self.stand.chance.randrange(len(answer)) if answer else 0
        broken = answer[:place] + self.stand.chance.randbytes(1) + answer[place + 1 :]
        chosen = self.stand.chance.choice([broken, self._last or broken, None, answer])
        self._last = answer
        return chosen


class LieInTransfer(Behaviour):
    """Whoever catches up from this one gets changed bodies, headers, chunks and manifests, or empty ones."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        match message:
            case CertifiedBlock():
                field = self.stand.chance.choice(["header", "body"])
                return (Send(send.to, _replace(message, **{field: self._broken(getattr(message, field))})),)
            case BatchBody(body):
                return (Send(send.to, BatchBody(self._broken(body))),)
            case Chunk(data=data):
                return (Send(send.to, _replace(message, data=self._broken(data))),)
            case Manifest():
                return (Send(send.to, self._manifest(message)),)
            case _:
                return (send,)

    def _manifest(self, message: Manifest) -> Manifest:
        chance = self.stand.chance
        lies = [
            _replace(message, chunks=message.chunks + 1),
            _replace(message, header=self._broken(message.header)),
            _replace(message, branches=message.branches[1:]),
            _replace(message, branches=tuple((path, self._broken(record)) for path, record in message.branches)),
            _replace(message, boundaries=(*message.boundaries, chance.randbytes(40))),
            _replace(message, certificate=_replace(message.certificate, signatures=())),
        ]
        return chance.choice(lies)

    def _broken(self, data: bytes) -> bytes:
        if not data or self.stand.chance.random() < 0.2:
            return b""
        place = self.stand.chance.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 << self.stand.chance.randrange(8))]) + data[place + 1 :]


class ForgeChunks(Behaviour):
    """Whoever takes a snapshot from this one gets chunks that are well formed, and lack what clients have written."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, Chunk) or not message.data:
            return (send,)
        kept = [pair for pair in _read_pairs(message.data) if not pair[0].startswith(contract.CELL_KEY)]
        return (Send(send.to, _replace(message, data=encode_chunk(kept))),)


class UselessManifests(Behaviour):
    """Offers true snapshots that are of no use: of checkpoints that the others have given up, to whoever did not ask
    as well; and never a chunk, nor a block."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._known: dict[int, Manifest] = {}

    def begin(self) -> None:
        self.stand.later(OFFERED_EVERY_MS, self._offer)

    def outgoing(self, send: Send) -> Sequence[Send]:
        match send.message:
            case Manifest() as message:
                known = self._known or {message.height: message}
                return (Send(send.to, known[self.stand.chance.choice(sorted(known))]),)
            case Chunk() | CertifiedBlock():
                return ()
            case _:
                return (send,)

    def _offer(self) -> None:
        node = self.stand.node
        manifest = node.ledger.manifest(0) if node.up else None
        if manifest is not None and len(self._known) < MANIFESTS_MAX:
            self._known[manifest.height] = manifest
        if self.stand.chance.random() < BURST:
            for height in sorted(self._known):
                self.stand.emit(Send(None, self._known[height]))
        self.stand.later(OFFERED_EVERY_MS, self._offer)


class Boast(Behaviour):
    """Claims heights and views that it has not reached, so that laggards ask the one who cannot answer."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, Status):
            return (send,)
        ahead = self.stand.chance.randrange(1, 2_000)
        boast = {
            "executed_height": message.executed_height + ahead,
            "certified_height": message.certified_height + ahead,
        }
        if self.stand.chance.random() < 0.3:
            boast["view"] = message.view + ahead
        return (Send(send.to, _replace(message, **boast)),)
