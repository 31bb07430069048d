"""One faulty node or client floods the others as fast as they let it: it is slowed or paused, and trading goes on.

No flood may stop or oust anybody: while it goes on, honest clients' trades are acknowledged one after another, in the
view in which it began. By how much a flood slows them, ``wattq bench run --floods`` measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from network import Network, Person, until

from bench.flood import envelope_of, inadmissible, params_of, useless_requests
from bench.flooders import ClientFlood, Flooder, PeerFlood, flood_as_client
from ca.keys import SigningKey

pytestmark = pytest.mark.cluster

WITHIN_S = 60.0
FOREVER_S = 3_600.0
PATIENCE_MS = 10_000
EXPIRES_AT_HEIGHT = 5_000
BIDS = 6
ENVELOPES = 2_000
SLOWED = {
    "votes": "useless_pause",
    "statuses": "useless_pause",
    "fetches": "useless_pause",
    "proposals": "useless_pause",
    "forwards": "forwarded_too_many",
    "forged votes": "penalty",
    "new views": "penalty",
    "garbage": "penalty",
}
"""By kind of flood: what a node counts when it slows or pauses the flooder. Whoever pays a penalty pays it for longer
than the tests of the others would wait, so these come last."""


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Four fresh nodes, patient enough that on a busy machine only what a flood makes them think ends a view."""
    made = Network(tmp_path / "net", request_timeout_ms=PATIENCE_MS)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def running(flood: Coroutine[Any, Any, tuple[int, int]]) -> AsyncIterator[None]:
    """The flood goes on, at least until here; one that fails fails the test."""
    task = asyncio.get_running_loop().create_task(flood)
    try:
        yield
        assert not task.done() or task.exception() is None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def peer_flood(network: Network, name: str, kind: str, envelopes: tuple[bytes, ...]) -> Flooder:
    genesis, port = network.cluster.directory / "genesis.json", network.cluster.section(name).peer_port
    until_s = time.time() + FOREVER_S
    return Flooder(PeerFlood(kind, genesis, network.cluster.home(name), port, envelopes, 0.0, until_s))


async def envelopes(network: Network) -> tuple[bytes, ...]:
    """Well-signed requests of somebody whom nobody knows."""
    stranger = network.client(0, SigningKey.generate())
    made = await useless_requests(stranger, range(ENVELOPES), EXPIRES_AT_HEIGHT)
    await stranger.close()
    return tuple(envelope_of(signed) for signed in made)


async def trade(dora: Person, interval: int) -> None:
    """Bids that a quorum acknowledges, one after another."""
    for number in range(BIDS):
        place = {"side": "bid", "meter": "M-dora", "interval": interval, "execution": "limit"}
        bid = {**place, "energy_wh": 10, "price": 1_000 + number}
        await dora.invoke("market", "place_order", bid)


async def counted(network: Network, names: tuple[str, ...], reason: str) -> list[int]:
    statuses = [await network.cluster.status(name) for name in names]
    return [-1 if status is None else status.rejects.get(reason, 0) for status in statuses]


async def views(network: Network) -> set[int]:
    statuses = [await network.cluster.status(name) for name in network.cluster.names]
    return {status.view for status in statuses if status is not None}


async def slowed(network: Network, names: tuple[str, ...], reason: str, before: list[int]) -> None:
    """Wait until each of the nodes has done so once more at least."""

    async def all_have() -> bool:
        now = await counted(network, names, reason)
        return all(later > earlier for later, earlier in zip(now, before, strict=True))

    await until(all_have, WITHIN_S)


async def test_a_validator_that_floods_is_slowed_and_trading_goes_on(network: Network) -> None:
    dora, strange = await network.admit("dora", "buyer", 0), await envelopes(network)
    interval = await network.interval()
    network.cluster.kill("node4")
    await network.cluster.wait_gone("node4")
    honest = ("node1", "node2", "node3")
    for number, (kind, reason) in enumerate(SLOWED.items()):
        before = await counted(network, honest, reason)
        async with running(peer_flood(network, "node4", kind, strange).run()):
            await trade(dora, interval + number)
            await slowed(network, honest, reason, before)
            await trade(dora, interval + number)
        assert await views(network) == {0}, kind
    status = await network.operator.client.status()
    assert status.rejects["bad_signature"] < 5_000, "most of the flood is never looked at"
    network.cluster.start("node4")
    await network.agree()


async def test_an_observer_that_floods_is_slowed_and_trading_goes_on(network: Network) -> None:
    dora, strange = await network.admit("dora", "buyer", 0), await envelopes(network)
    interval = await network.interval()
    validators = tuple(network.cluster.names)
    network.cluster.add_node("watcher")
    for number, (kind, reason) in enumerate({"fetches": "observer_slowed", "forwards": "forwarded_too_many"}.items()):
        before = await counted(network, validators, reason)
        async with running(peer_flood(network, "watcher", kind, strange).run()):
            await trade(dora, interval + number)
            await slowed(network, validators, reason, before)
            await trade(dora, interval + number)
        assert await views(network) == {0}, kind


@pytest.mark.parametrize("by", ["socket", "REST"])
async def test_a_client_that_floods_its_node_keeps_nobody_from_trading(network: Network, by: str) -> None:
    dora, gus = await network.admit("dora", "buyer", 0), await network.admit("gus", "buyer", 0)
    stranger = network.client(0, SigningKey.generate())
    strange = await useless_requests(stranger, range(200), EXPIRES_AT_HEIGHT)
    own = await useless_requests(gus.client, range(2, 4_000), EXPIRES_AT_HEIGHT)
    await stranger.close()
    interval = await network.interval()
    home, url = network.cluster.home("node1"), network.cluster.rest_url("node1")
    endpoint = f"unix:{home / 'node.sock'}" if by == "socket" else url
    until_s = time.time() + FOREVER_S
    wrong = inadmissible(strange, own[:200])
    async with running(flood_as_client(ClientFlood(endpoint, wrong, True, 0.0, until_s))):
        await trade(dora, interval)
    admissible = tuple(params_of(signed) for signed in own)
    async with running(flood_as_client(ClientFlood(endpoint, admissible, False, 0.0, until_s))):
        await trade(dora, interval + 1)
    assert await views(network) == {0}
    await network.agree()
