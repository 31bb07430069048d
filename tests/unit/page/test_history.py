"""The page's account of quarter-hours, of what waits for a signature, and its CSV, on records of the real contracts."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import pytest
from contract_market import PRICE, Market
from page_calls import page_calls

from contracts.parameters import MARKET_PARAMETERS

pytestmark = pytest.mark.needs("node")
IMBALANCE = MARKET_PARAMETERS["imbalance_price"]


def traded() -> tuple[Market, list[str]]:
    """Sol sold 5 kWh to Bea and 4 kWh to Bob."""
    market = Market()
    listing = market.offer(energy_wh=9_000)
    trades = [market.take(listing, 5_000, "bea"), market.take(listing, 4_000, "bob")]
    return market, trades


def rows_of(market: Market, who: str, **changed: Any) -> Any:
    """As the page asks for them: the documents that `who` may read."""
    trades = [t for t in market.records("settlement/trade/") if who in (t["seller"], t["buyer"])]
    asked = {
        "signer": who,
        "trades": trades,
        "adjustments": [a for a in market.records("settlement/adjustment/") if who in (a["seller"], a["buyer"])],
        "disputes": [d for d in market.records("settlement/dispute/") if who in (d["seller"], d["buyer"])],
        "readings": [r for r in market.records("settlement/reading/") if r["owner"] == who],
        "first": market.interval,
        "last": market.interval,
        "nowMs": market.chain.time_ms,
        **changed,
    }
    return page_calls([("rules/history.js", "intervalRows", [asked])])[0]


def reasons(market: Market, who: str) -> list[str]:
    return [reason["key"] for row in rows_of(market, who) for reason in row["why"]]


def test_an_interval_says_why_it_came_out_so() -> None:
    market, trades = traded()
    assert (reasons(market, "sol"), reasons(market, "bea")) == (["why.seller.ahead"], ["why.buyer.ahead"])
    market.to_end()
    assert (reasons(market, "sol"), reasons(market, "bea")) == (["why.seller.unread"], ["why.buyer.unread"])
    market.read(export_wh=8_000)
    (row,) = rows_of(market, "sol")
    assert (row["sold_wh"], row["delivered_sold_wh"], row["export_wh"]) == (9_000, 8_000, 8_000)
    assert row["why"] == [
        {
            "key": "why.seller.short",
            "params": {
                "contracted": 9_000, "delivered": 8_000, "missing": 1_000, "metered": 8_000, "surplus": 0,
                "penalty": 1_000 * IMBALANCE // 1_000,
            },
        }
    ]  # fmt: skip
    assert (reasons(market, "bea"), reasons(market, "bob")) == (["why.buyer.whole"], ["why.buyer.short"])
    assert row["provisional"]
    for trade in trades:
        market.ok("settlement", "confirm", {"trade": trade}, "sol")
        market.ok("settlement", "confirm", {"trade": trade}, market.trade(trade)["buyer"])
    (row,) = rows_of(market, "sol")
    paid = 8_000 * PRICE // 1_000
    assert (row["earned"], row["provisional"]) == (paid - paid // 100 - 1_000 * IMBALANCE // 1_000, False)
    (row,) = rows_of(market, "bob")
    assert (row["paid"], row["provisional"]) == (3_000 * PRICE // 1_000, False)


def test_a_correction_counts_and_is_provisional_until_both_have_signed() -> None:
    market, trades = traded()
    market.to_end()
    market.read(export_wh=8_000)
    for trade in trades:
        market.ok("settlement", "confirm", {"trade": trade}, "sol")
        market.ok("settlement", "confirm", {"trade": trade}, market.trade(trade)["buyer"])
    market.read(export_wh=9_000, sequence=2)
    (row,) = rows_of(market, "bob")
    assert (row["delivered_bought_wh"], row["paid"], row["provisional"]) == (4_000, 3_000 * PRICE // 1_000, True)
    (adjustment,) = market.records("settlement/adjustment/")
    asked = [adjustment, market.trade(trades[1]), [adjustment]]
    assert page_calls([("rules/settlement.js", "adjustmentBar", asked)]) == [""]
    for who in ("sol", "bob"):
        market.ok("settlement", "confirm_adjustments", {"adjustments": [adjustment["id"]]}, who)
    (row,) = rows_of(market, "bob")
    assert (row["paid"], row["provisional"]) == (4_000 * PRICE // 1_000, False)
    statement = market.chain.view(
        "settlement", "statement",
        {"party": "sol", "first_interval": market.interval, "last_interval": market.interval, "after": "", "limit": 40},
    ).value  # fmt: skip
    told = page_calls(
        [("rules/settlement.js", "adjustmentGain", [market.records("settlement/adjustment/")[0], "seller"])]
    )
    assert [gain["gain"] for row in statement["rows"] for gain in row["adjustments"]] == told


def test_what_was_disputed_counts_as_it_was_decided() -> None:
    market, (trade, _) = traded()
    before = {who: sum(market.account(who)) for who in ("sol", "bea")}
    market.to_end()
    market.read(export_wh=4_000)
    market.ok("settlement", "dispute", {"trade": trade, "amount": 300_001, "reason": "The lights went out."}, "bea")
    market.ok("settlement", "dispute", {"trade": trade, "amount": 70_003, "reason": "The grid was down."}, "sol")

    def gains() -> list[int]:
        rows = {who: rows_of(market, who) for who in before}
        return [
            sum(each["gain"] for row in rows[who] for each in row["trades"] if each["gain"] is not None)
            for who in before
        ]

    def moved() -> list[int]:
        return [sum(market.account(who)) - before[who] for who in before]

    assert market.trade(trade)["status"] == "disputed"
    assert gains() == moved()
    for who in ("sol", "bea"):
        market.ok("settlement", "resolve", {"dispute_id": f"{trade}-buyer", "paid": 111_111}, who)
    for who in ("sol", "bea"):
        market.ok("settlement", "resolve", {"dispute_id": f"{trade}-seller", "paid": 1}, who)
    assert market.trade(trade)["status"] == "settled"
    assert gains() == moved()


def test_without_a_reading_nothing_was_delivered() -> None:
    market, _ = traded()
    market.to_end()
    market.to((market.interval + 1) * 900_000 + MARKET_PARAMETERS["metering_deadline_s"] * 1_000)
    assert (reasons(market, "sol"), reasons(market, "bea")) == (["why.seller.unmetered"], ["why.buyer.short"])
    told = page_calls([("rules/history.js", "completenessPercent", [rows_of(market, "sol"), market.chain.time_ms])])
    assert told == [0]


def test_untraded_energy_and_unusable_readings_are_told() -> None:
    market = Market()
    market.to_end()
    market.read(export_wh=700)
    market.read("sun", export_wh=700, quality="stale")
    assert (reasons(market, "sol"), reasons(market, "sun")) == (["why.untraded"], ["why.unusable"])


def test_it_is_known_what_waits_for_whose_signature() -> None:
    market, (trade, _) = traded()
    market.to_end()

    def waits(*signers: str) -> list[bool]:
        return list(page_calls([("rules/settlement.js", "waitsFor", [market.trade(trade), s]) for s in signers]))

    assert waits("sol", "bea") == [False, False], "it is not metered yet"
    market.read(export_wh=9_000)
    assert waits("sol", "bea", "bob") == [True, True, False]
    market.ok("settlement", "confirm", {"trade": trade}, "bea")
    assert waits("sol", "bea") == [True, False]
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    assert waits("sol", "bea") == [False, False]


def test_energy_is_shared_out_first_trade_first() -> None:
    drawn = random.Random("shares")  # inputs of a test, no secret
    assert page_calls([("rules/settlement.js", "allocate", [[5, 4], 8])]) == [[5, 3]]
    for _ in range(3):
        market = Market()
        listing = market.offer(energy_wh=9_000, lot_wh=1)
        contracted = [drawn.randint(1, 3_000) for _ in range(3)]
        trades = [market.take(listing, energy_wh) for energy_wh in contracted]
        market.to_end()
        metered_wh = drawn.randint(0, 9_000)
        market.read(export_wh=metered_wh)
        expected = [market.trade(trade)["delivered_wh"] for trade in trades]
        assert page_calls([("rules/settlement.js", "allocate", [contracted, metered_wh])]) == [expected]


def test_a_csv_file_is_read_back_as_it_was_and_holds_no_formula() -> None:
    cells = [["a,b", 'say "no"', "line\nbreak", -5, None], ["=1+1", "@x", "-1.5", "+2", ""]]
    (text,) = page_calls([("rules/csv.js", "csvOf", [cells])])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["a,b", 'say "no"', "line\nbreak", "-5", ""],
        ["'=1+1", "'@x", "-1.5", "'+2", ""],
    ]


def test_a_meter_is_silent_by_the_day_that_is_on_and_not_by_one_that_is_over() -> None:
    """A day gone by ended with a warning that its meter had been silent since."""
    rows = [{"interval": 10, "metered": True}, {"interval": 11, "metered": False}]
    end_ms, now_ms = 11 * 900_000, 20 * 900_000
    asked = [(rows, 95), (rows, 19), ([], 95)]
    found = page_calls([("rules/history.js", "silenceMs", [given, last, now_ms]) for given, last in asked])
    assert found == [now_ms - end_ms, None, None]
