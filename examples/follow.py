"""Follow a chain: every certified block from the first one on, verified, and the books that change, as it happens.

Start a network first (`wattq cluster up`), then: python examples/follow.py wattquorum [HEIGHT]
It ends at HEIGHT; without one, with Ctrl-C. Stop a node meanwhile: the stream goes on at another, and misses nothing.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from cluster import Cluster, ClusterError
from ledger.genesis import GenesisInvalid, load_genesis
from ledger.proofs import ProofInvalid
from sdk.client import AsyncClient
from sdk.configuration import ConfigurationError
from sdk.errors import SdkError
from sdk.transports import connect

UNABLE = (SdkError, ProofInvalid, ClusterError, ConfigurationError, GenesisInvalid, OSError)


async def follow_blocks(client: AsyncClient, last: int) -> None:
    """Blocks, each proven by a quorum's certificate against the genesis file."""
    async for event in client.stream(["blocks"], from_height=1, verified=True):
        block = event.data
        print(f"block {block.height}: {block.transactions} transactions, {block.hash[:16]}", flush=True)
        if block.height == last:
            return


async def follow_books(client: AsyncClient) -> None:
    """What stands in the market, without names, whenever it changes."""
    async for event in client.stream(["book"]):
        book = event.data
        best = [levels[0].price if levels else "none" for levels in (book.bids, book.asks)]
        print(f"interval {book.interval}: best bid {best[0]}, best ask {best[1]}", flush=True)


async def main(directory: Path, last: int) -> None:
    cluster, genesis = Cluster(directory), load_genesis(directory / "genesis.json")
    endpoints = [connect(cluster.rest_url(name)) for name in cluster.names]
    async with AsyncClient(endpoints, genesis) as client:
        books = asyncio.create_task(follow_books(client))
        try:
            await follow_blocks(client, last)
        finally:
            books.cancel()


if __name__ == "__main__":
    try:
        directory, height = [*sys.argv[1:], *("wattquorum", "0")[len(sys.argv) - 1 :]][:2]
        asyncio.run(main(Path(directory), int(height)))
    except KeyboardInterrupt:
        sys.exit(0)
    except UNABLE as error:
        sys.exit(f"follow: {error}")
