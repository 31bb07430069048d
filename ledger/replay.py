"""Replaying a chain from its files alone: everything is executed again from genesis and compared.

The offline verifier and the demo's verdict use it: no store, no index, no node is asked or trusted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.blocks import Header, StoredBlock, encode_result
from ledger.chain import ChainCorrupt, read_blocks
from ledger.codes import Refusal
from ledger.envelope import Envelope, envelope_from_bytes
from ledger.execution import BlockExecutor, Machine, Validator
from ledger.genesis import Genesis, genesis_state, load_genesis
from ledger.ledger import state_records
from ledger.merkle import root_of as merkle_root
from ledger.state import MemoryState
from ledger.tree import StateTree
from ledger.values import decode_value
from pbft.messages import NULL_DIGEST, Statement, batch_digest, decode_batch


class ChainInvalid(Exception):
    """The first block that is not what it should be."""

    def __init__(self, height: int, why: str) -> None:
        super().__init__(f"block {height}: {why}")
        self.height = height


@dataclass(frozen=True, slots=True)
class Replayed:
    """A chain executed anew up to ``height``. ``transactions``: how often each id executed with effect or failure."""

    height: int
    state: MemoryState
    state_root: bytes
    transactions: Counter[str]

    def values(self) -> dict[str, Any]:
        """The whole state, decoded, by key."""
        return {key: decode_value(entry.value) for key, entry in self.state.entries.items()}


def replay(
    chain: Path, genesis_file: Path, machine: Machine, validator: Validator, height: int | None = None
) -> Replayed:
    """Execute the blocks of ``chain`` (up to ``height``) again; raises ``ChainInvalid`` at the first bad one."""
    genesis = load_genesis(genesis_file)
    state = MemoryState(genesis_state(genesis))
    tree = StateTree(lambda path: None)
    tree.update(dict(state_records(state.entries.items())))
    run = _Run(genesis, BlockExecutor(machine, validator), state, tree)
    done = 0
    try:
        for block in read_blocks(chain):
            if height is not None and done == height:
                break
            run.block(block)
            done += 1
    except ChainCorrupt as error:
        if height is None or done < height:
            raise ChainInvalid(done + 1, str(error)) from None
    if height is not None and done < height:
        raise ChainInvalid(done + 1, f"missing: the files end at block {done}")
    return Replayed(done, state, tree.root, run.transactions)


class _Run:
    def __init__(self, genesis: Genesis, executor: BlockExecutor, state: MemoryState, tree: StateTree) -> None:
        self._genesis = genesis
        self._executor = executor
        self._state = state
        self._tree = tree
        self._previous_hash = genesis.chain_id
        self._time_ms = genesis.time_ms
        self._height = 0
        self.transactions: Counter[str] = Counter()

    def block(self, block: StoredBlock) -> None:
        """Check and execute the next block."""
        self._height += 1
        envelopes, digest, proposed_ms = self._batch(block)
        floor_ms = self._time_ms + 1
        header = Header(
            chain=self._genesis.chain_id,
            channel=self._genesis.channel,
            epoch=0,
            height=self._height,
            previous_hash=self._previous_hash,
            time_ms=max(proposed_ms, floor_ms),
            batch_digest=digest,
            transaction_root=merkle_root([envelope.hash for envelope in envelopes]),
        )
        if header != block.header:
            raise ChainInvalid(self._height, "its header is not what its batch and the block before lead to")
        executed = self._executor.execute(self._state, self._height, header.time_ms, envelopes)
        self._state.apply(executed.changes)
        changes = {key: self._state.entries.get(key) for key in executed.changes}
        records = state_records((key, entry) for key, entry in changes.items() if entry is not None)
        self._tree.update({key: records.get(key) for key in changes})
        results = tuple(encode_result(result) for result in executed.results)
        statement = Statement(
            self._height, header.hash(), self._tree.root, merkle_root(results), self._genesis.validators_hash
        )
        if statement != block.statement or results != block.results:
            raise ChainInvalid(self._height, "executing it again leads to another outcome")
        for envelope, result in zip(envelopes, executed.results[executed.deadlines :], strict=True):
            self.transactions[envelope.tx_id.hex()] += 1 if result.gas_used else 0
        self._previous_hash, self._time_ms = header.hash(), header.time_ms

    def _batch(self, block: StoredBlock) -> tuple[list[Envelope], bytes, int]:
        if not block.body:
            return [], NULL_DIGEST, 0
        batch = decode_batch(block.body)
        try:
            envelopes = [envelope_from_bytes(raw) for raw in batch.envelopes]
            for envelope in envelopes:
                envelope.verify()
        except Refusal as refusal:
            raise ChainInvalid(self._height, f"an unlawful transaction: {refusal}") from None
        hashes = b"".join(envelope.hash for envelope in envelopes)
        return envelopes, batch_digest(batch.channel, batch.proposed_time_ms, hashes), batch.proposed_time_ms
