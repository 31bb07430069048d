"""A trading day at a faster clock: trades while an interval is open, readings once it is over, and both confirmations.

Each interval is traded ``AHEAD`` intervals before it begins, by deals like the market's. When it is over the gateway
reads each meter that sold, one in ten short of what it sold, and seller and buyer confirm what each trade came to (S5).
Whatever is due comes before new trades.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.market import LOT_WH, LOTS_MAX, PARTS_MAX, PRICE, SPREAD, Deal, Side, Step, crossing, listing

INTERVAL_MS = 900_000
RATE = 1_800.0
"""As many times as fast as the clock on the wall: two intervals a second, a day in 48 s."""
AHEAD = 8
"""Intervals: 4 s, which an answer may take before the gate closes on a deal that is half done."""
SETTLED_S = 6.0
"""After a load's beginning: readings and confirmations come as steadily as trades."""
METERS = 20
DEALS_PER_METER = 10
"""In an interval. All meters together: 400 deals a second."""
SHORT_PERMILLE, DELIVERED_PERMILLE = 100, 900
"""How many readings are short, and what they have of what was sold."""
CONFIRMED_AT_ONCE = 10
GAS_CONFIRMING = 100_000
"""Of as many trades; they take 47,000."""
SLACK_MS = int(0.1 * RATE * 1_000)
"""After an interval's end by this clock, since the primary's is another: a tenth of a second on the wall."""


@dataclass(frozen=True, slots=True)
class ChainClock:
    """The nodes' clock: ``start_ms`` when the one on the wall says ``wall_start_ms``, and ``rate`` times as fast."""

    start_ms: int
    wall_start_ms: int
    rate: float

    def now_ms(self, wall_s: float) -> int:
        return int(self.start_ms + (wall_s * 1_000 - self.wall_start_ms) * self.rate)


@dataclass(slots=True)
class _Interval:
    """What was offered in it by meter, which of them have been read, and the trades that wait for all of these: a bid
    may meet any meter's ask."""

    offered_wh: dict[str, int] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    trades: list[str] = field(default_factory=list)

    @property
    def unread(self) -> list[str]:
        return [meter for meter in self.offered_wh if meter not in self.read]


class Day:
    """Deals between a seller with ``meters``, who has a book of its own with its buyer, and their gateway.

    ``now_ms``: chain time. Equal seeds draw equal quantities and prices; which interval they fall into, and when it is
    read, is the clock's.
    """

    def __init__(self, seed: int, meters: tuple[str, ...], buyers_meter: str, now_ms: Callable[[], int]) -> None:
        self._random = random.Random(seed)
        self._meters, self._buyers_meter, self._now_ms = meters, buyers_meter, now_ms
        self._intervals: dict[int, _Interval] = {}
        self._filling = 0
        self._deals = 0
        """In the interval that is being filled."""
        self._reading: set[str] = set()
        """Meters with a reading under way: the next one's sequence is higher, and must not overtake it."""
        self._confirmations: deque[Deal] = deque()

    def deal(self) -> Deal:
        """A confirmation, a reading that is due, or else a trade."""
        if self._confirmations:
            return self._confirmations.popleft()
        return self._due_reading() or self._trade()

    # -------------------------------------------------------------------------------------------------- trades

    def _trade(self) -> Deal:
        meter, interval = self._place()
        lots = self._random.randint(1, LOTS_MAX)
        below, above = self._random.randrange(SPREAD), self._random.randrange(SPREAD)
        known = self._intervals.setdefault(interval, _Interval())
        known.offered_wh[meter] = known.offered_wh.get(meter, 0) + lots * LOT_WH
        if self._random.random() < 0.5:
            deal = crossing(meter, self._buyers_meter, interval, lots * LOT_WH, PRICE - below, PRICE + above)
        else:
            parts = min(lots, self._random.randint(1, PARTS_MAX))
            deal = listing(meter, interval, lots, PRICE - below, self._buyers_meter, parts)
        return self._noted(deal, known)

    def _place(self) -> tuple[str, int]:
        """Meters in turn, and the next interval when this one is full."""
        soonest = self._now_ms() // INTERVAL_MS + AHEAD
        if self._filling < soonest or self._deals == len(self._meters) * DEALS_PER_METER:
            self._filling, self._deals = max(soonest, self._filling + 1), 0
        self._deals += 1
        return self._meters[self._deals % len(self._meters)], self._filling

    def _noted(self, deal: Deal, known: _Interval) -> Deal:
        """The deal as it is, while its trades are kept for their settlement."""
        step = next(deal)
        while True:
            value = yield step
            known.trades += _trades_of(step, value)
            self._confirm_read(known)
            try:
                step = deal.send(value)
            except StopIteration:
                return

    # ---------------------------------------------------------------------------------------------- settlement

    def _due_reading(self) -> Deal | None:
        over = (self._now_ms() - SLACK_MS) // INTERVAL_MS
        for interval in sorted(self._intervals):
            if interval >= over:
                return None
            known = self._intervals[interval]
            if not known.unread:
                del self._intervals[interval]
            for meter in known.unread:
                if meter not in self._reading:
                    return self._read(interval, meter, known)
        return None

    def _read(self, interval: int, meter: str, known: _Interval) -> Deal:
        self._reading.add(meter)
        short = self._random.randrange(1_000) < SHORT_PERMILLE
        export_wh = known.offered_wh[meter] * (DELIVERED_PERMILLE if short else 1_000) // 1_000
        reading = {"epoch": 0, "sequence": interval, "import_wh": 0, "export_wh": export_wh, "quality": "good"}
        return self._submitted({"meter": meter, "interval": interval, **reading}, known)

    def _submitted(self, reading: dict[str, Any], known: _Interval) -> Deal:
        try:
            yield Step("gateway", "submit_readings", {"readings": [reading]}, contract="settlement")
        finally:  # refused as well: it would be refused again
            self._reading.discard(reading["meter"])
            known.read.add(reading["meter"])
        self._confirm_read(known)

    def _confirm_read(self, known: _Interval) -> None:
        """Have both sides confirm the trades of an interval that has been read."""
        if known.unread:
            return
        trades, known.trades = known.trades, []
        for start in range(0, len(trades), CONFIRMED_AT_ONCE):
            some = trades[start : start + CONFIRMED_AT_ONCE]
            self._confirmations += (_confirmation("seller", some), _confirmation("buyer", some))


def _confirmation(side: Side, trades: list[str]) -> Deal:
    yield Step(side, "confirm_many", {"trades": trades}, contract="settlement", gas_limit=GAS_CONFIRMING)


def _trades_of(step: Step, value: Any) -> list[str]:
    if step.function == "take_listing":
        return [value]
    return list(value["trades"]) if step.function == "place_order" else []
