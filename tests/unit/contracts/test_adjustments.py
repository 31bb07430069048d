"""Late and corrected readings: each difference is an adjustment of its own that both sign; no trade is rewritten."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import DEPOSIT, Market

from contracts.parameters import MARKET_PARAMETERS

METERING_MS = MARKET_PARAMETERS["metering_deadline_s"] * 1_000


def traded(market: Market, *energies_wh: int) -> list[str]:
    listing = market.offer(energy_wh=sum(energies_wh), lot_wh=1)
    trades = [market.take(listing, energy_wh) for energy_wh in energies_wh]
    market.to_end()
    return trades


def settle(market: Market, *trades: str) -> None:
    market.ok("settlement", "confirm_many", {"trades": list(trades)}, "sol", "bea")


def adjustments(market: Market) -> list[dict[str, Any]]:
    return list(market.records("settlement/adjustment/"))


def confirm(market: Market, *signers: str) -> None:
    names = [record["id"] for record in adjustments(market)]
    market.ok("settlement", "confirm_adjustments", {"adjustments": names}, *signers)


def net(market: Market) -> list[int]:
    return [sum(market.account(who)) - DEPOSIT for who in ("sol", "bea")] + [sum(market.account("balancing"))]


def test_five_and_four_with_eight_and_then_nine_injected(market: Market) -> None:
    """5 and 3 are settled; the correction owes the second trade one more."""
    trades = traded(market, 5_000, 4_000)
    market.read(export_wh=8_000)
    settle(market, *trades)
    before = [market.trade(trade) for trade in trades]
    market.read(export_wh=9_000, sequence=2)
    assert [market.trade(trade) for trade in trades] == before
    (made,) = adjustments(market)
    assert {name: made[name] for name in ("trade", "before_wh", "after_wh", "amount", "fee", "penalty", "status")} == {
        "trade": trades[1], "before_wh": 3_000, "after_wh": 4_000, "amount": 200_000, "fee": 2_000,
        "penalty": -400_000, "status": "proposed",
    }  # fmt: skip
    confirm(market, "bea")
    assert market.held("bea") == 200_000, "who signs holds what it costs"
    confirm(market, "sol")
    assert net(market) == [1_800_000 - 18_000, -1_800_000, 18_000], "as if nine had been injected at once"
    assert market.held("bea") == 0


def test_a_correction_downwards_takes_from_the_last_trade_first(market: Market) -> None:
    trades = traded(market, 5_000, 4_000)
    market.read(export_wh=9_000)
    settle(market, *trades)
    market.read(export_wh=4_000, sequence=2)
    assert [(made["before_wh"], made["after_wh"]) for made in adjustments(market)] == [(5_000, 4_000), (4_000, 0)]
    confirm(market, "sol")
    assert market.held("sol") == 1_000_000 - 10_000 + 2_000_000
    confirm(market, "bea")
    assert net(market) == [800_000 - 8_000 - 2_000_000, -800_000, 8_000 + 2_000_000]
    assert market.held("sol") == 0


def test_a_late_reading_adjusts_what_the_deadline_proposed(market: Market) -> None:
    trades = traded(market, 1_000)
    market.chain.advance(METERING_MS)
    market.read(export_wh=1_000)
    assert market.trade(trades[0])["delivered_wh"] == 0
    names = [made["id"] for made in adjustments(market)]
    early = {"adjustments": names}
    assert market.code("settlement", "confirm_adjustments", early, "sol", "bea") == "EARLIER_OPEN"
    settle(market, *trades)
    assert net(market) == [-400_000, 0, 400_000]
    confirm(market, "sol", "bea")
    assert net(market) == [198_000, -200_000, 2_000]


def test_adjustments_come_one_after_the_other(market: Market) -> None:
    trades = traded(market, 1_000)
    market.read(export_wh=500)
    settle(market, *trades)
    market.read(export_wh=700, sequence=2)
    market.read(export_wh=600, sequence=0, epoch=2)
    first, second = (made["id"] for made in adjustments(market))
    args = {"adjustments": [second, first]}
    assert market.code("settlement", "confirm_adjustments", args, "sol", "bea") == "EARLIER_OPEN"
    market.ok("settlement", "confirm_adjustments", {"adjustments": [first, second]}, "sol", "bea")
    assert net(market) == [120_000 - 1_200 - 160_000, -120_000, 1_200 + 160_000]


def test_an_adjustment_is_paid_once(market: Market) -> None:
    trades = traded(market, 1_000)
    market.read(export_wh=500)
    settle(market, *trades)
    market.read(export_wh=700, sequence=2)
    confirm(market, "sol", "bea")
    before = dict(market.chain.state.entries)
    confirm(market, "sol", "bea")
    market.read(export_wh=700, sequence=2)
    assert market.chain.state.entries == before


def test_a_correction_that_changes_no_trade_adjusts_nothing(market: Market) -> None:
    trades = traded(market, 1_000)
    market.read(export_wh=5_000)
    settle(market, *trades)
    market.read(export_wh=4_000, sequence=2, quality="estimated")
    assert adjustments(market) == []
    place = f"m-sol/{market.interval:010d}"
    assert market.get(f"settlement/reading/{place}")["correction"] == 1
    assert market.get(f"settlement/superseded/{place}/00")["export_wh"] == 5_000


def test_a_reading_is_corrected_at_most_nine_times(market: Market) -> None:
    traded(market, 1_000)
    for sequence in range(1, 11):
        market.read(export_wh=sequence, sequence=sequence)
    late = {"readings": [market.reading(export_wh=11, sequence=11)]}
    assert market.code("settlement", "submit_readings", late, "gate") == "TOO_MANY_CORRECTIONS"


def test_who_cannot_pay_cannot_sign_and_nobody_pays_for_it(market: Market) -> None:
    trades = traded(market, 1_000)
    market.read(export_wh=500)
    settle(market, *trades)
    market.ok("credit", "withdraw", {"account": "bea", "amount": market.account("bea")[0]}, "op1", "op2")
    market.read(export_wh=1_000, sequence=2)
    args = {"adjustments": [made["id"] for made in adjustments(market)]}
    assert market.code("settlement", "confirm_adjustments", args, "bea") == "INSUFFICIENT_FUNDS"
    market.ok("credit", "deposit", {"account": "bea", "amount": 100_000}, "op1", "op2")
    market.ok("settlement", "confirm_adjustments", args, "bea", "sol")
    assert market.account("bea") == (0, 0)


@pytest.mark.parametrize("poor", [False, True])
def test_mandates_settle_adjustments_where_the_money_is(market: Market, poor: bool) -> None:
    for who in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    traded(market, 1_000)
    market.read(export_wh=500)
    if poor:
        market.ok("credit", "withdraw", {"account": "bea", "amount": market.account("bea")[0]}, "op1", "op2")
    market.read(export_wh=1_000, sequence=2)
    (made,) = adjustments(market)
    assert (made["status"], made["seller_confirmed"], made["buyer_confirmed"]) == (
        ("proposed", True, False) if poor else ("settled", True, True)
    )
    if poor:
        market.ok("credit", "deposit", {"account": "bea", "amount": 100_000}, "op1", "op2")
        confirm(market, "bea")
        assert market.account("bea") == (0, 0)


def test_a_balancing_account_that_was_emptied_delays_only_the_adjustment(market: Market) -> None:
    """Regression guard: a mandate's adjustment must never keep a reading out."""
    for who in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    traded(market, 1_000)
    market.read(export_wh=500)
    market.ok("credit", "withdraw", {"account": "balancing", "amount": 201_000}, "op1", "op2")
    market.read(export_wh=1_000, sequence=2)
    (made,) = adjustments(market)
    assert (made["status"], market.held("bea")) == ("proposed", 100_000)
    args = {"adjustments": [made["id"]]}
    assert market.code("settlement", "confirm_adjustments", args, "sol") == "INSUFFICIENT_FUNDS"
    market.ok("credit", "deposit", {"account": "balancing", "amount": 200_000}, "op1", "op2")
    market.ok("settlement", "confirm_adjustments", args, "sol")
    assert market.held("bea") == 0


def arbitrated(market: Market) -> None:
    market.chain.user("ada", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "ada"}, "op1", "op2")


def decided(market: Market, trade: str, side: str, paid: int) -> None:
    args = {"dispute_id": f"{trade}-{side}", "paid": paid}
    market.ok("settlement", "resolve", args, "ada", "sol")


@pytest.mark.parametrize("decided_first", [False, True])
@pytest.mark.parametrize("disputed_first", [False, True])
def test_a_dispute_of_one_micro_voids_no_correction(market: Market, disputed_first: bool, decided_first: bool) -> None:
    """A buyer escaped paying for what a correction brought, by disputing one micro of what the estimate owed."""
    arbitrated(market)
    (trade,) = traded(market, 10_000)
    market.read(export_wh=1_000, quality="estimated")
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    if not disputed_first:
        market.read(export_wh=10_000, sequence=2)
    market.ok("settlement", "dispute", {"trade": trade, "amount": 1, "reason": "x"}, "bea")
    if disputed_first:
        market.read(export_wh=10_000, sequence=2)
    if decided_first:
        decided(market, trade, "buyer", 1)
    (made,) = adjustments(market)
    assert (made["amount"], made["penalty"], made["status"]) == (1_800_000, -3_600_000, "proposed")
    confirm(market, "sol", "bea")
    if not decided_first:
        assert market.trade(trade)["status"] == "disputed", "it does not wait for the decision"
        decided(market, trade, "buyer", 1)
    assert net(market) == [2_000_000 - 20_000, -2_000_000, 20_000], "as if all had been read at once"


def test_a_dispute_of_one_micro_keeps_no_payment_for_what_a_correction_takes_away(market: Market) -> None:
    arbitrated(market)
    (trade,) = traded(market, 10_000)
    market.read(export_wh=9_000, quality="estimated")
    market.ok("settlement", "confirm", {"trade": trade}, "bea")
    market.read(export_wh=0, sequence=2)
    market.ok("settlement", "dispute", {"trade": trade, "amount": 1, "reason": "x"}, "sol")
    confirm(market, "sol", "bea")
    decided(market, trade, "seller", 1)
    assert net(market) == [-4_000_000, 0, 4_000_000]


def test_a_trade_with_a_correction_that_changes_nothing_is_disputed() -> None:
    """So little changed that it came to nothing in micro-currency: it was void at once, and the dispute, which prices
    corrections anew, was refused by the validation module."""
    market = Market({"imbalance_price": 7})
    trade = market.take(market.offer(energy_wh=999, price=3, lot_wh=1), 999)
    market.to_end()
    market.read(export_wh=0)
    market.read(export_wh=100, sequence=2)
    assert [made["status"] for made in market.records("settlement/adjustment/")] == ["void"]
    market.ok("settlement", "dispute", {"trade": trade, "amount": 3, "reason": ""}, "sol")
    assert [made["status"] for made in market.records("settlement/adjustment/")] == ["void"]


def test_a_mandate_signs_corrections_of_a_disputed_trade(market: Market) -> None:
    arbitrated(market)
    market.ok("settlement", "set_mandate", {"granted": True}, "sol")
    (trade,) = traded(market, 10_000)
    market.read(export_wh=1_000, quality="estimated")
    market.ok("settlement", "dispute", {"trade": trade, "amount": 1, "reason": "x"}, "bea")
    market.read(export_wh=10_000, sequence=2)
    (made,) = adjustments(market)
    assert (made["seller_confirmed"], made["status"]) == (True, "proposed")


@pytest.mark.parametrize(
    ("metered_wh", "amount", "fee"),
    [(0, -60_000, -600), (200, -20_000, -200), (350, 0, 0), (450, 0, 0), (600, 20_000, 200)],
)
def test_the_disputed_part_is_cut_out_of_a_correction(market: Market, metered_wh: int, amount: int, fee: int) -> None:
    """100,000 were proposed, of which the last 40,000 are disputed: from 60,000 to 100,000 nothing is adjusted."""
    (trade,) = traded(market, 1_000)
    market.read(export_wh=500)
    market.ok("settlement", "dispute", {"trade": trade, "amount": 40_000, "reason": ""}, "bea")
    market.read(export_wh=metered_wh, sequence=2)
    (made,) = adjustments(market)
    assert (made["amount"], made["fee"], made["penalty"]) == (amount, fee, (500 - metered_wh) * 400)


def test_a_void_adjustment_is_not_signed_and_keeps_no_later_one_back(market: Market) -> None:
    market.chain.put("governance/parameter/imbalance_price", {"value": 0})
    (trade,) = traded(market, 1_000)
    market.read(export_wh=500)
    market.ok("settlement", "dispute", {"trade": trade, "amount": 40_000, "reason": ""}, "bea")
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    market.read(export_wh=400, sequence=2)
    market.read(export_wh=600, sequence=3)
    first, second = adjustments(market)
    assert (first["status"], second["status"], second["amount"]) == ("void", "proposed", 20_000)
    assert market.code("settlement", "confirm_adjustments", {"adjustments": [first["id"]]}, "sol", "bea") == "DISPUTED"
    market.ok("settlement", "confirm_adjustments", {"adjustments": [second["id"]]}, "sol", "bea")


def test_silence_on_an_adjustment_is_told_to_both_and_the_arbiter(market: Market) -> None:
    market.chain.user("ada", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "ada"}, "op1", "op2")
    trades = traded(market, 1_000)
    market.read(export_wh=500)
    settle(market, *trades)
    market.read(export_wh=400, sequence=2)
    ran = market.chain.advance(MARKET_PARAMETERS["confirmation_deadline_s"] * 1_000)
    told = [event.data for _, events in ran for event in events if event.name == "adjustment_overdue"]
    (made,) = adjustments(market)
    assert told == [{"adjustment": made["id"], "seller": "sol", "buyer": "bea", "arbiter": "ada"}]
    assert made["status"] == "overdue"
    confirm(market, "sol", "bea")
    assert adjustments(market)[0]["status"] == "settled"


@pytest.mark.parametrize(
    ("names", "who", "code"),
    [
        (["none"], "sol", "NOT_FOUND"), ([1], "sol", "NOT_FOUND"), (["x"] * 51, "sol", "TOO_MANY"),
        (None, "bob", "NOT_PARTY"),
    ],
)  # fmt: skip
def test_bad_confirmations(market: Market, names: list[Any] | None, who: str, code: str) -> None:
    trades = traded(market, 1_000)
    market.read(export_wh=500)
    settle(market, *trades)
    market.read(export_wh=400, sequence=2)
    args = {"adjustments": [adjustments(market)[0]["id"]] if names is None else names}
    assert market.code("settlement", "confirm_adjustments", args, who) == code


def test_the_busiest_meter_is_adjusted_by_one_reading(market: Market) -> None:
    for who in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    traded(market, *[1] * 100)
    market.read(export_wh=100)
    market.read(export_wh=0, sequence=2)
    assert len(adjustments(market)) == 100
    assert {record["status"] for record in adjustments(market)} == {"settled"}


# ---------------------------------------------------------------------------------------------- the arbiter

CONFIRMATION_MS = MARKET_PARAMETERS["confirmation_deadline_s"] * 1_000


@pytest.fixture
def overdue(market: Market) -> Market:
    """The buyer owes 40,000 more for 200 Wh, the seller gets 80,000 of a penalty back, and the time to sign is over."""
    market.chain.user("ada", "arbiter")
    market.chain.user("abe", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "ada"}, "op1", "op2")
    trades = traded(market, 1_000)
    market.read(export_wh=500)
    settle(market, *trades)
    market.read(export_wh=700, sequence=2)
    market.chain.advance(CONFIRMATION_MS)
    return market


def decision(market: Market) -> dict[str, Any]:
    return {"adjustment": adjustments(market)[0]["id"]}


@pytest.mark.parametrize("signed", ["sol", "bea"])
def test_the_arbiter_and_one_party_settle_what_the_other_lets_pass(overdue: Market, signed: str) -> None:
    confirm(overdue, signed)
    assert adjustments(overdue)[0]["status"] == "overdue"
    overdue.ok("settlement", "decide_adjustment", decision(overdue), "ada")
    made = adjustments(overdue)[0]
    assert (made["status"], made["arbiter"]) == ("settled", "ada")
    assert made["seller_confirmed"] + made["buyer_confirmed"] == 1
    assert net(overdue) == [140_000 - 1_400 - 120_000, -140_000, 1_400 + 120_000], "as if 700 had been read at once"
    assert overdue.held("sol") == overdue.held("bea") == 0
    assert overdue.code("settlement", "decide_adjustment", decision(overdue), "ada") == "NOT_OVERDUE"


def test_the_arbiter_decides_neither_alone_nor_early_nor_out_of_office(overdue: Market) -> None:
    def code(signer: str) -> str:
        return overdue.code("settlement", "decide_adjustment", decision(overdue), signer)

    assert code("ada") == "SIGNATURES_LACKING"
    confirm(overdue, "sol")
    assert [code("abe"), code("bea")] == ["NOT_PARTY", "NOT_PARTY"]
    unknown = {"adjustment": "none"}
    assert overdue.code("settlement", "decide_adjustment", unknown, "ada") == "NOT_FOUND"
    overdue.read(export_wh=800, sequence=3)
    second = {"adjustment": adjustments(overdue)[1]["id"]}
    assert overdue.code("settlement", "decide_adjustment", second, "ada") == "NOT_OVERDUE"
    overdue.chain.advance(CONFIRMATION_MS)
    assert overdue.code("settlement", "decide_adjustment", second, "ada") == "EARLIER_OPEN"
    overdue.ok("registry", "set_arbiter", {"user": "abe"}, "op1", "op2")
    assert [code("ada"), code("abe")] == ["NOT_PARTY", "OK"]


def test_whom_a_decision_costs_more_than_it_has_is_not_brought_into_debt(overdue: Market) -> None:
    overdue.ok("credit", "withdraw", {"account": "bea", "amount": overdue.account("bea")[0]}, "op1", "op2")
    confirm(overdue, "sol")
    assert overdue.code("settlement", "decide_adjustment", decision(overdue), "ada") == "INSUFFICIENT_FUNDS"


# ------------------------------------------------------------------------------------------- late readings


@pytest.mark.parametrize("signs", [True, False])
def test_what_a_late_reading_finds_is_paid_from_what_the_buyer_held(market: Market, signs: bool) -> None:
    """Regression: the buyer's hold was freed at the metering deadline, and the money gone when the reading came."""
    arbitrated(market)
    (trade,) = traded(market, 1_000)
    market.to(market.chain.time_ms + 7_300_000)
    assert (market.trade(trade)["amount"], market.held("bea")) == (0, 200_000)
    market.ok("credit", "transfer", {"account": "bea", "to": "bob", "amount": market.account("bea")[0]}, "bea")
    market.read("sol", 1_000)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    assert (market.account("bea"), market.account("sol")) == ((0, 200_000), (DEPOSIT - 400_000, 0))
    (name,) = [record["id"] for record in adjustments(market)]
    market.ok("settlement", "confirm_adjustments", {"adjustments": [name]}, *(["sol", "bea"] if signs else ["sol"]))
    if not signs:
        market.to(market.chain.time_ms + 90_000_000)
        market.ok("settlement", "decide_adjustment", {"adjustment": name}, "ada")
    assert (market.account("bea"), market.account("sol")[0]) == ((0, 0), DEPOSIT + 200_000 - 2_000)


def test_where_no_reading_comes_the_buyer_has_all_back_once_both_have_signed(market: Market) -> None:
    (trade,) = traded(market, 1_000)
    market.to(market.chain.time_ms + 7_300_000)
    market.ok("settlement", "confirm", {"trade": trade}, "bea")
    assert market.held("bea") == 200_000
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    assert (market.account("bea"), market.held("sol")) == ((DEPOSIT, 0), 0)
    market.read("sol", 1_000)
    assert [record["status"] for record in adjustments(market)] == ["proposed"]
    assert market.held("bea") == 0, "both had signed that nothing was delivered"


def test_what_a_correction_adds_before_the_settlement_is_paid_from_the_hold_too(market: Market) -> None:
    """Regression: only what the first late reading found stayed held."""
    (trade,) = traded(market, 1_000)
    market.to(market.chain.time_ms + 7_300_000)
    market.read("sol", 500)
    market.read("sol", 1_000, sequence=2)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    market.ok("credit", "transfer", {"account": "bea", "to": "bob", "amount": market.account("bea")[0]}, "bea")
    assert market.account("bea") == (0, 200_000)
    names = [record["id"] for record in adjustments(market)]
    market.ok("settlement", "confirm_adjustments", {"adjustments": names}, "sol", "bea")
    assert (market.account("bea"), market.account("sol")[0]) == ((0, 0), DEPOSIT + 200_000 - 2_000)
