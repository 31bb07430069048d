"""A node with a meter and its embedded broker: live power, a trade's signals, and that each sees only their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from brokers import client, write_users
from network import INTERVAL_MS, Network, Person, configuration_text, free_ports

from meter.profile import load_profile
from meter.simulation import MeterServer
from meter.simulator import SimulatedMeter
from sdk.clock import Clock

pytestmark = pytest.mark.cluster
SEEN_WITHIN_S = 60.0
ROOT = "wattq/test/node1"


def text_of(mqtt_port: int, meter_port: int) -> str:
    """Four nodes; the first has a broker and polls a meter."""
    text = configuration_text(4).replace("[node.node1]\n", f"[node.node1]\nmqtt_port = {mqtt_port}\n")
    address = f"127.0.0.1:{meter_port}"
    return text + f'[[node.node1.meter]]\nserial = "M-ann"\naddress = "{address}"\nprofile = "iem3155"\n'


class Watcher:
    """Everything that one user of the broker sees, by topic."""

    def __init__(self) -> None:
        self.seen: dict[str, list[dict[str, Any]]] = {}

    async def first(self, topic: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(SEEN_WITHIN_S):
            while len(self.seen.get(topic, [])) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self.seen[topic]

    @contextlib.asynccontextmanager
    async def watching(self, port: int, user: str, password: str) -> AsyncIterator[Watcher]:
        async with client(port, user, password) as connected:
            await connected.subscribe("#", qos=1)
            taking = asyncio.create_task(self._take(connected))
            try:
                yield self
            finally:
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, connected: Any) -> None:
        async for message in connected.messages:
            told = json.loads(message.payload)
            told["arrived_ms"] = time.time() * 1000
            self.seen.setdefault(message.topic.value, []).append(told)


async def trade(network: Network, seller: Person, buyer: Person) -> int:
    """A listing of 400 Wh, taken; its interval."""
    interval = await network.interval()
    terms = {"meter": "M-ann", "interval": interval, "energy_wh": 400, "price": 250_000, "lot_wh": 100}
    listing = (await seller.invoke("market", "post_listing", terms)).value
    taking = {"listing": listing, "meter": "M-ben", "energy_wh": 400, "price_max": 250_000}
    await buyer.invoke("market", "take_listing", taking)
    return interval


async def test_a_household_watches_its_meter_and_its_trades(tmp_path: Path) -> None:
    meter = SimulatedMeter(
        "M-ann", 1, load_profile("iem3155"), int(time.time() * 1000) // INTERVAL_MS - 1, [500] * 9, [0] * 9
    )
    async with MeterServer([meter], Clock()) as server:
        (port,) = free_ports(1)
        network = Network(tmp_path / "net", text=text_of(port, server.port))
        try:
            await network.start()
            ann, ben = await network.admit("ann", "seller", 1), await network.admit("ben", "buyer", 2)
            users = {
                "ann": ("password a", {"parties": (ann.key.signer,), "meters": ("M-ann",)}),
                "ben": ("password b", {"parties": (ben.key.signer,)}),
            }
            write_users(network.cluster.home("node1") / "mqtt-users.toml", **users)
            await network.cluster.stop("node1")  # it reads its users when it starts
            network.cluster.start("node1")
            await network.cluster.wait_ready("node1")
            async with (
                Watcher().watching(port, "ann", "password a") as hers,
                Watcher().watching(port, "ben", "password b") as his,
                Watcher().watching(port, "", "") as public,
            ):
                await public.first(f"{ROOT}/status")
                powers = await hers.first(f"{ROOT}/meters/M-ann/power", 4)
                interval = await trade(network, ann, ben)
                (sold,) = await hers.first(f"{ROOT}/parties/{ann.key.signer}/signals/match")
                (bought,) = await his.first(f"{ROOT}/parties/{ben.key.signer}/signals/match")
                (price,) = await public.first(f"{ROOT}/market/price")
                (first, *_, last) = await hers.first(f"{ROOT}/parties/{ann.key.signer}/energy", 2)
        finally:
            await network.close()
    assert (price["interval"], price["price"]) == (interval, 250_000)
    assert (sold["side"], sold["trade"], sold["energy_wh"]) == ("sell", bought["trade"], 400)
    assert (bought["side"], bought["meter"]) == ("buy", "M-ben")
    assert last["contracted_sell_wh"] - first["contracted_sell_wh"] == 400
    assert min(power["arrived_ms"] - power["time_ms"] for power in powers) < 2_000
    assert all(1_000 < power["power_w"] < 3_000 for power in powers)
    assert not any(ann.key.signer in topic or "M-ann" in topic for topic in his.seen)
    assert not any("parties/" in topic or "meters/" in topic or "party_" in topic for topic in public.seen)
