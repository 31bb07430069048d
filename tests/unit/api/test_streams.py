"""Streams over a real ledger: order, resumption, whose affairs are told to whom, and what a reader costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from desk import Desk, made_desk
from ledgers import ALICE, BOB, CAROL, BoxMachine, certificate_of, envelope, run_block

from api import stream_tape, streams
from api.stream_tape import Tape
from api.streams import Hub
from ca.keys import SigningKey
from ledger.execution import OK, Call, CallResult, Event
from ledger.pruning import prune
from ledger.state import TransactionView
from ledger.storage import disk_storage
from ledger.values import encode_value
from pbft.disk import DiskFiles
from pbft.messages import Statement
from sdk.errors import Refused
from sdk.streams import StreamEvent, StreamParams, typed

OPERATOR = SigningKey.from_seed(b"operator")
WITHIN_S = 20.0
TRADE = "000000000002-00001-000"
TERMS = {
    "type": "trade", "interval": 7, "meter": "M-A", "buyer_meter": "M-B", "seller": ALICE.signer, "buyer": BOB.signer,
    "price": 5, "grid_fee": 0, "imbalance_price": 9, "energy_wh": 300, "source": "listing", "status": "matched",
}  # fmt: skip


class TellingMachine(BoxMachine):
    """One more function, which puts and tells whatever it is given, in any contract's name."""

    entries: Mapping[str, tuple[str, tuple[str, ...]]] = {**BoxMachine.entries, "tell": ("export", ("*",))}

    def run(self, call: Call, view: TransactionView) -> CallResult:
        if call.function != "tell":
            return super().run(call, view)
        args: Any = call.args
        for key, value in args.get("puts", {}).items():
            view.put(key, encode_value(value))
        told = tuple(Event(contract, name, data) for contract, name, data in args["events"])
        return CallResult(OK, "", None, 10, told)


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.05)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = made_desk(tmp_path, TellingMachine())
    yield made
    made.close()


class World:
    """A desk, and blocks in which people do things."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.nonces: dict[str, int] = {CAROL.signer: desk.nonce}

    def block(self, *acts: tuple[SigningKey, str, dict[str, Any]], certified: bool = True) -> int:
        made = []
        for key, function, args in acts:
            nonce = self.nonces[key.signer] = self.nonces.get(key.signer, -1) + 1
            made.append(envelope(key, function=function, args=args, nonce=nonce))
        run_block(self.desk.ledger, *made, time_ms=0 if not made else 1)
        if certified:
            self.desk.certify(self.desk.ledger.height)
        return self.desk.ledger.height

    def trade(self) -> int:
        told = {"trade": TRADE, "interval": 7, "energy_wh": 300, "price": 5}
        args = {"events": [["market", "traded", told]], "puts": {f"settlement/trade/{TRADE}": TERMS}}
        return self.block((BOB, "tell", args))

    async def stream(self, key: SigningKey | None, *topics: str, **options: Any) -> AsyncGenerator[Any]:
        token = "" if key is None else await self.desk.token(key)
        asked: Any = topics
        return self.desk.service.stream(StreamParams(topics=asked, **options), token)


@pytest.fixture
def world(desk: Desk) -> World:
    return World(desk)


async def take(stream: AsyncGenerator[Any], count: int) -> list[StreamEvent]:
    """The next ``count`` events that are of a topic; data decoded."""
    found: list[StreamEvent] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            for event in await anext(stream):
                if event.kind in ("subscribed", "heartbeat"):
                    continue
                plain = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=StreamEvent)
                found.append(typed(plain))
    return found


async def all_of(world: World, key: SigningKey | None, *topics: str, **options: Any) -> list[StreamEvent]:
    """Everything from a height on, up to the newest certified block."""
    stream = await world.stream(key, *topics, **options)
    found: list[StreamEvent] = []
    end = world.desk.ledger.certified_height
    async with aclosing(stream), asyncio.timeout(WITHIN_S):
        hub = world.desk.service.hub
        async for events in stream:
            found += [event for event in events if event.kind not in ("subscribed", "heartbeat")]
            if next(iter(hub._streams)).height > end:
                return found
    raise AssertionError("a stream does not end")


def places(events: Sequence[StreamEvent]) -> list[tuple[str, int, int]]:
    return [(event.kind, event.height, event.index) for event in events]


async def refusal(world: World, key: SigningKey | None, *topics: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await to_the_end(await world.stream(key, *topics, **options))
    return caught.value.status, caught.value.code


async def to_the_end(stream: AsyncGenerator[Any]) -> None:
    async with aclosing(stream), asyncio.timeout(WITHIN_S):
        async for _ in stream:
            pass


# ------------------------------------------------------------------------------------- order and resumption


async def test_a_stranger_hears_of_every_certified_block_once_and_in_order(world: World) -> None:
    stream = await world.stream(None, "blocks")
    async with aclosing(stream):
        (first,) = await anext(stream)
        assert (first.kind, first.height, first.index) == ("subscribed", 2, -1)
        heights = [world.block() for _ in range(5)]
        events = await take(stream, 5)
    assert places(events) == [("blocks", height, 0) for height in heights]
    assert all(event.data.certified for event in events)


async def test_a_block_is_told_of_only_when_it_is_certified(world: World) -> None:
    stream = await world.stream(None, "blocks")
    async with aclosing(stream):
        await anext(stream)
        world.block(certified=False)
        waiting = asyncio.ensure_future(take(stream, 1))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        world.desk.certify(2)
        assert [event.height for event in await waiting] == [2]


@pytest.mark.parametrize("topics", [("blocks",), ("blocks", "trades", "notices", "book")])
async def test_wherever_a_stream_breaks_off_it_goes_on_with_the_next_event(
    world: World, topics: tuple[str, ...]
) -> None:
    for number in range(4):
        world.trade()
        world.block((ALICE, "fail", {}), (BOB, "put", {"key": f"k{number}", "value": 1}))
    whole = await all_of(world, OPERATOR, *topics, from_height=1)
    assert [event.height for event in whole if event.kind == "blocks"] == list(range(1, 10))
    assert len(set(places(whole))) == len(whole)
    assert [place[1:] for place in places(whole)] == sorted(place[1:] for place in places(whole))
    for cut, event in enumerate(whole):
        rest = await all_of(world, OPERATOR, *topics, from_height=event.height, from_index=event.index + 1)
        # A book is told once a page, behind the last change in it: what follows a cut is another page.
        wanted = [place for place in places(whole[cut + 1 :]) if place[0] != "book"]
        assert [place for place in places(rest) if place[0] != "book"] == wanted


async def test_old_blocks_are_read_and_new_ones_heard_without_a_seam(world: World) -> None:
    for _ in range(70):  # more than a page
        world.block()
    stream = await world.stream(None, "blocks", from_height=1)
    async with aclosing(stream):
        events = await take(stream, 30)
        for _ in range(10):
            world.block()
        events += await take(stream, 81 - len(events))
    assert [event.height for event in events] == list(range(1, 82))


async def test_a_height_too_far_ahead_is_refused_and_one_ahead_is_waited_for(world: World) -> None:
    assert await refusal(world, None, "blocks", from_height=2_000) == (422, "HEIGHT_TOO_FAR")
    stream = await world.stream(None, "blocks", from_height=4)
    async with aclosing(stream):
        assert (await anext(stream))[0].height == 4
        for _ in range(3):
            world.block()
        assert [event.height for event in await take(stream, 1)] == [4]


async def test_a_height_that_was_pruned_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.chain.SEGMENT_BYTES_MAX", 4_000)
    first = made_desk(tmp_path, TellingMachine())
    for _ in range(40):
        World(first).block()
    first.close()
    storage = disk_storage(tmp_path / "ledger", DiskFiles(tmp_path / "ledger"))
    held = prune(storage, first.ledger.genesis, 30, DiskFiles(tmp_path / "archive")).first_height
    storage.release()
    assert held > 1
    again = Desk(tmp_path, TellingMachine())
    try:
        world = World(again)
        assert await refusal(world, None, "blocks", from_height=held - 1) == (410, "BLOCK_NOT_HELD")
        events = await all_of(world, None, "blocks", from_height=held)
        assert [event.height for event in events] == list(range(held, 42))
    finally:
        again.close()


async def test_a_node_that_disagrees_with_a_certificate_streams_nothing(desk: Desk) -> None:
    run_block(desk.ledger)
    real = desk.ledger.block(2).statement
    lie = Statement(real.height, real.header_hash, b"\1" * 32, real.results_hash, real.next_validators_hash)
    desk.ledger.certify([certificate_of(lie)])
    desk.submissions.on_certified(2)
    assert await refusal(World(desk), None, "blocks", from_height=1) == (503, "NODE_DIVERGED")


# ------------------------------------------------------------------------------------------------- privacy


async def test_a_trade_is_told_to_its_parties_the_operator_and_nobody_else(world: World) -> None:
    height = world.trade()
    for key in (ALICE, BOB, OPERATOR):
        (event,) = await all_of(world, key, "trades", from_height=height)
        data = typed(msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=StreamEvent)).data
        assert (data.trade, data.event, data.terms.seller, data.terms.energy_wh) == (TRADE, "traded", ALICE.signer, 300)
    assert await all_of(world, CAROL, "trades", "notices", from_height=height) == []


async def test_others_affairs_leave_no_trace_in_the_numbers_of_events(world: World) -> None:
    height = world.block((BOB, "fail", {}), (BOB, "fail", {}), (ALICE, "fail", {}), (BOB, "fail", {}))
    (mine,) = await all_of(world, ALICE, "notices", from_height=height)
    assert mine.index == 1
    assert len(await all_of(world, BOB, "notices", from_height=height)) == 3
    assert len(await all_of(world, OPERATOR, "notices", from_height=height)) == 4


async def test_a_rejection_says_why_and_only_to_whom_it_concerns(world: World) -> None:
    height = world.block((ALICE, "fail", {}))
    (event,) = await all_of(world, ALICE, "notices", from_height=height)
    notice = typed(msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=StreamEvent)).data
    assert (notice.event, notice.code, notice.message) == ("rejected", "NO", "The box says no.")
    assert (notice.contract, notice.data, len(notice.tx_id)) == ("box", {"function": "fail"}, 64)
    assert await all_of(world, BOB, "notices", from_height=height) == []


async def test_an_event_is_for_those_whom_it_names_and_else_for_who_signed(world: World) -> None:
    named = ["settlement", "unusable", {"meter": "M-A", "interval": 7, "owner": ALICE.signer}]
    unnamed = ["market", "listed", {"listing": "1", "interval": 7}]
    height = world.block((BOB, "tell", {"events": [named, unnamed]}))
    told = {}
    for key in (ALICE, BOB, CAROL, OPERATOR):
        events = await all_of(world, key, "notices", from_height=height)
        told[key] = [msgspec.msgpack.decode(event.data)["event"] for event in events]
    assert told == {ALICE: ["unusable"], BOB: ["listed"], CAROL: [], OPERATOR: ["unusable", "listed"]}


@pytest.mark.parametrize("topic", ["trades", "notices", "power"])
async def test_strangers_get_blocks_and_books_only(world: World, topic: str) -> None:
    assert await refusal(world, None, "blocks", topic) == (401, "IDENTITY_REQUIRED")
    unknown = SigningKey.from_seed(b"nobody")
    assert await refusal(world, unknown, topic) == (403, "NOT_REGISTERED")


async def test_a_session_that_ends_ends_its_streams(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = await world.stream(ALICE, "notices")
    async with aclosing(stream):
        assert [(await anext(stream))[0].kind for _ in range(2)] == ["subscribed", "heartbeat"]
        monkeypatch.setattr("api.service._now_ms", lambda: 2**60)
        with pytest.raises(Refused, match="SESSION_UNKNOWN"):
            await to_the_end(stream)


# --------------------------------------------------------------------------------------------------- books


def book_change(interval: int) -> tuple[SigningKey, str, dict[str, Any]]:
    return (ALICE, "tell", {"events": [["market", "listed", {"listing": "1", "interval": interval}]]})


async def test_a_book_comes_behind_the_block_that_changed_it_and_is_as_of_a_certified_one(world: World) -> None:
    stream = await world.stream(None, "book", intervals=(5,))
    async with aclosing(stream):
        await anext(stream)
        world.block(book_change(6))
        height = world.block(book_change(5))
        (event,) = await take(stream, 1)
    assert (event.height, event.index, event.data.interval, event.data.height) == (height, 1, 5, height)
    assert [listing.listing for listing in event.data.listings] == ["000-1"]


async def test_a_book_shows_nothing_that_is_not_certified(world: World) -> None:
    first = world.block(book_change(5))
    world.block(
        (ALICE, "tell", {"events": [], "puts": {"market/bid/0000000005//a/0999999910/4": "3"}}), certified=False
    )
    (event,) = await all_of(world, None, "book", from_height=first)
    book = msgspec.msgpack.decode(event.data)
    assert (book["height"], book["bids"]) == (first, [{"price": 90, "energy_wh": 50}])


async def test_who_catches_up_gets_the_newest_book_once_a_page(world: World) -> None:
    heights = [world.block(book_change(5), book_change(6)) for _ in range(10)]
    events = await all_of(world, None, "book", from_height=heights[0])
    assert places(events) == [("book", heights[-1], 1), ("book", heights[-1], 2)]


async def test_an_order_that_ends_names_its_interval_by_itself(world: World) -> None:
    puts = {"market/order/9": {"interval": 5, "remaining_wh": 0}}
    told = ["market", "cancelled", {"order": "9", "owner": ALICE.signer, "remaining_wh": 0, "reason": "WITHDRAWN"}]
    height = world.block((ALICE, "tell", {"events": [told], "puts": puts}))
    (event,) = await all_of(world, None, "book", from_height=height)
    assert msgspec.msgpack.decode(event.data)["interval"] == 5


# --------------------------------------------------------------------------------------------------- power


async def test_power_goes_to_the_meters_owner_and_the_operator(world: World) -> None:
    hub = world.desk.service.hub
    hub.publish_power("M-A", ALICE.signer, 700, 1)
    hub.publish_power("M-B", BOB.signer, -300, 2)
    told: dict[SigningKey, list[tuple[str, int]]] = {}
    for key, count in ((ALICE, 1), (OPERATOR, 2)):
        stream = await world.stream(key, "power")
        async with aclosing(stream):
            events = await take(stream, count)
            assert {(event.height, event.index) for event in events} == {(0, 0)}
            told[key] = [(event.data.meter, event.data.power_w) for event in events]
    assert told == {ALICE: [("M-A", 700)], OPERATOR: [("M-A", 700), ("M-B", -300)]}


async def test_a_slow_reader_gets_a_meters_newest_power_only(world: World) -> None:
    hub = world.desk.service.hub
    stream = await world.stream(ALICE, "power")
    async with aclosing(stream):
        await anext(stream)
        for number in range(1_000):
            hub.publish_power("M-A", ALICE.signer, number, number)
        assert [event.data.power_w for event in await take(stream, 1)] == [999]


async def test_meters_without_bound_are_not_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "METERS_MAX", 3)
    for number in range(10):
        desk.service.hub.publish_power(f"M-{number}", ALICE.signer, 1, 1)
    assert list(desk.service.hub._power) == ["M-0", "M-1", "M-2"]


# -------------------------------------------------------------------------------------------------- bounds


async def opened(world: World, key: SigningKey | None, origin: str) -> AsyncGenerator[Any]:
    token = "" if key is None else await world.desk.token(key)
    stream = world.desk.service.stream(StreamParams(topics=("blocks",)), token, origin)
    await anext(stream)
    return stream


async def test_one_signer_and_one_strangers_address_have_so_many_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BEGUN_PER_S_MAX", 1_000)
    world.desk.service.hub = Hub(world.desk.ledger)
    held = [await opened(world, None, "10.0.0.1") for _ in range(streams.EACH_MAX)]
    for key, origin in ((None, "10.0.0.1"),):
        with pytest.raises(Refused, match="TOO_MANY_STREAMS"):
            await opened(world, key, origin)
    held.append(await opened(world, None, "10.0.0.2"))
    held += [await opened(world, ALICE, f"10.0.1.{number}") for number in range(streams.EACH_MAX)]
    with pytest.raises(Refused, match="TOO_MANY_STREAMS"):
        await opened(world, ALICE, "10.0.2.1")
    assert world.desk.service.hub.count == len(held)
    for stream in held:
        await stream.aclose()
    assert world.desk.service.hub.count == 0
    await (await opened(world, ALICE, "10.0.2.1")).aclose()


async def test_a_flood_of_subscriptions_from_one_address_is_slowed_and_then_refused(world: World) -> None:
    async def once() -> str:
        try:
            await (await opened(world, None, "10.0.0.1")).aclose()
        except Refused as error:
            return error.code
        return "OK"

    tasks = [asyncio.create_task(once()) for _ in range(400)]
    done, waiting = await asyncio.wait(tasks, timeout=0.5)
    codes = [task.result() for task in done]
    assert codes.count("TOO_MANY_REQUESTS") >= 100
    assert await opened(world, None, "10.0.0.2")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_many_readers_of_a_new_block_read_it_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[int] = []
    page = Tape._page

    def counted(self: Tape, first: int, depth: bool) -> Any:
        pages.append(first)
        return page(self, first, depth)

    monkeypatch.setattr(Tape, "_page", counted)
    held = [await world.stream(None, "blocks") for _ in range(10)]
    for stream in held:
        await anext(stream)
    world.block()
    events = await asyncio.gather(*(take(stream, 1) for stream in held))
    assert [event.height for (event,) in events] == [2] * 10
    assert pages == [2]
    for stream in held:
        await stream.aclose()


async def test_what_is_kept_in_memory_is_bounded_and_whoever_is_behind_reads_the_chain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_tape, "KEPT_BYTES_MAX", 20_000)
    fast, slow = await world.stream(None, "blocks"), await world.stream(None, "blocks")
    await anext(fast)
    await anext(slow)
    for _ in range(30):
        world.block()
        await take(fast, 1)
    tape = world.desk.service.hub._tape
    assert tape._kept_bytes <= 20_000
    assert [event.height for event in await take(slow, 30)] == list(range(2, 32))
    await fast.aclose()
    await slow.aclose()


async def test_a_quiet_stream_says_how_far_it_is(world: World) -> None:
    stream = await world.stream(ALICE, "notices")
    async with aclosing(stream), asyncio.timeout(WITHIN_S):
        await anext(stream)
        height = world.block()
        while True:
            (event,) = await anext(stream)
            assert event.kind == "heartbeat"
            if event.height == height:
                return
