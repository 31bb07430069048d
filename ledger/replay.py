"""Replaying a chain from its files alone: everything is executed again from genesis and compared.

The offline verifier and the demo's verdict use it: no store, no index, no node is asked or trusted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ledger.blocks import StoredBlock
from ledger.chain import ChainCorrupt, read_blocks
from ledger.codes import Refusal
from ledger.envelope import Envelope, envelope_from_bytes
from ledger.execution import BlockExecutor, Machine, Validator
from ledger.genesis import Genesis, genesis_state, load_genesis
from ledger.runner import BlockRunner, pack_entry, start_of
from ledger.state import MemoryState
from ledger.tree import StateTree
from ledger.values import decode_value
from pbft.messages import NULL_DIGEST, batch_digest, decode_batch


class ChainInvalid(Exception):
    """The first block that is not what it should be."""

    def __init__(self, height: int, why: str) -> None:
        super().__init__(height, why)  # as given, so that it can travel between processes
        self.height = height
        self.why = why

    def __str__(self) -> str:
        return f"block {self.height}: {self.why}"


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
    run = _Run(load_genesis(genesis_file), machine, validator)
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
    return Replayed(done, run.state, run.tree.root, run.transactions)


class _Run:
    def __init__(self, genesis: Genesis, machine: Machine, validator: Validator) -> None:
        self.state = MemoryState(genesis_state(genesis))
        self.tree = StateTree(lambda path: None)
        self.tree.update({key: pack_entry(entry) for key, entry in self.state.entries.items()})
        self.transactions: Counter[str] = Counter()
        self._runner = BlockRunner(genesis, BlockExecutor(machine, validator), self.state, self.tree)
        self._at = start_of(genesis)

    def block(self, block: StoredBlock) -> None:
        """Check and execute the next block."""
        height = self._at.height + 1
        if height == 1 < block.header.height:
            first = block.header.height
            raise ChainInvalid(1, f"missing: the files begin with block {first}, behind a snapshot; replay others'")
        envelopes, digest = _batch(block, height)
        ran = self._runner.run(self._at, digest, block.body, envelopes, block.view, block.proposer)
        if ran.block.header != block.header:
            raise ChainInvalid(height, "its header is not what its batch and the block before lead to")
        if ran.block != block:
            raise ChainInvalid(height, "executing it again leads to another outcome")
        self.state.apply(ran.executed.changes)
        for tx_id, result in zip(ran.tx_ids, ran.executed.results[block.deadlines :], strict=True):
            self.transactions[tx_id.hex()] += 1 if result.gas_used else 0
        self._at = ran.position


def _batch(block: StoredBlock, height: int) -> tuple[list[Envelope], bytes]:
    """A block's envelopes, each signature checked, and the digest of its batch."""
    if not block.body:
        return [], NULL_DIGEST
    try:
        batch = decode_batch(block.body)
        envelopes = [envelope_from_bytes(raw) for raw in batch.envelopes]
        for envelope in envelopes:
            envelope.verify()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ChainInvalid(height, f"its body is no batch: {error}") from None
    except Refusal as refusal:
        raise ChainInvalid(height, f"an unlawful transaction: {refusal}") from None
    hashes = b"".join(envelope.hash for envelope in envelopes)
    return envelopes, batch_digest(batch.channel, batch.proposed_time_ms, hashes)
