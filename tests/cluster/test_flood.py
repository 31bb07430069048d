"""A replica gone mad floods the others with messages that prove nothing: it is paused, and trading goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from network import Network, until

from ca.keys import SigningKey
from ca.tls import client_context, pem_of, server_context
from pbft.exchange import CHANNEL_ID_BYTES
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.messages import Prepare, encode_frame
from pbft.transport import Transport, TransportLimits

pytestmark = pytest.mark.cluster

QUEUED_BYTES_MAX = 1_000_000
FRAMES_AT_ONCE = 200
WITHIN_S = 60.0


@asynccontextmanager
async def flooding(network: Network, name: str) -> AsyncIterator[Transport]:
    """In the place of the node ``name``, which is down: as many forged votes to each of the others as they take."""
    home: Path = network.cluster.home(name)
    key, genesis = SigningKey.load(home / "node.key"), network.genesis
    files = (home / "node.crt", home / "node.key", pem_of(genesis.roots))
    transport = Transport(
        Hello(PROTOCOL_VERSION, genesis.chain_id, genesis.channel, key.public_key),
        lambda: genesis.roots,
        server_context(*files),
        client_context(*files),
        TransportLimits(peer_queue_bytes_max=2 * QUEUED_BYTES_MAX),
    )
    transport.set_validators(genesis.epoch.validators)
    await transport.start("127.0.0.1", network.cluster.section(name).peer_port)
    index, channel_id = genesis.epoch.keys.index(key.public_key), genesis.chain_id[:CHANNEL_ID_BYTES]
    others = [other for other in genesis.epoch.keys if other != key.public_key]

    async def flood() -> None:
        sequence = 0
        while True:
            for other in others:
                for _ in range(FRAMES_AT_ONCE if transport.queued_bytes(other) < QUEUED_BYTES_MAX else 0):
                    sequence += 1
                    forged = Prepare(0, 1_000 + sequence, bytes(32), index, bytes(64))
                    transport.send([other], channel_id + encode_frame(0, forged), bulk=False)
            await asyncio.sleep(0.005)

    task = asyncio.get_running_loop().create_task(flood())
    try:
        yield transport
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await transport.stop()


async def test_a_flood_of_forged_votes_pauses_its_sender_and_nothing_else(network: Network) -> None:
    dora = await network.admit("dora", "buyer", 0)
    interval = await network.interval()
    network.cluster.kill("node4")
    await network.cluster.wait_gone("node4")
    async with flooding(network, "node4") as transport:
        for number in range(40):
            bid = {"side": "bid", "meter": "M-dora", "interval": interval, "energy_wh": 10, "price": 1000 + number}
            await dora.invoke("market", "place_order", bid)

        async def paused() -> bool:
            statuses = [await network.cluster.status(name) for name in ("node1", "node2", "node3")]
            return all(status is not None and status.rejects.get("penalty", 0) > 0 for status in statuses)

        await until(paused, WITHIN_S)
        assert len(transport.linked) == 3, "paused, not thrown out"
    status = await network.operator.client.status()
    assert status.view == 0
    assert status.rejects["bad_signature"] < 5_000, "most of the flood is never looked at"
    network.cluster.start("node4")
    await network.agree()
