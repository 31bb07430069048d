"""A gateway on a machine of its own with a broker of its own: a SCADA feeds it, and nothing else is installed."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from brokers import client, write_users
from ledgers import GENESIS
from network import free_ports, until

from ca.keys import SigningKey
from cli.gateway import run_gateway
from ledger.genesis import write_genesis
from meter.configuration import load_gateway

TEXT = """
endpoints = ["http://127.0.0.1:1"]
genesis = "genesis.json"
key = "gateway.key"
buffer = "readings.buffer"
[broker]
port = {port}
[[meter]]
serial = "MTR-1"
source = "scada"
rated_power_w = 12000
"""
WITHIN_S = 30.0


async def test_a_gateway_alone_takes_samples_by_a_broker_of_its_own(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    path = tmp_path / "gateway.toml"
    path.write_text(TEXT.format(port=port))
    write_genesis(tmp_path / "genesis.json", GENESIS)
    await asyncio.to_thread(SigningKey.generate().save, tmp_path / "gateway.key")
    write_users(tmp_path / "mqtt-users.toml", scada=("secret", {"meters": ("MTR-1",), "feeds": True}))
    running = asyncio.create_task(run_gateway(load_gateway(path), path))
    root = f"wattq/{GENESIS.network}/gateway"

    async def listens() -> bool:
        assert not running.done(), running
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await until(listens, WITHIN_S)
        sample = {"id": "17", "time_ms": time.time_ns() // 1_000_000, "import_wh": 5_000, "power_w": 700}
        async with asyncio.timeout(WITHIN_S), client(port, "scada", "secret") as scada:
            await scada.subscribe(f"{root}/meters/MTR-1/#", qos=1)
            await scada.subscribe(f"{root}/status", qos=1)
            told = {}
            async for message in scada.messages:
                topic = message.topic.value.rpartition("/")[2]
                told[topic] = json.loads(message.payload)
                if topic == "status":  # the gateway listens to feeds before it says anything
                    await scada.publish(f"{root}/feed/MTR-1", json.dumps(sample), qos=1)
                if {"answer", "power"} <= set(told):
                    break
        assert (told["answer"]["code"], told["answer"]["id"], told["power"]["power_w"]) == ("OK", "17", 700)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
