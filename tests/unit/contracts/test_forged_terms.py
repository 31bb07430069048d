"""Write sets that a lying machine might return: of trades that nobody offered, and of acts that nobody agreed to."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from contract_market import Market
from forgery import Outcome
from governed import MACHINE, NODES, OPERATORS, START_MS, Network, certificate, validator_value

from ca.keys import SigningKey
from contracts.validation import MarketValidator, Violation
from ledger.execution import OK, Call, CallResult
from ledger.state import TransactionView
from ledger.values import decode_value, encode_value

TRADE, SHARE, ORDER = "settlement/trade/", "settlement/share/", "market/order/"


def holds(outcome: Outcome, market: Market, who: str, amount: int) -> None:
    """So much more of an account's money is held."""
    key = f"credit/account/{who}"
    account = outcome.get(key) if key in outcome.view.writes else market.get(key)
    outcome.put(key, {**account, "available": account["available"] - amount, "held": account["held"] + amount})


@pytest.mark.parametrize("source", ["gift", "offer", "listing", "book", "auction", ""])
def test_nobody_is_made_to_buy_who_offered_and_signed_nothing(market: Market, source: str) -> None:
    """A trade of a source that no rule knew took its money from whoever it named, and so did an offer that only the
    seller had signed."""
    outcome = Outcome(market, "market", "take_listing", market.taking_args(market.offer(), 300), "bea", "sol")
    key = outcome.keys(TRADE)[0]
    trade = outcome.get(key)
    outcome.put(key, {**trade, "buyer": "bob", "buyer_meter": "m-bob", "source": source})
    for row in outcome.keys("settlement/party/bea/"):
        del outcome.view.writes[row]
        outcome.put(row.replace("/bea/", "/bob/"), "buyer")
    amount = trade["energy_wh"] * trade["price"] // 1_000
    holds(outcome, market, "bea", -amount)
    holds(outcome, market, "bob", amount)
    assert outcome.verdict() in (Violation.SIGNATURES, Violation.LIMIT, Violation.OVERSOLD)


def test_a_bid_is_filled_no_further_than_its_energy(market: Market) -> None:
    market.order("bid", "bea", 100, 300_000)
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 300, 200_000), "sol")
    outcome.change(TRADE, energy_wh=200)
    outcome.put(outcome.keys(SHARE)[0], [300, None, 0])
    ask = next(key for key in outcome.keys(ORDER) if outcome.get(key)["owner"] == "sol")
    outcome.put(ask, {**outcome.get(ask), "remaining_wh": 0, "status": "filled"})
    holds(outcome, market, "bea", 200 * 300)
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize(
    ("who", "fields", "held"),
    [
        ("bea", {"price": 100_000}, 10_000), ("bea", {"price": 100_000, "grid_fee": 100_000}, 10_000),
        ("sol", {"imbalance_price": 600_000}, 60_000),
    ],
)  # fmt: skip
def test_a_trade_is_at_the_terms_of_what_stood(market: Market, who: str, fields: dict[str, int], held: int) -> None:
    """A better price than one's limit is kept, the grid gets its fee, and a shortfall costs what was agreed on."""
    market.order("ask", "sol", 100, 200_000)
    outcome = Outcome(market, "market", "place_order", market.order_args("bid", "bea", 100, 300_000), "bea")
    assert outcome.verdict() is None
    outcome.change(TRADE, **fields)
    holds(outcome, market, who, held)
    assert outcome.verdict() == Violation.LIMIT


# --------------------------------------------------------------------------------------- consent and people


PARAMETER = {"value": 1_000}
REVOCATION = {"type": "revocation", "serial": "ab", "reason": "lost", "height": 1}


@pytest.mark.parametrize("function", ["report", "set_parameter"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("governance/parameter/fee_permille", PARAMETER), ("governance/revoked/ab", REVOCATION),
        ("governance/grid_fee/z/z", {"fee": 1, "from_ms": 0, "before": 0}),
        ("governance/organisations", {"names": ["north"], "threshold": 1}),
        ("channels/family", {"type": "channel", "genesis": "ab" * 32, "closed": False}),
        ("registry/arbiter", {"signer": "x"}),
    ],
)  # fmt: skip
def test_what_members_decide_takes_their_consent(key: str, value: Any, function: str) -> None:
    """The contract asked for it; the validation module did not, but for the arbiter and admission."""
    contract = key.partition("/")[0]
    assert judged(contract, function, {}, {key: value}, NODES[0].signer) == Violation.SIGNATURES
    assert judged(contract, function, {}, {key: value}, OPERATORS[0].signer) == Violation.SIGNATURES
    if function == "set_parameter" and key != "governance/organisations":
        two = [each.signer for each in OPERATORS[:2]]
        said = {"name": "fee_permille", "value": 1_000}
        agreed = judged(contract, function, said, {key: value}, *two)
        assert agreed == (None if value is PARAMETER else Violation.SIGNATURES), "to that, and to nothing else"


def test_evidence_changes_no_validators() -> None:
    network = Network()
    moved = [validator_value(index) for index in (0, 1, 2, 4)]
    args = {"validators": moved, "first_primary": 0, "at_height": 0}
    signers = tuple(each.signer for each in OPERATORS[:2])
    view = TransactionView(network.ledger.reader())
    call = Call("governance", "set_validators", args, signers, "", 2_000_000, START_MS, 1, 0, "transaction")
    outcome = MACHINE.run(call, view)
    assert outcome.code == OK
    assert MarketValidator().check(call, outcome, view) is None
    reported = Call("governance", "report", {}, (NODES[0].signer,), "", 1, 1, 1, 0, "transaction")
    assert MarketValidator().check(reported, outcome, view) == Violation.SIGNATURES


def test_a_user_is_who_a_certificate_says() -> None:
    """Whoever registered could be made an operator."""
    der = certificate(NODES[5], "newcomer", "west", "buyer", 99)
    args = {"certificate_der": base64.b64encode(der).decode()}
    signer = NODES[5].signer
    network = Network()
    view = TransactionView(network.ledger.reader())
    call = Call("registry", "register", args, (signer,), "", 2_000_000, START_MS, 1, 0, "transaction")
    outcome = MACHINE.run(call, view)
    assert outcome.code == OK
    assert MarketValidator().check(call, outcome, view) is None
    key = f"registry/user/{signer}"
    user = decode_value(view.writes[key] or b"")
    for changed in ({"role": "operator"}, {"organisation": "north"}, {"not_after_ms": 2**52}, {"suspended": True}):
        view.put(key, encode_value({**user, **changed}))
        assert MarketValidator().check(call, outcome, view) == Violation.SIGNATURES
    view.put(key, encode_value(user))
    view.put("registry/user/x", encode_value({**user, "signer": "x"}))
    assert MarketValidator().check(call, outcome, view) == Violation.SIGNATURES


def test_meters_are_bound_by_operators(market: Market) -> None:
    outcome = Outcome(market, "registry", "suspend_meter", {"meter": "m-sol", "reason": ""}, "op1")
    assert outcome.verdict() is None
    outcome.call = Call("registry", "register", {}, ("bob",), "", 1, 1, 1, 0, "transaction")
    assert outcome.verdict() == Violation.SIGNATURES
    market.chain.user("reg", "regulator")
    outcome = Outcome(market, "registry", "suspend_meter", {"meter": "m-sol", "reason": ""}, "reg")
    assert outcome.verdict() is None
    outcome.change("registry/meter/", owner="bob")
    assert outcome.verdict() == Violation.SIGNATURES


@pytest.mark.parametrize(
    ("function", "args", "prefix"),
    [("suspend_meter", {"meter": "m-sol", "reason": ""}, "registry/meter/"),
     ("suspend", {"user": "sol", "reason": ""}, "registry/user/")],
)  # fmt: skip
def test_users_and_meters_lie_under_their_names_and_stay(
    market: Market, function: str, args: dict[str, Any], prefix: str
) -> None:
    outcome = Outcome(market, "registry", function, args, "op1")
    (key,) = outcome.keys(prefix)
    record = outcome.view.writes.pop(key)
    outcome.view.writes[prefix + "other"] = record
    assert outcome.verdict() == Violation.SIGNATURES
    outcome.view.writes = {key: None}
    assert outcome.verdict() in (Violation.SIGNATURES, Violation.SHAPE)
    outcome.view.writes = {key: record}
    assert outcome.verdict() is None
    for signers in ((), ("bea",), ("nobody",), ("gate", "sun")):
        outcome.call = replace(outcome.call, signers=signers)
        assert outcome.verdict() == Violation.SIGNATURES, signers


def test_a_certificate_of_another_ca_makes_nobody_a_user() -> None:
    stranger = SigningKey.from_seed(b"stranger")
    der = certificate(stranger, "newcomer", "west", "buyer", 99, ca=True)
    args = {"certificate_der": base64.b64encode(der).decode()}
    facts = {"signer": stranger.signer, "name": "newcomer", "organisation": "west", "role": "buyer"}
    user = {**facts, "type": "user", "serial": "63", "issuer": "x", "not_before_ms": 0, "not_after_ms": 2**50}
    record = {**user, "suspended": False, "registered_height": 1}
    key = f"registry/user/{stranger.signer}"
    assert judged("registry", "register", args, {key: record}, stranger.signer) == Violation.SIGNATURES
    assert judged("registry", "register", {}, {key: record}, stranger.signer) == Violation.SIGNATURES


def judged(contract: str, function: str, args: dict[str, Any], writes: dict[str, Any], *signers: str) -> str | None:
    view = TransactionView(Network().ledger.reader())
    view.writes = {key: encode_value(value) for key, value in writes.items()}
    call = Call(contract, function, args, signers, "", 1, 1, 1, 0, "transaction")
    return MarketValidator().check(call, CallResult(OK, "", None, 1, ()), view)
