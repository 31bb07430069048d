"""From an agreed batch to a block: the one place where header, results, tree and statement come together.

The ledger, the replay of a chain's files and the simulator all run blocks through here, so that they cannot
come to different roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ledger import epochs
from ledger.blocks import Header, StoredBlock, encode_result, results_hash
from ledger.envelope import Envelope
from ledger.execution import BlockExecutor, Executed
from ledger.genesis import Genesis
from ledger.merkle import root_of
from ledger.state import Overlay, StateReader
from ledger.tree import StateTree
from pbft.messages import Statement, decode_batch

pack_entry = msgspec.msgpack.Encoder().encode
"""A state entry's record: what the store keeps and the tree's leaf covers."""


NO_RESULTS = bytes(32)
"""The hash of all results before the first block."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a chain stands: its last block's height, time and hash, and the hash of all results so far."""

    height: int
    time_ms: int
    header_hash: bytes
    results_hash: bytes


@dataclass(frozen=True, slots=True)
class Ran:
    """An executed block. ``branches``: the tree's changed records by path, to be written with the state's changes;
    ``replaced``: what was there before.
    ``boundary``: the last height of the block's epoch, if that is settled by now."""

    block: StoredBlock
    executed: Executed
    tx_ids: tuple[bytes, ...]
    envelopes: tuple[Envelope, ...]
    branches: dict[bytes, bytes | None]
    replaced: dict[bytes, bytes | None]
    boundary: int | None = None

    @property
    def admitted(self) -> tuple[bytes, ...]:
        """The transactions that were admissible when their turn came."""
        return self.executed.admitted

    @property
    def statement(self) -> Statement:
        """What consensus signs of it."""
        return self.block.statement

    @property
    def position(self) -> Position:
        header, statement = self.block.header, self.block.statement
        return Position(header.height, header.time_ms, statement.header_hash, statement.results_hash)


def start_of(genesis: Genesis) -> Position:
    """Before the first block."""
    return Position(0, genesis.time_ms, genesis.chain_id, NO_RESULTS)


class BlockRunner:
    """Executes batches on a state and its tree. The caller applies ``executed.changes`` before the next block."""

    def __init__(self, genesis: Genesis, executor: BlockExecutor, state: StateReader, tree: StateTree) -> None:
        self._genesis = genesis
        self._executor = executor
        self._state = state
        self._tree = tree

    def committed(self) -> None:
        """The state now holds what ``run`` found last."""
        self._executor.committed(self._state)

    def run(
        self, at: Position, digest: bytes, body: bytes, envelopes: Sequence[Envelope], view: int, proposer: int
    ) -> Ran:
        """The block after ``at``: time = max(proposed, previous + 1), a null request's is previous + 1."""
        floor_ms = at.time_ms + 1
        time_ms = max(decode_batch(body).proposed_time_ms, floor_ms) if body else floor_ms
        epoch = epochs.epoch_of(self._state)
        executed = self._executor.execute(self._state, at.height + 1, time_ms, envelopes)
        after = Overlay(self._state, executed.changes)
        header = Header(
            chain=self._genesis.chain_id,
            channel=self._genesis.channel,
            epoch=epoch.number,
            height=at.height + 1,
            previous_hash=at.header_hash,
            time_ms=time_ms,
            batch_digest=digest,
            transaction_root=root_of([envelope.hash for envelope in envelopes]),
        )
        results = tuple(encode_result(result) for result in executed.results)
        branches = self._tree.update(
            {key: None if entry is None else pack_entry(entry) for key, entry in executed.changes.items()}
        )
        statement = Statement(
            height=header.height,
            header_hash=header.hash(),
            state_root=self._tree.root,
            results_hash=results_hash(at.results_hash, root_of(results)),
            next_validators_hash=epochs.epoch_hash_of(after),
        )
        block = StoredBlock(header, body, view, proposer, executed.deadlines, results, at.results_hash, statement)
        tx_ids = tuple(envelope.tx_id for envelope in envelopes)
        boundary = _boundary(epoch.number, header.height, after)
        return Ran(block, executed, tx_ids, tuple(envelopes), branches, self._tree.replaced, boundary)


def _boundary(number: int, height: int, after: StateReader) -> int | None:
    """Where the epoch ``number`` ends, by the state after the block at ``height``."""
    if epochs.epoch_of(after).number != number:
        return height
    pending = epochs.pending_of(after)
    return None if pending is None else pending.boundary
