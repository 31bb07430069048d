"""Who takes part: conditions on users and meters, the arbiter, and what the suspension of a meter bars."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from contract_market import Market
from governed import OPERATORS, Network, certificate

from ca.keys import SigningKey
from ledger.execution import OK

STRANGER = SigningKey.from_seed(b"a stranger who wants in")


def conditions(**changed: Any) -> dict[str, Any]:
    return {"organisations": [], "roles": [], "zones": [], "capacity_max_w": 10**9, **changed}


def demand(market: Market, **changed: Any) -> None:
    market.ok("registry", "set_admission", conditions(**changed), "op1", "op2")


@pytest.mark.parametrize(
    ("changed", "role", "code"),
    [
        ({}, "buyer", OK), ({"organisations": ["north"]}, "buyer", OK),
        ({"organisations": ["south"]}, "buyer", "NOT_ADMITTED"),
        ({"roles": ["seller", "buyer"]}, "buyer", OK), ({"roles": ["seller"]}, "buyer", "NOT_ADMITTED"),
        ({"organisations": ["north"], "roles": ["seller"]}, "buyer", "NOT_ADMITTED"),
        ({"organisations": ["south"], "roles": ["seller"]}, "operator", OK),
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", ["register", "admit"])
def test_users_are_admitted_by_organisation_and_role(
    changed: dict[str, Any], role: str, code: str, function: str
) -> None:
    network = Network()
    network.block(network.envelope(OPERATORS[:2], "registry", "set_admission", conditions(**changed)))
    der = base64.b64encode(certificate(STRANGER, "stranger", "north", role, 99)).decode()
    signers = (STRANGER,) if function == "register" else OPERATORS[:1]
    ran = network.block(network.envelope(signers, "registry", function, {"certificate_der": der}))
    assert ran.executed.results[-1].code == code


def test_a_revocation_bars_the_key_until_the_organisations_admit_it_again() -> None:
    network = Network()

    def act(keys: tuple[SigningKey, ...], function: str, serial: int) -> str:
        der = base64.b64encode(certificate(STRANGER, "stranger", "north", "buyer", serial)).decode()
        ran = network.block(network.envelope(keys, "registry", function, {"certificate_der": der}))
        return ran.executed.results[-1].code

    assert act((STRANGER,), "register", 99) == OK
    assert network.govern("revoke", serial=f"{99:x}", reason="stolen").code == OK
    assert act((STRANGER,), "register", 100) == "CERTIFICATE_REVOKED"
    assert act(OPERATORS[:1], "admit", 100) == "CONSENT_LACKING"
    assert act(OPERATORS[:2], "admit", 99) == "CERTIFICATE_REVOKED"
    assert act(OPERATORS[:2], "admit", 100) == OK
    assert act((STRANGER,), "register", 101) == OK


@pytest.mark.parametrize(
    ("changed", "terms", "code"),
    [
        ({}, {}, OK), ({"zones": ["y", "z"]}, {}, OK), ({"zones": ["y"]}, {}, "ZONE_INVALID"),
        ({"capacity_max_w": 1_000}, {}, OK), ({"capacity_max_w": 999}, {}, "CAPACITY_INVALID"),
        ({}, {"zone": ""}, "ZONE_INVALID"), ({}, {"zone": "a/b"}, "ZONE_INVALID"),
        ({}, {"zone": "z" * 65}, "ZONE_INVALID"),
    ],
)  # fmt: skip
def test_meters_are_bound_by_zone_and_capacity(
    market: Market, changed: dict[str, Any], terms: dict[str, Any], code: str
) -> None:
    demand(market, **changed)
    meter = {"meter": "m-new", "owner": "sol", "zone": "z", "capacity_w": 1_000, "gateway": "gate", **terms}
    assert market.code("registry", "bind_meter", meter, "op1") == code


@pytest.mark.parametrize(
    ("changed", "signers", "code"),
    [
        ({}, ("op1",), "CONSENT_LACKING"), ({"zones": [1]}, ("op1", "op2"), "ADMISSION_INVALID"),
        ({"roles": [""]}, ("op1", "op2"), "ADMISSION_INVALID"),
        ({"organisations": ["x"] * 65}, ("op1", "op2"), "ADMISSION_INVALID"),
        ({"capacity_max_w": 0}, ("op1", "op2"), "CAPACITY_INVALID"),
        ({"capacity_max_w": 10**9 + 1}, ("op1", "op2"), "CAPACITY_INVALID"),
    ],
)  # fmt: skip
def test_bad_conditions(market: Market, changed: dict[str, Any], signers: tuple[str, ...], code: str) -> None:
    assert market.code("registry", "set_admission", conditions(**changed), *signers) == code


def test_conditions_can_be_read(market: Market) -> None:
    demand(market, zones=["z"])
    assert market.chain.view("registry", "get_admission", {}).value == conditions(zones=["z"])


def test_an_arbiter_is_named_by_the_organisations(market: Market) -> None:
    market.chain.user("ada", "arbiter")
    assert market.code("registry", "set_arbiter", {"user": "ada"}, "op1") == "CONSENT_LACKING"
    assert market.code("registry", "set_arbiter", {"user": "sol"}, "op1", "op2") == "ROLE_REQUIRED"
    assert market.chain.view("registry", "get_arbiter", {}).value is None
    market.ok("registry", "set_arbiter", {"user": "ada"}, "op1", "op2")
    assert market.chain.view("registry", "get_arbiter", {}).value == {"signer": "ada"}


def test_a_suspended_meter_offers_and_buys_nothing_and_its_trades_go_on(market: Market) -> None:
    listing = market.offer()
    trade = market.take(listing, 500)
    market.ok("registry", "suspend_meter", {"meter": "m-sol", "reason": "seal broken"}, "op1")
    market.ok("registry", "suspend_meter", {"meter": "m-bob", "reason": "seal broken"}, "op1")
    market.bind("m-sol", "sol")
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "METER_SUSPENDED"
    assert market.code("market", "place_order", market.order_args("ask", "sol", 1, 1), "sol") == "METER_SUSPENDED"
    assert market.code("market", "place_order", market.order_args("bid", "bob", 1, 1), "bob") == "METER_SUSPENDED"
    assert market.code("market", "take_listing", market.taking_args(listing, 500, "bob"), "bob") == "METER_SUSPENDED"
    market.to_end()
    market.read(export_wh=500)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    market.ok("registry", "resume_meter", {"meter": "m-sol"}, "op1")
    market.interval += 4
    market.offer()


def suspend_meter(market: Market, who: str) -> None:
    market.ok("registry", "suspend_meter", {"meter": f"m-{who}", "reason": "seal broken"}, "op1")


def bind_anew(market: Market, who: str) -> None:
    """Somebody else moves in, who would have delivered what who moved out is paid for."""
    market.chain.user("new", "prosumer")
    market.bind(f"m-{who}", "new")


BARRED = [(suspend_meter, "METER_SUSPENDED"), (bind_anew, "METER_REBOUND")]


@pytest.mark.parametrize(("bar", "code"), BARRED)
def test_what_a_meter_that_may_be_used_no_more_had_offered_is_not_taken(
    market: Market, bar: Callable[[Market, str], None], code: str
) -> None:
    listing = market.offer()
    asked = market.ok("offers", "propose", proposal(market, "ask", "sol", "bea"), "sol")
    bid = market.ok("offers", "propose", proposal(market, "bid", "bob", "sun"), "bob")
    for who in ("sol", "bob"):
        bar(market, who)
    assert market.code("market", "take_listing", market.taking_args(listing, 500, "bea"), "bea") == code
    assert market.code("offers", "accept", market.accepting_args(asked, "bea"), "bea") == code
    assert market.code("offers", "accept", market.accepting_args(bid, "sun"), "sun") == code
    market.ok("market", "cancel_listing", {"listing": listing}, "sol")


@pytest.mark.parametrize(("bar", "code"), BARRED)
@pytest.mark.parametrize("side", ["ask", "bid"])
def test_resting_orders_of_a_meter_that_may_be_used_no_more_are_removed_not_matched(
    market: Market, side: str, bar: Callable[[Market, str], None], code: str
) -> None:
    resting, other = (("sol", "bea"), ("bea", "sol"))[side == "bid"]
    order, _ = market.order(side, resting, 100, 9)
    bar(market, resting)
    args = market.order_args("bid" if side == "ask" else "ask", other, 100, 9)
    result = market.call("market", "place_order", args, other)
    assert result.value["trades"] == []
    told = [event.data for event in result.events if event.name == "barred"]
    assert told == [{"order": order, "owner": resting, "remaining_wh": 100, "reason": code}]
    assert market.held(resting) == 0


def proposal(market: Market, side: str, who: str, to: str) -> dict[str, Any]:
    terms = {"interval": market.interval, "energy_wh": 100, "price": 9}
    return {"to": to, "side": side, "meter": f"m-{who}", **terms}


@pytest.mark.parametrize("function", ["suspend_meter", "resume_meter"])
def test_an_unknown_meter_is_not_suspended(market: Market, function: str) -> None:
    args = {"meter": "none"} | ({"reason": "x"} if function == "suspend_meter" else {})
    assert market.code("registry", function, args, "op1") == "NOT_FOUND"
