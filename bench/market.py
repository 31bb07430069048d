"""The bench's market: a seeded mix of deals, each a few transactions that trade with one another.

Half of the deals are an ask and a bid that cross in the book; the others a listing that is taken in parts, in whole
lots. Each transaction waits for the one before it, since it needs what that one returned.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

PRICE = 200_000
"""Micro-currency per kWh: asks are at most this, bids at least, so that they always cross."""
SPREAD = 10_000
LOT_WH = 10
LOTS_MAX = 5
PARTS_MAX = 3
DEALS_PER_INTERVAL = 20
"""Far below the hundred trades that one meter may have in an interval, even if orders fill in parts."""
INTERVALS = 600
"""Of the 672 that are open for trade."""
DEALS_PER_METER = DEALS_PER_INTERVAL * INTERVALS
CAPACITY_W = 10_000_000

Side = Literal["seller", "buyer"]
Deal = Generator["Step", Any, None]
"""Yields the next transaction, and is sent the value that it returned."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of the market contract, signed by one side; ``trades`` counts those in a returned value."""

    side: Side
    function: str
    args: dict[str, Any]

    def trades(self, value: Any) -> int:
        if self.function == "take_listing":
            return 1
        return len(value["trades"]) if self.function == "place_order" else 0


class Market:
    """Deals between a seller with ``meters`` and a buyer with one; equal seeds give equal deals in the same order."""

    def __init__(self, seed: int, meters: tuple[str, ...], buyers_meter: str, first_interval: int) -> None:
        self._random = random.Random(seed)
        self._meters = meters
        self._buyers_meter = buyers_meter
        self._first_interval = first_interval
        self._deals = 0

    def deal(self) -> Deal:
        """The next deal. Meters and intervals are used in turn, and again when all have been."""
        block = self._deals // DEALS_PER_INTERVAL
        meter = self._meters[block // INTERVALS % len(self._meters)]
        interval = self._first_interval + block % INTERVALS
        self._deals += 1
        lots = self._random.randint(1, LOTS_MAX)
        below, above = self._random.randrange(SPREAD), self._random.randrange(SPREAD)
        if self._random.random() < 0.5:
            return self._crossing(meter, interval, lots * LOT_WH, PRICE - below, PRICE + above)
        parts = min(lots, self._random.randint(1, PARTS_MAX))
        return self._listing(meter, interval, lots, PRICE - below, parts)

    def _crossing(self, meter: str, interval: int, energy_wh: int, ask: int, bid: int) -> Deal:
        common = {"interval": interval, "energy_wh": energy_wh, "execution": "limit"}
        yield Step("seller", "place_order", {"side": "ask", "meter": meter, "price": ask, **common})
        yield Step("buyer", "place_order", {"side": "bid", "meter": self._buyers_meter, "price": bid, **common})

    def _listing(self, meter: str, interval: int, lots: int, price: int, parts: int) -> Deal:
        terms = {"meter": meter, "interval": interval, "energy_wh": lots * LOT_WH, "price": price, "lot_wh": LOT_WH}
        listing = yield Step("seller", "post_listing", terms)
        for part in range(parts):
            taken = lots // parts + (1 if part < lots % parts else 0)
            taking = {"listing": listing, "meter": self._buyers_meter, "energy_wh": taken * LOT_WH}
            yield Step("buyer", "take_listing", taking)
