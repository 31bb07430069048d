"""What the validation module rejects of settlement, credit, registry and origin, one forged record at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contract_market import Market
from forgery import Outcome

from contracts.validation import Violation

TRADE, SHARE, READING = "settlement/trade/", "settlement/share/", "settlement/reading/"
DISPUTE, ADJUSTMENT, SUPERSEDED = "settlement/dispute/", "settlement/adjustment/", "settlement/superseded/"
POLICY, CERTIFICATE, MINTED = "credit/policy/", "origin/certificate/", "origin/minted/"
BEA, SOL = "credit/account/bea", "credit/account/sol"


def trade_of(market: Market, metered_wh: int | None = None) -> str:
    trade = market.take(market.offer(), 1_000)
    market.to_end()
    if metered_wh is not None:
        market.read(export_wh=metered_wh)
    return trade


def taking(market: Market) -> Outcome:
    listing = market.offer()
    return Outcome(market, "market", "take_listing", market.taking_args(listing, 1_000), "bea")


def reading(market: Market, export_wh: int = 600, sequence: int = 1) -> Outcome:
    readings = [market.reading(export_wh=export_wh, sequence=sequence)]
    return Outcome(market, "settlement", "submit_readings", {"readings": readings}, "gate")


def metering(market: Market) -> Outcome:
    trade_of(market)
    return reading(market)


def mandated(market: Market) -> Outcome:
    for who in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    return metering(market)


def correcting(market: Market) -> Outcome:
    trade = trade_of(market, 600)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    return reading(market, 700, 2)


def adjusting(market: Market) -> Outcome:
    trade = trade_of(market, 600)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    market.read(export_wh=700, sequence=2)
    market.ok("settlement", "confirm_adjustments", {"adjustments": [f"{trade}-01"]}, "sol")
    return Outcome(market, "settlement", "confirm_adjustments", {"adjustments": [f"{trade}-01"]}, "bea")


def disputing(market: Market) -> Outcome:
    trade = trade_of(market, 600)
    return Outcome(market, "settlement", "dispute", {"trade": trade, "amount": 50_000, "reason": "x"}, "bea")


def voting(market: Market, *signers: str) -> Outcome:
    market.chain.user("ada", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "ada"}, "op1", "op2")
    trade = trade_of(market, 600)
    name = market.ok("settlement", "dispute", {"trade": trade, "amount": 50_000, "reason": "x"}, "bea")
    return Outcome(market, "settlement", "resolve", {"dispute_id": name, "paid": 20_000}, *(signers or ("ada",)))


def deciding(market: Market) -> Outcome:
    return voting(market, "bea", "ada")


def company(market: Market) -> Outcome:
    market.chain.user("ann", "buyer")
    market.chain.user("ben", "buyer")
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["ann", "ben"], "threshold": 2}, "bea", "ann", "ben")
    return Outcome(market, "settlement", "confirm", {"trade": trade_of(market, 600)}, "ann")


def policy(market: Market) -> Outcome:
    market.chain.user("ann", "buyer")
    args = {"account": "bea", "keys": ["bea", "ann"], "threshold": 2}
    return Outcome(market, "credit", "set_policy", args, "bea", "ann")


def mandate(market: Market) -> Outcome:
    return Outcome(market, "settlement", "set_mandate", {"granted": True}, "bea")


def transfer(market: Market) -> Outcome:
    return Outcome(market, "credit", "transfer", {"account": "bea", "to": "sol", "amount": 7}, "bea")


def minting(market: Market) -> Outcome:
    trade_of(market, 600)
    return Outcome(market, "origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")


def certified(market: Market) -> str:
    trade_of(market, 600)
    (name,) = market.ok("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")
    return str(name)


def passing(market: Market) -> Outcome:
    args = {"certificate_id": certified(market), "to": "bea", "energy_wh": 200}
    return Outcome(market, "origin", "transfer", args, "sol")


def claiming(market: Market) -> Outcome:
    args = {"certificate_id": certified(market), "energy_wh": 600, "purpose": ""}
    return Outcome(market, "origin", "claim", args, "sol")


def cutting(market: Market) -> Outcome:
    certified(market)
    return reading(market, 500, 2)


def arbiter(market: Market) -> Outcome:
    market.chain.user("ada", "arbiter")
    return Outcome(market, "registry", "set_arbiter", {"user": "ada"}, "op1", "op2")


Make = Callable[[Market], Outcome]
MAKES: list[Make] = [
    taking, metering, mandated, correcting, adjusting, disputing, voting, deciding, company, policy, mandate, transfer,
    minting, passing, claiming, cutting, arbiter,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKES)
def test_what_the_contracts_do_is_accepted(market: Market, make: Make) -> None:
    assert make(market).verdict() is None


V = Violation
VOTES: dict[str, Any] = {"seller": None, "buyer": None, "arbiter": None}


@pytest.mark.parametrize(
    ("make", "prefix", "changes", "violation"),
    [
        # A trade's terms, policies and mandates are those in force when it is made.
        (taking, TRADE, {"grid_fee": -1}, V.DELIVERY), (taking, TRADE, {"buyer_mandate": True}, V.DELIVERY),
        (taking, TRADE, {"buyer_policy": {"keys": ["bob"], "threshold": 1, "signed": []}}, V.DELIVERY),
        (taking, TRADE, {"seller_confirmed": True}, V.DELIVERY), (metering, TRADE, {"source": "book"}, V.DELIVERY),
        (metering, TRADE, {"seller_mandate": True, "seller_confirmed": True}, V.DELIVERY),
        (company, TRADE, {"buyer_policy": {"keys": ["ann", "ben"], "threshold": 1, "signed": ["ann"]}}, V.DELIVERY),
        # Debts follow delivery and terms.
        (metering, TRADE, {"grid_amount": 1}, V.DELIVERY), (metering, TRADE, {"fee_permille": 1}, V.DELIVERY),
        (metering, TRADE, {"fee": -1, "fee_permille": -1}, V.DELIVERY),
        # What trades share is what was metered.
        (metering, SHARE, {}, V.DELIVERY), (correcting, ADJUSTMENT, {"after_wh": 1}, V.DELIVERY),
        (correcting, ADJUSTMENT, {"before_wh": -1}, V.DELIVERY),
        # A reading is its gateway's, and none is rewritten unseen.
        (metering, READING, {"correction": 1}, V.READING), (correcting, READING, {"sequence": -1}, V.READING),
        (correcting, READING, {"owner": "bea"}, V.READING), (correcting, READING, {"correction": 1}, V.READING),
        (correcting, SUPERSEDED, {"export_wh": 1}, V.READING), (correcting, READING, {"meter": "m-sun"}, V.READING),
        # Signatures, of keys that may sign.
        (company, TRADE, {"buyer_confirmed": True}, V.SIGNATURES),
        (company, TRADE, {"buyer_policy": {"keys": ["ann", "ben"], "threshold": 2, "signed": ["ann", "ben"]},
                          "buyer_confirmed": True}, V.SIGNATURES),
        (company, TRADE, {"buyer_policy": {"keys": ["ann", "ben"], "threshold": 2, "signed": ["ann", "ann"]},
                          "buyer_confirmed": True}, V.SIGNATURES),
        (adjusting, ADJUSTMENT, {"seller_confirmed": False}, V.SIGNATURES),
        # Disputes: what is frozen is what is named, and two who say the same decide.
        (disputing, DISPUTE, {"disputed": 1}, V.DISPUTE), (disputing, DISPUTE, {"disputed": 10**9}, V.DISPUTE),
        (disputing, DISPUTE, {"side": "seller"}, V.DISPUTE), (disputing, DISPUTE, {"status": "resolved"}, V.SHAPE),
        (disputing, DISPUTE, {"votes": {**VOTES, "seller": 1}}, V.DISPUTE),
        (disputing, DISPUTE, {"paid": 1}, V.DISPUTE),
        (disputing, TRADE, {"buyer_disputed": -1}, V.DISPUTE), (disputing, TRADE, {"open_disputes": -1}, V.DISPUTE),
        (voting, DISPUTE, {"votes": {**VOTES, "seller": 20_000}}, V.DISPUTE),
        (voting, DISPUTE, {"arbiter": "bea"}, V.DISPUTE), (voting, DISPUTE, {"disputed": -1}, V.DISPUTE),
        (voting, DISPUTE, {"paid": 1}, V.DISPUTE),
        (deciding, DISPUTE, {"votes": {**VOTES, "arbiter": 20_000}}, V.DISPUTE),
        (deciding, DISPUTE, {"paid": 1}, V.PAYMENT), (deciding, DISPUTE, {"status": "open"}, V.PAYMENT),
        # Adjustments: the difference between two debts of the trade, once.
        (correcting, ADJUSTMENT, {"amount": 1}, V.ADJUSTMENT), (correcting, ADJUSTMENT, {"buyer": "bob"}, V.ADJUSTMENT),
        (correcting, ADJUSTMENT, {"status": "overdue"}, V.ADJUSTMENT),
        (correcting, ADJUSTMENT, {"status": "settled"}, V.PAYMENT), (adjusting, ADJUSTMENT, {"fee": 1}, V.PAYMENT),
        (adjusting, ADJUSTMENT, {"status": "proposed"}, V.PAYMENT),
        (adjusting, ADJUSTMENT, {"interval": 1}, V.ADJUSTMENT),
        # Money moves by who signs for it.
        (transfer, BEA, {"available": 1}, V.MONEY), (policy, POLICY, {"keys": ["ann"]}, V.SIGNATURES),
        (policy, POLICY, {"keys": ["bob", "ann"]}, V.SIGNATURES),
        (policy, POLICY, {"keys": ["bea", "ann", "bob"]}, V.SIGNATURES),
        (policy, POLICY, {"threshold": -2}, V.SIGNATURES),
        # Certificates: counted once, and only their owners pass or use them.
        (minting, CERTIFICATE, {"energy_wh": 1}, V.CERTIFICATE), (minting, MINTED, {"energy_wh": 1}, V.CERTIFICATE),
        (minting, CERTIFICATE, {"owner": "bea"}, V.CERTIFICATE),
        (minting, CERTIFICATE, {"energy_wh": -600}, V.CERTIFICATE),
        (passing, CERTIFICATE, {"energy_wh": 200}, V.CERTIFICATE), (passing, MINTED, {"energy_wh": -1}, V.CERTIFICATE),
        (claiming, CERTIFICATE, {"status": "cut"}, V.CERTIFICATE),
        (cutting, CERTIFICATE, {"owner": "bea"}, V.CERTIFICATE),
        (cutting, CERTIFICATE, {"energy_wh": 50}, V.CERTIFICATE),
        (cutting, CERTIFICATE, {"status": "claimed"}, V.CERTIFICATE),
    ],
)  # fmt: skip
def test_a_forged_record_is_rejected(
    market: Market, make: Make, prefix: str, changes: dict[str, Any], violation: Violation
) -> None:
    outcome = make(market)
    if changes:
        outcome.change(prefix, **changes)
    else:
        del outcome.view.writes[outcome.keys(prefix)[0]]
    assert outcome.verdict() == violation


@pytest.mark.parametrize("votes", [{}, {"buyer": None}, {**VOTES, "other": None}])
def test_a_dispute_has_a_place_for_each_vote(market: Market, votes: dict[str, Any]) -> None:
    """Nobody could decide on one that lacks them, and what it froze stayed frozen."""
    outcome = disputing(market)
    outcome.change(DISPUTE, votes=votes)
    assert outcome.verdict() == V.SHAPE


@pytest.mark.parametrize("kept", [("buyer",), ("buyer", "seller"), ("buyer", "arbiter")])
def test_a_vote_leaves_the_others_votes_and_places(market: Market, kept: tuple[str, ...]) -> None:
    voting(market, "sol").apply()
    (name,) = [record["id"] for record in market.records(DISPUTE)]
    outcome = Outcome(market, "settlement", "resolve", {"dispute_id": name, "paid": 1}, "bea")
    votes = outcome.get(DISPUTE + name)["votes"]
    assert votes == {"seller": 20_000, "buyer": 1, "arbiter": None}
    outcome.change(DISPUTE, votes={voter: votes[voter] for voter in kept})
    assert outcome.verdict() == V.SHAPE


def test_a_vote_that_was_signed_is_given(market: Market) -> None:
    outcome = voting(market, "sol", "ada")
    assert outcome.get(outcome.keys(DISPUTE)[0])["status"] == "resolved"
    lone = voting(Market(), "ada")
    lone.change(DISPUTE, votes=VOTES)
    assert lone.verdict() == V.DISPUTE


def test_a_trade_is_told_of_the_decision_on_its_dispute(market: Market) -> None:
    """It stayed disputed for ever, with nothing left to decide."""
    voting(market, "ada").apply()
    (record,) = market.records(DISPUTE)
    market.ok("settlement", "confirm", {"trade": record["trade"]}, "sol")
    outcome = Outcome(market, "settlement", "resolve", {"dispute_id": record["id"], "paid": 20_000}, "sol")
    assert outcome.verdict() is None
    del outcome.view.writes[TRADE + record["trade"]]
    assert outcome.verdict() == V.DISPUTE


def test_a_dispute_is_of_the_callers_side(market: Market) -> None:
    """Whoever signed with the caller came to dispute its own debt."""
    args = {"trade": trade_of(market, 600), "amount": 7, "reason": ""}
    outcome = Outcome(market, "settlement", "dispute", args, "bea", "sol")
    assert outcome.verdict() is None
    outcome.view.writes = Outcome(market, "settlement", "dispute", args, "sol", "bea").view.writes
    assert outcome.verdict() == V.DISPUTE


def test_what_a_correction_changed_is_priced_anew_beside_the_disputed_part(market: Market) -> None:
    """It was owed twice: as an adjustment, and by the decision."""
    trade = trade_of(market, 600)
    market.read(export_wh=300, sequence=2)
    outcome = Outcome(market, "settlement", "dispute", {"trade": trade, "amount": 60_000, "reason": ""}, "bea")
    assert outcome.verdict() is None
    (adjustment,) = outcome.keys(ADJUSTMENT)
    assert outcome.get(adjustment) != market.get(adjustment)
    del outcome.view.writes[adjustment]
    assert outcome.verdict() == V.DISPUTE


def test_an_arbiters_vote_does_not_outlive_its_office(market: Market) -> None:
    voting(market, "ada").apply()
    (record,) = market.records(DISPUTE)
    market.ok("registry", "suspend", {"user": "ada", "reason": "x"}, "op1")
    outcome = Outcome(market, "settlement", "resolve", {"dispute_id": record["id"], "paid": 20_000}, "sol")
    assert outcome.verdict() is None
    outcome.change(DISPUTE, votes={"seller": 20_000, "buyer": None, "arbiter": 20_000})
    assert outcome.verdict() == V.DISPUTE


@pytest.mark.parametrize("make", [adjusting, deciding, disputing, company, transfer, policy, mandate, passing, arbiter])
def test_signatures_are_looked_at_again(market: Market, make: Make) -> None:
    outcome = make(market)
    call = outcome.call
    for signers in ((), ("bob",)):
        outcome.call = type(call)(
            call.contract, call.function, call.args, signers, "", 1, call.block_time_ms, call.height, 0, "transaction"
        )
        assert outcome.verdict() is not None


def test_one_operator_alone_names_no_arbiter(market: Market) -> None:
    outcome = arbiter(market)
    call = outcome.call
    outcome.call = type(call)(call.contract, call.function, {}, ("op1", "sol"), "", 1, 1, call.height, 0, "transaction")
    assert outcome.verdict() == V.SIGNATURES


@pytest.mark.parametrize(("make", "by"), [(taking, 1), (taking, -1), (metering, 1), (metering, -1), (adjusting, 1)])
def test_a_hold_equals_its_open_obligations(market: Market, make: Make, by: int) -> None:
    """Sums agree, nobody is robbed, and still it would free what is owed, or bind what is not."""
    outcome = make(market)
    outcome.change(BEA, held=by, available=-by)
    assert outcome.verdict() == V.HOLD


def test_a_share_is_never_taken_away(market: Market) -> None:
    outcome = metering(market)
    outcome.view.delete(outcome.keys(SHARE)[0])
    assert outcome.verdict() == V.DELIVERY


def test_more_is_never_shared_than_was_metered(market: Market) -> None:
    """The trade, its share and its money agree; only the meter did not count it."""
    outcome = metering(market)
    outcome.change(READING, export_wh=-1)
    assert outcome.verdict() == V.DELIVERY


@pytest.mark.parametrize("prefix", [TRADE, SHARE, READING, DISPUTE, ADJUSTMENT, POLICY, CERTIFICATE, MINTED])
@pytest.mark.parametrize("data", [b"\xc1", b"", b"\x07", b"\x90", b"\x80"])
def test_a_malformed_record_is_rejected_not_a_crash(market: Market, prefix: str, data: bytes) -> None:
    make = {
        TRADE: metering, SHARE: metering, READING: metering, DISPUTE: voting, ADJUSTMENT: adjusting, POLICY: policy,
        CERTIFICATE: passing, MINTED: passing,
    }[prefix]  # fmt: skip
    outcome = make(market)
    outcome.view.writes[outcome.keys(prefix)[0]] = data
    assert outcome.verdict() in set(V)
