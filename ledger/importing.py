"""Filling an empty ledger from chain files: every block is executed again, and must give what the files say."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ledger.blocks import StoredBlock
from ledger.chain import ChainCorrupt
from ledger.intake import BadBatch
from ledger.ledger import Ledger
from ledger.replay import ChainInvalid
from pbft.messages import NULL_DIGEST, ExecutionCertificate


def fill(
    ledger: Ledger,
    blocks: Iterable[StoredBlock],
    certificate: Callable[[int], ExecutionCertificate | None] = lambda height: None,
    progress: Callable[[int], None] = lambda height: None,
) -> int:
    """Execute ``blocks`` on a ledger that stands where they begin; its height then. ``ChainInvalid`` at the first bad
    one: what stands before it is good. ``certificate``: what is known of a block, checked already."""
    try:
        for block in blocks:
            _take(ledger, block)
            held = certificate(ledger.height)
            if held is not None:
                ledger.certify([held])
            progress(ledger.height)
    except ChainCorrupt as error:
        raise ChainInvalid(ledger.height + 1, str(error)) from None
    return ledger.height


def _take(ledger: Ledger, block: StoredBlock) -> None:
    height = ledger.height + 1
    if block.header.height != height:
        raise ChainInvalid(height, f"missing: the files go on with block {block.header.height}")
    try:
        batch = ledger.intake.check_body(block.body) if block.body else None
    except BadBatch as error:
        raise ChainInvalid(height, f"its batch: {error}") from None
    digest = NULL_DIGEST if batch is None else batch.digest
    if digest != block.header.batch_digest:
        raise ChainInvalid(height, "its header names another batch")
    ran = ledger.execute(height, digest, block.body, block.view, block.proposer)
    if ran.block != block:
        raise ChainInvalid(height, "executing it again leads to another outcome")
