"""An auction with open and sealed orders, entered, changed, revealed and kept back in whatever order, by people and
meters that may come to be barred: what clears is what exhaustion says of the orders that are open at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from auctions import WHO, AuctionMarket, Order, expected
from contract_market import DEPOSIT
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.parameters import MARKET_PARAMETERS
from ledger.execution import CallResult

IMBALANCE, TIER = MARKET_PARAMETERS["imbalance_price"], MARKET_PARAMETERS["sealed_tier"]
SALT = "sixteen or more characters"
PERSON, SIDE = st.sampled_from(WHO), st.sampled_from(("bid", "ask"))
ENERGY_WH, PRICE, PICK = st.integers(1, 9), st.integers(1, 12), st.integers(0, 30)
ROLES = {"sol": ("ask",), "sun": ("ask", "bid"), "bea": ("bid",), "bob": ("bid",)}


@dataclass
class Entered:
    """An order as the test keeps it: ``sealed``, ``open`` or ``gone``; a sealed one keeps its place when it opens."""

    order: str
    terms: Order
    state: str


class Auction(RuleBasedStateMachine):
    """One auction; time goes on from entering to revealing once."""

    @initialize(fee=st.integers(0, 3), ties=st.sampled_from(("time", "pro rata")))
    def found(self, fee: int, ties: str) -> None:
        self.market = AuctionMarket(grid_fee=fee, ties=ties)
        self.fee, self.ties = fee, ties
        self.entered: list[Entered] = []
        self.barred: set[str] = set()
        """Suspended people, and meters' serials."""
        self.reveals = False

    # ---------------------------------------------------------------------------------------- what happens

    @rule(who=PERSON, side=SIDE, energy_wh=ENERGY_WH, price=PRICE)
    def place(self, who: str, side: str, energy_wh: int, price: int) -> None:
        order = Order(side, who, energy_wh, price)
        lawful = self.may_enter(who) and self.may_stand(order)
        self.enter("open", order, "place_order", self.market.entry(order), lawful)

    @rule(who=PERSON, side=SIDE, energy_wh=ENERGY_WH, price=PRICE)
    def seal(self, who: str, side: str, energy_wh: int, price: int) -> None:
        """Whatever it is, as long as it is sealed: even what can never be revealed."""
        order = Order(side, who, energy_wh, price)
        terms = (who, f"m-{who}", self.market.interval, side, energy_wh, price, SALT)
        commitment = sha256("/".join(map(str, terms)).encode()).hexdigest()
        args = {"meter": f"m-{who}", "interval": self.market.interval, "commitment": commitment}
        self.enter("sealed", order, "seal_order", args, self.may_enter(who))

    def enter(self, state: str, order: Order, function: str, args: dict[str, Any], lawful: bool) -> None:
        result = self.submit(function, args, order.who)
        assert (result.code == "OK") == lawful, result
        if lawful:
            self.entered.append(Entered(result.value, order, state))

    @precondition(lambda self: self.are("open"))
    @rule(pick=PICK, energy_wh=ENERGY_WH, price=PRICE, amends=st.booleans())
    def change(self, pick: int, energy_wh: int, price: int, amends: bool) -> None:
        one = self.chosen("open", pick)
        who = one.terms.who
        function, more = ("amend_order", {"energy_wh": energy_wh, "price": price}) if amends else ("cancel_order", {})
        result = self.submit(function, {"order": one.order, **more}, who)
        may_leave = not self.reveals and who not in self.barred
        assert (result.code == "OK") == (may_leave and (not amends or self.may_enter(who))), result
        if result.code == "OK":
            one.state = "gone"
            if amends:
                self.entered.append(Entered(result.value, Order(one.terms.side, who, energy_wh, price), "open"))

    @precondition(lambda self: self.are("sealed"))
    @rule(pick=PICK, other_wh=st.sampled_from((0, 0, 0, 1)))
    def reveal(self, pick: int, other_wh: int) -> None:
        """Most are what was sealed."""
        one = self.chosen("sealed", pick)
        terms = one.terms
        said = {"side": terms.side, "energy_wh": terms.energy_wh + other_wh, "price": terms.price, "salt": SALT}
        result = self.submit("reveal_order", {"order": one.order, **said}, terms.who)
        lawful = self.reveals and not other_wh and self.may_act(terms.who) and self.may_stand(terms)
        assert (result.code == "OK") == lawful, result
        if lawful:
            one.state = "open"

    @rule(who=PERSON, whole=st.booleans(), suspended=st.booleans())
    def bar(self, who: str, whole: bool, suspended: bool) -> None:
        """The person or the meter."""
        kind, name = ("", who) if whole else ("_meter", f"m-{who}")
        args = {"meter" if kind else "user": name} | ({"reason": "x"} if suspended else {})
        self.market.ok("registry", ("suspend" if suspended else "resume") + kind, args, "op1")
        (self.barred.add if suspended else self.barred.discard)(name)

    @precondition(lambda self: not self.reveals and len(self.entered) > 5)
    @rule()
    def entry_ends(self) -> None:
        self.market.chain.time_ms = self.market.entry_ms
        self.reveals = True

    # ------------------------------------------------------------------------------------ what always holds

    @invariant()
    def holds_are_what_is_open_and_what_is_sealed(self) -> None:
        held: Counter[str] = Counter()
        for one in self.entered:
            collateral = -(-one.terms.energy_wh * (IMBALANCE if one.terms.side == "ask" else one.terms.price) // 1_000)
            held[one.terms.who] += {"open": collateral, "sealed": TIER, "gone": 0}[one.state]
        assert {who: self.market.held(who) for who in WHO} == {who: held[who] for who in WHO}
        assert self.market.money() == len(WHO) * DEPOSIT

    def teardown(self) -> None:
        """What was not revealed is forfeited, the barred are left out, and the rest is cleared as it should be."""
        if not getattr(self, "entered", None):
            return
        sealed = self.are("sealed")
        played = sorted((one for one in self.are("open") if self.may_act(one.terms.who)), key=lambda one: one.order)
        market = self.market
        result = market.cleared()
        wanted = expected([one.terms for one in played], self.fee, self.ties)
        assert (result["volume_wh"], result["price"]) == (wanted.volume_wh, wanted.price)
        assert tuple(market.matched(one.order) for one in played) == wanted.shares
        assert market.account("balancing") == ((len(sealed) * TIER, 0) if sealed else (0, 0))
        assert {market.get(f"auction/sealed/{one.order}")["status"] for one in sealed} <= {"forfeited"}
        trades = market.records("settlement/trade/")
        for who in WHO:
            bought = sum(t["energy_wh"] * t["price"] // 1_000 for t in trades if t["buyer"] == who)
            sold = sum(t["energy_wh"] * IMBALANCE // 1_000 for t in trades if t["seller"] == who)
            assert market.held(who) == bought + sold
        assert market.money() == len(WHO) * DEPOSIT

    def submit(self, function: str, args: dict[str, Any], who: str) -> CallResult:
        """As the ledger does it, which asks first who may act."""
        return self.market.chain.submit(f"auction.{function}", args, who)

    # --------------------------------------------------------------------------------------------- questions

    def are(self, state: str) -> list[Entered]:
        return [one for one in self.entered if one.state == state]

    def chosen(self, state: str, pick: int) -> Entered:
        found = self.are(state)
        return found[pick % len(found)]

    def may_act(self, who: str) -> bool:
        return self.barred.isdisjoint((who, f"m-{who}"))

    def may_enter(self, who: str) -> bool:
        return not self.reveals and self.may_act(who)

    def may_stand(self, order: Order) -> bool:
        """In a role for that side, and not on the other one."""
        others = {one.terms.side for one in self.are("open") if one.terms.who == order.who}
        return order.side in ROLES[order.who] and others <= {order.side}


TestAuction = Auction.TestCase
TestAuction.settings = settings(
    max_examples=60, stateful_step_count=40, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
