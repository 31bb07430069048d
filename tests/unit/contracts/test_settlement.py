"""Settlement: readings, delivered energy, two signatures, deadlines; money to the last micro-unit."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import DEPOSIT, INTERVAL_MS, PRICE, START_INTERVAL, Market

from contracts.parameters import MARKET_PARAMETERS

IMBALANCE = MARKET_PARAMETERS["imbalance_price"]
METERING_MS = MARKET_PARAMETERS["metering_deadline_s"] * 1_000
CONFIRMATION_MS = MARKET_PARAMETERS["confirmation_deadline_s"] * 1_000


def traded(market: Market, *energies_wh: int) -> list[str]:
    """Trades of one listing, after the interval's end."""
    listing = market.offer(energy_wh=sum(energies_wh), lot_wh=1)
    trades = [market.take(listing, energy_wh) for energy_wh in energies_wh]
    market.to_end()
    return trades


def proposed(market: Market, contracted_wh: int = 5_000, metered_wh: int = 5_000) -> str:
    (trade,) = traded(market, contracted_wh)
    market.read(export_wh=metered_wh)
    return trade


def states(market: Market, trades: list[str]) -> list[tuple[int, str]]:
    return [(market.trade(trade)["delivered_wh"], market.trade(trade)["status"]) for trade in trades]


@pytest.mark.parametrize(
    ("contracted", "metered", "delivered"),
    [
        ((5_000, 4_000), 8_000, (5_000, 3_000)), ((5_000, 4_000), 9_000, (5_000, 4_000)),
        ((5_000, 4_000), 20_000, (5_000, 4_000)), ((5_000, 4_000), 5_000, (5_000, 0)),
        ((5_000, 4_000), 4_999, (4_999, 0)), ((5_000, 4_000), 0, (0, 0)), ((1, 1, 1), 2, (1, 1, 0)),
    ],
)  # fmt: skip
def test_metered_energy_is_shared_first_trade_first(
    market: Market, contracted: tuple[int, ...], metered: int, delivered: tuple[int, ...]
) -> None:
    trades = traded(market, *contracted)
    assert market.read(export_wh=metered) == 1
    assert states(market, trades) == [(energy_wh, "proposed") for energy_wh in delivered]


def test_a_proposal_fixes_the_amounts_and_releases_what_is_not_needed(market: Market) -> None:
    trade = market.trade(proposed(market, 5_000, 3_000))
    amount, penalty = 3_000 * PRICE // 1_000, 2_000 * IMBALANCE // 1_000
    assert (trade["amount"], trade["penalty"], trade["fee"]) == (amount, penalty, amount // 100)
    assert (market.held("bea"), market.held("sol")) == (amount, penalty)


def test_nothing_is_paid_before_both_have_signed(market: Market) -> None:
    trade = proposed(market, 5_000, 3_000)
    amount, penalty, fee = 600_000, 800_000, 6_000
    for who in ("sol", "sol"):
        market.ok("settlement", "confirm", {"trade": trade}, who)
        assert market.trade(trade)["status"] == "proposed"
        assert market.account("balancing") == (0, 0)
        assert sum(market.account("bea")) == DEPOSIT
    market.ok("settlement", "confirm", {"trade": trade}, "bea")
    assert market.trade(trade)["status"] == "settled"
    assert market.account("bea") == (DEPOSIT - amount, 0)
    assert market.account("sol") == (DEPOSIT + amount - fee - penalty, 0)
    assert market.account("balancing") == (fee + penalty, 0)


@pytest.mark.parametrize("signers", [("sol", "bea"), ("bea", "sol")])
def test_one_envelope_may_carry_both_signatures(market: Market, signers: tuple[str, str]) -> None:
    trade = proposed(market)
    market.ok("settlement", "confirm", {"trade": trade}, *signers)
    assert market.trade(trade)["status"] == "settled"


def test_a_settled_trade_is_not_paid_again(market: Market) -> None:
    trade = proposed(market)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    before = dict(market.chain.state.entries)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    market.ok("settlement", "confirm_many", {"trades": [trade, trade]}, "bea")
    assert market.chain.state.entries == before


def test_many_are_confirmed_at_once_or_none(market: Market) -> None:
    trades = traded(market, 10, 20)
    market.read(export_wh=30)
    args = {"trades": [*trades, "none"]}
    assert market.code("settlement", "confirm_many", args, "sol", "bea") == "NOT_FOUND"
    market.ok("settlement", "confirm_many", {"trades": trades}, "sol", "bea")
    assert states(market, trades) == [(10, "settled"), (20, "settled")]


@pytest.mark.parametrize(
    ("function", "args", "who", "code"),
    [
        ("confirm", {"trade": "none"}, "sol", "NOT_FOUND"), ("confirm", {"trade": 1}, "sol", "ARGUMENTS_INVALID"),
        ("confirm", {}, "bob", "NOT_PARTY"), ("confirm_many", {"trades": [1]}, "sol", "NOT_FOUND"),
        ("confirm_many", {"trades": ["x"] * 51}, "sol", "TOO_MANY"),
        ("confirm", {"trade": "a/../b c"}, "sol", "KEY_INVALID"),
    ],
)  # fmt: skip
def test_bad_confirmations(market: Market, function: str, args: dict[str, Any], who: str, code: str) -> None:
    trade = proposed(market)
    assert market.code("settlement", function, args or {"trade": trade}, who) == code


def test_an_unmetered_trade_cannot_be_confirmed(market: Market) -> None:
    (trade,) = traded(market, 10)
    assert market.code("settlement", "confirm", {"trade": trade}, "sol", "bea") == "NOT_METERED"


@pytest.mark.parametrize("first", [None, "sol", "bea"])
def test_silence_past_the_deadline_keeps_the_hold_and_can_be_broken(market: Market, first: str | None) -> None:
    trade = proposed(market)
    if first:
        market.ok("settlement", "confirm", {"trade": trade}, first)
    held = market.held("bea")
    assert held == 5_000 * PRICE // 1_000
    ran = market.chain.advance(CONFIRMATION_MS)
    told = [event for _, events in ran for event in events if event.name == "overdue"]
    assert [event.data for event in told] == [{"trade": trade, "seller": "sol", "buyer": "bea", "arbiter": ""}]
    assert (market.trade(trade)["status"], market.held("bea")) == ("overdue", held)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert (market.trade(trade)["status"], market.held("bea")) == ("settled", 0)


def test_a_settled_trade_does_not_become_overdue(market: Market) -> None:
    trade = proposed(market)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert {code for code, _ in market.chain.advance(CONFIRMATION_MS)} == {"OK"}
    assert market.trade(trade)["status"] == "settled"


def test_without_a_reading_at_the_deadline_nothing_was_delivered(market: Market) -> None:
    trades = traded(market, 10, 20)
    assert market.to((market.interval + 1) * INTERVAL_MS + METERING_MS - 1) == []
    ran = market.chain.advance(1)
    assert [code for code, _ in ran] == ["OK"]
    told = [event.data for _, events in ran for event in events if event.name == "unmetered"]
    assert told == [{"meter": "m-sol", "interval": market.interval, "owner": "sol"}]
    assert states(market, trades) == [(0, "proposed"), (0, "proposed")]
    assert market.read(export_wh=30) == 1, "a late reading is kept,"
    assert states(market, trades) == [(0, "proposed"), (0, "proposed")], "and rewrites no trade"


@pytest.mark.parametrize("quality", ["stale", "suspect", "missing"])
def test_an_unusable_reading_waits_for_its_correction(market: Market, quality: str) -> None:
    """Regression: a reading that could settle nothing also kept out the good one that came after it."""
    trades = traded(market, 10)
    market.read(export_wh=10, quality=quality)
    assert states(market, trades) == [(0, "matched")]
    market.read(export_wh=7, sequence=2, quality="estimated")
    assert states(market, trades) == [(7, "proposed")]
    worse = market.reading(export_wh=9, sequence=3, quality=quality)
    assert market.code("settlement", "submit_readings", {"readings": [worse]}, "gate") == "READING_CONFLICT"


def test_an_unusable_reading_is_worth_nothing_at_the_deadline(market: Market) -> None:
    trades = traded(market, 10)
    market.read(export_wh=10, quality="suspect")
    market.to((market.interval + 1) * INTERVAL_MS + METERING_MS)
    assert states(market, trades) == [(0, "proposed")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"export_wh": 9}, "READING_CONFLICT"), ({"sequence": 0, "export_wh": 9}, "READING_CONFLICT"),
        ({"quality": "suspect"}, "READING_CONFLICT"), ({"epoch": 0, "sequence": 9}, "READING_CONFLICT"),
        ({"quality": "suspect", "sequence": 4}, "READING_CONFLICT"),
        ({"meter": "none"}, "NOT_FOUND"), ({"meter": "m-other"}, "NOT_YOUR_METER"),
        ({"export_wh": -1}, "READING_INVALID"), ({"export_wh": 1 << 53}, "READING_INVALID"),
        ({"import_wh": True}, "READING_INVALID"),
        ({"sequence": None}, "READING_INVALID"), ({"quality": "fine"}, "READING_INVALID"),
        ({"meter": 5}, "READING_INVALID"), ({"interval": 2_000_100}, "INTERVAL_NOT_OVER"),
        ({"interval": 2_000_000}, "SEQUENCE_NOT_RISING"), ({"interval": 2_000_000, "epoch": 0}, "SEQUENCE_NOT_RISING"),
        ({"interval": "a"}, "READING_INVALID"), ({"quality": ["good"]}, "READING_INVALID"),
        ({"meter": "a b"}, "KEY_INVALID"),
    ],
)  # fmt: skip
def test_bad_readings(market: Market, changed: dict[str, Any], code: str) -> None:
    market.chain.user("gate2", "gateway")
    terms = {"meter": "m-other", "owner": "sol", "zone": "z", "capacity_w": 1_000, "gateway": "gate2"}
    market.ok("registry", "bind_meter", terms, "op1")
    market.to_end()
    market.read(export_wh=5)
    reading = {**market.reading(export_wh=5), **changed}
    assert market.code("settlement", "submit_readings", {"readings": [reading]}, "gate") == code


def test_a_gateway_uses_up_no_other_gateways_numbers(market: Market) -> None:
    """One that gave the greatest epoch and sequence of all left none to the gateways after it."""
    market.chain.user("gate2", "gateway")
    market.to_end()
    most = (1 << 53) - 1
    market.read("sol", 5, sequence=most, epoch=most, interval=START_INTERVAL - 1)
    refused = {"readings": [market.reading("sol", 5)]}
    assert market.code("settlement", "submit_readings", refused, "gate") == "SEQUENCE_NOT_RISING"
    terms = {"meter": "m-sol", "owner": "sol", "zone": "z", "capacity_w": 400_000, "gateway": "gate2"}
    market.ok("registry", "bind_meter", terms, "op1")
    assert market.ok("settlement", "submit_readings", refused, "gate2") == 1
    again = {"readings": [market.reading("sol", 5, interval=START_INTERVAL - 2)]}
    assert market.code("settlement", "submit_readings", again, "gate2") == "SEQUENCE_NOT_RISING"


@pytest.mark.parametrize("readings", [[1], ["a"], [None], [[]], [{}]])
def test_readings_that_are_none(market: Market, readings: list[Any]) -> None:
    assert market.code("settlement", "submit_readings", {"readings": readings}, "gate") == "READING_INVALID"


def test_readings_come_at_most_a_hundred_at_once_and_all_or_none(market: Market) -> None:
    market.to_end()
    good, bad = market.reading(export_wh=1), market.reading("sun", export_wh=-1)
    assert market.code("settlement", "submit_readings", {"readings": [good] * 101}, "gate") == "TOO_MANY"
    assert market.code("settlement", "submit_readings", {"readings": [good, bad]}, "gate") == "READING_INVALID"


def test_a_repeated_reading_counts_once(market: Market) -> None:
    trades = traded(market, 10)
    assert [market.read(export_wh=6), market.read(export_wh=6)] == [1, 0]
    assert states(market, trades) == [(6, "proposed")]


def test_a_new_epoch_starts_its_sequence_again(market: Market) -> None:
    market.to_end()
    market.read(export_wh=1, sequence=9)
    market.interval -= 1
    assert market.read(export_wh=1, sequence=0, epoch=2) == 1


def test_the_busiest_meter_is_settled_within_a_deadlines_gas(market: Market) -> None:
    trades = traded(market, *[1] * 100)
    ran = market.to((market.interval + 1) * INTERVAL_MS + METERING_MS)
    assert (ran, {status for _, status in states(market, trades)}) == (["OK"], {"proposed"})


def test_the_busiest_meter_is_settled_by_one_reading(market: Market) -> None:
    trades = traded(market, *[1] * 100)
    market.read(export_wh=60)
    assert [delivered for delivered, _ in states(market, trades)] == [1] * 60 + [0] * 40


def test_money_is_only_rounded_down_once_a_trade(market: Market) -> None:
    listing = market.offer(price=333_333, energy_wh=7, lot_wh=1)
    trades = [market.take(listing, 1), market.take(listing, 6)]
    market.to_end()
    market.read(export_wh=6)
    market.ok("settlement", "confirm_many", {"trades": trades}, "sol", "bea")
    assert [market.trade(trade)["amount"] for trade in trades] == [333, 1_666]
    assert market.money() == 4 * DEPOSIT
    assert (market.held("sol"), market.held("bea")) == (0, 0)


def test_the_grid_gets_its_part_of_what_the_buyer_pays(market: Market) -> None:
    """Quartierstrom's example, its prices in 10^-3: the buyer pays 15.375, the grid gets 6, the seller nets 9.375."""
    market.ok("governance", "set_parameter", {"name": "fee_permille", "value": 0}, "op1", "op2")
    trade = market.take(market.offer(energy_wh=1_000, price=15_375), 1_000)
    market.chain.put(f"settlement/trade/{trade}", {**market.trade(trade), "grid_fee": 6_000})
    market.to_end()
    market.read(export_wh=1_000)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert market.account("bea") == (DEPOSIT - 15_375, 0)
    assert market.account("sol") == (DEPOSIT + 9_375, 0)
    assert market.account("grid") == (6_000, 0)


def test_a_trade_keeps_the_fee_that_it_was_made_under(market: Market) -> None:
    trade = market.take(market.offer(), 1_000)
    market.ok("governance", "set_parameter", {"name": "fee_permille", "value": 1_000}, "op1", "op2")
    market.to_end()
    market.read(export_wh=1_000)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert market.account("sol") == (DEPOSIT + 198_000, 0)


@pytest.mark.parametrize("quality", ["missing", "good"])
def test_a_meters_interval_is_read_once_in_a_call(market: Market, quality: str) -> None:
    """Two that are lawful one after the other were refused by the validation module when they came together."""
    trades = traded(market, 5_000)
    first = market.reading(export_wh=4_000, quality=quality)
    second = market.reading(export_wh=5_000, sequence=2)
    assert market.code("settlement", "submit_readings", {"readings": [first, second]}, "gate") == "READ_TWICE"
    assert market.ok("settlement", "submit_readings", {"readings": [first]}, "gate") == 1
    assert market.ok("settlement", "submit_readings", {"readings": [second]}, "gate") == 1
    assert states(market, trades) == [(5_000 if quality == "missing" else 4_000, "proposed")]


def test_a_reading_has_seven_fields_and_no_more(market: Market) -> None:
    market.to_end()
    reading = {**market.reading(export_wh=1), "note": 0}
    assert market.code("settlement", "submit_readings", {"readings": [reading]}, "gate") == "READING_INVALID"
