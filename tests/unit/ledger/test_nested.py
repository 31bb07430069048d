"""What somebody nests too deep for the decoder is refused like everything else that is none of ours.

Decoders pass over items that come behind those they know, and give up where these are nested: a lying primary could
have ended every honest node with one batch of that kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from decoder import deepened
from ledgers import ALICE, GENESIS, certificate_of, envelope, open_ledger, run_block
from memory_files import MemoryFiles

from ledger.certificates import CertificateInvalid, follow
from ledger.chain import ChainCorrupt, ChainFiles
from ledger.intake import BadBatch
from ledger.layout import pack
from ledger.ledger import Ledger
from pbft.epoch import Boundary
from pbft.messages import Batch, CertifiedBlock, encode_batch


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    run_block(opened, envelope())
    opened.certify([certificate_of(opened.uncertified()[0])])
    yield opened
    opened.close()


@pytest.fixture
def block(ledger: Ledger) -> CertifiedBlock:
    (found,) = ledger.certified_blocks(1, 1, 1)
    return found


@pytest.mark.row(14)
def test_a_batch(ledger: Ledger) -> None:
    body = encode_batch(Batch("main", 1_000_001, (envelope(ALICE).raw,)))
    assert ledger.check_body(body)
    with pytest.raises(BadBatch, match="not a batch"):
        ledger.check_body(deepened(body))


def test_a_header(ledger: Ledger, block: CertifiedBlock) -> None:
    with pytest.raises(BadBatch, match="not a header"):
        ledger.check_block(msgspec.structs.replace(block, header=deepened(block.header)))


def test_a_boundary(block: CertifiedBlock) -> None:
    boundary = pack(Boundary(GENESIS.epoch, block.certificate))
    with pytest.raises(CertificateInvalid, match="not a boundary"):
        follow(GENESIS, [deepened(boundary)])


def test_a_block_of_the_chain_files(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checksum is right."""
    chain = ChainFiles(MemoryFiles())
    monkeypatch.setattr("ledger.chain.encode_block", lambda stored: deepened(pack(stored)))
    chain.append(ledger._stored(1))
    with pytest.raises(ChainCorrupt, match="record at"):
        list(chain.after(None))
