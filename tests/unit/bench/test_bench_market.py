"""The bench's market: the same deals for the same seed, and every one of them trades under the real contracts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import contract_market

from bench import market as bench_market
from bench.market import DEALS_PER_INTERVAL, LOT_WH, Market, Step
from contracts.parameters import MARKET_PARAMETERS

DEALS = 100
WHO = {"seller": "sol", "buyer": "bea"}


def market(seed: int, first_interval: int = 5) -> Market:
    return Market(seed, ("m-sol",), "m-bea", first_interval)


def steps(made: Market, deals: int) -> list[Step]:
    """The deals' transactions, with a listing's id made up."""
    found = []
    for _ in range(deals):
        deal = made.deal()
        step = next(deal, None)
        while step is not None:
            found.append(step)
            try:
                step = deal.send("a listing")
            except StopIteration:
                step = None
    return found


def test_equal_seeds_give_equal_deals_and_others_others() -> None:
    assert steps(market(1), DEALS) == steps(market(1), DEALS)
    assert steps(market(1), DEALS) != steps(market(2), DEALS)


def test_the_mix_has_all_four_kinds_of_transactions() -> None:
    counted = Counter((step.side, step.function) for step in steps(market(1), DEALS))
    assert counted.keys() == {
        ("seller", "place_order"), ("buyer", "place_order"), ("seller", "post_listing"), ("buyer", "take_listing"),
    }  # fmt: skip
    assert min(counted.values()) > DEALS // 4


def test_meters_and_intervals_are_used_in_turn(monkeypatch: Any) -> None:
    monkeypatch.setattr(bench_market, "INTERVALS", 2)
    made = Market(1, ("a", "b"), "c", 10)
    sold = [(s.args["meter"], s.args["interval"]) for s in steps(made, 5 * DEALS_PER_INTERVAL) if s.side == "seller"]
    assert list(dict.fromkeys(sold)) == [("a", 10), ("a", 11), ("b", 10), ("b", 11)]
    assert sold[-1] == ("a", 10)


def test_everything_that_is_offered_is_traded() -> None:
    real = contract_market.Market({**MARKET_PARAMETERS})
    real.bind("m-sol", "sol", bench_market.CAPACITY_W)
    made = market(7, contract_market.START_INTERVAL + 4)
    offered = trades = 0
    for _ in range(DEALS):
        deal = made.deal()
        step = next(deal, None)
        while step is not None:
            value = real.ok("market", step.function, step.args, WHO[step.side])
            trades += step.trades(value)
            offered += step.args["energy_wh"] if step.side == "seller" else 0
            try:
                step = deal.send(value)
            except StopIteration:
                step = None
    stored = real.records("settlement/trade/")
    assert len(stored) == trades >= DEALS
    assert sum(trade["energy_wh"] for trade in stored) == offered
    assert offered % LOT_WH == 0
    assert {(trade["seller"], trade["buyer"]) for trade in stored} == {("sol", "bea")}
