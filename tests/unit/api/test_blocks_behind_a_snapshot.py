"""A node that began with a snapshot says which blocks it holds, instead of failing over those it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from governed import Network

from api.chain_reads import ChainReads
from api.pools import BoundedPool
from api.privacy import STRANGER
from ledger.answers import BlockNotHeld
from pbft.messages import Chunk
from sdk import methods
from sdk.errors import Refused


@pytest.fixture
def chain() -> ChainReads:
    """Of a ledger with a snapshot at 4 and two blocks behind it."""
    source, network = Network(), Network()
    source.run_to(4)
    manifest = source.ledger.manifest(0)
    assert manifest is not None
    network.ledger.check_manifest(manifest)
    network.ledger.begin_transfer(manifest)
    for index in range(manifest.chunks):
        network.ledger.stage(Chunk(4, index, source.ledger.chunk(4, index) or b""))
    network.ledger.install()
    network.run_to(6)
    return ChainReads(network.ledger, BoundedPool("reads", 1, 8, 5.0))


async def test_blocks_and_headers_below_it_are_gone_for_good(chain: ChainReads) -> None:
    for height in (1, 4):
        with pytest.raises(Refused) as error:
            await chain.block(methods.BlockParams(height=height), STRANGER)
        assert (error.value.status, error.value.problem.code) == (410, "BLOCK_NOT_HELD")
        with pytest.raises(Refused) as error:
            await chain.headers(methods.HeadersParams(first=height, limit=2), STRANGER)
        assert error.value.status == 410


async def test_the_newest_headers_are_those_that_are_held(chain: ChainReads) -> None:
    found = await chain.headers(methods.HeadersParams(first=0, limit=50), STRANGER)
    assert [header.height for header in found.headers] == [5, 6]
    block = await chain.block(methods.BlockParams(height=5), STRANGER)
    assert block.header.height == 5


async def test_a_block_is_found_by_the_hash_of_its_header(chain: ChainReads) -> None:
    block = await chain.block(methods.BlockParams(height=6), STRANGER)
    assert await chain.block_by_hash(methods.BlockHashParams(hash=block.header.hash), STRANGER) == block
    with pytest.raises(Refused) as error:
        await chain.block_by_hash(methods.BlockHashParams(hash="0" * 64), STRANGER)
    assert error.value.status == 404


async def test_a_transaction_in_a_pruned_block_is_gone_for_its_readers_and_unknown_to_strangers(
    chain: ChainReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pruned(tx_id: bytes) -> None:
        raise BlockNotHeld(2, 5)

    monkeypatch.setattr(chain._ledger, "transaction", pruned)
    params = methods.TransactionParams(tx_id="0" * 64)
    for viewer, status in ((STRANGER, 404), (replace(STRANGER, signer="ab"), 410)):
        with pytest.raises(Refused) as error:
            await chain.receipt(params, viewer)
        assert error.value.status == status
