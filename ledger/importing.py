"""Filling an empty ledger from chain files: every block is executed again, and must give what the files say.

That shows that the files are whole and consistent, not that anybody agreed to them: certificates show that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ledger.blocks import StoredBlock
from ledger.certificates import CertificateInvalid, check_certificate
from ledger.chain import ChainCorrupt
from ledger.epochs import epoch_of
from ledger.intake import BadBatch
from ledger.ledger import Ledger
from ledger.replay import ChainInvalid
from pbft.epoch import Epoch
from pbft.messages import NULL_DIGEST, ExecutionCertificate


def fill(
    ledger: Ledger,
    blocks: Iterable[StoredBlock],
    certificate: Callable[[int], ExecutionCertificate | None] = lambda height: None,
    progress: Callable[[int], None] = lambda height: None,
) -> int:
    """Execute ``blocks`` on a ledger that stands where they begin; how many certificates it has then. ``ChainInvalid``
    at the first bad one: what stands before it is good. ``certificate``: what somebody has of a block; checked here."""
    count = 0
    try:
        for block in blocks:
            held = certificate(block.header.height)
            epoch = None if held is None else epoch_of(ledger.reader())
            _take(ledger, block)
            if held is not None and epoch is not None:
                _certify(ledger, block, held, epoch)
                count += 1
            progress(ledger.height)
    except ChainCorrupt as error:
        raise ChainInvalid(ledger.height + 1, str(error)) from None
    return count


def _certify(ledger: Ledger, block: StoredBlock, certificate: ExecutionCertificate, epoch: Epoch) -> None:
    try:
        check_certificate(certificate, ledger.genesis, epoch)
    except CertificateInvalid as error:
        raise ChainInvalid(ledger.height, f"its certificate: {error}") from None
    if certificate.statement != block.statement:
        raise ChainInvalid(ledger.height, "its certificate is for another outcome")
    ledger.certify([certificate])


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
