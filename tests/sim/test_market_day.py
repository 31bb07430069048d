"""A market day in the simulator: energy and money are conserved, and each way of losing either is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sim.checkers import check
from sim.checkers.market import energy, market_of
from sim.checkers.money import money
from sim.market_day import DEPOSIT, MARKET_DAY, faults_of, settled
from sim.plan import Fault, Plan
from sim.setting import stage_of
from sim.world import World

State = dict[str, Any]


def played(*faults: Fault) -> World:
    plan = Plan(2, MARKET_DAY, clients=3, operations=24, workload=MARKET_DAY, faults=faults)
    world = World(plan, stage_of(plan))
    world.play()
    return world


@pytest.fixture(scope="module")
def world() -> World:
    return played()


def below(state: State, prefix: str) -> list[Any]:
    return [state[key] for key in sorted(state) if key.startswith(prefix)]


@pytest.mark.row(20)
def test_people_trade_and_what_was_metered_is_paid(world: World) -> None:
    assert check(world) == []
    state = market_of(world.nodes[0])
    assert settled(state) > 0
    assert any(trade["delivered_wh"] for trade in below(state, "settlement/trade/"))
    assert {trade["source"] for trade in below(state, "settlement/trade/")} == {"listing", "book"}
    done = {operation.function for client in world.clients for operation in client.history if operation.code == "OK"}
    assert {"post_listing", "take_listing", "place_order", "submit_readings", "deposit"} <= done


@pytest.mark.row(7)
@pytest.mark.row(20)
def test_nothing_is_sold_twice_when_everything_is_sent_again_and_the_primary_dies() -> None:
    world = played(Fault(1_500, "resubmit"), Fault(2_500, "crash", ((0,),), for_ms=800), Fault(4_000, "resubmit"))
    assert check(world) == []
    assert settled(market_of(world.nodes[1])) > 0


def coin(state: State) -> None:
    below(state, "credit/account/")[0]["available"] += 3 * DEPOSIT


def burn(state: State) -> None:
    below(state, "credit/account/")[0]["available"] -= 1


def owe(state: State) -> None:
    first, second = below(state, "credit/account/")[:2]
    second["available"] += first["available"] + 1
    first["available"] = -1


def sell_twice(state: State) -> None:
    trade = below(state, "settlement/trade/")[0]
    state["settlement/trade/again"] = {**trade, "delivered_wh": 0}


def buy_nothing(state: State) -> None:
    bought = [order for order in below(state, "market/order/") if order["side"] == "bid" and order["remaining_wh"] == 0]
    bought[0]["remaining_wh"] = bought[0]["energy_wh"]


def deliver_more_than_sold(state: State) -> None:
    trade = below(state, "settlement/trade/")[0]
    trade["delivered_wh"] = trade["energy_wh"] + 1


def measure_nothing(state: State) -> None:
    for reading in below(state, "settlement/reading/"):
        reading["export_wh"] = 0


def sell_more_than_a_meter_can(state: State) -> None:
    listing = {"meter": "m", "interval": 1, "energy_wh": 6_000, "remaining_wh": 0}
    state["market/listing/large"] = listing
    trade = {"meter": "m", "buyer_meter": "n", "interval": 1, "energy_wh": 6_000, "delivered_wh": 0, "id": "t"}
    state["settlement/trade/large"] = {**trade, "source": "listing", "status": "matched"}


@pytest.mark.row(21)
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (coin, "money: the accounts hold"),
        (burn, "money: the accounts hold"),
        (owe, "money: an account is below zero"),
        (sell_twice, "Wh were sold"),
        (buy_nothing, "Wh were bought"),
        (deliver_more_than_sold, "energy: trade"),
        (measure_nothing, "that were measured"),
        (sell_more_than_a_meter_can, "the meter can deliver 5000"),
    ],
)
def test_what_is_made_or_lost_is_seen(world: World, harm: Callable[[State], None], said: str) -> None:
    state = copy.deepcopy(market_of(world.nodes[0]))
    history = [operation for client in world.clients for operation in client.history]
    assert list(faults_of(state, history)) == []
    harm(state)
    assert any(said in fault for fault in faults_of(state, history))


@pytest.mark.row(21)
def test_checkers_see_a_deposit_that_nobody_was_told_of_and_a_reading_that_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = market_of(world.nodes[0])
    burn(state)
    measure_nothing(state)
    monkeypatch.setattr("sim.checkers.market.market_of", lambda node: state)
    assert all(fault.startswith("money:") for fault in money(world))
    assert all(fault.startswith("energy:") for fault in energy(world))
    assert money(world)
    assert energy(world)
