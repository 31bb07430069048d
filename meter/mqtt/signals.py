"""Trade signals: what the certified chain tells of trades, for the people concerned, and the market's price for all.

Only parties that were named get topics of their own. A signal carries an id, the same whenever the same thing is said,
and a moment from which on it means nothing; it is never retained. What begins (``deliver``) is told by the clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection

import msgspec

from meter.intervals import INTERVAL_MS
from meter.mqtt.messages import Deliver, Match, PartyEnergy, Price, Settle, Side, Signal, encode
from meter.mqtt.outbox import Outbox, Outgoing
from meter.mqtt.topics import Topics
from sdk.clock import Clock
from sdk.errors import Refused
from sdk.streams import StreamEvent, TradeEvent, TradeTerms
from sdk.trading import Trading

log = logging.getLogger(__name__)

SETTLE_EXPIRES_MS = 86_400_000
"""A day: then the confirmation's deadline has told otherwise."""
TRADES_MAX = 100_000
"""Trades whose delivery lies ahead; beyond it a trade gets no ``deliver``, and the log says so once."""
AGAIN_S = 5.0
HOUR_MS = 3_600_000
SETTLED = ("proposed", "settled", "overdue")
SIDES: tuple[Side, Side] = ("sell", "buy")


class Signals:
    """``run`` until it is cancelled."""

    def __init__(
        self, topics: Topics, clock: Clock, outbox: Outbox, parties: Collection[str], trading: Trading
    ) -> None:
        self._topics, self._clock, self._outbox, self._trading = topics, clock, outbox, trading
        self._energy = {party: PartyEnergy(party=party, since_ms=clock.now_ms()) for party in parties}
        self._ahead: dict[int, dict[str, TradeTerms]] = defaultdict(dict)
        self._count = 0

    async def run(self) -> None:
        for party in self._energy:
            self._tell_energy(party)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._begin_intervals())

    async def _follow(self) -> None:
        """Take in events; a stream that ends is begun again, with what has happened meanwhile left out."""
        while True:
            try:
                async for events in self._trading.events():
                    for event in events:
                        if event.kind == "trades":
                            await self._take(_trade_event(event))
            except Refused as refusal:
                log.warning("trade signals stand still: %s; trying again in %g s", refusal, AGAIN_S)
            await asyncio.sleep(AGAIN_S)

    async def _take(self, event: TradeEvent) -> None:
        if event.event == "traded":
            self._traded(event)
        elif event.event in SETTLED and self._concerned(event.terms):
            await self._settled(event)

    def _concerned(self, terms: TradeTerms) -> list[tuple[str, Side, str]]:
        """Party, side and own meter of those who have topics here."""
        both = ((terms.seller, SIDES[0], terms.meter), (terms.buyer, SIDES[1], terms.buyer_meter))
        return [each for each in both if each[0] in self._energy and self._trading.is_told(each[0])]

    # ------------------------------------------------------------------------------------------------ trades

    def _traded(self, event: TradeEvent) -> None:
        terms = event.terms
        price = Price(interval=terms.interval, price=terms.price, energy_wh=terms.energy_wh, time_ms=event.time_ms)
        self._outbox.put(Outgoing(self._topics.price, encode(price), retain=True))
        self._remember(event.trade, terms)
        for party, side, meter in self._concerned(terms):
            signal = Match(
                id=f"match/{event.trade}/{side}",
                party=party,
                side=side,
                meter=meter,
                interval=terms.interval,
                expires_ms=(terms.interval + 1) * INTERVAL_MS,
                trade=event.trade,
                energy_wh=terms.energy_wh,
                price=terms.price,
            )
            self._say("match", signal)
            self._count_energy(party, f"contracted_{side}_wh", terms.energy_wh)

    async def _settled(self, event: TradeEvent) -> None:
        owed = await self._trading.settlement(event.trade)
        if owed is None:
            return
        for party, side, meter in self._concerned(event.terms):
            signal = Settle(
                id=f"settle/{event.trade}/{event.event}/{side}",
                party=party,
                side=side,
                meter=meter,
                interval=event.terms.interval,
                expires_ms=event.time_ms + SETTLE_EXPIRES_MS,
                trade=event.trade,
                state=event.event,  # type: ignore[arg-type]
                delivered_wh=owed.delivered_wh,
                amount=owed.amount,
                penalty=owed.penalty,
            )
            self._say("settle", signal)
            if event.event == "proposed":
                self._count_energy(party, f"delivered_{side}_wh", owed.delivered_wh)

    def _say(self, what: str, signal: Signal) -> None:
        topic = self._topics.party(signal.party, f"signals/{what}")
        self._outbox.put(Outgoing(topic, encode(signal), expires_ms=signal.expires_ms))

    def _count_energy(self, party: str, name: str, energy_wh: int) -> None:
        known = self._energy[party]
        self._energy[party] = msgspec.structs.replace(known, **{name: getattr(known, name) + energy_wh})
        self._tell_energy(party)

    def _tell_energy(self, party: str) -> None:
        topic = self._topics.party(party, "energy")
        self._outbox.put(Outgoing(topic, encode(self._energy[party]), retain=True))

    # --------------------------------------------------------------------------------------------- intervals

    def _remember(self, trade: str, terms: TradeTerms) -> None:
        if not self._concerned(terms) or terms.interval < self._clock.now_ms() // INTERVAL_MS:
            return
        if self._count >= TRADES_MAX:
            log.warning("more than %d trades lie ahead: trade %s gets no deliver signal", TRADES_MAX, trade)
            return
        self._count += trade not in self._ahead[terms.interval]
        self._ahead[terms.interval][trade] = terms

    async def _begin_intervals(self) -> None:
        """At the beginning of each interval: what is to be delivered in it. The one under way is told at the start."""
        await self._recall()
        while True:
            interval = self._clock.now_ms() // INTERVAL_MS
            for passed in [known for known in self._ahead if known <= interval]:
                trades = self._ahead.pop(passed)
                self._count -= len(trades)
                if passed == interval:
                    self._deliver(interval, trades)
            await self._clock.sleep_until((interval + 1) * INTERVAL_MS)

    async def _recall(self) -> None:
        """Trades that were made before we began."""
        interval = self._clock.now_ms() // INTERVAL_MS
        for party in self._energy:
            for trade, terms in (await self._trading.open_trades(party, interval)).items():
                self._remember(trade, terms)

    def _deliver(self, interval: int, trades: dict[str, TradeTerms]) -> None:
        sums: dict[tuple[str, Side, str], int] = defaultdict(int)
        for terms in trades.values():
            for concerned in self._concerned(terms):
                sums[concerned] += terms.energy_wh
        for (party, side, meter), energy_wh in sums.items():
            signal = Deliver(
                id=f"deliver/{interval}/{meter}/{side}",
                party=party,
                side=side,
                meter=meter,
                interval=interval,
                expires_ms=(interval + 1) * INTERVAL_MS,
                starts_ms=interval * INTERVAL_MS,
                energy_wh=energy_wh,
                power_w=energy_wh * HOUR_MS // INTERVAL_MS,
            )
            self._say("deliver", signal)


def _trade_event(event: StreamEvent) -> TradeEvent:
    """In the node itself an event's data are still encoded."""
    if isinstance(event.data, msgspec.Raw):
        return msgspec.msgpack.decode(event.data, type=TradeEvent)
    return msgspec.convert(event.data, TradeEvent)
