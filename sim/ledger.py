"""A node's ledger in memory: the real intake, executor, contracts, tree and receipts' statements, without files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.authentication import NonceWindow
from ledger.blocks import Header, StoredBlock, decode_result
from ledger.codes import Refusal
from ledger.envelope import Envelope
from ledger.execution import BlockExecutor
from ledger.genesis import Genesis, genesis_state
from ledger.intake import BadBatch, Intake, request_of
from ledger.merkle import proof_of
from ledger.receipts import RECEIPT_VERSION, Branch, Receipt
from ledger.runner import BlockRunner, Ran, pack_entry, start_of
from ledger.state import MemoryState
from ledger.tree import StateTree
from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import NULL_DIGEST, CertifiedBlock, ExecutionCertificate, Statement, decode_batch

_pack = msgspec.msgpack.Encoder().encode


class SimLedger:
    """Implements ``pbft.ports.LedgerPort``. Its blocks and certificates survive a crash, as the chain files do."""

    def __init__(self, genesis: Genesis, machine: PythonMachine, threads: ThreadPoolExecutor) -> None:
        self._intake = Intake(genesis, threads)
        self._executor = BlockExecutor(machine, MarketValidator())
        self.state = MemoryState(genesis_state(genesis))
        self._tree = StateTree(lambda path: None)
        self._tree.update({key: pack_entry(entry) for key, entry in self.state.entries.items()})
        self._runner = BlockRunner(genesis, self._executor, self.state, self._tree)
        self._at = start_of(genesis)
        self.blocks: list[StoredBlock] = []
        self.ran: list[Ran] = []
        self.certificates: dict[int, ExecutionCertificate] = {}
        self._places: dict[bytes, tuple[int, int]] = {}

    @property
    def height(self) -> int:
        return len(self.blocks)

    @property
    def statements(self) -> list[Statement]:
        return [block.statement for block in self.blocks]

    def check_body(self, body: bytes) -> CheckedBatch:
        return self._intake.check_body(body)

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        header = msgspec.msgpack.decode(block.header, type=Header)
        statement = block.certificate.statement
        if header.hash() != statement.header_hash:
            raise BadBatch("the certificate is another block's")
        batch = self._intake.check_body(block.body) if block.body else None
        if header.batch_digest != (batch.digest if batch is not None else NULL_DIGEST):
            raise BadBatch("the batch is another block's")
        return batch

    def check_envelopes(self, envelopes: Sequence[bytes]) -> list[PoolRequest | str]:
        return [self._request(item) for item in self._intake.check_many(envelopes)]

    def _request(self, item: Envelope | Refusal) -> PoolRequest | str:
        if isinstance(item, Refusal):
            return item.code
        refusal = self._refusal(item)
        return request_of(item) if refusal is None else refusal

    def _refusal(self, envelope: Envelope) -> str | None:
        nonces = NonceWindow.read(self.state, envelope.payload.signers[0])
        return self._executor.refuses(self.state, envelope, nonces, self.height + 1, self._at.time_ms + 1)

    def execute(self, height: int, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        assert height == self.height + 1, "blocks are executed in order"
        envelopes = self._intake.envelopes(decode_batch(body).envelopes) if body else []
        ran = self._runner.run(self._at, digest, body, envelopes, view, proposer)
        self.state.apply(ran.executed.changes)
        self._at = ran.position
        self.blocks.append(ran.block)
        self.ran.append(ran)
        for position, tx_id in enumerate(ran.tx_ids):
            if ran.executed.results[ran.block.deadlines + position].gas_used or tx_id not in self._places:
                self._places[tx_id] = (height, position)
        return ran

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        for certificate in certificates:
            self.certificates[certificate.statement.height] = certificate

    def inadmissible(self, requests: Sequence[PoolRequest]) -> list[bytes]:
        checked = self._intake.check_many([request.envelope for request in requests])
        pairs = zip(requests, checked, strict=True)
        return [r.tx_id for r, item in pairs if isinstance(item, Refusal) or self._refusal(item) is not None]

    def certified_blocks(self, first: int, last: int, bytes_max: int) -> list[CertifiedBlock]:
        found = []
        for height in range(first, min(last, self.height) + 1):
            certificate = self.certificates.get(height)
            if certificate is None:
                break
            block = self.blocks[height - 1]
            found.append(CertifiedBlock(_pack(block.header), block.body, block.view, block.proposer, certificate))
        return found

    def has(self, tx_id: bytes) -> bool:
        return tx_id in self._places

    def receipt(self, tx_id: bytes) -> Receipt | None:
        """A transaction's receipt; None until its block is certified."""
        height, position = self._places.get(tx_id, (0, 0))
        certificate = self.certificates.get(height)
        if certificate is None:
            return None
        ran = self.ran[height - 1]
        block, hashes, index = ran.block, [envelope.hash for envelope in ran.envelopes], ran.block.deadlines + position
        return Receipt(
            v=RECEIPT_VERSION,
            envelope=ran.envelopes[position].raw,
            result=decode_result(block.results[index]),
            header=block.header,
            transaction=Branch(position, len(hashes), proof_of(hashes, position)),
            outcome=Branch(index, len(block.results), proof_of(block.results, index)),
            certificate=certificate,
        )

    def last_certificate(self) -> ExecutionCertificate | None:
        return self.certificates.get(max(self.certificates, default=0))

    def uncertified(self) -> tuple[Statement, ...]:
        certified = max(self.certificates, default=0)
        return tuple(self.statements[certified:])
