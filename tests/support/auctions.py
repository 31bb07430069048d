"""A market in memory whose one zone trades by call auction, and an oracle of what an auction should do.

The oracle counts single Wh and tries every price: it shares no idea with the contract's walk but the definitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from contract_market import CAPACITY_W, INTERVAL_MS, Market

from contracts.parameters import MARKET_PARAMETERS

PRODUCT = "valley"
WHO = ("sol", "sun", "bea", "bob")
ENDED = ("filled", "expired", "barred", "full", "cancelled", "amended")


@dataclass(frozen=True, slots=True)
class Order:
    """One order, in order of time."""

    side: str
    who: str
    energy_wh: int
    price: int


class AuctionMarket(Market):
    """Everybody's meter lies in one zone, whose product is an auction."""

    def __init__(
        self,
        mechanism: str = "auction",
        grid_fee: int = 0,
        ties: str = "time",
        contracts: dict[str, str] | None = None,
        parameters: dict[str, int] | None = None,
    ) -> None:
        super().__init__(parameters)
        for name, source in (contracts or {}).items():
            self.chain.put(f"governance/contract/{name}", {"source": source, "sha256": "", "version": 1})
        for who in WHO:
            self.bind(f"m-{who}", who, CAPACITY_W, PRODUCT)
        terms = {"name": PRODUCT, "zones": [PRODUCT], "mechanism": mechanism, "grid_fee": grid_fee, "ties": ties}
        self.ok("governance", "set_product", terms, "op1", "op2")

    def entry(self, order: Order) -> dict[str, Any]:
        return {
            "side": order.side, "meter": f"m-{order.who}", "interval": self.interval, "energy_wh": order.energy_wh,
            "price": order.price,
        }  # fmt: skip

    def enter(self, side: str, who: str, energy_wh: int, price: int) -> str:
        order = Order(side, who, energy_wh, price)
        return str(self.ok("auction", "place_order", self.entry(order), who))

    @property
    def clear_ms(self) -> int:
        return self.interval * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000

    @property
    def entry_ms(self) -> int:
        return self.clear_ms - MARKET_PARAMETERS["reveal_s"] * 1_000

    def cleared(self) -> dict[str, Any]:
        """Let the gate close; what came of the auction. No step of the clearing may fail."""
        codes = self.to(self.clear_ms)
        assert set(codes) <= {"OK"}, codes
        found = self.result()
        assert found["stage"] == "done"
        assert all(order["status"] in ENDED for order in self.records("auction/order/"))
        for rows in ("bid", "ask", "side", "unrevealed", "shares"):
            assert self.records(f"auction/{rows}/") == []
        return found

    def result(self) -> dict[str, Any]:
        return dict(self.chain.view("auction", "result", {"product": PRODUCT, "interval": self.interval}).value)

    def matched(self, order: str) -> int:
        record = self.get(f"auction/order/{order}")
        return int(record["energy_wh"] - record["remaining_wh"])


@dataclass(frozen=True, slots=True)
class Expected:
    """Volume in Wh, the equilibrium prices' bounds and the price (0 without trades), Wh by order."""

    volume_wh: int
    low: int
    high: int
    price: int
    shares: tuple[int, ...]


def expected(orders: list[Order], fee: int, ties: str) -> Expected:
    """The auction's outcome by exhaustion. A price is an equilibrium of a volume when nobody who is matched would
    rather not be, and nobody who is not would rather be."""
    bids = sorted((o.price for o in orders if o.side == "bid" for _ in range(o.energy_wh)), reverse=True)
    asks = sorted(o.price + fee for o in orders if o.side == "ask" for _ in range(o.energy_wh))
    volumes = range(min(len(bids), len(asks)) + 1)
    volume = max(volumes, key=lambda q: (sum(bids[:q]) - sum(asks[:q]), q))
    if volume == 0:
        return Expected(0, 0, 0, 0, (0,) * len(orders))
    prices = [p for p in range(max(bids[0], asks[-1]) + 2) if _clears(bids, asks, volume, p)]
    low, high = min(prices), max(prices)
    price = int(Fraction(low + high, 2) // 1)
    shares = [0] * len(orders)
    for side, sign in (("bid", -1), ("ask", 1)):
        mine = [index for index, order in enumerate(orders) if order.side == side]
        mine.sort(key=lambda index: (sign * orders[index].price, index))
        for index, share in _shares([(index, orders[index]) for index in mine], volume, ties):
            shares[index] = share
    return Expected(volume, low, high, price, tuple(shares))


def _clears(bids: list[int], asks: list[int], volume: int, price: int) -> bool:
    keen = max(sum(b > price for b in bids), sum(a < price for a in asks))
    willing = min(sum(b >= price for b in bids), sum(a <= price for a in asks))
    return keen <= volume <= willing


def _shares(queue: list[tuple[int, Order]], volume: int, ties: str) -> list[tuple[int, int]]:
    """The best first; at the last price that is served by time, or in exact proportion floored and the rest by time."""
    found: list[tuple[int, int]] = []
    left = volume
    for price in dict.fromkeys(order.price for _, order in queue):
        level = [(index, order.energy_wh) for index, order in queue if order.price == price]
        total = sum(energy_wh for _, energy_wh in level)
        wanted = min(left, total)
        parts = [0] * len(level)
        if ties == "pro rata":
            parts = [int(Fraction(energy_wh * wanted, total) // 1) for _, energy_wh in level]
        for number, (_, energy_wh) in enumerate(level):
            parts[number] += min(energy_wh - parts[number], wanted - sum(parts))
        found.extend((index, part) for (index, _), part in zip(level, parts, strict=True))
        left -= wanted
    return found
