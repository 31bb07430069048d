"""Calls that read the chain files: headers, blocks, transactions, and what proves them."""

from __future__ import annotations

from typing import Any

from api.headers import header_record, not_held
from api.pools import BoundedPool
from api.privacy import Viewer, may_read_transaction
from api.refusals import not_found, refused
from ledger.answers import BlockNotHeld
from ledger.block_proofs import block_proof_to_json
from ledger.ledger import Ledger
from ledger.receipts import receipt_to_json
from ledger.statedb.documents import narrow
from sdk import methods


class ChainReads:
    """``pool`` runs what reads files."""

    def __init__(self, ledger: Ledger, pool: BoundedPool) -> None:
        self._ledger = ledger
        self._reads = pool

    async def headers(self, params: methods.HeadersParams, _: Viewer) -> methods.Headers:
        top = self._ledger.height
        first = params.first or max(self._ledger.first_height, top - params.limit + 1)
        self._check_held(first)
        heights = range(first, end := min(first + params.limit, top + 1))
        headers = await self._reads.run(lambda: tuple(header_record(self._ledger, height) for height in heights))
        return methods.Headers(headers, end if first < end <= top else None)

    async def transaction(self, params: methods.TransactionParams, viewer: Viewer) -> methods.TransactionRecord:
        try:
            record = await self._reads.run(self._ledger.transaction, bytes.fromhex(params.tx_id))
        except BlockNotHeld as error:
            # Whose it was is in the block; a stranger learns nothing.
            if viewer.signer:
                self._check_held(error.height)
            record = None
        if record is None or not may_read_transaction(viewer, record.signers, record.args, record.result.value):
            raise not_found("transaction", params.tx_id)
        return _transaction_record(record)

    async def receipt(self, params: methods.TransactionParams, viewer: Viewer) -> methods.ProofRecord:
        await self.transaction(params, viewer)
        receipt = await self._reads.run(self._ledger.receipt, bytes.fromhex(params.tx_id))
        if receipt is None:
            raise refused("NOT_CERTIFIED_YET", "This block has no certificate yet. Try again shortly.", 503)
        return methods.ProofRecord(receipt_to_json(receipt))

    async def block(self, params: methods.BlockParams, viewer: Viewer) -> methods.BlockRecord:
        if not 1 <= params.height <= self._ledger.height:
            raise not_found("block", str(params.height))
        self._check_held(params.height)
        records = await self._reads.run(self._ledger.transactions_of, params.height)
        seen = [r for r in records if may_read_transaction(viewer, r.signers, r.args, r.result.value)]
        left = [r for r in seen if r.index >= int(params.bookmark or 0)]
        header = await self._reads.run(header_record, self._ledger, params.height)
        shown = tuple(map(_transaction_record, left[: params.limit]))
        bookmark = str(left[params.limit].index) if len(left) > params.limit else ""
        return methods.BlockRecord(header, shown, len(records) - len(seen), bookmark)

    async def block_by_hash(self, params: methods.BlockHashParams, viewer: Viewer) -> methods.BlockRecord:
        height = await self._reads.run(self._ledger.height_of, bytes.fromhex(params.hash))
        if height is None:
            raise not_found("block", params.hash)
        asked = methods.BlockParams(height=height, limit=params.limit, bookmark=params.bookmark)
        return await self.block(asked, viewer)

    async def certificate(self, params: methods.HeightParams, _: Viewer) -> methods.ProofRecord:
        if not 1 <= params.height <= self._ledger.height:
            raise not_found("block", str(params.height))
        self._check_held(params.height)
        proof = await self._reads.run(self._ledger.block_proof, params.height)
        if proof is None:
            raise refused("NOT_CERTIFIED_YET", "This block has no certificate yet. Try again shortly.", 503)
        return methods.ProofRecord(block_proof_to_json(proof))

    def _check_held(self, height: int) -> None:
        if height < (first := self._ledger.first_height):
            raise not_held(first)


def _transaction_record(record: Any) -> methods.TransactionRecord:
    return methods.TransactionRecord(
        tx_id=record.tx_id.hex(),
        height=record.height,
        index=record.index,
        time_ms=record.time_ms,
        payload=record.payload,
        code=record.result.code,
        message=record.result.message,
        value=narrow(record.result.value),
        gas_used=record.result.gas_used,
        events=[[contract, name, narrow(data)] for contract, name, data in record.result.events],
    )
