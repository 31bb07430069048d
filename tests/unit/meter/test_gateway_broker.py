"""A gateway on a machine of its own with a broker of its own: a SCADA feeds it, and nothing else is installed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from logging import WARNING
from pathlib import Path

import pytest
from brokers import client, write_users
from ledgers import GENESIS
from network import free_ports, until
from typer.testing import CliRunner

from ca.keys import SigningKey
from cli.gateway import run_gateway
from cli.main import app
from ledger.genesis import write_genesis
from meter.buffer import ReadingBuffer
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


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("broker", "PORT"),
        ("door", "PORT"),
        ("buffer", "in use by another process"),
        ("damaged buffer", "not a reading buffer"),
    ],
)
def test_a_gateway_that_cannot_begin_says_why_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, why: str
) -> None:
    """It ended in the stack traces of a group of tasks, and the reason was somewhere in them."""
    monkeypatch.setenv("WATTQ_GATEWAY_TOKEN", "a token of some length")
    path = tmp_path / "gateway.toml"
    write_genesis(tmp_path / "genesis.json", GENESIS)
    SigningKey.generate().save(tmp_path / "gateway.key")
    (free,) = free_ports(1)
    with contextlib.ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if what in ("broker", "door") else free
        path.write_text(TEXT.format(port=port).replace("[broker]", "[door]" if what == "door" else "[broker]"))
        if what == "buffer":
            held.callback(ReadingBuffer(tmp_path / "readings.buffer").close)
        if what == "damaged buffer":
            (tmp_path / "readings.buffer").write_bytes(b"something else")
        told = CliRunner().invoke(app, ["gateway", "--config", str(path)])
    assert told.exit_code == 1, told.output
    sentence = told.stderr.splitlines()[-1]
    assert sentence.startswith("wattq gateway: ")
    assert why.replace("PORT", str(port)) in sentence


@pytest.mark.parametrize("protocol", ["auto", "5"])
async def test_a_gateway_alone_takes_samples_by_a_broker_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """It knows which protocol that speaks: a warning stood in the log at every start, or with 5 nothing came at all."""
    (port,) = free_ports(1)
    path = tmp_path / "gateway.toml"
    path.write_text(TEXT.format(port=port) + f'[mqtt]\nprotocol = "{protocol}"\n')
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
        assert "MQTT broker" not in "".join(record.message for record in caplog.records if record.levelno >= WARNING)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
