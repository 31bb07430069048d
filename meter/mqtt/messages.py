"""What is said over MQTT: one structure a topic, encoded as JSON. ``docs/schemas/`` is made from these.

Energy is in Wh, power in W (+ is import), prices in micro-currency per kWh, money in micro-currency, times in UTC
milliseconds of the network's clock. An interval is UTC seconds // 900.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Whole = Annotated[int, Meta(ge=0, lt=2**53)]
Signed = Annotated[int, Meta(gt=-(2**53), lt=2**53)]
Serial = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Side = Literal["sell", "buy"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Retained; ``offline`` is the last will. ``height`` is the newest certified block's."""

    state: Literal["online", "offline"]
    height: Whole = 0
    view: Whole = 0
    primary: str = ""
    time_ms: Whole = 0


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """Live, retained: look at ``time_ms``."""

    meter: Serial
    power_w: Signed
    time_ms: Whole


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """The meter's own counters, retained."""

    meter: Serial
    import_wh: Whole
    export_wh: Whole
    time_ms: Whole


class IntervalReading(msgspec.Struct, frozen=True, kw_only=True):
    """A closed interval, as it is submitted to the chain; the newest one is retained. (meter, epoch, sequence) tells
    readings apart."""

    meter: Serial
    interval: Whole
    starts_ms: Whole
    ends_ms: Whole
    epoch: Whole
    sequence: Whole
    import_wh: Whole
    export_wh: Whole
    quality: Literal["good", "estimated", "stale", "missing", "suspect"]
    clock_offset_ms: Signed


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The last trade of the market, without names; retained."""

    interval: Whole
    price: Whole
    energy_wh: Whole
    time_ms: Whole


class PartyEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the trades that were made and metered since ``since_ms``, when the publisher began; retained."""

    party: str
    contracted_sell_wh: Whole = 0
    contracted_buy_wh: Whole = 0
    delivered_sell_wh: Whole = 0
    delivered_buy_wh: Whole = 0
    since_ms: Whole = 0


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Never retained. ``id`` is the same whenever the same thing is said: act on it once. After ``expires_ms``: not at
    all. ``meter`` is the receiver's own."""

    id: str
    party: str
    side: Side
    meter: str
    interval: Whole
    expires_ms: Whole


class Match(Signal, frozen=True, kw_only=True, tag="match"):
    """A trade was made."""

    trade: str
    energy_wh: Whole
    price: Whole


class Deliver(Signal, frozen=True, kw_only=True, tag="deliver"):
    """The interval begins: all that this meter has sold, or bought, in it, and the mean power of that."""

    starts_ms: Whole
    energy_wh: Whole
    power_w: Whole


class Settle(Signal, frozen=True, kw_only=True, tag="settle"):
    """The trade was metered (``proposed``: it waits for signatures) or has been paid (``settled``)."""

    trade: str
    state: Literal["proposed", "settled", "overdue"]
    delivered_wh: Whole
    amount: Whole
    penalty: Whole


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a SCADA sends of a meter: its counters at ``time_ms``, as the meter shows them. ``id`` comes back in the
    answer."""

    time_ms: Whole
    import_wh: Whole
    export_wh: Whole = 0
    power_w: Signed | None = None
    id: Annotated[str, Meta(max_length=64)] = ""


class FeedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a sample: ``OK``, ``HELD`` (out of line with the one before, until others agree), or why not."""

    id: str
    meter: str
    code: str
    message: str = ""


MESSAGES: dict[str, Any] = {
    "status": Status,
    "power": Power,
    "energy": Energy,
    "reading": IntervalReading,
    "price": Price,
    "party-energy": PartyEnergy,
    "match": Match,
    "deliver": Deliver,
    "settle": Settle,
    "feed": Feed,
    "feed-answer": FeedAnswer,
}
"""By the name of their file in ``docs/schemas/``."""

encode = msgspec.json.Encoder().encode


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema of a message."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(MESSAGES[name])}
