"""The ledger of one channel in one data directory: admits, executes, commits, certifies, proves.

A block is executed, appended to the chain files and synced, and then committed in one atomic write of state,
tree, index, offset and statement (DESIGN "Commit"). The store is not synced: after a crash it is an earlier
whole block, and ``open`` executes the chain's later blocks again, insisting on the same statements.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import msgspec

from ledger.authentication import NonceWindow
from ledger.blocks import Header, Result, StoredBlock, decode_result
from ledger.chain import ChainCorrupt, ChainFiles, Place
from ledger.codes import Refusal
from ledger.envelope import Envelope, envelope_from_bytes, parse_payload
from ledger.execution import BlockExecutor, Call, CallResult, Machine, Validator
from ledger.genesis import Genesis, genesis_state
from ledger.intake import BadBatch, Intake, request_of
from ledger.merkle import proof_of
from ledger.receipts import RECEIPT_VERSION, Branch, Receipt
from ledger.runner import BlockRunner, Position, Ran
from ledger.state import Entry, StateReader
from ledger.store import CommitStore, Snapshot, open_store
from ledger.tree import StateTree, TreeProof, prove
from ledger.values import Value, decode_value
from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import (
    NULL_DIGEST,
    CertifiedBlock,
    ExecutionCertificate,
    Statement,
    decode_batch,
)

FORMAT_VERSION = 1
VIEW_GAS_LIMIT = 2_000_000
RECENT_BLOCKS_MAX = 64
"""Blocks kept decoded, for clients who wait for receipts."""
PINNED_PREFIX = "governance/contract/"
PINNED_MAX = 1_000
ENTRIES_CACHED_MAX = 200_000
"""State entries that execution keeps in memory; beyond it the cache is emptied and fills again."""

_STATE, _TREE, _BLOCK, _CERTIFICATE, _TRANSACTION = b"s/", b"t/", b"b/", b"c/", b"x/"
_HEAD = b"m/head"
_CERTIFIED = b"m/certified"

_pack = msgspec.msgpack.Encoder().encode
_read_entry = msgspec.msgpack.Decoder(Entry).decode
_read_place = msgspec.msgpack.Decoder(Place).decode
_read_header = msgspec.msgpack.Decoder(Header).decode
_read_certificate = msgspec.msgpack.Decoder(ExecutionCertificate).decode


class DirectoryUnusable(Exception):
    """The data directory is locked, of another chain or of another format; the message says which."""


class Diverged(Exception):
    """Executing a stored block again gave another outcome: a fault of this replica, never of a transaction."""


class _Head(msgspec.Struct, frozen=True, array_like=True):
    height: int
    time_ms: int
    header_hash: bytes
    statement: Statement
    place: Place | None


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """What the commit callbacks get, on the execution thread."""

    height: int
    time_ms: int
    tx_ids: tuple[bytes, ...]
    results: tuple[Result, ...]
    changes: dict[str, Entry | None]


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """A stored block for readers."""

    header: Header
    view: int
    proposer: int
    statement: Statement
    transactions: int


@dataclass(frozen=True, slots=True)
class TransactionInfo:
    """A transaction in a block and what became of it. ``index`` counts the block's results."""

    tx_id: bytes
    height: int
    index: int
    time_ms: int
    signers: tuple[str, ...]
    payload: dict[str, Any]
    args: dict[str, Any]
    result: ResultInfo


@dataclass(frozen=True, slots=True)
class ResultInfo:
    code: str
    message: str
    gas_used: int
    value: Value
    events: tuple[tuple[str, str, Value], ...]


class StateView:
    """Committed state at one moment, over a snapshot of the store; ``pinned`` entries are at hand, decoded."""

    def __init__(self, source: Snapshot, pinned: Mapping[str, Entry] = MappingProxyType({})) -> None:
        self._source = source
        self._pinned = pinned

    def get(self, key: str) -> Entry | None:
        entry = self._pinned.get(key)
        if entry is not None:
            return entry
        record = self._source.get(_STATE + key.encode())
        return None if record is None else _read_entry(record)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        rows = self._source.scan(_STATE + prefix.encode(), _STATE + after.encode(), limit)
        return [(key[len(_STATE) :].decode(), _read_entry(record)) for key, record in rows]


class _CachedState(StateView):
    """The execution thread's reader: entries stay decoded between blocks."""

    def __init__(self, source: Snapshot) -> None:
        super().__init__(source)
        self._cache: dict[str, Entry | None] = {}

    def get(self, key: str) -> Entry | None:
        try:
            return self._cache[key]
        except KeyError:
            if len(self._cache) >= ENTRIES_CACHED_MAX:
                self._cache = {}
            entry = self._cache[key] = super().get(key)
            return entry

    def note(self, changes: dict[str, Entry | None]) -> None:
        self._cache.update(changes)


class Ledger:
    """See the module's text. ``execute`` and ``certify`` belong to the execution thread; reads to any."""

    def __init__(self, directory: Path, genesis: Genesis, machine: Machine, validator: Validator) -> None:
        self.genesis = genesis
        self.on_commit: list[Callable[[CommittedBlock], None]] = []
        with ExitStack() as opened:
            opened.enter_context(_lock(directory, genesis))
            self._store: CommitStore = open_store(directory / "state")
            opened.callback(self._store.close)
            self._chain = ChainFiles(directory / "chain")
            opened.callback(self._chain.close)
            self._executor = BlockExecutor(machine, validator)
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="signatures")
            self.intake = Intake(genesis, self._threads)
            self._state = _CachedState(self._store)
            self._tree = StateTree(lambda path: self._store.get(_TREE + path))
            self._runner = BlockRunner(genesis, self._executor, self._state, self._tree)
            self._head = self._load_head()
            self._certified = self._load_certified()
            self._recent: dict[int, tuple[StoredBlock, list[Envelope]]] = {}
            self._pinned = dict(self._state.scan(PINNED_PREFIX, "", PINNED_MAX))
            self._view: StateView = StateView(self._store.snapshot(), self._pinned)
            opened.callback(self._let_go)
            self._recover()
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def _let_go(self) -> None:
        self._threads.shutdown()
        self._view = StateView(self._store)

    # -------------------------------------------------------------------------------------- consensus's port

    def check_body(self, body: bytes) -> CheckedBatch:
        """Shape, sizes, gas and every client signature of a batch; raises ``BadBatch``. Blocks; call it in a thread."""
        return self.intake.check_body(body)

    def check_envelopes(self, envelopes: Sequence[bytes]) -> list[PoolRequest | str]:
        """Requests for the pool, or a refusal's code for each that is malformed, unsigned or inadmissible."""
        return [self._pool_request(checked) for checked in self.intake.check_many(envelopes)]

    def _pool_request(self, checked: Envelope | Refusal) -> PoolRequest | str:
        if isinstance(checked, Refusal):
            return checked.code
        refusal = self._inadmissible(checked)
        return refusal if refusal is not None else request_of(checked)

    def admit(self, envelope: Envelope) -> Refusal | None:
        """M9 at the edge: signatures, and everything else against committed state. Advisory. Call it in a thread."""
        checked = self.intake.check(envelope)
        return checked if isinstance(checked, Refusal) else self._refusal(checked)

    def _refusal(self, envelope: Envelope) -> Refusal | None:
        payload = envelope.payload
        view = self._view
        nonces = NonceWindow.read(view, payload.signers[0])
        code = self._executor.refuses(view, envelope, nonces, self._head.height + 1, self._head.time_ms + 1)
        return None if code is None else Refusal(code)

    def _inadmissible(self, envelope: Envelope) -> str | None:
        refusal = self._refusal(envelope)
        return None if refusal is None else refusal.code

    def inadmissible(self, requests: Sequence[PoolRequest]) -> list[bytes]:
        """Ids of pool requests that committed state would refuse by now."""
        gone = []
        for request in requests:
            envelope = self.intake.known(request.envelope_hash) or envelope_from_bytes(request.envelope)
            if self._inadmissible(envelope) is not None:
                gone.append(request.tx_id)
        return gone

    def execute(self, height: int, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        """Run, append, sync and commit the next block. Blocks; belongs to the execution thread."""
        assert height == self._head.height + 1, "blocks are executed in order"
        ran = self._run(digest, body, view, proposer)
        self._commit(ran, self._chain.append(ran.block))
        return ran

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        """Store certificates of executed blocks."""
        batch: dict[bytes, bytes | None] = {}
        for certificate in certificates:
            batch[_CERTIFICATE + _number(certificate.statement.height)] = _pack(certificate)
            if self._certified is None or certificate.statement.height > self._certified.statement.height:
                self._certified = certificate
        if self._certified is not None:
            batch[_CERTIFIED] = _pack(self._certified)
            self._store.write(batch)

    def certified_blocks(self, first: int, last: int, bytes_max: int) -> list[CertifiedBlock]:
        """Blocks from ``first`` on that have certificates, for a laggard; at least one if there is any."""
        found: list[CertifiedBlock] = []
        size = 0
        for height in range(first, min(last, self._head.height) + 1):
            certificate = self.certificate(height)
            if certificate is None:
                break
            block = self._stored(height)
            size += len(block.body)
            if found and size > bytes_max:
                break
            found.append(CertifiedBlock(_pack(block.header), block.body, block.view, block.proposer, certificate))
        return found

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        """Whether header and batch are those that the certificate names; the batch, or None for a null request's."""
        statement = block.certificate.statement
        try:
            header = _read_header(block.header)
        except msgspec.DecodeError as error:
            raise BadBatch(f"not a header: {error}") from None
        if header.hash() != statement.header_hash or header.height != statement.height:
            raise BadBatch("the certificate is another block's")
        batch = self.intake.check_body(block.body) if block.body else None
        if header.batch_digest != (batch.digest if batch is not None else NULL_DIGEST):
            raise BadBatch("the batch is another block's")
        return batch

    def uncertified(self) -> tuple[Statement, ...]:
        """Outcomes of the blocks above the newest certificate."""
        heights = range(self.certified_height + 1, self._head.height + 1)
        return tuple(self._stored(height).statement for height in heights)

    def last_certificate(self) -> ExecutionCertificate | None:
        return self._certified

    # ----------------------------------------------------------------------------------------------- reading

    @property
    def height(self) -> int:
        return self._head.height

    @property
    def time_ms(self) -> int:
        return self._head.time_ms

    @property
    def certified_height(self) -> int:
        return self._certified.statement.height if self._certified is not None else 0

    @property
    def state_root(self) -> bytes:
        return self._head.statement.state_root

    def reader(self) -> StateReader:
        """Committed state as of the last block; stays as it is while later blocks commit."""
        return self._view

    def snapshot(self) -> tuple[StateReader, int]:
        """A reader and the height at which it stands (or one more: its changes are then offered again)."""
        height = self._head.height
        return self._view, height

    def nonce_highest(self, signer: str) -> int:
        return NonceWindow.read(self._view, signer).highest

    def certificate(self, height: int) -> ExecutionCertificate | None:
        record = self._store.get(_CERTIFICATE + _number(height))
        return None if record is None else _read_certificate(record)

    def block(self, height: int) -> BlockInfo:
        """A committed block's header and outcome."""
        stored = self._stored(height)
        return BlockInfo(
            stored.header, stored.view, stored.proposer, stored.statement, len(stored.results) - stored.deadlines
        )

    def has(self, tx_id: bytes) -> bool:
        """Whether a transaction has executed. Cheap enough for the event loop."""
        return self._store.get(_TRANSACTION + tx_id) is not None

    def transaction(self, tx_id: bytes) -> TransactionInfo | None:
        """Where a transaction executed and what became of it, or None."""
        found = self._locate(tx_id)
        if found is None:
            return None
        height, index = found
        return _transaction_info(*self._block(height), index)

    def transactions_of(self, height: int) -> list[TransactionInfo]:
        """All transactions of a block, in order."""
        stored, envelopes = self._block(height)
        return [_transaction_info(stored, envelopes, stored.deadlines + i) for i in range(len(envelopes))]

    def receipt(self, tx_id: bytes) -> Receipt | None:
        """A transaction's receipt; None until its block is certified."""
        found = self._locate(tx_id)
        if found is None:
            return None
        height, index = found
        certificate = self.certificate(height)
        if certificate is None:
            return None
        stored, envelopes = self._block(height)
        hashes = [envelope.hash for envelope in envelopes]
        position = index - stored.deadlines
        return Receipt(
            v=RECEIPT_VERSION,
            envelope=envelopes[position].raw,
            result=decode_result(stored.results[index]),
            header=stored.header,
            transaction=Branch(position, len(hashes), proof_of(hashes, position)),
            outcome=Branch(index, len(stored.results), proof_of(stored.results, index)),
            certificate=certificate,
        )

    def state_proof(self, key: str) -> tuple[TreeProof, bytes | None, int]:
        """A proof for ``key`` under the state root at a height, and the entry's record (None: absent)."""
        snapshot = self._store.snapshot()
        head = msgspec.msgpack.decode(snapshot.get(_HEAD) or b"", type=_Head)
        return prove(lambda path: snapshot.get(_TREE + path), key), snapshot.get(_STATE + key.encode()), head.height

    def view(self, contract: str, function: str, args: dict[str, Value], signers: tuple[str, ...]) -> CallResult:
        """Run a contract's view function on committed state."""
        call = Call(
            contract=contract,
            function=function,
            args=args,
            signers=signers,
            tx_id="",
            gas_limit=VIEW_GAS_LIMIT,
            block_time_ms=self._head.time_ms,
            height=self._head.height,
            index=0,
            kind="view",
        )
        return self._executor.view(self._view, call)

    # ------------------------------------------------------------------------------------------------ inside

    def _run(self, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        envelopes = self.intake.envelopes(decode_batch(body).envelopes) if body else []
        at = Position(self._head.height, self._head.time_ms, self._head.header_hash)
        return self._runner.run(at, digest, body, envelopes, view, proposer)

    def _commit(self, ran: Ran, place: Place) -> None:
        block, executed, tx_ids = ran.block, ran.executed, ran.tx_ids
        height = block.header.height
        head = _Head(height, block.header.time_ms, block.statement.header_hash, block.statement, place)
        batch: dict[bytes, bytes | None] = {_HEAD: _pack(head), _BLOCK + _number(height): _pack(place)}
        for key, entry in executed.changes.items():
            batch[_STATE + key.encode()] = None if entry is None else _pack(entry)
        for path, record in ran.branches.items():
            batch[_TREE + path] = record
        for index, (tx_id, result) in enumerate(zip(tx_ids, executed.results[executed.deadlines :], strict=True)):
            if result.gas_used or self._store.get(_TRANSACTION + tx_id) is None:
                batch[_TRANSACTION + tx_id] = _pack((height, executed.deadlines + index))
        self._store.write(batch)
        self._state.note(executed.changes)
        self._pin(executed.changes)
        self._view = StateView(self._store.snapshot(), self._pinned)
        self._head = head
        self._remember(ran)
        committed = CommittedBlock(height, head.time_ms, tx_ids, executed.results, executed.changes)
        for callback in self.on_commit:
            callback(committed)

    def _pin(self, changes: dict[str, Entry | None]) -> None:
        """Contracts are read for every admission and are large: keep them decoded; a new dictionary at a change."""
        if any(key.startswith(PINNED_PREFIX) for key in changes):
            self._pinned = dict(StateView(self._store).scan(PINNED_PREFIX, "", PINNED_MAX))

    def _load_head(self) -> _Head:
        record = self._store.get(_HEAD)
        if record is not None:
            return msgspec.msgpack.decode(record, type=_Head)
        entries = genesis_state(self.genesis)
        records = {key: _pack(entry) for key, entry in entries.items()}
        batch: dict[bytes, bytes | None] = {_STATE + key.encode(): record for key, record in records.items()}
        for path, branch in self._tree.update(dict(records)).items():
            batch[_TREE + path] = branch
        statement = Statement(0, self.genesis.chain_id, self._tree.root, bytes(32), self.genesis.validators_hash)
        head = _Head(0, self.genesis.time_ms, self.genesis.chain_id, statement, None)
        batch[_HEAD] = _pack(head)
        self._store.write(batch, sync=True)
        return head

    def _load_certified(self) -> ExecutionCertificate | None:
        record = self._store.get(_CERTIFIED)
        return None if record is None else _read_certificate(record)

    def _recover(self) -> None:
        """Execute again what the chain files hold beyond the store. Synced before it, they never hold less."""
        place = self._head.place
        if place is not None and self._chain.read(place).statement != self._head.statement:
            raise ChainCorrupt(f"the chain files hold another block {self._head.height} than the store")
        for place, block in self._chain.after(self._head.place):
            header = block.header
            again = self._run(header.batch_digest, block.body, block.view, block.proposer)
            if again.block.statement != block.statement:
                raise Diverged(f"block {header.height} no longer gives what it gave: {again.block.statement}")
            self._commit(again, place)

    def _stored(self, height: int) -> StoredBlock:
        return self._block(height)[0]

    def _block(self, height: int) -> tuple[StoredBlock, list[Envelope]]:
        """A block and its envelopes: from memory if it is recent, since that is what clients wait for."""
        recent = self._recent.get(height)
        if recent is not None:
            return recent
        record = self._store.get(_BLOCK + _number(height))
        if record is None:
            raise KeyError(height)
        stored = self._chain.read(_read_place(record))
        return stored, _envelopes(stored)

    def _remember(self, ran: Ran) -> None:
        self._recent[ran.position.height] = (ran.block, list(ran.envelopes))
        self._recent.pop(ran.position.height - RECENT_BLOCKS_MAX, None)

    def _locate(self, tx_id: bytes) -> tuple[int, int] | None:
        record = self._store.get(_TRANSACTION + tx_id)
        if record is None:
            return None
        height, index = msgspec.msgpack.decode(record, type=tuple[int, int])
        return height, index


def _number(height: int) -> bytes:
    return height.to_bytes(8, "big")


def _envelopes(block: StoredBlock) -> list[Envelope]:
    return [envelope_from_bytes(raw) for raw in decode_batch(block.body).envelopes] if block.body else []


def _transaction_info(block: StoredBlock, envelopes: list[Envelope], index: int) -> TransactionInfo:
    envelope = envelopes[index - block.deadlines]
    result = decode_result(block.results[index])
    payload = msgspec.to_builtins(parse_payload(envelope.payload_bytes))
    return TransactionInfo(
        tx_id=envelope.tx_id,
        height=block.header.height,
        index=index,
        time_ms=block.header.time_ms,
        signers=envelope.payload.signers,
        payload=payload,
        args=envelope.payload.args,
        result=_result_info(result),
    )


def _result_info(result: Result) -> ResultInfo:
    return ResultInfo(
        code=result.code,
        message=result.message,
        gas_used=result.gas_used,
        value=decode_value(result.value),
        events=tuple((event.contract, event.name, decode_value(event.data)) for event in result.events),
    )


def _lock(directory: Path, genesis: Genesis) -> IO[str]:
    """Take the directory for this process; ``DirectoryUnusable`` if it is another's, another chain's or format's."""
    directory.mkdir(parents=True, exist_ok=True)
    file = (directory / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise DirectoryUnusable(f"{directory} is in use by another process") from None
    stamp = directory / "format"
    expected = f"wattquorum data {FORMAT_VERSION}\nchain {genesis.chain_id.hex()}\n"
    if not stamp.exists() or not stamp.stat().st_size:
        stamp.write_text(expected)
    elif stamp.read_text() != expected:
        file.close()
        raise DirectoryUnusable(f"{directory} holds another chain or format: {stamp.read_text().strip()}")
    os.utime(stamp)
    return file
