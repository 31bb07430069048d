"""Replaying a chain from its files alone: everything is executed again from genesis and compared.

The offline verifier and the demo's verdict use it: no store, no index, no node is asked or trusted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger import epochs
from ledger.blocks import StoredBlock
from ledger.certificates import CertificateInvalid, check_certificate
from ledger.chain import ChainCorrupt, read_blocks
from ledger.envelope import Envelope
from ledger.execution import BlockExecutor, Machine, Validator
from ledger.genesis import Genesis, genesis_state, load_genesis
from ledger.intake import BadBatch, Intake
from ledger.runner import BlockRunner, Ran, pack_entry, start_of
from ledger.state import MemoryState
from ledger.tree import StateTree
from ledger.values import decode_value
from pbft.messages import NULL_DIGEST, ExecutionCertificate


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


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain found good. ``certificates``: how many were checked, the newest of ``certified_height`` (0: none)."""

    height: int
    state_root: bytes
    transactions: int
    certificates: int
    certified_height: int


def replay(
    chain: Path, genesis_file: Path, machine: Machine, validator: Validator, height: int | None = None
) -> Replayed:
    """Execute the blocks of ``chain`` (up to ``height``) again; raises ``ChainInvalid`` at the first bad one."""
    run = Replay(load_genesis(genesis_file), machine, validator)
    transactions: Counter[str] = Counter()
    for block, ran in run.all(read_blocks(chain), height):
        for tx_id, result in zip(ran.tx_ids, ran.executed.results[block.deadlines :], strict=True):
            transactions[tx_id.hex()] += 1 if result.gas_used else 0
    return Replayed(run.height, run.state, run.state_root, transactions)


def verify_chain(
    run: Replay,
    blocks: Iterable[StoredBlock],
    certificate: Callable[[int], ExecutionCertificate | None],
    height: int | None = None,
    progress: Callable[[int], None] = lambda height: None,
) -> Verified:
    """Execute ``blocks`` again and check what ``certificate`` has of each; raises ``ChainInvalid`` at the first bad
    one. Holds the state in memory, and nothing of the blocks behind."""
    transactions = certificates = certified = 0
    for block, ran in run.all(blocks, height):
        transactions += sum(1 for result in ran.executed.results[block.deadlines :] if result.gas_used)
        held = certificate(run.height)
        if held is not None:
            run.check(held)
            certificates, certified = certificates + 1, run.height
        progress(run.height)
    return Verified(run.height, run.state_root, transactions, certificates, certified)


def blocks_of(sources: Iterable[Path]) -> Iterator[StoredBlock]:
    """The blocks of several directories, an archive before what it was taken from; what two hold is given once."""
    reached = 0
    for source in sources:
        passed = reached
        for block in read_blocks(source):
            if block.header.height > passed:
                reached = block.header.height
                yield block


class Replay:
    """Blocks executed anew from genesis, one after another. ``height`` is the last good one."""

    def __init__(self, genesis: Genesis, machine: Machine, validator: Validator) -> None:
        self.state = MemoryState(genesis_state(genesis))
        self._genesis = genesis
        self._tree = StateTree(lambda path: None)
        self._tree.update({key: pack_entry(entry) for key, entry in self.state.entries.items()})
        self._runner = BlockRunner(genesis, BlockExecutor(machine, validator), self.state, self._tree)
        self._intake = Intake(genesis, ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="verify"))
        self._at = start_of(genesis)
        self._epoch = genesis.epoch
        self._last: StoredBlock | None = None

    @property
    def height(self) -> int:
        return self._at.height

    @property
    def state_root(self) -> bytes:
        return self._tree.root

    def all(self, blocks: Iterable[StoredBlock], height: int | None) -> Iterator[tuple[StoredBlock, Ran]]:
        """Execute ``blocks`` one by one, up to ``height``, which they have to reach."""
        try:
            for block in blocks:
                if height is not None and self.height == height:
                    break
                yield block, self.block(block)
        except ChainCorrupt as error:
            if height is None or self.height < height:
                raise ChainInvalid(self.height + 1, str(error)) from None
        if height is not None and self.height < height:
            raise ChainInvalid(self.height + 1, f"missing: the files end at block {self.height}")

    def block(self, block: StoredBlock) -> Ran:
        """Check and execute the next block."""
        height = self.height + 1
        if height == 1 < block.header.height:
            first = block.header.height
            raise ChainInvalid(1, f"missing: the files begin with block {first}, behind a snapshot; replay others'")
        envelopes, digest = self._batch(block, height)
        epoch = epochs.epoch_of(self.state)
        ran = self._runner.run(self._at, digest, block.body, envelopes, block.view, block.proposer)
        if ran.block.header != block.header:
            raise ChainInvalid(height, "its header is not what its batch and the block before lead to")
        if ran.block != block:
            raise ChainInvalid(height, "executing it again leads to another outcome")
        self.state.apply(ran.executed.changes)
        self._at, self._epoch, self._last = ran.position, epoch, block
        return ran

    def _batch(self, block: StoredBlock, height: int) -> tuple[list[Envelope], bytes]:
        """A block's envelopes and the digest of its batch, which is what an honest replica votes for: of this chain and
        channel, within its limits, each transaction once and signed."""
        if not block.body:
            return [], NULL_DIGEST
        try:
            batch = self._intake.check_body(block.body)
        except BadBatch as error:
            raise ChainInvalid(height, f"its batch: {error}") from None
        return self._intake.envelopes([request.envelope for request in batch.requests]), batch.digest

    def check(self, certificate: ExecutionCertificate) -> None:
        """Whether enough validators of the last block's epoch signed its outcome; else ``ChainInvalid``."""
        try:
            check_certificate(certificate, self._genesis, self._epoch)
        except CertificateInvalid as error:
            raise ChainInvalid(self.height, f"its certificate: {error}") from None
        if self._last is None or certificate.statement != self._last.statement:
            raise ChainInvalid(self.height, "its certificate is for another outcome")
