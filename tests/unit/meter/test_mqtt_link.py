"""Our connection to a broker: Mosquitto and the embedded one; protocols, wills, TLS, passwords, restarts, floods."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import Client, ProtocolVersion
from brokers import Mosquitto, client, collect, embedded, owner, write_users
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import Authority
from ca.keys import SigningKey
from meter.broker.broker import BrokerLimits
from meter.mqtt import link as link_module
from meter.mqtt.link import Link, Target
from meter.mqtt.outbox import Outbox, Outgoing
from sdk.clock import Clock

Until = Callable[[Callable[[], bool]], Awaitable[None]]
OFFLINE = Outgoing("open/status", b"offline", retain=True)
ONLINE = Outgoing("open/status", b"online", retain=True)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(link_module, "RECONNECT_S", 0.05)
    yield
    gc.collect()


def link_to(port: int, outbox: Outbox | None = None, **options: Any) -> Link:
    names = ("subscriptions", "take")
    rest = {name: options.pop(name) for name in names if name in options}
    target = Target("localhost" if "tls" in options else "127.0.0.1", port, "us", reconnect_ms_max=200, **options)
    return Link(target, Clock(), outbox or Outbox(100, 100), OFFLINE, **rest)


@contextlib.asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def watching(watcher: Client, wanted: str) -> AsyncIterator[Client]:
    async with watcher:
        await watcher.subscribe(wanted, qos=1)
        yield watcher


# ---------------------------------------------------------------------------------------------- the outbox


async def test_a_retained_topic_waits_once_and_signals_wait_in_order() -> None:
    outbox = Outbox(signals_max=2, retained_max=2)
    for number in range(3):
        outbox.put(Outgoing("power", b"%d" % number, 0, retain=True))
        outbox.put(Outgoing("signal", b"%d" % number))
    for topic in ("energy", "one too many"):
        outbox.put(Outgoing(topic, b"", retain=True))
    said = []
    while len(outbox):
        message = await outbox.next()
        outbox.sent(message)
        said.append((message.topic, message.payload))
    assert said == [("signal", b"1"), ("signal", b"2"), ("power", b"2"), ("energy", b"")]
    assert outbox.dropped == 2
    outbox.again("pow")
    assert (len(outbox), (await outbox.next()).payload) == (1, b"2")


async def test_what_changes_while_it_is_sent_is_sent_again() -> None:
    outbox = Outbox(10, 10)
    outbox.put(Outgoing("power", b"1", retain=True))
    message = await outbox.next()
    outbox.put(Outgoing("power", b"2", retain=True))
    outbox.sent(message)
    assert (await outbox.next()).payload == b"2"


# --------------------------------------------------------------------------------------------- both brokers


@pytest.mark.needs("mosquitto")
async def test_mosquitto_by_mqtt_5_with_status_signals_and_expiry(tmp_path: Path, until: Until) -> None:
    outbox, now_ms = Outbox(100, 100), Clock().now_ms()
    outbox.put(ONLINE)
    outbox.put(Outgoing("open/late", b"too late", expires_ms=now_ms - 1))
    outbox.put(Outgoing("open/signal", b"act", expires_ms=now_ms + 60_000))
    watcher = client((broker := Mosquitto(tmp_path)).port, protocol=ProtocolVersion.V5)
    async with broker, watching(watcher, "open/#"):
        async with running(link_to(broker.port, outbox)) as link:
            first, second = await collect(watcher, 2)
            assert link.protocol == "5"
        (last,) = await collect(watcher, 1)
    assert (first.topic.value, first.payload, first.retain, first.qos) == ("open/signal", b"act", False, 1)
    assert 50 <= first.properties.MessageExpiryInterval <= 60  # type: ignore[union-attr]
    assert (second.topic.value, second.payload) == ("open/status", b"online")
    assert (last.topic.value, last.payload) == ("open/status", b"offline")


async def test_a_broker_of_3_1_1_is_spoken_to_in_3_1_1(tmp_path: Path) -> None:
    outbox = Outbox(100, 100)
    outbox.put(ONLINE)
    async with embedded(tmp_path / "none") as (broker, port), watching(client(port), "open/#") as watcher:
        options: dict[str, Any] = {"user": "wattquorum", "password": broker.owner_password}
        async with running(link_to(port, outbox, **options)) as link:
            (online,) = await collect(watcher, 1)
            assert link.protocol == "3.1.1"
        (offline,) = await collect(watcher, 1)
    assert (online.payload, offline.payload) == (b"online", b"offline")


async def test_a_broker_that_hangs_up_on_mqtt_5_is_spoken_to_in_3_1_1(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old brokers close the connection without a word."""
    monkeypatch.setattr(link_module, "TIMEOUT_S", 0.5)
    levels: list[int] = []

    async def old_broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(9)
        levels.append(head[8])
        if head[8] == 4:
            writer.write(b"\x20\x02\x00\x00")
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await writer.drain()
                await reader.read()
        writer.close()

    server = await asyncio.start_server(old_broker, "127.0.0.1", 0)
    async with running(link_to(server.sockets[0].getsockname()[1])) as link:
        await asyncio.wait_for(link.connected.wait(), 10)
        assert link.protocol == "3.1.1"
    server.close()
    await server.wait_closed()
    assert levels[:2] == [5, 4]


@pytest.mark.needs("mosquitto")
async def test_a_broker_that_restarts_is_told_everything_retained_again(tmp_path: Path) -> None:
    outbox = Outbox(100, 100)
    outbox.put(ONLINE)
    outbox.put(Outgoing("open/price", b"7", retain=True))
    async with Mosquitto(tmp_path) as broker, running(link_to(broker.port, outbox)) as link:
        await asyncio.wait_for(link.connected.wait(), 20)
        await broker.restart()
        async with watching(client(broker.port), "open/#") as watcher:
            told = {message.topic.value: message.payload for message in await collect(watcher, 2)}
            outbox.put(Outgoing("open/signal", b"act"))
            (signal,) = await collect(watcher, 1)
    assert told == {"open/price": b"7", "open/status": b"online"}
    assert signal.payload == b"act"


@pytest.mark.needs("mosquitto")
async def test_a_link_that_dies_leaves_its_last_will(tmp_path: Path) -> None:
    outbox = Outbox(100, 100)
    outbox.put(ONLINE)
    async with Mosquitto(tmp_path) as broker, watching(client(broker.port), "open/#") as watcher:
        (relay, port), links = await relayed(broker.port), []
        async with running(link_to(port, outbox)) as link:
            links += await collect(watcher, 1)
            relay.close()
            links += await collect(watcher, 1)
            assert link.problem == "" or not link.connected.is_set()
    assert [message.payload for message in links] == [b"online", b"offline"]


async def relayed(port: int) -> tuple[Any, int]:
    """A TCP relay to a port of this machine, whose ``close`` cuts every connection through it."""
    writers: list[asyncio.StreamWriter] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4_096):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, outer))
        await asyncio.gather(pipe(reader, outer), pipe(inner, writer))

    server = await asyncio.start_server(arrived, "127.0.0.1", 0)

    class Relay:
        def close(self) -> None:
            server.close()
            for writer in writers:
                writer.transport.abort()

    return Relay(), int(server.sockets[0].getsockname()[1])


# --------------------------------------------------------------------------------------- TLS and passwords


def certified(directory: Path) -> tuple[Path, Path, Path]:
    """A root, and a server's certificate and key for localhost."""
    authority, key = Authority.init(directory / "ca", "Test"), SigningKey.generate()
    issued = authority.issue_server(key, 10, ["localhost", "127.0.0.1"])
    files = root, certificate, private = (directory / "root.pem", directory / "server.pem", directory / "server.key")
    root.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    certificate.write_bytes(issued)
    key.save(private)
    return files


@pytest.mark.needs("mosquitto")
async def test_tls_and_a_password(tmp_path: Path, until: Until) -> None:
    root, certificate, key = certified(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.write_text("us:secret\n")
    passwords.chmod(0o600)
    await asyncio.to_thread(subprocess.run, ["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    lines = [f"cafile {root}", f"certfile {certificate}", f"keyfile {key}", f"password_file {passwords}"]
    trusting = ssl.create_default_context(cafile=str(root))
    async with Mosquitto(tmp_path, lines) as broker:
        async with running(link_to(broker.port, user="us", password="secret", tls=trusting)) as link:
            await asyncio.wait_for(link.connected.wait(), 20)
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"user": "us", "password": "wrong", "tls": trusting}, "ot authori"),
            ({"user": "us", "password": "secret", "tls": ssl.create_default_context()}, "certificate verify failed"),
        )
        for options, why in cases:
            async with running(link_to(broker.port, **options)) as link:
                await until(lambda link=link: bool(link.problem))  # type: ignore[misc]
                assert why in link.problem
                assert not link.connected.is_set()


async def test_the_embedded_broker_by_tls(tmp_path: Path) -> None:
    root, certificate, key = certified(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    users = write_users(tmp_path / "users", us=("a good password", {}))
    trusting = ssl.create_default_context(cafile=str(root))
    async with embedded(users) as (broker, _):
        port = await broker.listen("127.0.0.1", 0, server)
        async with running(link_to(port, user="us", password="a good password", tls=trusting)) as link:
            await asyncio.wait_for(link.connected.wait(), 20)


async def test_a_wrong_password_is_not_tried_in_another_protocol(tmp_path: Path, until: Until) -> None:
    async with embedded(tmp_path / "none") as (broker, port):
        async with running(link_to(port, user="us", password="wrong", protocol="3.1.1")) as link:
            await until(lambda: "ot authori" in link.problem or "user name" in link.problem)
        assert broker.refused.labels("bad_password")._value.get() >= 1


# ---------------------------------------------------------------------------------------------- what comes in


async def test_what_is_too_long_is_dropped_and_a_flood_leaves_us_alive(tmp_path: Path, until: Until) -> None:
    heard: list[bytes] = []

    async def take(topic: str, payload: bytes) -> None:
        assert topic == "feed/M"
        heard.append(payload)

    limits = BrokerLimits(messages_per_s_max=100_000)
    async with embedded(tmp_path / "none", limits) as (broker, port):
        options: dict[str, Any] = {"user": "wattquorum", "password": broker.owner_password, "protocol": "3.1.1"}
        link = link_to(port, subscriptions=["feed/+"], take=take, payload_bytes_max=64, **options)
        async with running(link), owner(broker, port, identifier="flood") as flooder:
            await asyncio.wait_for(link.connected.wait(), 20)
            await flooder.publish("feed/M", bytes(65), qos=1)
            for number in range(500):
                await flooder.publish("feed/M", json.dumps(number), qos=0)
            link.outbox.put(Outgoing("open/still", b"alive"))
            await until(lambda: len(link.outbox) == 0)
            assert link.connected.is_set()
    assert all(len(payload) <= 64 for payload in heard)


async def test_a_session_ends_though_a_library_swallows_the_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link waited for ever for the other half, and took no message in any more, without a word."""
    monkeypatch.setattr(link_module, "FAREWELL_S", 0.01)

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def failing() -> None:
        raise ValueError("the other half")

    with pytest.raises(ValueError, match="the other half"):
        async with asyncio.timeout(10):
            await link_module._first_end(stubborn(), failing())
