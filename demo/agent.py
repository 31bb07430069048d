"""A household's agent: trades on a forecast, through its own node's REST, with its own key.

Two intervals before delivery a household with a surplus lists half of its forecast and asks for the rest in the
book; one with a need takes what it likes of the listings (in whole or part) and bids for the remainder. Once
meters have spoken, it confirms the settlements proposed to it, and the adjustments that later readings make of settled
ones. Prices are seeded, so that a day can be repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo.journal import Journal
from demo.setting import Participant
from sdk import methods
from sdk.client import AsyncClient
from sdk.errors import Refused, SdkError, TransportError, Unavailable

LOT_WH = 50
WORTHWHILE_WH = 40
LISTED_SHARE = 0.5
PRICE_FLOOR = 80_000
PRICE_CEILING = 320_000
CONFIRM_MAX = 50
INVOKE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a household expects of one interval, in Wh."""

    import_wh: int
    export_wh: int


class Agent:
    """One household's trader."""

    def __init__(self, participant: Participant, client: AsyncClient, journal: Journal, seed: int) -> None:
        self.participant = participant
        self.client = client
        self._journal = journal
        self._random = random.Random(f"{seed}/{participant.name}")  # a market's mood, no secret

    async def invoke(self, contract: str, function: str, args: Mapping[str, Any]) -> Any:
        """Submit, wait for the verified certificate, journal it; None when refused or unavailable."""
        began = time.perf_counter()
        label = f"{contract}.{function}"
        try:
            outcome = await self.client.invoke(contract, function, args, timeout_s=INVOKE_TIMEOUT_S)
        except Refused as refusal:
            self._journal.refuse(self.participant.name, label, refusal.code, refusal.tx_id)
            return None
        except (Unavailable, TransportError) as error:
            self._journal.miss(self.participant.name, label, str(error))
            return None
        latency_ms = (time.perf_counter() - began) * 1000
        self._journal.commit(self.participant.name, label, outcome.tx_id, outcome.height, latency_ms, outcome.value)
        return outcome.value

    async def sell(self, interval: int, forecast: Forecast) -> None:
        """Offer the forecast surplus: half listed, half asked for in the book."""
        surplus_wh = forecast.export_wh
        if surplus_wh < WORTHWHILE_WH:
            return
        listed_wh = int(surplus_wh * LISTED_SHARE)
        place = {"meter": self.participant.meter, "interval": interval}
        price = self._price(0.25, 0.55)
        if listed_wh >= LOT_WH:
            await self.invoke(
                "market", "post_listing", {**place, "energy_wh": listed_wh, "price": price, "lot_wh": LOT_WH}
            )
        ask = {**place, "side": "ask", "energy_wh": max(1, surplus_wh - listed_wh), "price": self._price(0.2, 0.6)}
        await self.invoke("market", "place_order", {**ask, "execution": "limit"})

    async def buy(self, interval: int, forecast: Forecast) -> None:
        """Cover the forecast need: cheapest listings first, then a bid for what is left."""
        need_wh = forecast.import_wh
        if need_wh < WORTHWHILE_WH:
            return
        limit = self._price(0.45, 0.95)
        for listing in await self._listings(interval):
            if need_wh < LOT_WH or listing.price > limit:
                break
            wanted_wh = min(listing.remaining_wh, need_wh // LOT_WH * LOT_WH)
            if wanted_wh < listing.remaining_wh:
                wanted_wh = wanted_wh // listing.lot_wh * listing.lot_wh
            taking = {"listing": listing.listing, "meter": self.participant.meter, "energy_wh": wanted_wh}
            taken = await self.invoke("market", "take_listing", {**taking, "price_max": limit})
            need_wh -= wanted_wh if taken is not None else 0
        if need_wh > 0:
            bid = {
                "side": "bid",
                "meter": self.participant.meter,
                "interval": interval,
                "energy_wh": need_wh,
                "price": limit,
                "execution": "limit",
            }
            await self.invoke("market", "place_order", bid)

    async def confirm(self) -> int:
        """Sign the settlements and adjustments that wait for this household; how many."""
        try:
            rows = await self.client.documents(methods.TRADES, status="proposed", limit=CONFIRM_MAX)
            adjustments = await self._adjustments()
        except SdkError:
            return 0
        mine = self.client.signer
        waiting = [row.key.rsplit("/", 1)[-1] for row in rows.rows if _waits_for(row.value, mine)]
        if waiting:
            await self.invoke("settlement", "confirm_many", {"trades": waiting})
        if adjustments:
            await self.invoke("settlement", "confirm_adjustments", {"adjustments": adjustments})
        return len(waiting) + len(adjustments)

    async def _adjustments(self) -> list[str]:
        """Adjustments that wait for this household: of settled trades only, and of each the earliest that is open."""
        selector = {"v.type": "adjustment", "v.status": {"$in": ["proposed", "overdue"]}}
        rows = await self.client.query(selector, limit=CONFIRM_MAX)
        first: dict[str, Mapping[str, Any]] = {}
        for record in sorted((row.value for row in rows.rows), key=lambda record: record["number"]):
            first.setdefault(record["trade"], record)
        if not first:
            return []
        settled = {"v.type": "trade", "v.status": "settled", "v.id": {"$in": sorted(first)}}
        trades = {row.value["id"] for row in (await self.client.query(settled, limit=CONFIRM_MAX)).rows}
        mine = self.client.signer
        return sorted(record["id"] for trade, record in first.items() if trade in trades and _waits_for(record, mine))

    async def _listings(self, interval: int) -> list[methods.OpenListing]:
        try:
            book = await self.client.book(interval)
        except SdkError:
            return []
        return sorted(book.listings, key=lambda listing: (listing.price, listing.listing))

    def _price(self, low: float, high: float) -> int:
        share = self._random.uniform(low, high)
        return int(PRICE_FLOOR + share * (PRICE_CEILING - PRICE_FLOOR)) // 1000 * 1000


def _waits_for(record: Mapping[str, Any], signer: str) -> bool:
    """Whether ``signer`` is a party, of a trade or of its adjustment, that has not confirmed yet."""
    return (record["seller"] == signer and not record["seller_confirmed"]) or (
        record["buyer"] == signer and not record["buyer_confirmed"]
    )
