"""Whose signatures settle a trade: both parties' own, a mandate given beforehand, or k of m keys of a company."""

from __future__ import annotations

import pytest
from contract_market import DEPOSIT, PRICE, Market

from contracts.parameters import MARKET_PARAMETERS

AMOUNT = 1_000 * PRICE // 1_000


def mandate(market: Market, *who: str, granted: bool = True) -> None:
    for name in who:
        market.ok("settlement", "set_mandate", {"granted": granted}, name)


def trade(market: Market, metered_wh: int | None = 1_000) -> str:
    made = market.take(market.offer(), 1_000)
    market.to_end()
    if metered_wh is not None:
        market.read(export_wh=metered_wh)
    return made


def company(market: Market, threshold: int = 2) -> None:
    """Bea's account signs by k of three keys, her own among them."""
    for name in ("ann", "ben"):
        market.chain.user(name, "buyer")
    args = {"account": "bea", "keys": ["bea", "ann", "ben"], "threshold": threshold}
    market.ok("credit", "set_policy", args, "bea", "ann", "ben")


def test_two_mandates_settle_at_once_on_a_signed_reading(market: Market) -> None:
    mandate(market, "sol", "bea")
    made = trade(market, 900)
    assert market.trade(made)["status"] == "settled"
    assert market.account("bea") == (DEPOSIT - 180_000, 0)
    assert market.account("sol") == (DEPOSIT + 180_000 - 1_800 - 40_000, 0)
    assert {code for code, _ in market.chain.advance(10 * 86_400_000)} <= {"OK"}
    assert market.trade(made)["status"] == "settled"


@pytest.mark.parametrize(("mandated", "other"), [("sol", "bea"), ("bea", "sol")])
def test_one_mandate_waits_for_the_others_signature(market: Market, mandated: str, other: str) -> None:
    mandate(market, mandated)
    made = trade(market)
    assert market.trade(made)["status"] == "proposed"
    market.ok("settlement", "confirm", {"trade": made}, other)
    assert market.trade(made)["status"] == "settled"


def test_a_mandate_holds_for_trades_made_after_it(market: Market) -> None:
    first = market.take(market.offer(), 500)
    mandate(market, "sol", "bea")
    second = market.take(market.offer(), 400)
    mandate(market, "sol", "bea", granted=False)
    third = market.take(market.offer(), 300)
    market.to_end()
    market.read(export_wh=10_000)
    assert [market.trade(made)["status"] for made in (first, second, third)] == ["proposed", "settled", "proposed"]


def test_a_mandate_does_not_sign_what_no_reading_says(market: Market) -> None:
    mandate(market, "sol", "bea")
    made = trade(market, None)
    market.chain.advance(MARKET_PARAMETERS["metering_deadline_s"] * 1_000)
    assert market.trade(made)["status"] == "proposed"
    assert market.account("balancing") == (0, 0)


def test_a_companys_account_settles_by_k_of_its_keys(market: Market) -> None:
    company(market)
    made = trade(market)
    market.ok("settlement", "confirm", {"trade": made}, "sol")
    for _ in range(2):  # the same key twice counts once
        market.ok("settlement", "confirm", {"trade": made}, "bea")
        assert market.trade(made)["status"] == "proposed"
    market.ok("settlement", "confirm", {"trade": made}, "ben")
    assert market.trade(made)["status"] == "settled"


def test_one_envelope_may_carry_all_of_a_companys_signatures(market: Market) -> None:
    company(market)
    made = trade(market)
    market.ok("settlement", "confirm", {"trade": made}, "ann", "ben", "sol")
    assert market.trade(made)["status"] == "settled"


def test_a_policy_holds_for_trades_made_after_it(market: Market) -> None:
    listing = market.offer()
    before = market.take(listing, 500)
    company(market)
    after = market.take(listing, 500)
    market.to_end()
    market.read(export_wh=1_000)
    market.ok("settlement", "confirm_many", {"trades": [before, after]}, "bea", "sol")
    assert [market.trade(made)["status"] for made in (before, after)] == ["settled", "proposed"]
    assert market.code("settlement", "confirm", {"trade": before}, "ann") == "OK", "what is settled stays settled,"
    assert market.trade(before)["buyer_policy"] is None


def test_a_stranger_to_the_policy_is_no_party(market: Market) -> None:
    company(market)
    made = trade(market)
    assert market.code("settlement", "confirm", {"trade": made}, "bob") == "NOT_PARTY"


def test_a_companys_mandate_takes_its_policys_signatures(market: Market) -> None:
    company(market)
    assert market.code("settlement", "set_mandate", {"granted": True}, "bea") == "SIGNATURES_LACKING"
    market.ok("settlement", "set_mandate", {"granted": True}, "bea", "ann")
    mandate(market, "sol")
    assert market.trade(trade(market))["status"] == "settled"


@pytest.mark.parametrize(
    ("keys", "threshold", "signers", "code"),
    [
        (["bea", "ann"], 2, ("bea",), "SIGNATURES_LACKING"), (["bea", "ann"], 1, ("ann",), "SIGNATURES_LACKING"),
        (["bea", "bea"], 2, ("bea",), "POLICY_INVALID"), (["bea"], 0, ("bea",), "POLICY_INVALID"),
        (["bea"], 2, ("bea",), "POLICY_INVALID"), ([], 1, ("bea",), "POLICY_INVALID"),
        ([1], 1, ("bea",), "POLICY_INVALID"),
        (["bea", "nobody"], 1, ("bea",), "NOT_REGISTERED"), (["bea", "gate"], 1, ("bea",), "ROLE_REQUIRED"),
        (["bea", "eve"], 1, ("bea",), "POLICY_INVALID"), (["bea"] * 17, 1, ("bea",), "POLICY_INVALID"),
        ([], 0, ("sol",), "SIGNATURES_LACKING"), (["bea", "ann"], 1, ("bea",), "SIGNATURES_LACKING"),
        (["bea", "ann", "bob"], 2, ("bea", "ann"), "SIGNATURES_LACKING"),
    ],
)  # fmt: skip
def test_bad_policies(market: Market, keys: list[object], threshold: int, signers: tuple[str, ...], code: str) -> None:
    market.chain.user("ann", "buyer")
    market.chain.user("eve", "buyer", "another organisation")
    args = {"account": "bea", "keys": keys, "threshold": threshold}
    assert market.code("credit", "set_policy", args, *signers) == code


def test_a_policy_is_changed_by_the_keys_in_force_and_the_new_ones(market: Market) -> None:
    company(market)
    alone = {"account": "bea", "keys": [], "threshold": 0}
    assert market.code("credit", "set_policy", alone, "bea") == "SIGNATURES_LACKING"
    assert market.code("credit", "set_policy", alone, "ann", "ben") == "SIGNATURES_LACKING", "bea would sign alone"
    ann = {"account": "bea", "keys": ["ann"], "threshold": 1}
    market.ok("credit", "set_policy", ann, "ann", "ben")
    assert market.code("credit", "set_policy", alone, "bea", "ben") == "SIGNATURES_LACKING"
    market.ok("credit", "set_policy", alone, "bea", "ann")
    assert market.chain.view("credit", "get_policy", {"account": "bea"}).value == {"keys": ["bea"], "threshold": 1}


def test_nobody_is_kept_from_trading_by_a_policy_that_names_them_unasked(market: Market) -> None:
    """Who signs for an account never trades with it: naming a rival's key kept the rival from one's offers."""
    market.chain.user("ann", "buyer")
    both = {"account": "sun", "keys": ["sun", "bea", "ann"], "threshold": 1}
    assert market.code("credit", "set_policy", both, "sun", "ann") == "SIGNATURES_LACKING"
    market.ok("credit", "set_policy", both, "sun", "ann", "bea")
    market.ok("credit", "set_policy", {**both, "threshold": 2}, "sun", "ann")


# -------------------------------------------------------------------------- what a policy guards before a trade


def spending(market: Market) -> list[tuple[str, str, dict[str, object]]]:
    """All that holds money of a buyer's account."""
    terms = {"side": "bid", "meter": "m-bea", "interval": market.interval, "energy_wh": 100, "price": PRICE}
    offer = market.ok("offers", "propose", {**terms, "to": "bea", "side": "ask", "meter": "m-sol"}, "sol")
    return [
        ("market", "place_order", {**terms, "execution": "limit"}),
        ("market", "take_listing", market.taking_args(market.offer(), 100)),
        ("offers", "accept", market.accepting_args(offer, "bea")),
        ("offers", "propose", {**terms, "to": "sol"}),
    ]


def test_a_policy_guards_buying(market: Market) -> None:
    """One of three keys spent, by bidding, what three had to sign to pay."""
    calls = spending(market)
    company(market)
    for contract, function, args in calls:
        assert market.code(contract, function, args, "bea") == "SIGNATURES_LACKING"
        assert market.code(contract, function, args, "ann", "ben") not in ("OK", "SIGNATURES_LACKING"), "its owner acts"
        market.ok(contract, function, args, "bea", "ann")


def test_a_policy_guards_amending_and_not_cancelling(market: Market) -> None:
    company(market)
    order = market.ok("market", "place_order", market.order_args("bid", "bea", 100, PRICE), "bea", "ann")["order"]
    amended = {"order": order, "energy_wh": 200, "price": PRICE}
    assert market.code("market", "amend_order", amended, "bea") == "SIGNATURES_LACKING"
    market.ok("market", "cancel_order", {"order": order}, "bea")


def test_a_policy_guards_an_agreement_and_a_sellers_collateral(market: Market) -> None:
    company(market)
    meters = {"seller_meter": "m-sol", "buyer_meter": "m-bea"}
    terms = {**meters, "interval": market.interval, "energy_wh": 1, "price": PRICE, "price_max": PRICE}
    assert market.code("offers", "agree", terms, "sol", "bea") == "SIGNATURES_LACKING"
    market.ok("offers", "agree", terms, "sol", "bea", "ben")
    policy = {"account": "sun", "keys": ["sun", "ann"], "threshold": 2}
    market.ok("credit", "set_policy", policy, "sun", "ann")
    assert market.code("market", "post_listing", market.listing_args("sun"), "sun") == "SIGNATURES_LACKING"
    market.ok("market", "post_listing", market.listing_args("sun"), "sun", "ann")


def signed_for(market: Market, keys: list[str], threshold: int) -> None:
    for name in ("ann", "ben"):
        market.chain.user(name, "buyer")
    args = {"account": "sun", "keys": keys, "threshold": threshold}
    market.ok("credit", "set_policy", args, *dict.fromkeys(["sun", *keys]))


@pytest.mark.parametrize(
    ("keys", "threshold", "is_own"),
    [
        (["bea"], 1, True), (["sun", "bea"], 1, True), (["sun", "bea"], 2, True), (["sun", "ann"], 1, False),
        (["sun", "ann", "ben"], 2, False),
    ],
)  # fmt: skip
def test_nobody_trades_with_an_account_that_they_sign_for(
    market: Market, keys: list[str], threshold: int, is_own: bool
) -> None:
    """Self-trade asked for the accounts' names alone, and a policy lends a key to another account."""
    signed_for(market, keys, threshold)
    selling = market.signers("sun")
    market.ok("market", "place_order", market.order_args("ask", "sun", 100, PRICE), *selling)
    listing = market.ok("market", "post_listing", market.listing_args("sun"), *selling)
    offer = {"to": "bea", **{n: v for n, v in market.order_args("ask", "sun", 100, PRICE).items() if n != "execution"}}
    offered = market.ok("offers", "propose", offer, *selling)
    wanted = "SELF_TRADE" if is_own else "OK"
    assert market.code("market", "place_order", market.order_args("bid", "bea", 100, PRICE), "bea") == wanted
    assert market.code("market", "take_listing", market.taking_args(listing, 100), "bea") == wanted
    assert market.code("offers", "accept", market.accepting_args(offered, "bea"), "bea") == wanted


def test_two_accounts_that_share_one_of_several_keys_trade(market: Market) -> None:
    company(market)
    market.ok("credit", "set_policy", {"account": "sun", "keys": ["sun", "ann"], "threshold": 2}, "sun", "ann")
    listing = market.ok("market", "post_listing", market.listing_args("sun"), "sun", "ann")
    market.take(listing, 100)
    market.ok("credit", "set_policy", {"account": "sun", "keys": ["ann", "ben"], "threshold": 2}, "sun", "ann", "ben")
    assert market.code("market", "take_listing", market.taking_args(listing, 100), "bea", "ann") == "SELF_TRADE"


def test_a_mandate_ends_with_who_gave_it(market: Market) -> None:
    """Regression: the keys that sign for an account now would have been bound by one that signs for it no more."""
    mandate(market, "sol", "bea")
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bob"], "threshold": 1}, "bea", "bob")
    made = trade(market)
    assert (market.trade(made)["status"], market.trade(made)["buyer_mandate"]) == ("proposed", False)


def test_a_mandate_of_the_block_that_changes_who_signs_binds_nobody(market: Market) -> None:
    """Regression: one given after the change was granted, and no trade found it."""
    mandate(market, "bea")
    market.chain.height -= 1  # the same block
    company(market)
    before = market.take(market.offer(), 100, "bea")
    assert not market.trade(before)["buyer_mandate"]
    market.chain.height = market.get("credit/policy/bea")["height"] - 1
    assert market.code("settlement", "set_mandate", {"granted": True}, "bea", "ann") == "CHANGE_PENDING"
    market.ok("settlement", "set_mandate", {"granted": True}, "bea", "ann")
    assert market.trade(market.take(market.offer(), 100))["buyer_mandate"]


def test_a_dispute_is_signed_by_as_many_as_it_takes_at_once(market: Market) -> None:
    """Regression: a signature to pay it all was counted for a dispute of it all."""
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "bob"], "threshold": 2}, "bea", "bob")
    made = trade(market)
    market.ok("settlement", "confirm", {"trade": made}, "bob")
    args = {"trade": made, "amount": 7, "reason": ""}
    assert market.code("settlement", "dispute", args, "bea") == "SIGNATURES_LACKING"
    market.ok("settlement", "dispute", args, "bea", "bob")
