"""What people are told of trades, and when; and that every message is what its schema says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from meter.counters import Sample
from meter.intervals import INTERVAL_MS, Quality, Reading
from meter.mqtt import signals as signals_module
from meter.mqtt.messages import MESSAGES, Feed, FeedAnswer, Status, encode, schema_of
from meter.mqtt.outbox import Outbox, Outgoing
from meter.mqtt.signals import Signals
from meter.mqtt.telemetry import Telemetry
from meter.mqtt.topics import Topics, slug
from meter.profile import load_profile
from meter.units import MeterUnit
from sdk.clock import Clock
from sdk.errors import Problem, Refused
from sdk.streams import StreamEvent, TradeEvent, TradeTerms
from sdk.trading import Settlement

Until = Callable[[Callable[[], bool]], Awaitable[None]]
TOPICS = Topics("wattq", "net", "node1")
SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
ANN, BEN, EVE = "a" * 64, "b" * 64, "e" * 64
INTERVAL = 2_000_000
START_MS = INTERVAL * INTERVAL_MS


def terms(interval: int = INTERVAL + 1, seller: str = ANN, buyer: str = BEN, energy_wh: int = 400) -> TradeTerms:
    return TradeTerms(interval, "M-ann", "M-ben", seller, buyer, energy_wh, 250_000, 0, 0, "market")


def event(trade: str, kind: str, about: TradeTerms) -> StreamEvent:
    """As a node's own streams have it: encoded."""
    told = TradeEvent(trade, kind, START_MS + 5, "tx", about, {})
    return StreamEvent("trades", 9, 1, msgspec.Raw(msgspec.msgpack.encode(told)))


class Ledger:
    """A ``Trading`` that tells what it is given."""

    def __init__(self, *events: StreamEvent, known: dict[str, TradeTerms] | None = None) -> None:
        self.given: asyncio.Queue[Sequence[StreamEvent] | None] = asyncio.Queue()
        self.known = known or {}
        self.begun = 0
        self.revoked: set[str] = set()
        if events:
            self.given.put_nowait(events)

    async def events(self) -> AsyncIterator[Sequence[StreamEvent]]:
        self.begun += 1
        while True:
            events = await self.given.get()
            if events is None:
                raise Refused(Problem("NODE_DIVERGED", "Ask another one.", 503))
            yield events

    async def open_trades(self, party: str, from_interval: int) -> dict[str, TradeTerms]:
        return {
            trade: about
            for trade, about in self.known.items()
            if party in (about.seller, about.buyer) and about.interval >= from_interval
        }

    async def settlement(self, trade: str) -> Settlement | None:
        return Settlement(300, 75_000, 1_000)

    def is_told(self, party: str) -> bool:
        return party not in self.revoked


class Said:
    """Runs signals, and takes what they say."""

    def __init__(self, ledger: Ledger, *parties: str, rate: float = 1e-6, at_ms: int = START_MS) -> None:
        self.outbox = Outbox(1_000, 1_000)
        self.clock = Clock(at_ms, rate)
        self.signals = Signals(TOPICS, self.clock, self.outbox, parties, ledger)
        self.said: list[Outgoing] = []

    async def __aenter__(self) -> Said:
        self._tasks = [asyncio.create_task(work) for work in (self.signals.run(), self._take())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self) -> None:
        while True:
            message = await self.outbox.next()
            self.said.append(message)
            self.outbox.sent(message)

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in self.said if message.topic == topic]


async def test_a_match_is_told_to_its_parties_and_its_price_to_all(until: Until) -> None:
    async with Said(Ledger(event("7", "traded", terms())), ANN, BEN) as told:
        await until(lambda: bool(told.of(TOPICS.price)) and bool(told.of(TOPICS.party(BEN, "signals/match"))))
        (sold,), (bought,) = (told.of(TOPICS.party(party, "signals/match")) for party in (ANN, BEN))
        assert sold == {
            "kind": "match", "id": "match/7/sell", "party": ANN, "side": "sell", "meter": "M-ann",
            "interval": INTERVAL + 1, "expires_ms": (INTERVAL + 2) * INTERVAL_MS, "trade": "7", "energy_wh": 400,
            "price": 250_000,
        }  # fmt: skip
        assert (bought["id"], bought["side"], bought["meter"]) == ("match/7/buy", "buy", "M-ben")
        (price,) = told.of(TOPICS.price)
        assert price == {"interval": INTERVAL + 1, "price": 250_000, "energy_wh": 400, "time_ms": START_MS + 5}
        await until(lambda: told.of(TOPICS.party(ANN, "energy"))[-1]["contracted_sell_wh"] == 400)
    for message in told.said:
        assert message.retain is ("signals" not in message.topic), "what acts is never retained"
        assert message.qos == 1
        assert bool(message.expires_ms) is not message.retain


async def test_nobody_is_told_of_who_was_not_named(until: Until) -> None:
    """No topic and no payload holds a signer that this node was not told to serve."""
    ledger = Ledger(event("7", "traded", terms(seller=EVE)), event("7", "proposed", terms(seller=EVE)))
    async with Said(ledger, BEN) as told:
        await until(lambda: bool(told.of(TOPICS.party(BEN, "signals/settle"))))
    assert not any(EVE in message.topic or EVE.encode() in message.payload for message in told.said)


async def test_settlement_is_told_with_what_was_delivered(until: Until) -> None:
    ledger = Ledger(event("7", "proposed", terms()), event("7", "overdue", terms()), event("7", "settled", terms()))
    topic = TOPICS.party(ANN, "signals/settle")
    async with Said(ledger, ANN) as told:
        await until(lambda: len(told.of(topic)) == 3)
        assert [(each["state"], each["id"]) for each in told.of(topic)] == [
            (state, f"settle/7/{state}/sell") for state in ("proposed", "overdue", "settled")
        ]
        assert told.of(topic)[0]["delivered_wh"] == 300
        await until(lambda: told.of(TOPICS.party(ANN, "energy"))[-1]["delivered_sell_wh"] == 300)


async def test_deliver_now_comes_with_the_interval_for_all_trades_of_a_meter(until: Until) -> None:
    """Trades from before the start count too, each once, though the stream tells one of them again."""
    known = {"1": terms(), "2": terms(energy_wh=100), "3": terms(INTERVAL + 90), "4": terms(seller=EVE, buyer=EVE)}
    ledger = Ledger(event("1", "traded", terms()), event("5", "traded", terms(energy_wh=1)), known=known)
    topic = TOPICS.party(ANN, "signals/deliver")
    async with Said(ledger, ANN, rate=900.0, at_ms=START_MS) as told:
        await until(lambda: bool(told.of(topic)))
        (deliver,) = told.of(topic)
    assert deliver == {
        "kind": "deliver", "id": f"deliver/{INTERVAL + 1}/M-ann/sell", "party": ANN, "side": "sell", "meter": "M-ann",
        "interval": INTERVAL + 1, "expires_ms": (INTERVAL + 2) * INTERVAL_MS, "starts_ms": (INTERVAL + 1) * INTERVAL_MS,
        "energy_wh": 501, "power_w": 2_004,
    }  # fmt: skip


async def test_a_start_within_an_interval_tells_what_is_due_now(until: Until) -> None:
    ledger = Ledger(known={"1": terms(INTERVAL)})
    async with Said(ledger, BEN, at_ms=START_MS + 60_000) as told:
        await until(lambda: bool(told.of(TOPICS.party(BEN, "signals/deliver"))))


async def test_a_stream_that_ends_is_begun_again(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_module, "AGAIN_S", 0.01)
    ledger = Ledger()
    async with Said(ledger, ANN) as told:
        ledger.given.put_nowait(None)
        await until(lambda: ledger.begun >= 2)
        ledger.given.put_nowait([event("7", "traded", terms())])
        await until(lambda: bool(told.of(TOPICS.price)))


# --------------------------------------------------------------------------------------------------- schemas


@pytest.mark.parametrize("name", MESSAGES)
def test_the_schemas_in_docs_are_of_the_messages(name: str) -> None:
    """Made anew by `python -m scripts.mqtt_schemas`."""
    assert json.loads((SCHEMAS / f"{name}.json").read_text()) == schema_of(name)
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(MESSAGES)


def check(name: str, payload: bytes) -> None:
    Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text())).validate(json.loads(payload))


async def test_what_is_said_is_what_the_schemas_say(until: Until) -> None:
    events = [event("7", kind, terms(INTERVAL)) for kind in ("traded", "proposed")]
    async with Said(Ledger(*events, known={"7": terms(INTERVAL)}), ANN) as told:
        unit = MeterUnit("M-ann", "h", 1, 1, load_profile("sdm630"), 1)
        telemetry = Telemetry(TOPICS, told.outbox)
        telemetry.measured(unit, Sample(5, 100, 0))
        telemetry.power(unit, 5, -7)
        telemetry.closed(Reading("M-ann", INTERVAL, 1, 7, 10, 0, Quality.SUSPECT, -3))
        await until(lambda: bool(told.of(TOPICS.party(ANN, "signals/settle"))) and len(told.said) >= 8)
    names = {
        TOPICS.price: "price",
        TOPICS.party(ANN, "energy"): "party-energy",
        **{TOPICS.party(ANN, f"signals/{name}"): name for name in ("match", "deliver", "settle")},
        **{TOPICS.meter("M-ann", name): name for name in ("power", "energy", "reading")},
    }
    for message in told.said:
        check(names[message.topic], message.payload)
    assert {message.topic for message in told.said} == set(names)
    check("status", encode(Status(state="offline")))
    check("feed", encode(Feed(time_ms=1, import_wh=2)))
    check("feed-answer", encode(FeedAnswer(id="", meter="M", code="OK")))


def test_no_two_names_share_a_slug() -> None:
    names = ["a.b", "a_b", "a-b", "a/b", "a_2eb", "ä", "a b"]
    assert len({slug(name) for name in names}) == len(names)
    assert all(letter.isalnum() or letter in "_-" for name in names for letter in slug(name))


async def test_a_party_whose_certificate_was_revoked_is_told_nothing_more(until: Until) -> None:
    """Whoever has the stolen key may have the password beside it."""
    ledger = Ledger()
    async with Said(ledger, ANN, BEN) as told:
        ledger.revoked.add(ANN)
        ledger.given.put_nowait([event("7", "traded", terms()), event("7", "proposed", terms())])
        await until(lambda: bool(told.of(TOPICS.party(BEN, "signals/settle"))))
        assert [told.of(TOPICS.party(ANN, f"signals/{what}")) for what in ("match", "settle")] == [[], []]
