"""What a contract asks before it writes, the validation module asks again: a machine that ran on a state of its own, or
ran another call than was signed, gets nothing through."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from auctions import PRODUCT, AuctionMarket, Order
from contract_market import CAPACITY_W, INTERVAL_MS, PRICE, Market
from forgery import Outcome
from governed import ROOT_DER, START_MS, certificate
from lies import OtherState, verdict
from signed_calls import CASES

from ca.keys import SigningKey
from contracts.rules.auctions import BEGUN
from contracts.validation import Violation
from ledger.values import decode_value, encode_value

USER, METER = "registry/user/", "registry/meter/"


@pytest.fixture
def market() -> Market:
    market = Market()
    market.chain.user("arb", "arbiter")
    market.chain.user("ann", "prosumer")
    market.ok("registry", "set_arbiter", {"user": "arb"}, "op1", "op2")
    return market


# --------------------------------------------------------------------------------------------------- orders


@pytest.mark.parametrize(
    ("signed", "ran", "asked_wh"), [("ioc", "limit", 0), ("fok", "limit", 10), ("fok", "ioc", 10), ("limit", "ioc", 0)]
)
def test_an_order_is_executed_as_it_was_signed(market: Market, signed: str, ran: str, asked_wh: int) -> None:
    if asked_wh:
        market.order("ask", "sol", asked_wh, PRICE)
    args = market.order_args("bid", "bea", 1_000, PRICE, signed)
    call = ("market", "place_order", {**args, "execution": ran})
    assert verdict(market, call, ("bea",), said=("place_order", args)) == Violation.STANDING


@pytest.mark.parametrize("bid_wh", [100, 60])
def test_a_bid_is_filled_by_the_best_ask_of_a_zone(market: Market, bid_wh: int) -> None:
    market.order("ask", "sol", 100, PRICE)
    worse, _ = market.order("ask", "sun", 100, PRICE + 99)
    top = f"market/top/ask/{market.interval:010d}/"

    def pass_over(state: OtherState) -> None:
        state.put(top, {"z": f"{PRICE + 99:010d}/{worse}"})

    def hide(writes: dict[str, bytes | None]) -> None:
        writes.pop(top, None)

    call = ("market", "place_order", market.order_args("bid", "bea", bid_wh, PRICE + 99))
    assert verdict(market, call, ("bea",), pass_over, forge=hide) is not None


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("wh", [100, 150, 200])
def test_an_order_meets_the_best_zone_first(market: Market, side: str, wh: int) -> None:
    """All of one in the worse zone, a part of the better one besides, or both in the wrong order."""
    other, who, coming = ("ask", ("sol", "sun"), "bea") if side == "bid" else ("bid", ("bea", "bob"), "sun")
    better, worse = (PRICE, PRICE + 99) if side == "bid" else (PRICE + 99, PRICE)
    market.bind(f"m-{who[1]}", who[1], zone="y")
    market.order(other, who[0], 100, better)
    market.order(other, who[1], 100, worse)
    args = market.order_args(side, coming, wh, PRICE + 99 if side == "bid" else PRICE)
    assert verdict(market, ("market", "place_order", args), (coming,)) is None
    last = ("rank < lowest or", "rank > lowest or")
    assert verdict(market, ("market", "place_order", args), (coming,), lambda s: s.edit("market", *last)) is not None


def test_a_listing_is_taken_in_whole_lots(market: Market) -> None:
    listing = market.offer(energy_wh=1_000, lot_wh=1_000)
    key = f"market/listing/{listing}"

    def forge(writes: dict[str, bytes | None]) -> None:
        for name in list(writes):
            value = decode_value(writes[name] or b"\xc0")
            if name == key:
                writes[name] = encode_value({**value, "lot_wh": 1_000})
            elif name.startswith("market/offer/") and value is not None:
                writes[name] = encode_value([*value[:2], 1_000, value[3]])

    call = ("market", "take_listing", market.taking_args(listing, 1))
    found = verdict(market, call, ("bea",), lambda state: state.change(key, lot_wh=1), forge=forge)
    assert found == Violation.STANDING


@pytest.mark.parametrize("function", ["place_order", "post_listing", "take_listing"])
def test_what_is_offered_or_taken_is_a_multiple_of_the_least_energy(market: Market, function: str) -> None:
    listing = market.offer(energy_wh=1_000, lot_wh=1)
    market.ok("governance", "set_parameter", {"name": "order_wh_min", "value": 100}, "op1", "op2")
    args: dict[str, Any] = {
        "place_order": market.order_args("ask", "sol", 1, PRICE), "post_listing": market.listing_args(energy_wh=150),
        "take_listing": market.taking_args(listing, 1),
    }[function]  # fmt: skip
    signer = "bea" if function == "take_listing" else "sol"
    call = ("market", function, args)
    found = verdict(market, call, (signer,), lambda state: state.change("governance/parameter/order_wh_min", value=1))
    assert found == Violation.STANDING


# --------------------------------------------------------------------------------------------------- prices


def test_a_taking_above_the_price_that_was_signed_is_refused(market: Market) -> None:
    """What stands costs what it costs; whoever would not pay that gets no trade."""
    args = market.taking_args(market.offer(), 300)
    call = ("market", "take_listing", args)
    assert verdict(market, call, ("bea",)) is None
    call = ("market", "take_listing", {**args, "price_max": args["price_max"] - 1})
    found = verdict(market, call, ("bea",), lambda state: state.edit("market", "price <= price_max", "price > 0"))
    assert found == Violation.SIGNATURES


@pytest.mark.parametrize(
    ("side", "asked", "dropped"), [("ask", -1, "price <= price_limit"), ("bid", 1, "price - fee >= price_limit")]
)
def test_an_acceptance_at_a_worse_price_than_was_signed_is_refused(
    market: Market, side: str, asked: int, dropped: str
) -> None:
    who, to = ("sol", "bea") if side == "ask" else ("bea", "sol")
    terms = {"side": side, "meter": f"m-{who}", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    args = market.accepting_args(market.ok("offers", "propose", {"to": to, **terms}, who), to)
    assert verdict(market, ("offers", "accept", args), (to,)) is None
    call = ("offers", "accept", {**args, "price_limit": args["price_limit"] + asked})
    found = verdict(market, call, (to,), lambda state: state.edit("offers", dropped, "price > 0"))
    assert found == Violation.SIGNATURES


def test_an_agreement_above_the_price_that_was_signed_is_refused(market: Market) -> None:
    terms = {"interval": market.interval, "energy_wh": 9, "price": PRICE, "price_max": PRICE - 1}
    call = ("offers", "agree", {"seller_meter": "m-sol", "buyer_meter": "m-bea", **terms})
    dropped = ("price <= price_limit", "price > 0")
    found = verdict(market, call, ("sol", "bea"), lambda state: state.edit("offers", *dropped))
    assert found == Violation.SIGNATURES


# ------------------------------------------------------------------------------------------------- standing


@pytest.mark.parametrize("who", ["owner", "meter"])
@pytest.mark.parametrize("function", ["take_listing", "place_order", "accept"])
def test_nothing_is_traded_with_who_or_what_is_suspended(market: Market, function: str, who: str) -> None:
    listing = market.offer(energy_wh=1_000, lot_wh=1)
    market.order("ask", "sol", 10, PRICE)
    offer = {"to": "bea", "side": "ask", "meter": "m-sol", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    offered = market.ok("offers", "propose", offer, "sol")
    if who == "owner":
        market.ok("registry", "suspend", {"user": "sol", "reason": "x"}, "op1")
        key = USER + "sol"
    else:
        market.ok("registry", "suspend_meter", {"meter": "m-sol", "reason": "x"}, "op1")
        key = METER + "m-sol"
    call: tuple[str, str, dict[str, Any]] = {
        "take_listing": ("market", function, market.taking_args(listing, 10)),
        "place_order": ("market", function, market.order_args("bid", "bea", 10, PRICE)),
        "accept": ("offers", function, market.accepting_args(offered, "bea")),
    }[function]
    assert verdict(market, call, ("bea",), lambda state: state.change(key, suspended=False)) == Violation.STANDING


@pytest.mark.parametrize(
    ("who", "side"), [("bea", "ask"), ("sol", "bid")]
)  # fmt: skip
def test_who_offers_may_act_on_that_side(market: Market, who: str, side: str) -> None:
    call = ("market", "place_order", market.order_args(side, who, 10, PRICE))
    assert verdict(market, call, (who,), lambda state: state.change(USER + who, role="prosumer")) == Violation.STANDING


def test_whom_an_offer_names_may_accept_it(market: Market) -> None:
    offer = {"to": "sol", "side": "ask", "meter": "m-sun", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    found = verdict(
        market, ("offers", "propose", offer), ("sun",), lambda state: state.change(USER + "sol", role="buyer")
    )
    assert found == Violation.STANDING


def nobody(state: OtherState) -> None:
    state.put(USER + "nobody", {**state.get(USER + "ann"), "signer": "nobody"})


@pytest.mark.parametrize(
    ("function", "args", "signers"),
    [
        ("transfer", {"account": "bea", "to": "nobody", "amount": 10**8}, ("bea",)),
        ("deposit", {"account": "nobody", "amount": 10**8}, ("op1", "op2")),
        ("set_policy", {"account": "bea", "keys": ["bea", "nobody"], "threshold": 1}, ("bea", "nobody")),
    ],
)
def test_money_and_a_say_over_it_go_to_who_may_act(
    market: Market, function: str, args: dict[str, Any], signers: tuple[str, ...]
) -> None:
    assert verdict(market, ("credit", function, args), signers, nobody) == Violation.STANDING


def test_a_policys_keys_are_traders_of_the_accounts_organisation(market: Market) -> None:
    args = {"account": "bea", "keys": ["bea", "gate"], "threshold": 1}
    call = ("credit", "set_policy", args)
    assert (
        verdict(market, call, ("bea", "gate"), lambda state: state.change(USER + "gate", role="buyer"))
        == Violation.STANDING
    )
    market.chain.user("far", "buyer", organisation="elsewhere")
    call = ("credit", "set_policy", {**args, "keys": ["bea", "far"]})
    there = market.get(USER + "bea")["organisation"]
    assert (
        verdict(market, call, ("bea", "far"), lambda state: state.change(USER + "far", organisation=there))
        == Violation.STANDING
    )


def test_a_suspended_account_is_emptied_by_nobody(market: Market) -> None:
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "ann"], "threshold": 1}, "bea", "ann")
    market.ok("registry", "suspend", {"user": "bea", "reason": "fraud"}, "op1")
    call = ("credit", "transfer", {"account": "bea", "to": "ann", "amount": 10**9})
    found = verdict(market, call, ("ann",), lambda state: state.change(USER + "bea", suspended=False))
    assert found == Violation.STANDING


def test_nothing_is_taken_after_the_gate_has_closed(market: Market) -> None:
    listing = market.offer(energy_wh=1_000, lot_wh=1)
    market.ok("governance", "set_parameter", {"name": "gate_closure_s", "value": 86_400}, "op1", "op2")
    call = ("market", "take_listing", market.taking_args(listing, 10))
    found = verdict(market, call, ("bea",), lambda state: state.change("governance/parameter/gate_closure_s", value=0))
    assert found == Violation.STANDING


# --------------------------------------------------------------------------------- certificates and readings


def certified(market: Market) -> str:
    market.to_end()
    market.read("sol", 1_000)
    market.ok("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")
    return f"m-sol/{market.interval:010d}/00"


def test_a_certificate_goes_to_who_may_have_one(market: Market) -> None:
    args = {"certificate_id": certified(market), "to": "nobody", "energy_wh": 1_000}
    assert verdict(market, ("origin", "transfer", args), ("sol",), nobody) == Violation.STANDING


def test_what_is_claimed_is_cut_after_what_is_active(market: Market) -> None:
    first = certified(market)
    second = first[:-1] + "1"
    market.ok("origin", "transfer", {"certificate_id": first, "to": "bea", "energy_wh": 300}, "sol")
    market.ok("origin", "claim", {"certificate_id": second, "energy_wh": 300, "purpose": "p"}, "bea")

    def forge(writes: dict[str, bytes | None]) -> None:
        claimed = market.get(f"origin/certificate/{second}")
        writes[f"origin/certificate/{second}"] = encode_value({**claimed, "energy_wh": 0, "status": "cut"})
        del writes[f"origin/certificate/{first}"]

    call = ("settlement", "submit_readings", {"readings": [market.reading("sol", 700, 2)]})
    assert verdict(market, call, ("gate",)) is None
    assert verdict(market, call, ("gate",), forge=forge) == Violation.CERTIFICATE


def test_a_reading_that_cannot_be_used_proposes_nothing(market: Market) -> None:
    market.take(market.offer(energy_wh=1_000, lot_wh=1), 500)
    market.to_end()
    key = f"settlement/reading/m-sol/{market.interval:010d}"

    def forge(writes: dict[str, bytes | None]) -> None:
        writes[key] = encode_value({**decode_value(writes[key] or b""), "quality": "stale"})

    stale = {"readings": [market.reading("sol", 0, quality="stale")]}
    call = ("settlement", "submit_readings", {"readings": [market.reading("sol", 0)]})
    found = verdict(market, call, ("gate",), said=("submit_readings", stale), forge=forge)
    assert found == Violation.DELIVERY


def test_a_reading_is_of_an_interval_that_is_over(market: Market) -> None:
    market.take(market.offer(energy_wh=1_000, lot_wh=1), 500)
    call = ("settlement", "submit_readings", {"readings": [market.reading("sol", 0)]})
    edit = ("settlement", '<= block_time(), "INTERVAL_NOT_OVER"', '>= 0, "INTERVAL_NOT_OVER"')
    assert verdict(market, call, ("gate",), lambda state: state.edit(*edit)) == Violation.READING


def test_a_reading_is_corrected_nine_times(market: Market) -> None:
    market.to_end()
    for number in range(1, 11):
        market.read("sol", number, number)
    call = ("settlement", "submit_readings", {"readings": [market.reading("sol", 99, 11)]})
    edit = ("settlement", "CORRECTIONS_MAX = 9", "CORRECTIONS_MAX = 90")
    assert verdict(market, call, ("gate",), lambda state: state.edit(*edit)) == Violation.READING


def test_a_disputes_arbiter_is_replaced_only_if_that_one_may_not_act(market: Market) -> None:
    market.chain.user("arc", "arbiter")
    trade = market.take(market.offer(energy_wh=1_000, lot_wh=1), 500)
    market.to_end()
    market.read("sol", 500)
    dispute = market.ok("settlement", "dispute", {"trade": trade, "amount": 1_000, "reason": ""}, "bea")
    market.ok("registry", "set_arbiter", {"user": "arc"}, "op1", "op2")
    args = {"dispute_id": dispute, "paid": 0}
    market.ok("settlement", "resolve", args, "bea")
    call = ("settlement", "resolve", args)
    assert (
        verdict(market, call, ("arc",), lambda state: state.change(USER + "arb", suspended=True)) == Violation.DISPUTE
    )


# -------------------------------------------------------------------------------------------- what is decided

RANGE = 'require(0 <= value and value <= most, "PARAMETER_INVALID"'
FEE = 'require(0 <= fee and fee <= PRICE_MAX, "FEE_INVALID", "A grid'
SOON = "require(fee >= before or from_ms >= soonest,"
PENDING = 'require(known["from_ms"] <= block_time(), "CHANGE_PENDING"'


@pytest.mark.parametrize(("name", "value"), [("fee_permille", 5_000), ("imbalance_price", -1), ("reveal_s", 10**9)])
def test_parameters_stay_in_their_bounds(market: Market, name: str, value: int) -> None:
    call = ("governance", "set_parameter", {"name": name, "value": value})
    edit = ("governance", RANGE, 'require(value == value, "PARAMETER_INVALID"')
    assert verdict(market, call, ("op1", "op2"), lambda state: state.edit(*edit)) == Violation.SIGNATURES


@pytest.mark.parametrize(("fee", "from_ms"), [(0, 0), (-5, 0), (10**10, 10**15), (2_000, -1)])
def test_a_grid_fee_falls_where_nothing_is_traded_yet(market: Market, fee: int, from_ms: int) -> None:
    args = {"from_zone": "z", "to_zone": "z", "fee": 1_000, "from_ms": 0}
    market.ok("governance", "set_grid_fee", args, "op1", "op2")

    def twist(state: OtherState) -> None:
        for line in (FEE, SOON, PENDING, 'require(0 <= from_ms and from_ms <= OTHER_MAX, "FEE_INVALID"'):
            condition, comma, code = line.removeprefix("require(").partition(",")
            state.edit("governance", line, f"require({condition} or True{comma}{code}")

    call = ("governance", "set_grid_fee", {**args, "fee": fee, "from_ms": from_ms})
    assert verdict(market, call, ("op1", "op2"), twist) == Violation.SIGNATURES


# ----------------------------------------------------------------------------------------------------- people


@pytest.fixture
def registry() -> Market:
    market = Market()
    market.chain.time_ms = START_MS + 10**6
    root = {"certificate": base64.b64encode(ROOT_DER).decode()}
    market.chain.put("governance/root/" + hashlib.sha256(ROOT_DER).hexdigest(), root)
    return market


KEY = SigningKey.from_seed(b"newcomer")


def registration(serial: int, role: str = "buyer") -> dict[str, str]:
    return {"certificate_der": base64.b64encode(certificate(KEY, "n", "north", role, serial)).decode()}


def test_a_stranger_does_not_register_where_operators_admit(registry: Market) -> None:
    registry.chain.put("governance/parameter/members_only", {"value": 1})
    call = ("registry", "register", registration(0x99))
    found = verdict(
        registry, call, (KEY.signer,), lambda state: state.change("governance/parameter/members_only", value=0)
    )
    assert found == Violation.SIGNATURES


@pytest.mark.parametrize(("function", "signer"), [("register", KEY.signer), ("admit", "op1")])
def test_a_revoked_key_enters_by_the_consent_of_those_who_govern(registry: Market, function: str, signer: str) -> None:
    registry.ok("registry", "register", registration(0x99), KEY.signer)
    registry.ok("governance", "revoke", {"serial": "99", "reason": "x"}, "op1", "op2")
    call = ("registry", function, registration(0x9A))
    assert (
        verdict(registry, call, (signer,), lambda state: state.put("governance/revoked/99", None))
        == Violation.SIGNATURES
    )
    assert verdict(registry, ("registry", "admit", registration(0x9A)), ("op1", "op2")) is None


@pytest.mark.parametrize("condition", [{"organisations": ["south"]}, {"roles": ["seller"]}])
def test_who_is_not_admitted_does_not_register(registry: Market, condition: dict[str, Any]) -> None:
    rule = {"organisations": [], "roles": [], "zones": [], "capacity_max_w": 10, **condition}
    registry.ok("registry", "set_admission", rule, "op1", "op2")
    call = ("registry", "register", registration(0x99))
    assert (
        verdict(registry, call, (KEY.signer,), lambda state: state.put("registry/admission", None))
        == Violation.SIGNATURES
    )


@pytest.mark.parametrize("terms", [{"capacity_w": 10**9}, {"zone": "y"}])
def test_a_meter_is_bound_on_the_conditions_of_admission(market: Market, terms: dict[str, Any]) -> None:
    rule = {"organisations": [], "roles": [], "zones": ["z"], "capacity_max_w": 10}
    market.ok("registry", "set_admission", rule, "op1", "op2")
    bound = {"meter": "x", "owner": "bea", "zone": "z", "capacity_w": 10, "gateway": "gate", **terms}
    call = ("registry", "bind_meter", bound)
    assert verdict(market, call, ("op1",), lambda state: state.put("registry/admission", None)) == Violation.SIGNATURES


@pytest.mark.parametrize(("name", "role"), [("owner", "buyer"), ("gateway", "gateway")])
def test_a_meters_owner_and_gateway_are_what_they_are_named(market: Market, name: str, role: str) -> None:
    bound = {"meter": "x", "owner": "bea", "zone": "z", "capacity_w": 10, "gateway": "gate", name: "arb"}
    call = ("registry", "bind_meter", bound)
    assert verdict(market, call, ("op1",), lambda state: state.change(USER + "arb", role=role)) == Violation.STANDING


def test_the_arbiter_is_one(market: Market) -> None:
    call = ("registry", "set_arbiter", {"user": "bea"})
    found = verdict(market, call, ("op1", "op2"), lambda state: state.change(USER + "bea", role="arbiter"))
    assert found == Violation.STANDING


# --------------------------------------------------------------------------------------------------- auctions

RUN = "auction/run/"


def sealing() -> tuple[AuctionMarket, tuple[str, str, dict[str, Any]], tuple[str, ...]]:
    market, contract, function, args, signers = CASES["seal_order"]()
    assert isinstance(market, AuctionMarket)
    return market, (contract, function, args), signers


@pytest.mark.parametrize("tier", [0, 1, 10**9])
def test_a_sealed_order_holds_the_tier_in_force(tier: int) -> None:
    market, call, signers = sealing()
    found = verdict(market, call, signers, lambda state: state.change("governance/parameter/sealed_tier", value=tier))
    assert found == Violation.AUCTION


@pytest.mark.parametrize("fields", [{"suspended": True}, {"owner": "bob"}])
def test_a_sealed_order_is_of_its_owners_meter_that_may_trade(fields: dict[str, Any]) -> None:
    market, call, signers = sealing()
    key = METER + str(call[2]["meter"])
    known = market.get(key)
    market.chain.put(key, {**known, **fields})
    assert verdict(market, call, signers, lambda state: state.put(key, known)) == Violation.AUCTION


@pytest.mark.parametrize("function", ["place_order", "cancel_order", "reveal_order"])
def test_nobody_enters_or_leaves_while_orders_are_revealed_nor_reveals_before(function: str) -> None:
    """Whoever saw what others reveal could act on it."""
    market, contract, _, args, signers = CASES[f"auction_{function}" if function != "reveal_order" else function]()
    assert isinstance(market, AuctionMarket)
    if function == "place_order":
        market.enter("ask", "sun", 1, 5)
    entry_ms = market.entry_ms
    market.chain.time_ms = entry_ms - 1_000 if function == "reveal_order" else entry_ms
    (key,) = [key for key in market.chain.state.entries if key.startswith(RUN)]

    def forge(writes: dict[str, bytes | None]) -> None:
        if key in writes:
            writes[key] = encode_value({**decode_value(writes[key] or b""), "entry_ms": entry_ms})

    call = (contract, function, args)
    other_ms = 0 if function == "reveal_order" else 10**15
    found = verdict(market, call, signers, lambda state: state.change(key, entry_ms=other_ms), forge=forge)
    assert found == Violation.AUCTION


# ------------------------------------------------------------------------------------------------- settlement


def corrected(market: Market) -> tuple[str, str, str]:
    """A trade that waits for signatures, another of another interval that is settled, and an adjustment of that one."""
    first = market.take(market.offer(energy_wh=500, lot_wh=1), 500)
    market.interval += 1
    second = market.take(market.offer(energy_wh=500, lot_wh=1), 500)
    market.to_end()
    market.read("sol", 400, 1, interval=market.interval - 1)
    market.read("sol", 400, 2)
    market.ok("settlement", "confirm", {"trade": second}, "bea", "sol")
    market.read("sol", 500, 3)
    (adjustment,) = [record["id"] for record in market.records("settlement/adjustment/")]
    return first, second, adjustment


def signed_by_a_party(trade: str, adjustment: str) -> dict[str, dict[str, Any]]:
    return {
        "confirm": {"trade": trade},
        "confirm_many": {"trades": [trade]},
        "dispute": {"trade": trade, "amount": 1, "reason": ""},
        "confirm_adjustments": {"adjustments": [adjustment]},
    }


@pytest.mark.parametrize("function", ["confirm", "confirm_many", "dispute", "confirm_adjustments"])
def test_one_records_signature_signs_no_other(market: Market, function: str) -> None:
    """Whoever signed a trade had an adjustment of another one signed too, or the other way round."""
    first, _, adjustment = corrected(market)
    args = signed_by_a_party(first, adjustment)[function]
    outcome = Outcome(market, "settlement", function, args, "bea")
    assert outcome.verdict() is None
    other = f"settlement/trade/{first}" if function == "confirm_adjustments" else f"settlement/adjustment/{adjustment}"
    record = {**market.get(other), "buyer_confirmed": True}
    outcome.put(other, record)
    if function != "confirm_adjustments":  # what it costs is held
        account = outcome.view.get("credit/account/bea")
        known = decode_value(account or b"")
        changed = {
            **known,
            "available": known["available"] - record["amount"],
            "held": known["held"] + record["amount"],
        }
        outcome.put("credit/account/bea", changed)
    assert outcome.verdict() == Violation.SIGNATURES


def test_a_dispute_signs_for_the_one_who_disputes(market: Market) -> None:
    first, _, _ = corrected(market)
    outcome = Outcome(market, "settlement", "dispute", {"trade": first, "amount": 1, "reason": ""}, "bea", "sol")
    assert outcome.verdict() is None
    outcome.change(f"settlement/trade/{first}", seller_confirmed=True)
    assert outcome.verdict() is not None


@pytest.mark.parametrize("function", ["confirm", "dispute", "confirm_adjustments"])
def test_nothing_is_overdue_by_a_partys_word(market: Market, function: str) -> None:
    """The arbiter could decide at once then."""
    first, _, adjustment = corrected(market)
    args = signed_by_a_party(first, adjustment)[function]
    outcome = Outcome(market, "settlement", function, args, "bea")
    key = f"settlement/adjustment/{adjustment}" if function == "confirm_adjustments" else f"settlement/trade/{first}"
    outcome.put(key, {**outcome.get(key), "status": "overdue"})
    assert outcome.verdict() == Violation.SIGNATURES


def test_no_superseded_reading_is_planted(market: Market) -> None:
    """The correction that is to keep one there would be refused for good."""
    market.to_end()
    outcome = Outcome(market, "settlement", "submit_readings", {"readings": [market.reading("sol", 5)]}, "gate")
    assert outcome.verdict() is None
    (key,) = outcome.keys("settlement/reading/")
    outcome.put(key.replace("reading", "superseded") + "/00", outcome.get(key))
    assert outcome.verdict() == Violation.READING


def test_a_version_without_a_migration_writes_nothing_as_it_begins(market: Market) -> None:
    outcome = Outcome(market, "registry", "set_arbiter", {"user": "arb"}, "op1", "op2")
    outcome.call = replace(outcome.call, kind="migrate", function="migrate", args=[], signers=())
    assert outcome.verdict() == Violation.NAMESPACE


# --------------------------------------------------------------------------------------------- what is made up


LISTED = '    open_gate(interval)\n    emit("listed"'
ENTERED = "    put(book_key(record), [energy_wh, owner, meter])\n"
COUNTED = '        known["orders"] += 1\n        put(stands, known)'
Edits = list[tuple[str, str]]
ENDED_AT_ONCE: list[tuple[str, str, Edits]] = [
    ("post_listing", "market", [(LISTED, f'    end_listing(get("listing/" + listing), "cancelled", "")\n{LISTED}')]),
    ("propose", "offers", [("    return offer\n", '    end_offer(record, "withdrawn", "")\n    return offer\n')]),
    (
        "auction_place_order", "auction",
        [(ENTERED, f'{ENTERED}    end_order(record, "cancelled", "")\n'), (COUNTED, COUNTED.replace("+=", "-="))],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "contract", "edits"), ENDED_AT_ONCE)
def test_nothing_is_ended_as_it_is_made(name: str, contract: str, edits: Edits) -> None:
    """Regression: the caller was told of an offer that nobody could take."""
    market, called, function, args, signers = CASES[name]()

    def end(state: OtherState) -> None:
        for old, new in edits:
            state.edit(contract, old, new)

    assert verdict(market, (called, function, args), signers, end) == Violation.SIGNATURES


def test_a_mechanisms_answer_is_no_orders_to_write() -> None:
    """Regression: who ordered in another auction could have written who gets what of one that was being filled."""
    market = AuctionMarket()
    shares = f"auction/shares/{PRODUCT}/{market.interval + 4:010d}"

    def plant(writes: dict[str, bytes | None]) -> None:
        writes[shares] = encode_value({"bid": [], "ask": []})

    call = ("auction", "place_order", market.entry(Order("ask", "sol", 10, 5)))
    assert verdict(market, call, ("sol",), forge=plant) == Violation.AUCTION


@pytest.mark.parametrize("group", ["settlement/count/", "offers/count/"])
def test_nothing_is_counted_where_nothing_was_made(market: Market, group: str) -> None:
    """Regression: the first trade that found a count of 0 set no deadline to be metered by."""

    def plant(writes: dict[str, bytes | None]) -> None:
        writes[f"{group}m-sun/{market.interval:010d}"] = encode_value(0)

    call = ("offers", "propose", CASES["propose"]()[3])
    assert verdict(market, call, ("sol",), forge=plant) == Violation.OVERSOLD


def test_shipped_contracts_keep_nothing_that_nobody_knows(market: Market) -> None:
    """Regression: what was written below a name of their own was looked at by no rule."""

    def plant(writes: dict[str, bytes | None]) -> None:
        writes["market/made-up/1"] = encode_value("x" * 60_000)

    call = ("market", "post_listing", market.listing_args())
    assert verdict(market, call, ("sol",), forge=plant) == Violation.NAMESPACE


def test_an_ask_is_full_only_once_its_turn_comes(market: Market) -> None:
    """A worse one of the same meter made the last trade, in the same call, and the rest went to somebody else."""
    best, _ = market.order("ask", "sol", 1_000, PRICE)
    market.order("ask", "sol", 1, PRICE + 1)
    market.order("ask", "sun", 1_000, PRICE + 2)
    market.chain.put(f"settlement/count/m-sol/{market.interval:010d}", 99)
    call = ("market", "place_order", market.order_args("bid", "bea", 1_000, PRICE + 2))
    assert verdict(market, call, ("bea",)) is None

    def pass_over(state: OtherState) -> None:
        asked = 'elif other == "ask" and is_full(resting):'
        state.edit(
            "market", asked, asked.replace("is_full(resting)", f'(is_full(resting) or resting["id"] == "{best}")')
        )

    assert verdict(market, call, ("bea",), pass_over) == Violation.OVERSOLD
    more = ("market", "place_order", market.order_args("bid", "bea", 1_500, PRICE + 2))
    assert verdict(market, more, ("bea",)) is None


def test_an_order_that_met_fifty_rests_unless_it_would_meet_more(market: Market) -> None:
    for _ in range(50):
        market.order("ask", "sol", 1, PRICE)
    call = ("market", "place_order", market.order_args("bid", "bea", 100, PRICE))
    assert verdict(market, call, ("bea",)) is None

    def cancel(state: OtherState) -> None:
        state.edit("market", 'elif found["stopped"]:', "elif True:")

    assert verdict(market, call, ("bea",), cancel) == Violation.STANDING
    market.order("ask", "sol", 1, PRICE)
    assert verdict(market, call, ("bea",)) is None


@pytest.mark.parametrize("execution", ["limit", "fok"])
def test_no_order_meets_more_than_fifty(market: Market, execution: str) -> None:
    for _ in range(51):
        market.order("ask", "sol", 1, PRICE)
    call = ("market", "place_order", market.order_args("bid", "bea", 51, PRICE, execution))

    def go_on(state: OtherState) -> None:
        state.edit("market", "MATCHES_MAX = 50", "MATCHES_MAX = 51")

    assert verdict(market, call, ("bea",), go_on) == Violation.STANDING


def test_no_side_of_a_book_has_more_than_sixteen_zones(market: Market) -> None:
    for number in range(17):
        market.bind(f"z{number}", "sol", CAPACITY_W, f"zone{number}")
    for number in range(16):
        market.ok("market", "place_order", {**market.order_args("ask", "sol", 10, PRICE), "meter": f"z{number}"}, "sol")
    call = ("market", "place_order", {**market.order_args("ask", "sol", 10, PRICE), "meter": "z16"})

    def allow(state: OtherState) -> None:
        state.edit("market", "ZONES_MAX = 16", "ZONES_MAX = 17")

    assert verdict(market, call, ("sol",), allow) == Violation.OVERSOLD


def test_nobodys_order_is_barred_that_no_other_order_met(market: Market) -> None:
    """Regression: who was suspended for a moment lost what rested, by anybody's transaction."""
    resting, _ = market.order("ask", "sol", 100, PRICE)
    own, _ = market.order("bid", "bob", 10, 1_000)
    market.ok("registry", "suspend", {"user": "sol", "reason": "x"}, "op1")
    cancel = '    remove_order(own_open_order(order), "cancelled", "WITHDRAWN")'

    def bar(state: OtherState) -> None:
        state.edit("market", cancel, f'{cancel}\n    remove_order(get("order/{resting}"), "barred", "SUSPENDED")')

    assert verdict(market, ("market", "cancel_order", {"order": own}), ("bob",), bar) == Violation.SIGNATURES


@pytest.mark.parametrize("mechanism", ["auction", "continuous"])
def test_no_auction_is_opened_that_nobody_orders_in(mechanism: str) -> None:
    """Regression: its terms of then would have been those of orders to come, after an announced change."""
    market = AuctionMarket()
    clear_ms = (market.interval + 8) * INTERVAL_MS - 300_000
    market.bind("m-far", "bob", zone="c")
    product = {"name": "C", "zones": ["c"], "mechanism": mechanism, "grid_fee": 0, "ties": "time"}
    market.ok("governance", "set_product", product, "op1", "op2")

    def plant(writes: dict[str, bytes | None]) -> None:
        run = {**BEGUN, "product": "C", "interval": market.interval + 8, "mechanism": mechanism, "ties": "time"}
        terms = {"grid_fee": 0, "order_wh_min": 1, "entry_ms": clear_ms - 60_000, "clear_ms": clear_ms, "orders": 0}
        writes[f"auction/run/C/{market.interval + 8:010d}"] = encode_value({**run, **terms})
        due = {"contract": "auction", "function": "clear", "args": ["C", market.interval + 8]}
        at = f"{clear_ms:015d}/{market.chain.height + 1:012d}/00000/100"
        writes[f"system/deadline/{at}"] = encode_value(due)

    call = ("auction", "place_order", market.entry(Order("bid", "bob", 1, 5)))
    assert verdict(market, call, ("bob",), forge=plant) == Violation.AUCTION


@pytest.mark.parametrize("zone", ["z", "y"])
def test_trades_at_one_price_are_numbered_by_time(market: Market, zone: str) -> None:
    """Regression: the first trade is delivered to first, and who had bid later could be made the first."""
    market.bind("m-bob", "bob", zone=zone)
    for who in ("bea", "bob"):
        market.order("bid", who, 500, PRICE)
    call = ("market", "place_order", market.order_args("ask", "sun", 1_000, PRICE))
    assert verdict(market, call, ("sun",)) is None

    def swap(writes: dict[str, bytes | None]) -> None:
        trades = sorted(key for key in writes if key.startswith("settlement/trade/"))
        first, second = (decode_value(writes[key] or b"") for key in trades)
        sides = ("buyer", "buyer_meter")
        for key, trade, other in zip(trades, (first, second), (second, first), strict=True):
            writes[key] = encode_value({**trade, **{name: other[name] for name in sides}})
        for who, trade, other in (("bea", first, second), ("bob", second, first)):
            at = f"settlement/party/{who}/{trade['interval']:010d}/"
            writes[at + other["id"]] = writes.pop(at + trade["id"])

    assert verdict(market, call, ("sun",), forge=swap) == Violation.OVERSOLD


def test_nobody_orders_in_an_auction_where_trading_is_continuous() -> None:
    market = AuctionMarket()
    product = {"name": PRODUCT, "zones": [PRODUCT], "mechanism": "continuous", "grid_fee": 0, "ties": "time"}
    market.ok("governance", "set_product", product, "op1", "op2")

    def ask_nothing(state: OtherState) -> None:
        state.edit("auction", 'other = zone is None or zone["mechanism"] == "continuous"', "other = zone is None")

    call = ("auction", "place_order", market.entry(Order("ask", "sol", 10, 5)))
    assert verdict(market, call, ("sol",), ask_nothing) == Violation.AUCTION
