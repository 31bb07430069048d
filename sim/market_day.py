"""The workload of a market day: people list, take and order energy for quarter hours to come, gateways report what
meters counted, and trades that were metered settle by mandate. The shipped contracts do it, on a fast clock.

One ``Trader`` a client, for the simulator and for real nodes alike; what must hold of its days is ``faults_of``.
"""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ca.keys import SigningKey
from sim.history import Operation

MARKET_DAY = "market-day"
RATE = 900
"""A second of a run is a quarter of an hour of the market."""
CLOCK_TOLERANCE_MS = 10_000 * RATE
GAS_LIMIT = 2_000_000
INTERVAL_MS = 900_000
CAPACITY_W = 20_000
CAPACITY_WH = CAPACITY_W * INTERVAL_MS // 3_600_000
DEPOSIT = 10**10
LOT_WH = 100
LOTS_MAX = 12
PRICES = (80_000, 320_000)
AHEAD = (2, 3)
"""Intervals from now to that of a trade: its gate is open yet, and its reading comes within a run."""
READINGS_MAX = 8
"""Intervals that a gateway reports at once."""
LIST, TAKE, ORDER = 0.2, 0.45, 0.75
"""Below which chance a trader lists, takes, or orders; else its gateway reports."""
SETTLED = ("settled", "disputed", "resolved")


@dataclass(frozen=True, slots=True)
class Step:
    """One call. ``by``: whose keys sign, of ``Trader.keys``."""

    by: tuple[str, ...]
    contract: str
    function: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Board:
    """What traders know of each other: (listing, its trader's number, its interval, Wh that may be left, its price)."""

    listings: list[tuple[str, int, int, int, int]] = field(default_factory=list)


class Trader:
    """A prosumer with one meter and the gateway that reads it. ``keys``: "trader", "gateway", "operator" and "second",
    an operator of another organisation. ``certificates`` (DER): of the first two. ``interval_now()``: by the market's
    clock."""

    def __init__(
        self,
        number: int,
        keys: Mapping[str, SigningKey],
        certificates: Mapping[str, bytes],
        board: Board,
        chance: random.Random,
        interval_now: Callable[[], int],
    ) -> None:
        self.keys = keys
        self._number, self._board, self._chance, self._interval_now = number, board, chance, interval_now
        self._meter = f"meter-{number}"
        self._reported, self._sequence = interval_now(), 0
        self._entering = list(self._enter(certificates))

    @property
    def entering(self) -> int:
        """How many steps there are before it trades."""
        return len(self._entering)

    def _enter(self, certificates: Mapping[str, bytes]) -> Iterator[Step]:
        for who in ("trader", "gateway"):
            encoded = base64.b64encode(certificates[who]).decode()
            yield Step((who,), "registry", "register", {"certificate_der": encoded})
        own = self.keys["trader"].signer
        terms = {"meter": self._meter, "owner": own, "zone": "z", "capacity_w": CAPACITY_W}
        yield Step(("operator",), "registry", "bind_meter", {**terms, "gateway": self.keys["gateway"].signer})
        yield Step(("operator", "second"), "credit", "deposit", {"account": own, "amount": DEPOSIT})
        yield Step(("trader",), "settlement", "set_mandate", {"granted": True})

    def next(self) -> Step:
        """What it does next."""
        if self._entering:
            return self._entering.pop(0)
        drawn = self._chance.random()
        if drawn < LIST:
            return self._list()
        if drawn < TAKE:
            return self._take()
        return self._order() if drawn < ORDER else self._report()

    def learn(self, step: Step, code: str, value: Any) -> None:
        """What became of a step, by its receipt."""
        if (step.function, code) == ("post_listing", "OK"):
            terms = step.arguments
            self._board.listings.append((value, self._number, terms["interval"], terms["energy_wh"], terms["price"]))

    def _terms(self) -> dict[str, Any]:
        return {
            "meter": self._meter,
            "interval": self._interval_now() + self._chance.choice(AHEAD),
            "energy_wh": LOT_WH * (1 + self._chance.randrange(LOTS_MAX)),
            "price": self._chance.randrange(*PRICES),
        }

    def _list(self) -> Step:
        return Step(("trader",), "market", "post_listing", {**self._terms(), "lot_wh": LOT_WH})

    def _take(self) -> Step:
        """Some lots of somebody's listing whose gate may be open still; where there is none, it lists."""
        open_yet = [each for each in self._board.listings if each[1] != self._number and each[2] > self._interval_now()]
        if not open_yet:
            return self._list()
        listing, _, _, energy_wh, price = self._chance.choice(open_yet)
        lots = 1 + self._chance.randrange(energy_wh // LOT_WH)
        arguments = {"listing": listing, "meter": self._meter, "energy_wh": LOT_WH * lots, "price_max": price}
        return Step(("trader",), "market", "take_listing", arguments)

    def _order(self) -> Step:
        side = self._chance.choice(["bid", "ask"])
        return Step(("trader",), "market", "place_order", {**self._terms(), "side": side, "execution": "limit"})

    def _report(self) -> Step:
        """Every interval that is over and was not reported, the oldest first; where there is none, it orders."""
        first = self._reported
        over = range(first, min(self._interval_now() - 1, first + READINGS_MAX))
        if not over:
            return self._order()
        self._reported = over.stop
        return Step(("gateway",), "settlement", "submit_readings", {"readings": [self._reading(i) for i in over]})

    def _reading(self, interval: int) -> dict[str, Any]:
        self._sequence += 1
        counted = {"import_wh": self._chance.randrange(CAPACITY_WH), "export_wh": self._chance.randrange(CAPACITY_WH)}
        place = {"meter": self._meter, "interval": interval, "epoch": 1, "sequence": self._sequence}
        return {**place, **counted, "quality": "good"}


# ------------------------------------------------------------------------------------------- what must hold


def faults_of(state: Mapping[str, Any], history: Sequence[Operation]) -> Iterator[str]:
    """Sentences about money or energy that was made or lost. ``state``: values by key, of one ledger. No check of the
    contracts' is asked: sums over accounts, listings, orders, trades and readings are, and what clients were told."""
    yield from _money(state, history)
    yield from _energy(state)


def _money(state: Mapping[str, Any], history: Sequence[Operation]) -> Iterator[str]:
    accounts = _below(state, "credit/account/")
    held = sum(account["available"] + account["held"] for account in accounts)
    if any(min(account["available"], account["held"]) < 0 for account in accounts):
        yield "money: an account is below zero"
    paid_in = [operation for operation in history if operation.function == "deposit"]
    asked = sum(operation.arguments["amount"] for operation in paid_in)
    promised = sum(operation.arguments["amount"] for operation in paid_in if operation.code == "OK")
    if not promised <= held <= asked:
        yield f"money: the accounts hold {held}, of deposits of {promised} to {asked}"


def _energy(state: Mapping[str, Any]) -> Iterator[str]:
    """Of each meter and interval: what trades name is what left listings and orders, no more than the meter's capacity;
    and no more was delivered than was measured."""
    offered: Counter[tuple[str, int]] = Counter()
    wanted: Counter[tuple[str, int]] = Counter()
    sold: Counter[tuple[str, int]] = Counter()
    bought: Counter[tuple[str, int]] = Counter()
    delivered: Counter[tuple[str, int]] = Counter()
    for record in (*_below(state, "market/listing/"), *_below(state, "market/order/")):
        side = wanted if record.get("side") == "bid" else offered
        side[record["meter"], record["interval"]] += record["energy_wh"] - record["remaining_wh"]
    for trade in _below(state, "settlement/trade/"):
        sold[trade["meter"], trade["interval"]] += trade["energy_wh"]
        delivered[trade["meter"], trade["interval"]] += trade["delivered_wh"]
        if trade["source"] == "book":
            bought[trade["buyer_meter"], trade["interval"]] += trade["energy_wh"]
        if trade["delivered_wh"] > trade["energy_wh"]:
            yield f"energy: trade {trade['id']} delivers {trade['delivered_wh']} Wh of {trade['energy_wh']}"
    for name, of_orders, of_trades in (("sold", offered, sold), ("bought", wanted, bought)):
        for place in sorted(of_orders.keys() | of_trades.keys()):
            if of_orders[place] != of_trades[place]:
                yield f"energy: {place}: orders say {of_orders[place]} Wh were {name}, trades {of_trades[place]}"
    exported = {(each["meter"], each["interval"]): each["export_wh"] for each in _below(state, "settlement/reading/")}
    for place, energy_wh in sorted(delivered.items()):
        if energy_wh > exported.get(place, 0):
            yield f"energy: {place}: {energy_wh} Wh delivered, of {exported.get(place, 0)} that were measured"
    for place, energy_wh in sorted(sold.items()):
        if energy_wh > CAPACITY_WH:
            yield f"energy: {place}: {energy_wh} Wh sold, and the meter can deliver {CAPACITY_WH}"


def settled(state: Mapping[str, Any]) -> int:
    """Trades that were paid."""
    return sum(trade["status"] in SETTLED for trade in _below(state, "settlement/trade/"))


def _below(state: Mapping[str, Any], prefix: str) -> list[Any]:
    return [value for key, value in state.items() if key.startswith(prefix)]
