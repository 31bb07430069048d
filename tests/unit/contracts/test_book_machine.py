"""Random books over three zones against a matcher that shares nothing with the contract but the rules on paper: a list
of orders, sorted anew each time. Same trades in the same order, same rests, holds that equal what is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contract_market import CAPACITY_W, DEPOSIT, Market
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.parameters import MARKET_PARAMETERS

PRICE_MAX = 10**9
IMBALANCE = MARKET_PARAMETERS["imbalance_price"]
ZONES = {"sol": "north", "sun": "south", "bea": "south", "bob": "east"}
SELLERS, BUYERS = ("sol", "sun"), ("bea", "bob", "sun")
PRICES = st.integers(1, 30)
ENERGIES = st.integers(1, 50)
EXECUTIONS = st.sampled_from(("limit", "limit", "limit", "ioc", "fok"))
FEES = st.integers(0, 9)


@dataclass
class Resting:
    """An order as the reference keeps it; ``place`` is its place in time."""

    order: str
    place: int
    side: str
    who: str
    price: int
    energy_wh: int
    left_wh: int


Trade = tuple[str, str, int, int, int]
"""Seller, buyer, Wh, price, grid fee."""


class Reference:
    """The rules on paper. ``fees``: by the seller's and the buyer's zone."""

    def __init__(self, fees: dict[tuple[str, str], int]) -> None:
        self.fees = fees
        self.orders: list[Resting] = []

    def fee(self, one: Resting, other: Resting) -> int:
        seller, buyer = (one, other) if one.side == "ask" else (other, one)
        return self.fees[ZONES[seller.who], ZONES[buyer.who]]

    def paid(self, incoming: Resting, resting: Resting) -> int:
        """What the buyer would pay: a resting bid, or a resting ask and the fee."""
        return resting.price + (self.fee(incoming, resting) if resting.side == "ask" else 0)

    def meets(self, incoming: Resting, resting: Resting) -> bool:
        bid, ask = (incoming, resting) if incoming.side == "bid" else (resting, incoming)
        return bid.price >= ask.price + self.fee(incoming, resting)

    def place(self, incoming: Resting, execution: str) -> list[Trade] | str:
        """Its trades; or why it is refused whole."""
        rivals = [r for r in self.orders if r.side != incoming.side and r.left_wh and self.meets(incoming, r)]
        sign = 1 if incoming.side == "bid" else -1
        rivals.sort(key=lambda r: (sign * self.paid(incoming, r), r.place))
        trades, taken, left = [], [], incoming.left_wh
        for rival in rivals:
            if left == 0:
                break
            if rival.who == incoming.who:
                return "SELF_TRADE"
            energy_wh = min(left, rival.left_wh)
            seller, buyer = (rival, incoming) if incoming.side == "bid" else (incoming, rival)
            trades.append((seller.who, buyer.who, energy_wh, self.paid(incoming, rival), self.fee(incoming, rival)))
            taken.append((rival, energy_wh))
            left -= energy_wh
        if execution == "fok" and left:
            return "NOT_FILLED"
        for rival, energy_wh in taken:
            rival.left_wh -= energy_wh
        incoming.left_wh = left if execution == "limit" else 0
        self.orders.append(incoming)
        return trades


class Book(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.market: Market | None = None

    # ---------------------------------------------------------------------------------------------- rules

    @precondition(lambda self: self.market is None)
    @rule(fees=st.tuples(*[FEES] * 9))
    def open(self, fees: tuple[int, ...]) -> None:
        self.market = Market()
        for who, zone in ZONES.items():
            self.market.bind(f"m-{who}", who, CAPACITY_W, zone)
        places = ("north", "south", "east")
        between = [(source, to) for source in places for to in places]
        self.reference = Reference(dict(zip(between, fees, strict=True)))
        for (source, to), fee in self.reference.fees.items():
            args = {"from_zone": source, "to_zone": to, "fee": fee, "from_ms": 0}
            self.market.ok("governance", "set_grid_fee", args, "op1", "op2")
        self.places = 0

    @precondition(lambda self: self.market is not None)
    @rule(who=st.sampled_from(SELLERS), energy_wh=ENERGIES, price=PRICES, execution=EXECUTIONS)
    def ask(self, who: str, energy_wh: int, price: int, execution: str) -> None:
        self.place("ask", who, energy_wh, price, execution)

    @precondition(lambda self: self.market is not None)
    @rule(who=st.sampled_from(BUYERS), energy_wh=ENERGIES, price=PRICES, execution=EXECUTIONS)
    def bid(self, who: str, energy_wh: int, price: int, execution: str) -> None:
        self.place("bid", who, energy_wh, price, execution)

    @precondition(lambda self: self.market is not None and self.open_orders())
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        chosen = self.chosen(pick)
        self.running.ok("market", "cancel_order", {"order": chosen.order}, chosen.who)
        chosen.left_wh = 0

    @precondition(lambda self: self.market is not None and self.open_orders())
    @rule(pick=st.integers(0, 99), energy_wh=ENERGIES, price=PRICES)
    def amend(self, pick: int, energy_wh: int, price: int) -> None:
        chosen = self.chosen(pick)
        before, chosen.left_wh = chosen.left_wh, 0
        args = {"order": chosen.order, "energy_wh": energy_wh, "price": price}
        if not self.compare("amend_order", args, Resting("", 0, chosen.side, chosen.who, price, energy_wh, energy_wh)):
            chosen.left_wh = before

    # --------------------------------------------------------------------------------------------- inside

    @property
    def running(self) -> Market:
        assert self.market is not None
        return self.market

    def open_orders(self) -> list[Resting]:
        return [order for order in self.reference.orders if order.left_wh]

    def chosen(self, pick: int) -> Resting:
        found = self.open_orders()
        return found[pick % len(found)]

    def place(self, side: str, who: str, energy_wh: int, price: int, execution: str) -> None:
        args = self.running.order_args(side, who, energy_wh, price, execution)
        self.compare("place_order", args, Resting("", 0, side, who, price, energy_wh, energy_wh), execution)

    def compare(self, function: str, args: dict[str, Any], incoming: Resting, execution: str = "limit") -> bool:
        """The contract does what the paper says; whether the order was taken."""
        self.places += 1
        incoming.place = self.places
        wanted = self.reference.place(incoming, execution)
        if isinstance(wanted, str):
            assert self.running.code("market", function, args, incoming.who) == wanted
            return False
        made = self.running.ok("market", function, args, incoming.who)
        incoming.order = made["order"]
        trades = [self.running.trade(trade) for trade in made["trades"]]
        assert [(t["seller"], t["buyer"], t["energy_wh"], t["price"], t["grid_fee"]) for t in trades] == wanted
        for trade in trades:
            limit = incoming.price
            if incoming.side == "bid":
                assert trade["price"] <= limit
            else:
                assert trade["price"] - trade["grid_fee"] >= limit
        return True

    # ------------------------------------------------------------------------------------------ invariants

    @invariant()
    def rests_agree_and_holds_equal_what_is_open(self) -> None:
        if self.market is None:
            return
        held = dict.fromkeys(ZONES, 0)
        for order in self.reference.orders:
            record = self.market.get(f"market/order/{order.order}")
            is_open = record["status"] == "open"
            assert (record["remaining_wh"] if is_open else 0) == order.left_wh
            assert 0 <= record["remaining_wh"] <= record["energy_wh"]
            held[order.who] -= -order.left_wh * (IMBALANCE if order.side == "ask" else order.price) // 1_000
        for trade in self.market.records("settlement/trade/"):
            held[trade["buyer"]] += trade["energy_wh"] * trade["price"] // 1_000
            held[trade["seller"]] += trade["energy_wh"] * trade["imbalance_price"] // 1_000
        assert {who: self.market.held(who) for who in ZONES} == held
        assert self.market.money() == 4 * DEPOSIT

    @invariant()
    def the_tops_are_the_best(self) -> None:
        """What placements look at is what a search of the whole book would find."""
        if self.market is None:
            return
        for side, sign in (("ask", 1), ("bid", -1)):
            best: dict[str, str] = {}
            for order in sorted(self.open_orders(), key=lambda o: (sign * o.price, o.place)):
                if order.side == side:
                    rank = order.price if side == "ask" else PRICE_MAX - order.price
                    best.setdefault(ZONES[order.who], f"{rank:010d}/{order.order}")
            assert (self.market.get(f"market/top/{side}/{self.market.interval:010d}/") or {}) == best

    def teardown(self) -> None:
        if self.market is None:
            return
        assert set(self.market.to_gate()) <= {"OK"}
        assert not [o for o in self.market.records("market/order/") if o["status"] == "open"]
        for rows in ("ask", "bid", "top"):
            assert self.market.records(f"market/{rows}/") == []


TestBook = Book.TestCase
TestBook.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
