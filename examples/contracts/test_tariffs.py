"""Tests of the tutorial's contract. Run them with: wattq contract test examples/contracts/tariffs.py"""

from __future__ import annotations

import pytest

from contracts.testing import DAY_MS, Chain

PRICES = [200_000] * 6 + [300_000] * 18


@pytest.fixture
def street(chain: Chain) -> Chain:
    """A supplier, and a household with a meter."""
    chain.user("sol", "seller")
    chain.user("bea", "buyer")
    chain.put("registry/meter/m-bea", {"type": "meter", "serial": "m-bea", "owner": "bea", "zone": "z"})
    return chain


def published(chain: Chain, days: int = 30) -> str:
    result = chain.submit("tariffs.publish", {"prices": PRICES, "days": days}, "sol")
    assert result.code == "OK", result
    return str(result.value)


def test_a_meter_joins_a_tariff_and_knows_its_cost(street: Chain) -> None:
    tariff = published(street)
    joined = street.submit("tariffs.join", {"meter": "m-bea", "tariff": tariff}, "bea")
    assert [(event.name, event.data) for event in joined.events] == [("joined", {"meter": "m-bea", "tariff": tariff})]
    cost = street.view("tariffs", "cost", {"meter": "m-bea", "usage": [[3, 1_000], [12, 500], [23, 1]]})
    assert cost.value == 200_000 + 150_000 + 300


def test_only_suppliers_publish(street: Chain) -> None:
    assert street.submit("tariffs.publish", {"prices": PRICES, "days": 1}, "bea").code == "ROLE_REQUIRED"
    assert street.submit("tariffs.publish", {"prices": PRICES, "days": 1}, "eve").code == "NOT_REGISTERED"


@pytest.mark.parametrize(
    ("prices", "days", "code"),
    [
        (PRICES[1:], 1, "PRICES_INVALID"),
        ([-1, *PRICES[1:]], 1, "PRICES_INVALID"),
        (["free", *PRICES[1:]], 1, "PRICES_INVALID"),
        (PRICES, 0, "DAYS_INVALID"),
        (PRICES, 367, "DAYS_INVALID"),
    ],
)
def test_a_tariff_is_checked(street: Chain, prices: list[object], days: int, code: str) -> None:
    before = dict(street.state.entries)
    assert street.submit("tariffs.publish", {"prices": prices, "days": days}, "sol").code == code
    assert street.state.entries == before


def test_nobody_moves_another_s_meter(street: Chain) -> None:
    street.user("bob", "buyer")
    refused = street.submit("tariffs.join", {"meter": "m-bea", "tariff": published(street)}, "bob")
    assert refused.code == "NOT_YOUR_METER"


def test_an_ended_tariff_keeps_its_meters_and_takes_no_more(street: Chain) -> None:
    tariff = published(street, days=1)
    street.submit("tariffs.join", {"meter": "m-bea", "tariff": tariff}, "bea")
    assert street.advance(DAY_MS - 10_000) == []
    assert [(code, events[0].name) for code, events in street.advance(20_000)] == [("OK", "ended")]
    assert street.submit("tariffs.join", {"meter": "m-bea", "tariff": tariff}, "bea").code == "TARIFF_ENDED"
    assert street.view("tariffs", "cost", {"meter": "m-bea", "usage": [[0, 1_000]]}).value == 200_000


def test_a_usage_that_is_none(street: Chain) -> None:
    street.submit("tariffs.join", {"meter": "m-bea", "tariff": published(street)}, "bea")
    assert street.view("tariffs", "cost", {"meter": "m-bea", "usage": [[24, 1]]}).code == "USAGE_INVALID"
    assert street.view("tariffs", "cost", {"meter": "m-none", "usage": []}).code == "NOT_FOUND"
