"""Each deadline of the shipped market, in a market where it has something to do and others have things that it must
leave alone."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from auctions import PRODUCT, AuctionMarket
from contract_market import INTERVAL_MS, PRICE, Market
from forgery import Outcome

from contracts.rules.terms import TRADES_MAX

DEADLINES: dict[str, Callable[[], Outcome]] = {}
EXPIRED_MAX = 40


def due(make: Callable[[], Outcome]) -> Callable[[], Outcome]:
    DEADLINES[make.__name__] = make
    return make


# ----------------------------------------------------------------------------------------------------- gates


def _stood(count: int) -> Market:
    """Orders, listings and directed offers in an interval and the next one."""
    market = Market()
    for interval in (market.interval, market.interval + 1):
        listing = market.listing_args(interval=interval, energy_wh=10, lot_wh=1)
        market.ok("market", "post_listing", listing, "sol")
        for who, side, price in (("sol", "ask", PRICE + 1), ("bea", "bid", PRICE)):
            for _ in range(count):
                args = {**market.order_args(side, who, 10, price), "interval": interval}
                market.ok("market", "place_order", args, who)
        for _ in range(count):
            args = {"to": "bea", "side": "ask", "meter": "m-sol", "interval": interval, "energy_wh": 10, "price": PRICE}
            market.ok("offers", "propose", args, "sol")
    market.chain.time_ms = market.interval * INTERVAL_MS
    return market


def _gate(contract: str, count: int) -> Outcome:
    market = _stood(count)
    return Outcome(market, contract, "close_gate", [market.interval])


@due
def market_gate() -> Outcome:
    return _gate("market", 2)


@due
def market_gate_in_part() -> Outcome:
    return _gate("market", EXPIRED_MAX + 1)


@due
def offers_gate() -> Outcome:
    return _gate("offers", 2)


@due
def offers_gate_in_part() -> Outcome:
    return _gate("offers", EXPIRED_MAX + 1)


# -------------------------------------------------------------------------------------------------- auctions


def entered(ties: str = "time", mechanism: str = "auction", contracts: dict[str, str] | None = None) -> AuctionMarket:
    """Orders, some of which nobody reveals and one whose owner is suspended, in two intervals, at gate closure."""
    market = AuctionMarket(mechanism, 5, ties, contracts)
    first = market.interval
    for interval in (first + 1, first):
        market.interval = interval
        for who, wh, price in (("sol", 100, 200), ("sun", 60, 200), ("sol", 30, 900)):
            market.enter("ask", who, wh, price)
        for who, wh, price in (("bea", 70, 500), ("bea", 20, 499), ("bob", 10, 100)):
            market.enter("bid", who, wh, price)
        market.ok("auction", "seal_order", sealing(market, "sol"), "sol")
    market.ok("registry", "suspend", {"user": "bob", "reason": "x"}, "op1")
    market.chain.time_ms = market.clear_ms
    return market


def sealing(market: Market, who: str) -> dict[str, Any]:
    text = "/".join([who, f"m-{who}", str(market.interval), "ask", "10", "300", "sixteen or more!"])
    commitment = sha256(text.encode()).hexdigest()
    return {"meter": f"m-{who}", "interval": market.interval, "commitment": commitment}


def clearing(market: AuctionMarket) -> Outcome:
    return Outcome(market, "auction", "clear", [PRODUCT, market.interval])


def working(market: AuctionMarket) -> Outcome:
    return Outcome(market, "auction", "work", [PRODUCT, market.interval])


def worked_to(stage: str, market: AuctionMarket) -> AuctionMarket:
    """The clearing, step by step, until it stands where it begins with a stage."""
    clearing(market).apply()
    while market.result()["stage"] != stage:
        working(market).apply()
    return market


@due
def clear() -> Outcome:
    return clearing(entered())


def _stage(stage: str, **terms: Any) -> Callable[[], Outcome]:
    return lambda: working(worked_to(stage, entered(**terms)))


MECHANISM = (
    "@view\ndef clear(bids: list, asks: list, fee: int):\n"
    "    return {'price': 400, 'bids': [[bids[0][0], 50]], 'asks': [[asks[0][0], 50]]}\n"
)
FAILING = (
    "@view\ndef clear(bids: list, asks: list, fee: int):\n    return {'price': 4000, 'bids': [], 'asks': [[1, 2]]}\n"
)
for _name in ("forfeit", "screen", "match", "fill", "rest"):
    DEADLINES[f"work_{_name}"] = _stage(_name)
for _name in ("level", "share", "fill"):
    DEADLINES[f"work_{_name}_pro_rata"] = _stage(_name, ties="pro rata")
for _name in ("mechanism", "fill"):
    DEADLINES[f"work_{_name}_of_its_own"] = _stage(_name, mechanism="other", contracts={"other": MECHANISM})
DEADLINES["work_mechanism_that_fails"] = _stage("mechanism", mechanism="other", contracts={"other": FAILING})


def _short() -> AuctionMarket:
    """Trades at the last price go pro rata, and the first ask there has all the trades that it may make."""
    market = worked_to("fill", entered(ties="pro rata"))
    market.chain.put(f"settlement/count/m-sol/{market.interval:010d}", TRADES_MAX)
    return market


@due
def work_fill_that_begins_again() -> Outcome:
    return working(_short())


@due
def work_fill_again() -> Outcome:
    market = _short()
    working(market).apply()
    return working(market)


@due
def work_to_the_end() -> Outcome:
    """The last step of the stage rest."""
    market = worked_to("rest", entered())
    while True:
        outcome = working(market)
        if outcome.get(outcome.keys("auction/run/")[0])["stage"] == "done":
            return outcome
        outcome.apply()


@due
def work_without_trades() -> Outcome:
    market = AuctionMarket()
    market.enter("ask", "sol", 10, 500)
    market.enter("bid", "bea", 10, 400)
    market.chain.time_ms = market.clear_ms
    return working(worked_to("match", market))


def rescuing(market: AuctionMarket, steps_ago: int = 0) -> Outcome:
    steps = market.result()["steps"] - steps_ago
    return Outcome(market, "auction", "rescue", [PRODUCT, market.interval, steps])


for _name in ("forfeit", "screen", "match", "fill", "rest"):
    DEADLINES[f"rescue_{_name}"] = lambda name=_name: rescuing(worked_to(name, entered()))  # type: ignore[misc]


for _name in ("level", "share"):
    DEADLINES[f"rescue_{_name}"] = lambda name=_name: rescuing(worked_to(name, entered("pro rata")))  # type: ignore[misc]


@due
def rescue_mechanism() -> Outcome:
    return rescuing(worked_to("mechanism", entered(mechanism="other", contracts={"other": MECHANISM})))


@due
def rescue_of_what_goes_on() -> Outcome:
    return rescuing(worked_to("match", entered()), steps_ago=1)


# ------------------------------------------------------------------------------------------------ settlement


def _traded() -> Market:
    """Trades of two meters and two intervals, which are over."""
    market = Market()
    market.chain.user("arb", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "arb"}, "op1", "op2")
    first = market.interval
    for interval in (first + 1, first):
        for who in ("sol", "sun"):
            listing = market.offer(who, interval=interval, lot_wh=1)
            market.take(listing, 500)
            market.take(listing, 300, "bob")
    market.to((first + 2) * INTERVAL_MS)
    return market


def _metering(market: Market) -> Outcome:
    return Outcome(market, "settlement", "close_metering", ["m-sol", market.interval])


@due
def metering_without_a_reading() -> Outcome:
    return _metering(_traded())


@due
def metering_of_what_came_late() -> Outcome:
    """A trade that was made after its interval was read, as by an auction that was cleared late."""
    market = _traded()
    market.read("sol", 600)
    share = f"settlement/share/m-sol/{market.interval:010d}/"
    trade = next(record for record in market.records("settlement/trade/") if record["delivered_wh"] == 100)
    late = {**trade, "status": "matched", "delivered_wh": 0, "amount": 0, "grid_amount": 0, "fee": 0, "penalty": 0}
    for name in ("seller_disputed", "buyer_disputed", "open_disputes", "arbiter"):
        late.pop(name)
    market.chain.put(f"settlement/trade/{trade['id']}", late)
    market.chain.put(share + trade["id"], [trade["energy_wh"], None, 0])
    price, penalty = trade["price"], trade["imbalance_price"]
    for who, amount in (("bob", 200 * price // 1_000), ("sol", 100 * penalty // 1_000)):
        account = market.get(f"credit/account/{who}")
        account = {**account, "available": account["available"] - amount, "held": account["held"] + amount}
        market.chain.put(f"credit/account/{who}", account)
    return _metering(market)


@due
def overdue() -> Outcome:
    market = _traded()
    market.read("sol", 600)
    trades = [record for record in market.records("settlement/trade/") if record["status"] == "proposed"]
    return Outcome(market, "settlement", "mark_overdue", [trades[0]["id"]])


@due
def adjustment_overdue() -> Outcome:
    market = _traded()
    market.read("sol", 600)
    market.read("sol", 0, 2)
    names = [record["id"] for record in market.records("settlement/adjustment/")]
    assert len(names) == 2
    return Outcome(market, "settlement", "mark_adjustment_overdue", [names[0]])
