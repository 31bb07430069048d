"""One generation of a ledger's data: commit store and chain files, and what of them is kept at hand.

A block is executed, appended to the chain files and synced, and then committed in one atomic write of state,
tree, index, offset and statement (DESIGN "Commit"). The store is not synced: after a crash it is an earlier
whole block, and opening it executes the chain's later blocks again, insisting on the same statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache

from ledger import epochs
from ledger.answers import BlockNotHeld
from ledger.blocks import StoredBlock
from ledger.chain import ChainCorrupt, ChainFiles, Place
from ledger.envelope import Envelope, envelope_from_bytes
from ledger.execution import BlockExecutor
from ledger.genesis import Genesis
from ledger.history import Sweep, versions_of
from ledger.indexing import index_hashes
from ledger.intake import Intake
from ledger.layout import (
    BASE,
    BLOCK,
    BOUNDARY,
    CERTIFICATE,
    CERTIFIED,
    HASH,
    HASHED,
    HEAD,
    KNOWN_FROM,
    STATE,
    TRANSACTION,
    TREE,
    UNDO,
    Head,
    number,
    pack,
    read_base,
    read_certificate,
    read_head,
    read_height,
    read_location,
    read_place,
)
from ledger.merkle import MerkleTree
from ledger.runner import NO_RESULTS, BlockRunner, Position, Ran, pack_entry
from ledger.store import CommitStore
from ledger.tree import StateTree
from ledger.undo import rollbacks_of
from ledger.views import PINNED_PREFIX, CachedState, KeptState, StateView, pinned
from pbft.epoch import Boundary, Epoch
from pbft.files import Files
from pbft.messages import ExecutionCertificate, Statement, decode_batch

RECENT_BLOCKS_MAX = 64
"""Blocks kept decoded, for clients who wait for receipts."""
BOUNDARIES_PAGE = 1_000


class Diverged(Exception):
    """Executing a stored block again gave another outcome: a fault of this replica, never of a transaction."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Over a block's envelopes' hashes, and over its encoded results."""

    transactions: MerkleTree
    outcomes: MerkleTree


class Books:
    """``run``, ``commit`` and ``certify`` belong to the execution thread; reads to any."""

    def __init__(
        self,
        store: CommitStore,
        files: Files,
        genesis: Genesis,
        executor: BlockExecutor,
        intake: Intake,
        history_blocks: int = 0,
    ) -> None:
        self.store = store
        self._sweep = Sweep(store, history_blocks)
        self._genesis = genesis
        self._intake = intake
        self._interval = genesis.limits.checkpoint_interval_blocks
        with ExitStack() as opened:
            opened.callback(store.close)
            opened.callback(self._let_go)
            self._chain = ChainFiles(files)
            opened.callback(self._chain.close)
            self._state = KeptState(store)
            self._tree = StateTree(lambda path: store.get(TREE + path))
            self._runner = BlockRunner(genesis, executor, self._state, self._tree)
            self.head = self._load_head()
            if store.get(KNOWN_FROM) is None:
                store.write({KNOWN_FROM: pack(self.head.height)})
            base = store.get(BASE)
            self._base = None if base is None else read_base(base)
            self.rollbacks = rollbacks_of(store)
            self.certified = self._load_certified()
            index_hashes(store, self._chain)
            self._undone_below = self.certified_height + 1
            self._recent: dict[int, tuple[StoredBlock, list[Envelope]]] = {}
            self.trees = lru_cache(RECENT_BLOCKS_MAX)(self._trees)
            """The trees of a block held: every receipt of it has paths in them."""
            self._pinned = pinned(store)
            self.view: StateView = CachedState(store.snapshot(), self._pinned)
            self.epoch, self.pending = epochs.epoch_of(self._state), epochs.pending_of(self._state)
            self._recover()
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def _let_go(self) -> None:
        self.view = StateView(self.store)

    # ----------------------------------------------------------------------------------------------- writing

    def run(self, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        """Execute the next block, append and sync it. ``commit`` follows, or the process ends."""
        ran = self._run(digest, body, view, proposer)
        self._commit(ran, self._chain.append(ran.block))
        return ran

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        """Store certificates of executed blocks, durably where they first reach a checkpoint, by whichever block's: the
        log is cut there, and an epoch may end there."""
        if not certificates:
            return
        before = self.certified_height
        batch: dict[bytes, bytes | None] = {}
        for certificate in certificates:
            height = certificate.statement.height
            batch[CERTIFICATE + number(height)] = pack(certificate)
            if self._is_boundary(certificate.statement):
                batch[BOUNDARY + number(self.epoch.number)] = pack(Boundary(self.epoch, certificate))
            if self.certified is None or height > self.certified.statement.height:
                self.certified = certificate
        batch[CERTIFIED] = pack(self.certified)
        for height in range(self._undone_below, self.certified_height + 1):
            batch[UNDO + number(height)] = None
        batch.update(self._sweep.step(self.certified_height))
        self.store.write(batch, sync=self.certified_height // self._interval > before // self._interval)
        self._undone_below = max(self._undone_below, self.certified_height + 1)

    def _is_boundary(self, statement: Statement) -> bool:
        """Whether it begins the epoch that we are in (a replica that has diverged may be in another)."""
        epoch = self.epoch
        begins = epoch.number > 0 and statement.height == epoch.first_height - 1
        return begins and statement.next_validators_hash == epoch.hash()

    def _run(self, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        envelopes = self._intake.envelopes(decode_batch(body).envelopes) if body else []
        head = self.head
        at = Position(head.height, head.time_ms, head.header_hash, head.statement.results_hash)
        return self._runner.run(at, digest, body, envelopes, view, proposer)

    def _commit(self, ran: Ran, place: Place) -> None:
        block, executed = ran.block, ran.executed
        height = block.header.height
        head = Head(height, block.header.time_ms, block.statement.header_hash, block.statement, place)
        batch: dict[bytes, bytes | None] = {HEAD: pack(head), BLOCK + number(height): pack(place)}
        batch[HASH + head.header_hash] = pack(height)
        for index, (tx_id, result) in enumerate(zip(ran.tx_ids, executed.results[executed.deadlines :], strict=True)):
            if result.gas_used or self.store.get(TRANSACTION + tx_id) is None:
                batch[TRANSACTION + tx_id] = pack((height, executed.deadlines + index))
        before = {key: self.store.get(key) for key in batch}
        # What execution and the tree have in memory is not asked of the store once more.
        for key, entry in executed.changes.items():
            at, old = STATE + key.encode(), self._state.get(key)
            batch[at] = None if entry is None else pack_entry(entry)
            before[at] = None if old is None else pack_entry(old)
        for path, record in ran.branches.items():
            batch[TREE + path] = record
            before[TREE + path] = ran.replaced[path]
        versions = versions_of(height, executed.writes, before)
        batch.update(versions)
        batch[UNDO + number(height)] = pack(before | dict.fromkeys(versions))
        self.store.write(batch)
        self._sweep.note(len(versions))
        self._state.note(executed.changes)
        self._runner.committed()
        if any(key.startswith(PINNED_PREFIX) for key in executed.changes):
            self._pinned = pinned(self.store)
        if epochs.EPOCH_KEY in executed.changes or epochs.NEXT_KEY in executed.changes:
            self.epoch, self.pending = epochs.epoch_of(self._state), epochs.pending_of(self._state)
        self.view = CachedState(self.store.snapshot(), self._pinned)
        self.head = head
        self._recent[height] = (block, list(ran.envelopes))
        self._recent.pop(height - RECENT_BLOCKS_MAX, None)

    # ------------------------------------------------------------------------------------------------ opening

    def _load_head(self) -> Head:
        record = self.store.get(HEAD)
        if record is not None:
            return read_head(record)
        genesis = self._genesis
        records = {key: pack_entry(entry) for key, entry in genesis.state.items()}
        batch: dict[bytes, bytes | None] = {STATE + key.encode(): record for key, record in records.items()}
        for path, branch in self._tree.update(dict(records)).items():
            batch[TREE + path] = branch
        statement = Statement(0, genesis.chain_id, self._tree.root, NO_RESULTS, genesis.epoch.hash())
        head = Head(0, genesis.time_ms, genesis.chain_id, statement, None)
        batch[HEAD], batch[KNOWN_FROM], batch[HASHED] = pack(head), pack(0), pack(0)
        self.store.write(batch, sync=True)
        return head

    def _load_certified(self) -> ExecutionCertificate | None:
        record = self.store.get(CERTIFIED)
        return None if record is None else read_certificate(record)

    def _recover(self) -> None:
        """Execute again what the chain files hold beyond the store. Synced before it, they never hold less."""
        place = self.head.place
        if place is not None and self._chain.read(place).statement != self.head.statement:
            raise ChainCorrupt(f"the chain files hold another block {self.head.height} than the store")
        for place, block in self._chain.after(self.head.place):
            header = block.header
            if header.height != self.head.height + 1:
                raise ChainCorrupt(f"the chain files go on with block {header.height} after {self.head.height}")
            again = self._run(header.batch_digest, block.body, block.view, block.proposer)
            if again.block.statement != block.statement:
                raise Diverged(f"block {header.height} no longer gives what it gave: {again.block.statement}")
            self._commit(again, place)

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def base(self) -> int:
        """The height of the snapshot that they began with, or below which they were pruned; 0 for genesis."""
        return 0 if self._base is None else self._base.height

    def header(self, height: int) -> bytes:
        """The encoded header of a block held, or of the snapshot's."""
        if self._base is not None and height == self._base.height:
            return self._base.header
        return pack(self.block(height)[0].header)

    @property
    def certified_height(self) -> int:
        return self.certified.statement.height if self.certified is not None else self.base

    @property
    def is_between_epochs(self) -> bool:
        """Whether the last block ends an epoch, and no certificate says so yet."""
        return bool(self.epoch.number) and self.certified_height < self.head.height == self.epoch.first_height - 1

    def epoch_before(self) -> Epoch:
        found = epochs.past_epoch_of(self._state, self.epoch.number - 1)
        assert found is not None, "the epoch before is remembered"
        return found

    def certificate(self, height: int) -> ExecutionCertificate | None:
        record = self.store.get(CERTIFICATE + number(height))
        return None if record is None else read_certificate(record)

    def agrees(self, certificate: ExecutionCertificate) -> bool:
        """Whether it says of its block what executing it here led to."""
        statement = certificate.statement
        return statement.height == self.base or self.block(statement.height)[0].statement == statement

    def certificate_from(self, height: int) -> ExecutionCertificate | None:
        """The first certificate at or above ``height``."""
        own = self.certificate(height)
        if own is not None:
            return own
        rows = self.store.scan(CERTIFICATE, CERTIFICATE + number(height - 1), 1)
        return read_certificate(rows[0][1]) if rows else None

    def boundaries(self, epoch: int) -> tuple[bytes, ...]:
        """The encoded boundaries that lead from genesis to ``epoch``."""
        found: list[bytes] = []
        after = BOUNDARY
        while len(found) < epoch and (rows := self.store.scan(BOUNDARY, after, BOUNDARIES_PAGE)):
            found.extend(record for _, record in rows)
            after = rows[-1][0]
        assert len(found) >= epoch, "each epoch began with a certified boundary"
        return tuple(found[:epoch])

    def block(self, height: int) -> tuple[StoredBlock, list[Envelope]]:
        """A block and its envelopes: from memory if it is recent, since that is what clients wait for."""
        recent = self._recent.get(height)
        if recent is not None:
            return recent
        record = self.store.get(BLOCK + number(height))
        if record is None or height <= self.base:
            raise BlockNotHeld(height, self.base + 1)
        stored = self._chain.read(read_place(record))
        return stored, _envelopes(stored)

    def _trees(self, height: int) -> Trees:
        stored, envelopes = self.block(height)
        return Trees(MerkleTree([envelope.hash for envelope in envelopes]), MerkleTree(stored.results))

    def height_of(self, header_hash: bytes) -> int | None:
        """The height of the block held here whose header has this hash."""
        record = self.store.get(HASH + header_hash)
        return None if record is None else read_height(record)

    def locate(self, tx_id: bytes) -> tuple[int, int] | None:
        """The block and the place among its results of a transaction that executed."""
        record = self.store.get(TRANSACTION + tx_id)
        return None if record is None else read_location(record)


def _envelopes(block: StoredBlock) -> list[Envelope]:
    return [envelope_from_bytes(raw) for raw in decode_batch(block.body).envelopes] if block.body else []
