"""A party's statement: what it traded, paid, and may yet pay, page by page, with what is provisional."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import Market


def statement(market: Market, party: str = "bea", **changed: Any) -> dict[str, Any]:
    args = {
        "party": party, "first_interval": market.interval - 10, "last_interval": market.interval + 10, "after": "",
        "limit": 40, **changed,
    }  # fmt: skip
    result = market.chain.view("settlement", "statement", args)
    assert result.code == "OK", result
    return dict(result.value)


def traded(market: Market, *energies_wh: int) -> list[str]:
    listing = market.offer(energy_wh=sum(energies_wh), lot_wh=1)
    return [market.take(listing, energy_wh) for energy_wh in energies_wh]


def test_a_row_follows_its_trade_from_the_match_to_the_payment(market: Market) -> None:
    (trade,) = traded(market, 1_000)
    (row,) = statement(market)["rows"]
    assert (row["trade"], row["side"], row["status"], row["quality"], row["provisional"]) == (
        trade, "buyer", "matched", "none", True,
    )  # fmt: skip
    market.to_end()
    market.read(export_wh=600)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    for party, side in (("bea", "buyer"), ("sol", "seller")):
        page = statement(market, party)
        (row,) = page["rows"]
        assert row["side"] == side
        names = ("energy_wh", "delivered_wh", "amount", "grid_amount", "fee", "penalty")
        assert {name: row[name] for name in names} == {
            "energy_wh": 1_000, "delivered_wh": 600, "amount": 120_000, "grid_amount": 0, "fee": 1_200,
            "penalty": 160_000,
        }  # fmt: skip
        assert (row["status"], row["quality"], row["provisional"]) == ("settled", "good", False)
        assert (page["completeness_percent"], page["provisional"], page["next"]) == (100, 0, "")


def test_completeness_is_what_usable_readings_tell(market: Market) -> None:
    traded(market, 1_000)
    market.interval += 1
    traded(market, 500, 500)
    market.to_end()
    market.read(export_wh=1_000)
    page = statement(market)
    assert (len(page["rows"]), page["completeness_percent"], page["provisional"]) == (3, 66, 3)


def test_an_estimated_reading_stays_provisional(market: Market) -> None:
    (trade,) = traded(market, 1_000)
    market.to_end()
    market.read(export_wh=1_000, quality="estimated")
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert statement(market)["rows"][0]["provisional"]


def test_adjustments_and_disputes_stand_by_their_trade(market: Market) -> None:
    first, second = traded(market, 500, 500)
    market.to_end()
    market.read(export_wh=800)
    market.ok("settlement", "confirm", {"trade": first}, "sol", "bea")
    market.ok("settlement", "dispute", {"trade": second, "amount": 7, "reason": ""}, "bea")
    market.read(export_wh=400, sequence=2)
    one, two = statement(market)["rows"]
    assert one["adjustments"] == [
        {"adjustment": f"{first}-01", "delivered_wh": 400, "gain": 20_000, "status": "proposed"}
    ]
    assert two["disputes"] == [{"side": "buyer", "disputed": 7, "paid": 0, "status": "open"}]
    assert (one["provisional"], two["provisional"]) == (True, True)
    market.ok("settlement", "confirm_adjustments", {"adjustments": [f"{first}-01"]}, "sol", "bea")
    assert not statement(market)["rows"][0]["provisional"]
    assert statement(market, "sol")["rows"][0]["adjustments"][0]["gain"] == -20_000 + 200 - 40_000


def test_pages_follow_each_other_without_gap_or_repetition(market: Market) -> None:
    trades = traded(market, *[10] * 7)
    found: list[str] = []
    after = ""
    while True:
        page = statement(market, after=after, limit=3)
        found += [row["trade"] for row in page["rows"]]
        after = page["next"]
        if not after:
            break
    assert found == trades


def test_only_the_range_and_the_party_are_listed(market: Market) -> None:
    (inside,) = traded(market, 10)
    market.interval += 1
    traded(market, 10)
    market.interval -= 1
    page = statement(market, first_interval=market.interval, last_interval=market.interval)
    assert [row["trade"] for row in page["rows"]] == [inside]
    assert statement(market, "bob")["rows"] == []
    assert statement(market, "b")["rows"] == []
    assert statement(market, first_interval=market.interval + 2)["rows"] == []


@pytest.mark.parametrize("limit", [0, -1, 41])
def test_a_page_is_bounded(market: Market, limit: int) -> None:
    args = {"party": "bea", "first_interval": 0, "last_interval": 1, "after": "", "limit": limit}
    assert market.chain.view("settlement", "statement", args).code == "LIMIT_INVALID"


def test_the_longest_page_is_within_a_views_gas_and_size(market: Market) -> None:
    trades = traded(market, *[10] * 40)
    market.to_end()
    market.read(export_wh=400)
    for start in (0, 20):
        market.ok("settlement", "confirm_many", {"trades": trades[start : start + 20]}, "sol", "bea")
    for sequence in range(2, 11):
        market.read(export_wh=400 * (sequence % 2), sequence=sequence)
    page = statement(market)
    assert [len(row["adjustments"]) for row in page["rows"]] == [9] * 40
