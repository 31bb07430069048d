"""The ledger of one channel in one data directory: admits, executes, commits, certifies, proves, is passed on.

What it holds is one generation of books (``ledger/books.py``); an installed snapshot puts another in its place.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from itertools import pairwise

from ledger.answers import (
    BlockInfo,
    BlockNotHeld,
    CommittedBlock,
    Fate,
    OutcomeInfo,
    TransactionInfo,
    outcome_infos,
    transaction_info,
)
from ledger.authentication import NonceWindow, is_registered
from ledger.block_proofs import BlockProof
from ledger.blocks import StoredBlock, decode_result
from ledger.books import Books, Diverged
from ledger.chain import ChainCorrupt
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope
from ledger.execution import BlockExecutor, Call, CallResult, Machine, Terms, Validator
from ledger.genesis import Genesis
from ledger.history import Past, entry_at, past_of
from ledger.intake import BadBatch, Intake
from ledger.layout import HEAD, pack, read_boundary, read_head, read_header, state_mark
from ledger.organisations import check_handover
from ledger.proofs import Prover, prover_of
from ledger.receipts import RECEIPT_VERSION, Branch, Later, Receipt
from ledger.runner import Ran
from ledger.shelf import Shelf
from ledger.snapshots import Checked, check_chunk, check_manifest
from ledger.state import Entry, StateReader
from ledger.storage import (
    DirectoryUnusable,
    Storage,
    chain_name,
    check_stamp,
    generation_of,
    put_in_force,
    remove_generation,
    state_name,
)
from ledger.store import CommitStore
from ledger.transfer import Transfer
from ledger.undo import writes_of
from ledger.values import Value, decode_value
from ledger.views import StateView
from pbft.epoch import Epoch
from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import (
    DECODE_ERRORS,
    NULL_DIGEST,
    CertifiedBlock,
    Chunk,
    ExecutionCertificate,
    Handover,
    Manifest,
    Statement,
)
from pbft.ports import SnapshotUnknown

VIEW_GAS_LIMIT = 2_000_000
OFFERED_MAX = 8
"""Verified manifests remembered, so that chunks can be checked against them."""

__all__ = [
    "BlockInfo",
    "BlockNotHeld",
    "CommittedBlock",
    "DirectoryUnusable",
    "Diverged",
    "Ledger",
    "StateView",
    "TransactionInfo",
]

log = logging.getLogger("wattq.ledger")


class Ledger:
    """See the module's text. ``execute`` and ``certify`` belong to the execution thread; reads to any."""

    def __init__(
        self, storage: Storage, genesis: Genesis, machine: Machine, validator: Validator, history_blocks: int = 0
    ) -> None:
        """``history_blocks``: for how many blocks past versions of keys are kept; 0 for ever."""
        self.genesis = genesis
        self._history_blocks = history_blocks
        self.on_commit: list[Callable[[CommittedBlock], None]] = []
        self.on_install: list[Callable[[], None]] = []
        """Called on the execution thread when a snapshot has replaced everything."""
        self._storage = storage
        self._transfer: Transfer | None = None
        self._offered: OrderedDict[int, Checked] = OrderedDict()
        self._replaced: Books | None = None
        self._executor = BlockExecutor(machine, validator)
        with ExitStack() as opened:
            opened.callback(storage.release)
            opened.callback(self._executor.close)
            check_stamp(storage.files, genesis)
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="signatures")
            opened.callback(self._threads.shutdown)
            self.intake = Intake(genesis, self._threads)
            self._generation = generation_of(storage.files)
            remove_generation(storage, self._generation + 1)
            self._shelf = Shelf(storage.files, genesis)
            self._books = self._open_books(storage.open_store(state_name(self._generation)), self._generation)
            opened.callback(self._close_books)
            self.intake.is_registered = lambda signer: is_registered(self._books.view, signer)
            self._shelf.note(self._books)
            self._opened = opened.pop_all()

    def _open_books(self, store: CommitStore, generation: int) -> Books:
        files = self._storage.files.below(chain_name(generation))
        return Books(store, files, self.genesis, self._executor, self.intake, self._history_blocks)

    def _close_books(self) -> None:
        self._forget_transfer()
        self._shelf.clear()
        for books in (self._books, self._replaced):
            if books is not None:
                books.close()

    def close(self) -> None:
        self._opened.close()

    # -------------------------------------------------------------------------------------- consensus's port

    def check_body(self, body: bytes) -> CheckedBatch:
        """Shape, sizes, gas and every client signature of a batch; raises ``BadBatch``. Blocks; call it in a thread."""
        return self.intake.check_body(body)

    def check_envelopes(self, envelopes: Sequence[bytes]) -> list[PoolRequest | str]:
        """Requests for the pool, or a refusal's code for each that is malformed, unsigned or inadmissible. State is
        asked first: anybody may send these, and a read costs less than a signature."""
        checked = self.intake.check_many(envelopes, self._refusal)
        return [item.code if isinstance(item, Refusal) else self.intake.request(item) for item in checked]

    def admit(self, envelope: Envelope) -> Refusal | None:
        """M9 at the edge: signatures, then everything against committed state. Advisory. Call it in a thread."""
        checked = self.intake.check_signed(envelope, self._refusal)
        return checked if isinstance(checked, Refusal) else None

    def _refusal(self, envelope: Envelope) -> Refusal | None:
        books, payload = self._books, envelope.payload
        nonces = NonceWindow.read(books.view, payload.signers[0])
        head = books.head
        code = self._executor.refuses(books.view, payload, nonces, head.height + 1, head.time_ms + 1)
        return None if code is None else Refusal(code)

    def inadmissible(self, requests: Sequence[PoolRequest]) -> list[bytes]:
        """Ids of pool requests that committed state would refuse by now. Nothing is decoded for that, and who may call
        what is found out once, however many wait."""
        books, executor = self._books, self._executor
        view, height, time_ms = books.view, books.head.height + 1, books.head.time_ms + 1
        nonces = cache(partial(NonceWindow.read, view))

        @cache
        def bars(signers: tuple[str, ...], contract: str, function: str) -> RefusalCode | None:
            return executor.bars(view, signers, contract, function, time_ms)

        gone = []
        for request in requests:
            terms = request.terms
            assert isinstance(terms, Terms), "the ledger itself has made the request"
            refused = terms.refuses(nonces(terms.signers[0]), height)
            if refused or bars(terms.signers, terms.contract, terms.function):
                gone.append(request.tx_id)
        return gone

    def execute(self, height: int, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        """Run, append, sync and commit the next block. Blocks; belongs to the execution thread."""
        assert height == self.height + 1, "blocks are executed in order"
        ran = self._books.run(digest, body, view, proposer)
        self._shelf.note(self._books)
        executed = ran.executed
        committed = CommittedBlock(height, ran.block.header.time_ms, ran.tx_ids, executed.results, executed.changes)
        for callback in self.on_commit:
            callback(committed)
        return ran

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        """Store certificates of executed blocks."""
        self._books.certify(certificates)
        self._shelf.note(self._books)

    def certified_blocks(self, first: int, last: int, bytes_max: int) -> list[CertifiedBlock]:
        """Blocks from ``first`` on that certificates name, for a laggard; at least one if there is any."""
        found: list[CertifiedBlock] = []
        size = 0
        try:
            for height in range(max(first, self.first_height), min(last, self.height) + 1):
                block = self._certified_block(height)
                size += 0 if block is None else len(block.body) + sum(map(len, block.headers))
                if block is None or (found and size > bytes_max):
                    break
                found.append(block)
        except ChainCorrupt as error:
            # Never served; the node learns of it again when it starts, and takes a snapshot.
            log.error("cannot serve block %d: %s", first + len(found), error)
        return found

    def _certified_block(self, height: int) -> CertifiedBlock | None:
        certificate = self._books.certificate_from(height)
        if certificate is None or certificate.statement.height - height > self.genesis.limits.window_blocks:
            return None
        block = self._stored(height)
        later = range(height + 1, certificate.statement.height + 1)
        headers = tuple(pack(self._stored(each).header) for each in later)
        return CertifiedBlock(pack(block.header), block.body, block.view, block.proposer, certificate, headers)

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        """Whether header, later headers and batch lead to the certificate; the batch, or None for a null request's."""
        statement = block.certificate.statement
        if len(block.headers) > self.genesis.limits.window_blocks:
            raise BadBatch("more headers than a window has blocks")
        try:
            headers = [read_header(raw) for raw in (block.header, *block.headers)]
        except DECODE_ERRORS as error:
            raise BadBatch(f"not a header: {error}") from None
        for before, header in pairwise(headers):
            if header.previous_hash != before.hash() or header.height != before.height + 1:
                raise BadBatch("a header does not follow the one before")
        if headers[-1].hash() != statement.header_hash or headers[-1].height != statement.height:
            raise BadBatch("the certificate is another block's")
        if block.body:
            return self.intake.check_body(block.body, headers[0].batch_digest)
        if headers[0].batch_digest != NULL_DIGEST:
            raise BadBatch("the batch is another block's")
        return None

    def uncertified(self) -> tuple[Statement, ...]:
        """Outcomes of the blocks above the newest certificate."""
        heights = range(self.certified_height + 1, self.height + 1)
        return tuple(self._stored(height).statement for height in heights)

    def last_certificate(self) -> ExecutionCertificate | None:
        return self._books.certified

    def check_handover(self, handover: Handover) -> bool:
        """Whether operators of enough organisations signed it, for the present epoch, by committed state."""
        return check_handover(self._books.view, self.genesis, self.epoch.number, self.time_ms, handover)

    # ---------------------------------------------------------------------------------------- state transfer

    def manifest(self, height_min: int) -> Manifest | None:
        """The newest snapshot at or above ``height_min``; cut now if need be. Blocks."""
        return self._shelf.manifest(self._books, height_min)

    def chunk(self, height: int, index: int) -> bytes | None:
        """A chunk of a snapshot that was offered, while it is kept. Blocks."""
        return self._shelf.chunk(self._books, height, index)

    def check_manifest(self, manifest: Manifest) -> None:
        """Verify boundaries, certificate, header and branches from genesis on; raises ``SnapshotInvalid``."""
        checked = check_manifest(manifest, self.genesis)
        self._offered.setdefault(manifest.height, checked)
        while len(self._offered) > OFFERED_MAX:
            under_way = None if self._transfer is None else self._transfer.checked.manifest.height
            del self._offered[next(height for height in self._offered if height != under_way)]

    def check_chunk(self, chunk: Chunk) -> None:
        """Verify a chunk against the manifest of its height; raises ``SnapshotInvalid``, or ``SnapshotUnknown`` if none
        was offered: no lie then. An empty one says that the sender has that snapshot no longer."""
        checked = self._offered.get(chunk.height)
        if checked is None:
            raise SnapshotUnknown("a chunk of no snapshot that was offered")
        if chunk.data:
            check_chunk(chunk, checked)

    def begin_transfer(self, manifest: Manifest) -> None:
        """Forget an earlier transfer and stage this one, which ``check_manifest`` found good."""
        self._forget_transfer()
        checked = self._offered.get(manifest.height) or check_manifest(manifest, self.genesis)
        self._offered[manifest.height] = checked
        self._transfer = Transfer(self._storage, self._generation + 1, checked)

    def stage(self, chunk: Chunk) -> None:
        """Keep a verified chunk of the transfer under way."""
        assert self._transfer is not None, "chunks are staged in a transfer"
        self._transfer.stage(chunk)

    def install(self) -> None:
        """Replace state, index and chain by what is staged, durably. The old ones stay until the next time."""
        assert self._transfer is not None, "a transfer is installed"
        transfer, generation = self._transfer, self._generation + 1
        transfer.finish()
        self._storage.files.below(chain_name(generation)).remove_all()
        books = self._open_books(transfer.store, generation)
        put_in_force(self._storage.files, generation)
        self._transfer = None
        self._shelf.clear()
        if self._replaced is not None:
            self._replaced.close()
        if generation >= 2:
            remove_generation(self._storage, generation - 2)
        # Readers in other threads may hold the old books for a moment: they stay open, and are not written to.
        self._replaced, self._books, self._generation = self._books, books, generation
        self._offered.clear()
        self._shelf.note(books)
        for callback in self.on_install:
            callback()

    def _forget_transfer(self) -> None:
        if self._transfer is not None:
            self._transfer.give_up()
            self._transfer = None

    # ----------------------------------------------------------------------------------------------- reading

    @property
    def height(self) -> int:
        return self._books.head.height

    @property
    def first_height(self) -> int:
        """The lowest block held: 1, or the one after the snapshot that this ledger began with."""
        return self._books.base + 1

    @property
    def epoch(self) -> Epoch:
        """The epoch to take part in: of the block after the last one, or still that block's own, where it ends the
        epoch and is not certified yet."""
        books = self._books
        return books.epoch_before() if books.is_between_epochs else books.epoch

    @property
    def boundary(self) -> int | None:
        """The last height of that epoch, if a change of membership has executed."""
        books = self._books
        if books.is_between_epochs:
            return books.head.height
        return None if books.pending is None else books.pending.boundary

    def boundaries(self, epoch: int) -> tuple[bytes, ...]:
        """The encoded boundaries that lead from genesis to ``epoch``, the present one or an earlier one."""
        return self._books.boundaries(epoch)

    def epoch_at(self, height: int) -> Epoch:
        """The epoch of a block held here."""
        epochs_since = [read_boundary(raw).epoch for raw in self.boundaries(self.epoch.number)]
        begun = [epoch for epoch in epochs_since if epoch.first_height <= height]
        return begun[-1] if begun else self.genesis.epoch

    @property
    def time_ms(self) -> int:
        return self._books.head.time_ms

    @property
    def certified_height(self) -> int:
        return self._books.certified_height

    @property
    def state_root(self) -> bytes:
        return self._books.head.statement.state_root

    def reader(self) -> StateReader:
        """Committed state as of the last block; stays as it is while later blocks commit."""
        return self._books.view

    def snapshot(self) -> tuple[StateReader, int]:
        """A reader and the height at which it stands (or one more: its changes are then offered again)."""
        books = self._books
        height = books.head.height
        return books.view, height

    def mark(self, height: int) -> str | None:
        """What names the state after a block among all that this directory ever held: how often they were replaced and
        rolled back, and the state root. None for a block that this ledger cannot vouch for."""
        books = self._books
        root = books.head.statement.state_root if height == books.head.height else b""
        try:
            if books.base < height < books.head.height:
                root = books.block(height)[0].statement.state_root
        except ChainCorrupt as error:
            log.error("cannot read block %d: %s", height, error)
        return state_mark(self._generation, books.rollbacks, root) if root else None

    def nonce_highest(self, signer: str) -> int:
        return NonceWindow.read(self._books.view, signer).highest

    def certificate(self, height: int) -> ExecutionCertificate | None:
        return self._books.certificate(height)

    def block(self, height: int) -> BlockInfo:
        """A committed block's header and outcome; ``BlockNotHeld`` if it is to come or below ``first_height``."""
        stored = self._stored(height)
        return BlockInfo(
            stored.header, stored.view, stored.proposer, stored.statement, len(stored.results) - stored.deadlines
        )

    def height_of(self, header_hash: bytes) -> int | None:
        """The height of the block held here whose header has this hash, or None."""
        return self._books.height_of(header_hash)

    def has(self, tx_id: bytes) -> bool:
        """Whether a transaction has executed in a block held here. Cheap enough for the event loop."""
        return self._books.locate(tx_id) is not None

    def transaction(self, tx_id: bytes) -> TransactionInfo | None:
        """Where a transaction executed and what became of it, or None."""
        found = self._books.locate(tx_id)
        if found is None:
            return None
        height, index = found
        return transaction_info(*self._books.block(height), index)

    def fate(self, tx_id: bytes) -> Fate | None:
        """What ``transaction`` tells, as far as whoever sent it does not know: much cheaper."""
        books = self._books
        found = books.locate(tx_id)
        if found is None:
            return None
        height, index = found
        result = decode_result(books.block(height)[0].results[index])
        return Fate(height, index, result.code, result.message, decode_value(result.value))

    def transactions_of(self, height: int) -> list[TransactionInfo]:
        """All transactions of a block, in order."""
        stored, envelopes = self._books.block(height)
        return [transaction_info(stored, envelopes, stored.deadlines + i) for i in range(len(envelopes))]

    def outcomes(self, height: int) -> list[OutcomeInfo]:
        """All results of a block, deadlines' and transactions', in order."""
        return outcome_infos(*self._books.block(height))

    def receipt(self, tx_id: bytes) -> Receipt | None:
        """A transaction's receipt; None until its block, or one after it, is certified."""
        books = self._books
        found = books.locate(tx_id)
        if found is None:
            return None
        height, index = found
        certificate = books.certificate_from(height)
        if certificate is None:
            return None
        stored, envelopes = books.block(height)
        trees, position = books.trees(height), index - stored.deadlines
        return Receipt(
            v=RECEIPT_VERSION,
            envelope=envelopes[position].raw,
            result=decode_result(stored.results[index]),
            header=stored.header,
            transaction=Branch(position, trees.transactions.count, trees.transactions.path(position)),
            outcome=Branch(index, trees.outcomes.count, trees.outcomes.path(index)),
            results_before=stored.results_before,
            certificate=certificate,
            later=tuple(
                Later(self._stored(each).header, books.trees(each).outcomes.root)
                for each in range(height + 1, certificate.statement.height + 1)
            ),
            boundaries=books.boundaries(certificate.epoch),
        )

    def block_proof(self, height: int) -> BlockProof | None:
        """What proves a block; None until it, or one after it, is certified; ``BlockNotHeld`` as for ``block``."""
        header, certificate = self._stored(height).header, self._books.certificate_from(height)
        if certificate is None:
            return None
        later = range(height + 1, certificate.statement.height + 1)
        return BlockProof(
            header, tuple(self._stored(each).header for each in later), certificate, self.boundaries(certificate.epoch)
        )

    def prover(self) -> Prover | None:
        """What proves keys at the newest certified height; None before there is one. Blocks."""
        return prover_of(self._books)

    def past(self, key: str, limit: int, before: tuple[int, int] | None = None) -> Past:
        """Versions of a key, newest first (``ledger.history``)."""
        snapshot = self._books.store.snapshot()
        return past_of(snapshot, read_head(snapshot.get(HEAD) or b"").height, key, limit, before)

    def entry_at(self, key: str, height: int) -> Entry | None:
        """What stood under a key after the block at ``height``; ``BlockNotHeld`` if that is to come."""
        snapshot = self._books.store.snapshot()
        if height > read_head(snapshot.get(HEAD) or b"").height:
            raise BlockNotHeld(height, self.first_height)
        return entry_at(snapshot, key, height)

    def writes(self, height: int) -> dict[str, bytes | None] | None:
        """What an uncertified block left under each key that it wrote (``ledger.undo``); None for any other."""
        if not self.certified_height < height <= self.height:
            return None
        return writes_of(self._books.store.snapshot(), height)

    def writer(self, height: int, index: int) -> tuple[bytes, bool] | None:
        """What the result at ``index`` of a block is of, and whether that is a transaction (otherwise a deadline); None
        for the block's own end, for genesis, and for a block that is not held."""
        if not self.first_height <= height <= self.height:
            return None
        stored = self._stored(height)
        if index >= len(stored.results):
            return None
        return decode_result(stored.results[index]).id, index >= stored.deadlines

    def view(self, contract: str, function: str, args: dict[str, Value], signers: tuple[str, ...]) -> CallResult:
        """Run a contract's view function on committed state."""
        books = self._books
        call = Call(
            contract=contract,
            function=function,
            args=args,
            signers=signers,
            tx_id="",
            gas_limit=VIEW_GAS_LIMIT,
            block_time_ms=books.head.time_ms,
            height=books.head.height,
            index=0,
            kind="view",
        )
        return self._executor.view(books.view, call)

    def _stored(self, height: int) -> StoredBlock:
        return self._books.block(height)[0]
