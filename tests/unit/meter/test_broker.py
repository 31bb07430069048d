"""The embedded broker, by clients that are not ours: delivery, wills, retained messages, rights, bounds, garbage."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiomqtt import Client, MqttError, ProtocolVersion, Will
from brokers import client, collect, embedded, owner, write_users

from ca.listening import THRESHOLD_EACH_MAX
from meter.broker.broker import WAITING_MAX, BrokerLimits
from meter.broker.packets import (
    FILTERS_MAX,
    Connect,
    Kind,
    Malformed,
    Message,
    checked_filter,
    decode_connect,
    decode_publish,
    decode_subscribe,
    decode_unsubscribe,
    encode,
    encode_publish,
    matches,
)
from meter.broker.session import Session
from meter.broker.users import Account, is_password, load_users, sealed
from meter.errors import ProfileError

Until = Callable[[Callable[[], bool]], Awaitable[None]]
CONNECT = bytes.fromhex("100c00044d51545404020000") + b"\0\0"
"""A CONNECT of 3.1.1 with a clean session and no name, written by hand."""


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_users(
        tmp_path_factory.mktemp("broker") / "users.toml",
        alice=("secret a", {"parties": ("alice",)}),
        bob=("secret b", {"parties": ("bob",), "home": False}),
        scada=("secret s", {"meters": ("M",), "feeds": True, "home": False}),
    )


# ---------------------------------------------------------------------------------------------- what is sent


def test_a_packet_by_hand() -> None:
    assert decode_connect(CONNECT[2:]) == Connect()
    assert encode_publish(Message("a/b", b"hi", 1, True), 10, True) == bytes.fromhex("3b09 0003 612f62 000a 6869")
    assert decode_publish(0x0B, bytes.fromhex("0003 612f62 000a 6869")).message == Message("a/b", b"hi", 1, True)
    assert decode_subscribe(bytes.fromhex("000a 0003 612f2b 01 0001 23 00")) == (10, [("a/+", 1), ("#", 0)])
    assert encode(Kind.PINGRESP) == b"\xd0\x00"
    assert encode(Kind.PUBLISH, bytes(321))[:3] == bytes.fromhex("30c102")


@pytest.mark.parametrize(
    ("wanted", "topic", "covered"),
    [
        ("a/b", "a/b", True), ("a/+", "a/b", True), ("a/+", "a/b/c", False), ("a/#", "a", True), ("a/#", "a/b/c", True),
        ("+/b", "a/b", True), ("+", "a/b", False), ("#", "a/b", True), ("#", "$SYS/x", False), ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True), ("/+", "/a", True), ("+/+", "/a", True), ("a/b", "a/bc", False),
        ("a", "a/b", False),
    ],
)  # fmt: skip
def test_filters(wanted: str, topic: str, covered: bool) -> None:
    assert matches(checked_filter(wanted), topic) is covered


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (decode_connect, b""), (decode_connect, CONNECT[2:-1]), (decode_connect, CONNECT[2:] + b"x"),
        (decode_connect, bytes.fromhex("00044d5154540403000a0000")),  # the reserved flag
        (decode_connect, bytes.fromhex("00044d51545404420000") + b"\0\0\0\1x"),  # a password without a user
        (decode_connect, bytes.fromhex("00044d515454041e0000") + b"\0\0\0\1t\0\0"),  # a will of quality 3
        (lambda body: decode_publish(0, body), bytes.fromhex("0003 612f23")),
        (lambda body: decode_publish(0, body), bytes.fromhex("0000")),
        (lambda body: decode_publish(0, body), bytes.fromhex("0002 ff00")),
        (lambda body: decode_publish(0, body), bytes.fromhex("0003 610062")),
        (lambda body: decode_publish(2, body), bytes.fromhex("0001 61 0000")),
        (lambda body: decode_publish(4, body), bytes.fromhex("0001 61 0001")),
        (decode_subscribe, bytes.fromhex("0001")), (decode_subscribe, bytes.fromhex("0000 0001 61 00")),
        (decode_subscribe, bytes.fromhex("0001 0003 612f2b 03")),
        (decode_subscribe, bytes.fromhex("0001 0002 6123 00")),
        (decode_subscribe, b"\0\1" + b"\0\1#\0" * (FILTERS_MAX + 1)),
        (decode_unsubscribe, b"\0\1" + b"\0\1#" * (FILTERS_MAX + 1)),
    ],
)  # fmt: skip
def test_what_is_no_packet(decode: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body)


# ------------------------------------------------------------------------------------------------- behaviour


async def test_messages_reach_whom_they_are_for(users: Path) -> None:
    async with (
        embedded(users) as (broker, port),
        owner(broker, port) as node,
        client(port, "alice", "secret a") as alice,
        client(port, "bob", "secret b") as bob,
    ):
        for each in (alice, bob):
            await each.subscribe("#", qos=1)
        for topic in ("party/alice/x", "party/bob/x", "open/price", "party/alice/y", "open/end"):
            await node.publish(topic, topic, qos=1)
        assert [m.topic.value for m in await collect(alice, 4)] == [
            "party/alice/x", "open/price", "party/alice/y", "open/end",
        ]  # fmt: skip
        assert [m.topic.value for m in await collect(bob, 3)] == ["party/bob/x", "open/price", "open/end"]


async def test_retained_messages_are_for_those_who_may_read_them(users: Path) -> None:
    async with embedded(users) as (broker, port), owner(broker, port) as node:
        for topic in ("party/alice/x", "open/price", "open/old"):
            await node.publish(topic, "1", qos=1, retain=True)
        await node.publish("open/old", b"", qos=1, retain=True)
        async with client(port) as stranger, client(port, "alice", "secret a") as alice:
            for each in (stranger, alice):
                await each.subscribe("#", qos=1)
            assert [(m.topic.value, m.retain) for m in await collect(alice, 2)] == [
                ("party/alice/x", True), ("open/price", True),
            ]  # fmt: skip
            await node.publish("open/price", "2", qos=1, retain=True)
            told = await collect(stranger, 2)
        assert [(m.topic.value, m.payload, m.retain) for m in told] == [
            ("open/price", b"1", True), ("open/price", b"2", False),
        ]  # fmt: skip


async def test_only_whom_it_is_given_may_write(users: Path) -> None:
    async with (
        embedded(users) as (broker, port),
        owner(broker, port) as node,
        client(port, "scada", "secret s") as scada,
    ):
        await node.subscribe("#", qos=1)
        async with client(port) as stranger, client(port, "alice", "secret a") as alice:
            for topic in ("open/price", "party/alice/x", "feed/M", "homeassistant/status"):
                await stranger.publish(topic, "forged", qos=1)
            await alice.publish("feed/M", "forged", qos=1)
            await alice.publish("homeassistant/status", "online", qos=1)
        for topic in ("feed/N", "open/price", "homeassistant/status", "feed/M"):
            await scada.publish(topic, "mine", qos=1)
        assert [(m.topic.value, m.payload) for m in await collect(node, 2)] == [
            ("homeassistant/status", b"online"), ("feed/M", b"mine"),
        ]  # fmt: skip
        assert broker.dropped.labels("not_allowed")._value.get() == 8


async def test_a_will_is_told_when_a_client_vanishes_and_not_when_it_leaves(users: Path) -> None:
    will = Will("open/will", b"gone", qos=1, retain=True)
    async with embedded(users) as (broker, port), client(port) as watcher:
        await watcher.subscribe("open/#", qos=1)
        async with owner(broker, port, will=will, identifier="a"):
            pass
        dying = owner(broker, port, will=will, identifier="b")
        await dying.__aenter__()
        dying._client.socket().shutdown(2)  # type: ignore[union-attr]
        assert [(m.topic.value, m.payload) for m in await collect(watcher, 1)] == [("open/will", b"gone")]
        with pytest.raises(MqttError):
            await dying.publish("open/x", qos=1)


async def test_a_silent_client_is_taken_for_gone(users: Path) -> None:
    """No packet for half as long again as it had said: its will is told, and its connection ended."""
    async with embedded(users) as (_, port), client(port) as watcher:
        await watcher.subscribe("homeassistant/#", qos=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"\0\x04MQTT\x04\x02\0\x01\0\1x"
        writer.write(encode(Kind.CONNECT, body))
        assert await reader.readexactly(4) == bytes.fromhex("20020000")
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_a_session_outlives_its_connection_with_what_was_not_acknowledged(users: Path) -> None:
    def home(port: int, user: str = "alice", password: str = "secret a") -> Client:
        return client(port, user, password, clean_session=False, identifier="home")

    async with embedded(users) as (broker, port), owner(broker, port) as node:
        async with home(port) as alice:
            await alice.subscribe("open/#", qos=1)
        for topic, qos in (("open/first", 1), ("open/lost", 0), ("open/second", 1)):
            await node.publish(topic, "x", qos=qos)
        async with home(port) as alice:
            assert [m.topic.value for m in await collect(alice, 2)] == ["open/first", "open/second"]
        with pytest.raises(MqttError):  # nobody else may take that session over
            await home(port, "bob", "secret b").__aenter__()


async def test_a_second_connection_of_a_client_ends_the_first(users: Path) -> None:
    async with embedded(users) as (broker, port):
        first, second = (owner(broker, port, identifier="same") for _ in range(2))
        async with first:
            await second.__aenter__()
            with pytest.raises(MqttError):
                await collect(first, 1)
            await second.publish("open/x", qos=1)
            await second.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "wrong"), ("nobody", "secret a"), ("wattquorum", ""), ("alice", "")]
)
async def test_a_wrong_password(users: Path, user: str, password: str) -> None:
    async with embedded(users) as (broker, port):
        with pytest.raises(MqttError, match=r"code:4|Bad user name"):
            async with client(port, user, password):
                pass
        assert broker.refused.labels("bad_password")._value.get() == 1


async def test_nobody_without_a_password_where_that_is_forbidden(users: Path) -> None:
    async with embedded(users, BrokerLimits(anonymous=False)) as (_, port):
        with pytest.raises(MqttError, match=r"code:5|Not authori"):
            async with client(port):
                pass


async def test_mqtt_5_is_told_that_it_is_unknown(users: Path) -> None:
    async with embedded(users) as (_, port):
        with pytest.raises(MqttError, match=r"[Pp]rotocol"):
            async with client(port, protocol=ProtocolVersion.V5):
                pass


# ---------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, encode(Kind.PINGREQ), encode(Kind.PUBLISH, b"\0\1a"),
        b"\x10\xff\xff\xff\xff\xff", b"\x10\xff\xff\xff\x7f", CONNECT + b"\x00\x00", CONNECT + b"\x62\x02\0\1",
        CONNECT + encode(Kind.PUBLISH, b"\0\1#x"), CONNECT + encode(Kind.SUBSCRIBE, b"\0\1", 0), CONNECT + CONNECT,
        CONNECT + b"\x30\xff\xff\x7f" + bytes(100),
    ],
)  # fmt: skip
async def test_garbage_ends_only_its_own_connection(users: Path, garbage: bytes) -> None:
    async with embedded(users) as (broker, port), owner(broker, port) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        await node.publish("open/x", qos=1)


async def test_connections_are_bounded_and_strangers_never_fill_them(users: Path) -> None:
    async with embedded(users, BrokerLimits(connections_max=4)) as (broker, port), owner(broker, port) as node:
        async with client(port, identifier="a"), client(port, identifier="b"):
            with pytest.raises(MqttError):
                async with client(port, identifier="c"):
                    pass
            async with client(port, "alice", "secret a"), client(port, "bob", "secret b"):
                with pytest.raises(MqttError):
                    async with client(port, "scada", "secret s"):
                        pass
        await node.publish("open/x", qos=1)
        assert broker.refused.labels("strangers")._value.get() == 1
        assert broker.refused.labels("connections_max")._value.get() == 1


async def test_silent_connections_keep_nobody_out(users: Path) -> None:
    """As many as the broker had places, and the node's own link was turned away."""
    async with embedded(users, BrokerLimits(connections_max=8)) as (broker, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        async with owner(broker, port) as node, client(port, "alice", "secret a"):
            more = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            await node.publish("open/x", qos=1)
            async with client(port, "bob", "secret b"):
                pass
        for _, writer in silent + more:
            writer.close()


async def test_the_nodes_own_link_has_a_place_where_people_have_taken_all(users: Path) -> None:
    async with (
        embedded(users, BrokerLimits(connections_max=2)) as (broker, port),
        client(port, "alice", "secret a"),
        client(port, "bob", "secret b"),
        owner(broker, port) as node,
    ):
        await node.publish("open/x", qos=1)


async def test_silence_before_a_handshake_is_bounded(users: Path) -> None:
    async with embedded(users) as (broker, _), contextlib.AsyncExitStack() as silent:
        port = await broker.listen("127.0.0.1", 0, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        for _ in range(THRESHOLD_EACH_MAX + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            silent.callback(writer.close)
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_a_strangers_session_ends_with_its_connection(users: Path) -> None:
    """Strangers' sessions pushed out those of people who were away, and their messages."""

    def home(port: int) -> Client:
        return client(port, "alice", "secret a", clean_session=False, identifier="home")

    async with embedded(users, BrokerLimits(sessions_max=4)) as (broker, port), owner(broker, port) as node:
        async with home(port) as alice:
            await alice.subscribe("open/#", qos=1)
        for number in range(8):
            async with client(port, clean_session=False, identifier=f"stranger-{number}"):
                pass
        await node.publish("open/x", "kept", qos=1)
        async with home(port) as alice:
            assert [message.payload for message in await collect(alice, 1)] == [b"kept"]


async def test_silent_connections_of_one_place_shut_out_nobody(users: Path) -> None:
    async with embedded(users) as (broker, port), contextlib.AsyncExitStack() as open_now:
        for _ in range(3 * broker.limits.connections_max):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            open_now.callback(writer.close)
        async with owner(broker, port) as node, client(port, "alice", "secret a"):
            await node.publish("open/x", qos=1)
        assert len(broker._waiting) <= WAITING_MAX


async def test_one_persons_sessions_end_before_anothers(users: Path) -> None:
    def of(port: int, name: str, user: str) -> Client:
        return client(port, user, f"secret {user[0]}", identifier=name, clean_session=False)

    async with embedded(users, BrokerLimits(sessions_max=4)) as (broker, port), owner(broker, port) as node:
        async with of(port, "home", "alice") as alice:
            await alice.subscribe("party/alice/#", qos=1)
        await node.publish("party/alice/match", "sold", qos=1)
        for number in range(6):
            async with of(port, f"bob {number}", "bob"):
                pass
        async with of(port, "home", "alice") as alice:
            assert [message.payload for message in await collect(alice, 1)] == [b"sold"]


async def test_a_packet_full_of_filters_does_not_hold_the_node(users: Path) -> None:
    """A thousand filters against a thousand retained topics: everything else goes on in between."""
    async with embedded(users) as (broker, port):
        for number in range(1_000):
            broker.publish(Message(f"open/{number}", b"x", 0, True), Account("", owner=True))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CONNECT)
        await reader.readexactly(4)
        loop = asyncio.get_running_loop()
        writer.write(encode(Kind.SUBSCRIBE, b"\0\1" + b"\0\1#\0" * 1_000))
        began = last = loop.time()
        longest = 0.0
        while last - began < 0.3:
            await asyncio.sleep(0)
            longest, last = max(longest, loop.time() - last), loop.time()
        assert longest < 0.5
        writer.close()


async def test_retained_messages_and_subscriptions_are_bounded(users: Path) -> None:
    limits = BrokerLimits(retained_messages_max=3, subscriptions_max=2)
    async with embedded(users, limits) as (broker, port), owner(broker, port) as node:
        for number in range(5):
            await node.publish(f"open/{number}", "x", qos=1, retain=True)
        assert broker.dropped.labels("retained_messages_max")._value.get() == 2
        async with client(port) as stranger:
            granted = [await stranger.subscribe(wanted, qos=2) for wanted in ("open/1", "open/4", "#", "open/1")]
        assert [codes[0] if isinstance(codes[0], int) else codes[0].value for codes in granted] == [1, 1, 128, 1]


async def test_a_flood_is_slowed_down_and_leaves_the_others_alone(users: Path) -> None:
    async with (
        embedded(users, BrokerLimits(messages_per_s_max=20)) as (broker, port),
        owner(broker, port) as node,
        client(port, "alice", "secret a") as alice,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def flood() -> None:
            for _ in range(45):
                await alice.publish("homeassistant/status", "online", qos=1)

        flooding = asyncio.create_task(flood())
        await node.publish("open/x", qos=1)
        assert not flooding.done()
        await flooding
        assert loop.time() - began > 1.1, "45 less the burst of 20, at 20 a second"


def test_a_client_that_takes_nothing_fills_its_own_queue_only() -> None:
    session = Session("c", Account("", owner=True), True, queue_messages_max=3, queue_bytes_max=100)
    message = Message("t", bytes(30), 1)
    assert [session.offer(message, True) for _ in range(4)] == [True, True, True, False]
    session = Session("c", Account("", owner=True), True, queue_messages_max=3, queue_bytes_max=70)
    assert [session.offer(message, True) for _ in range(3)] == [True, True, False]
    assert (session.dropped, session.waiting_bytes) == (1, 62)
    assert session.next() == (message, 1)
    assert session.waiting_bytes == 31


def test_what_is_unacknowledged_is_bounded_and_packet_ids_are_not_used_twice() -> None:
    session = Session("c", Account("", owner=True), True, queue_messages_max=100_000, queue_bytes_max=1 << 30)
    for _ in range(70_000):
        session.offer(Message("t", b"", 1), True)
    sent: list[int] = []
    while (item := session.next()) is not None:
        sent.append(item[1])
    assert sent == list(range(1, 33))
    for _ in range(66_000):
        session.acknowledged(next(iter(session.unacknowledged)))
        item = session.next()
        assert item is not None
        assert 0 < item[1] < 65_536
    assert len(session.unacknowledged) == 32


# ----------------------------------------------------------------------------------------------------- users


def test_the_users_file(users: Path, tmp_path: Path) -> None:
    known = load_users(users)
    assert (known["alice"].parties, known["scada"].feeds) == (("alice",), True)
    assert is_password(known["alice"], b"secret a")
    assert not is_password(known["alice"], b"secret b")
    assert not is_password(None, b"secret a")
    assert sealed("x") != sealed("x")
    assert "secret" not in users.read_text()
    assert load_users(tmp_path / "none.toml") == {}
    for old, new, key in (("parties", "partys", "partys: unknown key"), ('password = "', 'password = "z', "password")):
        bad = tmp_path / "bad.toml"
        bad.write_text(users.read_text().replace(old, new, 1))
        with pytest.raises(ProfileError, match=key):
            load_users(bad)
