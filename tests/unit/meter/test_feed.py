"""Samples of an existing SCADA, over HTTP and MQTT: the same rules as for our own polling; and the door's manners."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from brokers import client, collect, write_users

from ca.keys import SigningKey
from meter import door as door_module
from meter.block_clock import BlockClock
from meter.buffer import ReadingBuffer
from meter.door import BODY_BYTES_MAX, CONNECTIONS_EACH_MAX, Door
from meter.errors import ProfileError
from meter.feed import SAMPLES_PER_S_MAX, FeedDesk
from meter.gateway import Gateway
from meter.intervals import INTERVAL_MS, Quality, Reading
from meter.mqtt import link as link_module
from meter.mqtt.messages import FeedAnswer, Status
from meter.mqtt.service import Mqtt
from meter.profile import load_profile
from meter.service import DoorPlan
from meter.units import MeterUnit, units_of
from sdk.clock import Clock
from sdk.configuration import MeterSection
from sdk.mqtt_section import MqttSection
from sdk.replacement import Replacement, order_of

FIRST = 2_000_000
NOW_MS = (FIRST + 10) * INTERVAL_MS
EPOCH = NOW_MS // 1000
"""The first one, of a meter that is seen now."""
CHAIN, TOKEN = "c" * 64, "a token of some length"
KEY, STRANGER = SigningKey.from_seed(b"gateway"), SigningKey.from_seed(b"stranger")
PROFILE = load_profile("sdm630")
UNITS = [MeterUnit("FED", "", 0, 1, PROFILE, 20_000), MeterUnit("POLLED", "127.0.0.1", 1, 1, PROFILE, 20_000)]


@dataclass
class Desk:
    gateway: Gateway
    feed: FeedDesk
    buffer: ReadingBuffer

    async def take(self, step: float, import_wh: int, **more: Any) -> str:
        """The code for a sample so many intervals after the first."""
        sample = {"time_ms": int((FIRST + step) * INTERVAL_MS), "import_wh": import_wh, **more}
        return (await self.feed.take("FED", json.dumps(sample).encode())).code


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async def submit(readings: list[Reading]) -> None: ...

    buffer, clock = ReadingBuffer(tmp_path / "buffer"), Clock(NOW_MS, 1e-6)
    gateway = Gateway(UNITS, clock, submit, buffer)
    yield Desk(gateway, FeedDesk(gateway, clock, BlockClock(clock)), buffer)
    buffer.close()


async def test_samples_become_readings_by_the_same_rules(desk: Desk) -> None:
    codes = [await desk.take(step, wh) for step, wh in ((0, 5_000), (0.5, 5_050), (1, 5_100), (1, 5_100), (2, 5_300))]
    assert codes == ["OK"] * 5
    assert desk.buffer.pending() == [
        Reading("FED", FIRST, EPOCH, 0, 100, 0, Quality.GOOD),
        Reading("FED", FIRST + 1, EPOCH, 1, 200, 0, Quality.GOOD),
    ]
    assert await desk.take(2, 5_301) == "TIME_NOT_RISING"
    assert await desk.take(1.5, 5_200) == "TIME_NOT_RISING"
    assert await desk.take(2.2, 900_000) == "HELD"
    assert await desk.take(2.4, 5_350) == "OK"
    assert await desk.take(3, 5_400) == "OK"
    assert desk.buffer.pending()[-1] == Reading("FED", FIRST + 2, EPOCH, 2, 100, 0, Quality.GOOD)


async def test_a_reset_is_never_billed(desk: Desk) -> None:
    for step, wh in ((0, 50_000), (0.5, 50_050), (0.6, 10), (0.7, 20), (0.8, 30), (1, 50)):
        await desk.take(step, wh)
    (reading,) = desk.buffer.pending()
    assert (reading.quality, reading.epoch, reading.import_wh) == (Quality.SUSPECT, EPOCH + 1, 50 + 40)


async def test_what_is_refused_changes_nothing(desk: Desk) -> None:
    await desk.take(0, 5_000)
    state = desk.gateway.state("FED")
    assert await desk.take(11, 5_100) == "TIME_INVALID"
    for payload in (b"", b"[]", b"{}", b"\xff", b'{"time_ms":1.5,"import_wh":1}', b'{"time_ms":1,"import_wh":-1}',
                    b'{"time_ms":1,"import_wh":9007199254740992}', b'{"time_ms":1,"import_wh":1,"more":1}',
                    b'{"time_ms":1,"import_wh":NaN}', b'{"\xc1":1}', b'{"more":' * 20_000):  # fmt: skip
        answer = await desk.feed.take("FED", payload)
        assert answer.code == "PARAMETERS_INVALID", payload
        assert answer.message
    assert (await desk.feed.take("NOBODY", b"{}")).code == "METER_UNKNOWN"
    assert (await desk.feed.take("POLLED", b"{}")).code == "METER_POLLED"
    assert desk.gateway.state("FED") == state
    codes = [await desk.take(0, 5_000) for _ in range(SAMPLES_PER_S_MAX + 5)]
    assert codes[-1] == "TOO_MANY_REQUESTS"


async def test_a_time_in_seconds_is_refused_at_once(desk: Desk) -> None:
    """It was taken for 1970, and the next sample made two million readings."""
    now_s = NOW_MS // 1000
    answer = await desk.feed.take("FED", json.dumps({"time_ms": now_s, "import_wh": 1}).encode())
    assert answer.code == "TIME_INVALID"
    assert "milliseconds" in answer.message
    assert desk.gateway.state("FED") is None
    assert await desk.take(9, 5_000) == "OK"


async def test_what_fails_behind_the_door_is_a_problem_document(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(desk.feed, "take", fail)
    async with opened(desk) as session, session.post("/v1/meters/FED/samples", data=b"{}") as answer:
        assert (answer.status, answer.content_type) == (500, "application/problem+json")
        assert (await answer.json())["code"] == "INTERNAL_ERROR"


async def test_a_fed_meter_that_falls_silent_is_missed(tmp_path: Path) -> None:
    """Nobody polls it, so the gateway itself notices that its intervals run out of grace."""
    taken: list[Reading] = []

    async def submit(readings: list[Reading]) -> None:
        taken.extend(readings)

    buffer, clock = ReadingBuffer(tmp_path / "buffer"), Clock(FIRST * INTERVAL_MS, 36_000.0)
    gateway = Gateway(UNITS[:1], clock, submit, buffer)
    feed = FeedDesk(gateway, clock, BlockClock(clock))
    await feed.take("FED", json.dumps({"time_ms": FIRST * INTERVAL_MS, "import_wh": 1}).encode())
    task = asyncio.create_task(gateway.run())
    async with asyncio.timeout(20):
        while not taken:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    buffer.close()
    assert taken[0].quality is Quality.MISSING


# --------------------------------------------------------------------------------------------------- the door


@contextlib.asynccontextmanager
async def opened(desk: Desk) -> AsyncIterator[aiohttp.ClientSession]:
    door = Door(desk.gateway, desk.feed, TOKEN, CHAIN, [KEY.signer])
    port = await door.listen("127.0.0.1", 0)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            yield session
    finally:
        await door.close()


async def test_samples_over_http(desk: Desk) -> None:
    sample = {"time_ms": FIRST * INTERVAL_MS, "import_wh": 5_000, "id": "x-1"}
    async with opened(desk) as session:
        async with session.post("/v1/meters/FED/samples", json=sample) as answer:
            assert (answer.status, await answer.json()) == (
                200,
                {"id": "x-1", "meter": "FED", "code": "OK", "message": ""},
            )
        for path, body, status, code in (
            ("/v1/meters/NOBODY/samples", b"{}", 404, "METER_UNKNOWN"),
            ("/v1/meters/POLLED/samples", b"{}", 409, "METER_POLLED"),
            ("/v1/meters/FED/samples", b"{", 400, "PARAMETERS_INVALID"),
            ("/v1/meters/FED/samples", b'{"\xc1":1}', 400, "PARAMETERS_INVALID"),
            ("/v1/replacements", b'{"\xc1":1}', 400, "PARAMETERS_INVALID"),
            ("/v1/meters/FED/samples", bytes(BODY_BYTES_MAX + 1), 413, "BODY_TOO_LARGE"),
            ("/v1/elsewhere", b"", 404, "NOT_FOUND"),
        ):
            async with session.post(path, data=body) as answer:
                told = await answer.json(content_type=None)
                assert (answer.status, told["code"]) == (status, code), path
        async with session.get("/v1/meters") as answer:
            told = await answer.json()
        for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": ""}, {"Authorization": "Bearer ü"}):
            async with session.post("/v1/meters/FED/samples", json=sample, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (401, "application/problem+json")
    assert [(each["meter"], each["fed"], each["waiting"]) for each in told["meters"]] == [
        ("FED", True, 0),
        ("POLLED", False, 0),
    ]
    assert told["meters"][1]["failures"] == {}


HEAD = f"POST /v1/meters/FED/samples HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "REQUEST_MALFORMED"),
        (b"\x16\x03\x01\x02\0" + bytes(100), 400, "REQUEST_MALFORMED"),
        (HEAD + b"Content-Length: -5\r\n\r\n", 400, "REQUEST_MALFORMED"),
        (HEAD + b"A: " + b"x" * 100_000 + b"\r\n\r\n", 400, "REQUEST_MALFORMED"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 400, "REQUEST_MALFORMED"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400, "REQUEST_MALFORMED"),
        (HEAD + b"Expect: more\r\nContent-Length: 3\r\n\r\nabc", 417, "EXPECTATION_UNKNOWN"),
        (HEAD + b"Content-Length: 300\r\n\r\nabc", 408, "BODY_TOO_SLOW"),
        (HEAD.replace(b"POST", b"PUT") + b"\r\n", 405, "VERB_NOT_ALLOWED"),
    ],
)
async def test_what_is_no_request_of_the_doors(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, status: int, code: str
) -> None:
    """It was answered in bare text, with the library's version, as a fault of the gateway's own, or never."""
    monkeypatch.setattr(door_module, "BODY_S", 0.1)
    async with opened(desk) as session, asyncio.timeout(5):
        assert session._base_url is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", session._base_url.port)
        writer.write(request_bytes)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length"))
        told = json.loads(await reader.readexactly(length))
        writer.close()
    assert (head.split()[1], told["status"], told["code"]) == (str(status), status, code)
    assert "application/problem+json" in head
    assert "aiohttp" not in head


async def test_a_body_that_is_not_encoded_as_it_says_leaves_no_trace(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It was answered, and then stood in the log as a fault of the gateway's own."""
    async with opened(desk) as session, asyncio.timeout(5):
        assert session._base_url is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", session._base_url.port)
        writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        assert b"REQUEST_MALFORMED" in await reader.read()
        writer.close()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_silent_connections_do_not_close_the_door(desk: Desk) -> None:
    """They were counted nowhere, and took every file that the gateway may open."""
    async with opened(desk) as session, contextlib.AsyncExitStack() as silent:
        assert session._base_url is not None
        port = session._base_url.port
        readers = []
        for _ in range(CONNECTIONS_EACH_MAX + 8):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            silent.callback(writer.close)
            readers.append(reader)
        async with asyncio.timeout(5):
            for reader in readers[CONNECTIONS_EACH_MAX:]:
                assert await reader.read() == b""
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(connector=elsewhere, headers=session.headers) as another,
            another.get(f"http://127.0.0.1:{port}/v1/meters") as answer,
        ):
            assert answer.status == 200


def test_a_door_that_nobody_should_open() -> None:
    with pytest.raises(ProfileError, match="WATTQ_GATEWAY_TOKEN"):
        DoorPlan(1, "", CHAIN, ()).check()
    with pytest.raises(ProfileError, match="certificate"):
        DoorPlan(1, TOKEN, CHAIN, (), host="0.0.0.0").check()
    with pytest.raises(ValueError, match="at least 16"):
        Door(None, None, "short", CHAIN, ())  # type: ignore[arg-type]


def swap(**changed: Any) -> Replacement:
    terms = {
        "chain": CHAIN, "meter": "FED", "epoch": EPOCH + 1, "time_ms": int((FIRST + 1.5) * INTERVAL_MS),
        "old_import_wh": 5_150, "old_export_wh": 0, "new_import_wh": 7, "new_export_wh": 0,
    }  # fmt: skip
    return Replacement(**{**terms, **changed})


async def replace(
    session: aiohttp.ClientSession, order: Replacement, key: SigningKey = KEY, **changed: Any
) -> tuple[int, Any]:
    signed = order_of(order, key)
    body = {
        "payload": signed.payload,
        "signature": {
            "public_key": base64_of(signed.signature.public_key), "signature": base64_of(signed.signature.signature)
        },
        **changed,
    }  # fmt: skip
    async with session.post("/v1/replacements", json=body) as answer:
        return answer.status, await answer.json(content_type=None)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_a_signed_replacement_is_billed_to_its_end_and_raises_the_epoch(desk: Desk) -> None:
    for step, wh in ((0, 5_000), (1, 5_100)):
        await desk.take(step, wh)
    async with opened(desk) as session:
        assert await desk.take(1.6, 9) == "HELD"  # the new meter was there before its order
        assert await replace(session, swap()) == (200, {"meter": "FED", "epoch": EPOCH + 1})
        assert await replace(session, swap()) == (200, {"meter": "FED", "epoch": EPOCH + 1})  # carried out once
    assert [await desk.take(step, wh) for step, wh in ((2, 57), (3, 157))] == ["OK", "OK"]
    assert desk.buffer.pending() == [
        Reading("FED", FIRST, EPOCH, 0, 100, 0, Quality.GOOD),
        Reading("FED", FIRST + 1, EPOCH + 1, 1, 50 + 50, 0, Quality.ESTIMATED),
        Reading("FED", FIRST + 2, EPOCH + 1, 2, 100, 0, Quality.GOOD),
    ]


async def test_an_old_meter_that_still_answers_spoils_no_replacement(desk: Desk) -> None:
    """Three polls of it after the order were taken for a reset, and the interval was never billed."""
    for step, wh in ((0, 5_000), (1, 5_100)):
        await desk.take(step, wh)
    async with opened(desk) as session:
        await replace(session, swap())
    still = [await desk.take(1.5 + number / 180, 5_150) for number in range(1, 7)]  # every five seconds
    assert [*still, await desk.take(1.6, 8), await desk.take(2, 57), await desk.take(3, 157)] == ["HELD"] * 6 + [
        "OK"
    ] * 3
    assert [(reading.epoch - EPOCH, reading.import_wh, reading.quality) for reading in desk.buffer.pending()] == [
        (0, 100, Quality.GOOD),
        (1, 50 + 50, Quality.ESTIMATED),
        (1, 100, Quality.GOOD),
    ]


async def test_a_replacement_that_never_came_to_be_is_given_up(desk: Desk) -> None:
    """The old meter stayed where it was: after an hour it is believed again, as a reset, and the step is no energy."""
    for step, wh in ((0, 5_000), (1, 5_100)):
        await desk.take(step, wh)
    async with opened(desk) as session:
        await replace(session, swap())
    assert {await desk.take(1.5 + number, 5_150) for number in range(1, 5)} == {"HELD"}
    assert [await desk.take(5.6 + number / 10, 5_150) for number in range(4)] == ["HELD", "HELD", "OK", "OK"]
    state = desk.gateway.state("FED")
    assert state is not None
    assert (state.epoch, state.track.last.import_wh, state.track.import_total_wh) == (EPOCH + 2, 5_150, 150)


async def test_replacements_that_are_refused(desk: Desk) -> None:
    await desk.take(0, 5_000)
    await desk.take(1, 5_100)
    state = desk.gateway.state("FED")
    good = order_of(swap(), KEY)
    cases: list[tuple[Replacement, SigningKey, dict[str, Any], str]] = [
        (swap(), STRANGER, {}, "NOT_YOURS"),
        (swap(), KEY, {"payload": good.payload.replace("5150", "5151")}, "SIGNATURE_INVALID"),
        (swap(), KEY, {"payload": 5}, "PARAMETERS_INVALID"),
        (swap(chain="d" * 64), KEY, {}, "PARAMETERS_INVALID"),
        (swap(epoch=EPOCH + 2), KEY, {}, "EPOCH_NOT_NEXT"),
        (swap(meter="NOBODY"), KEY, {}, "METER_UNKNOWN"),
        (swap(time_ms=NOW_MS + INTERVAL_MS), KEY, {}, "TIME_INVALID"),
        (swap(time_ms=FIRST * INTERVAL_MS), KEY, {}, "TIME_INVALID"),
        (swap(old_import_wh=900_000), KEY, {}, "IMPLAUSIBLE"),
        (swap(old_import_wh=5_000), KEY, {}, "IMPLAUSIBLE"),
    ]
    async with opened(desk) as session:
        for order, key, changed, code in cases:
            status, told = await replace(session, order, key, **changed)
            assert (400 <= status < 500, told["code"]) == (True, code)
            assert told["detail"]
    assert desk.gateway.state("FED") == state


async def test_a_replacement_survives_a_crash(desk: Desk, tmp_path: Path) -> None:
    await desk.take(0.2, 5_000)
    async with opened(desk) as session:
        await replace(session, swap(time_ms=int((FIRST + 0.5) * INTERVAL_MS), old_import_wh=5_010))
    again = ReadingBuffer(Path(shutil.copy(tmp_path / "buffer", tmp_path / "as the crash left it")))
    state = again.state("FED")
    again.close()
    assert state is not None
    assert (state.epoch, state.track.last.import_wh, state.track.import_total_wh) == (EPOCH + 1, 7, 10)


# -------------------------------------------------------------------------------------------------- over MQTT


async def test_samples_over_mqtt(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "RECONNECT_S", 0.05)
    users: dict[str, tuple[str, dict[str, Any]]] = {
        "scada": ("password", {"meters": ("FED",), "feeds": True}),
        "ann": ("password", {"meters": ("FED",)}),
    }
    write_users(tmp_path / "mqtt-users.toml", **users)
    mqtt = Mqtt(MqttSection(), "net", "n", Clock(), UNITS, tmp_path, {}, place=("127.0.0.1", 0, None))
    mqtt.feed = desk.feed
    task = asyncio.create_task(mqtt.run(lambda: Status(state="online")))
    async with asyncio.timeout(20):
        while mqtt.link is None or not mqtt.link.connected.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with client(mqtt.port, "scada", "password") as scada, client(mqtt.port, "ann", "password") as ann:
        await scada.subscribe("wattq/net/n/meters/+/answer", qos=1)
        sample = json.dumps({"time_ms": FIRST * INTERVAL_MS, "import_wh": 5_000, "id": "1"})
        await ann.publish("wattq/net/n/feed/FED", sample, qos=1)  # may read it, may not feed it
        await scada.publish("wattq/net/n/feed/FED", "garbage", qos=1)
        await scada.publish("wattq/net/n/feed/FED", sample, qos=1)
        bad, good = [FeedAnswer(**json.loads(message.payload)) for message in await collect(scada, 2)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (bad.code, good) == ("PARAMETERS_INVALID", FeedAnswer(id="1", meter="FED", code="OK"))
    state = desk.gateway.state("FED")
    assert state is not None
    assert state.track.last.import_wh == 5_000


def test_a_fed_meter_has_no_address() -> None:
    (unit,) = units_of([MeterSection(serial="A", source="scada")])
    assert unit.is_fed
    with pytest.raises(ProfileError, match="not HOST:PORT"):
        units_of([MeterSection(serial="A")])
