"""Who comes by something may act: parties of trades, payees, who signs for an account, who offers on which side. And
what is offered, in what amounts and when, is what the market admits."""

from __future__ import annotations

from contracts.rules.auctions import AHEAD_MAX
from contracts.rules.books import MATCHES_MAX, is_crossed, looked_at
from contracts.rules.changes import Changes, Violation
from contracts.rules.fills import INTERVAL_MS, ORDER_WH_MIN
from contracts.rules.groups import (
    ARBITER,
    AUCTIONED,
    CERTIFICATES,
    DIRECTED,
    LISTINGS,
    METERS,
    OFFERS,
    POLICIES,
    RUNS,
    TRADES,
)
from contracts.rules.money import BALANCING, GRID
from contracts.rules.terms import GATE_CLOSURE, may_use, owner_of
from ledger.authentication import USER_PREFIX, authenticate
from ledger.codes import RefusalCode
from ledger.execution import Call
from ledger.values import Value

SELLING, BUYING, TRADING = ("seller", "prosumer"), ("buyer", "prosumer"), ("seller", "buyer", "prosumer")
EXECUTIONS = ("limit", "ioc", "fok")


def standing(call: Call, changes: Changes) -> Violation | None:
    """Contracts ask the same before they write; a migration was agreed on with its source."""
    if call.kind == "migrate":
        return None
    for prefix in OFFERS:
        for key in changes.below(prefix):
            if changes.old(key) is None and not _may_offer(call, changes, prefix, changes.new(key)):
                return Violation.STANDING
    for key in changes.below(TRADES):
        trade = changes.new(key)
        if changes.old(key) is None and trade["source"] != "auction" and not _may_trade(call, changes, trade):
            return Violation.STANDING
    if call.function == "take_listing" and not _takes_lots(call, changes):
        return Violation.STANDING
    return None if _may_have(call, changes) else Violation.STANDING


def _may(call: Call, changes: Changes, who: str, roles: tuple[str, ...] = ()) -> bool:
    return authenticate(changes.base, who, roles, call.block_time_ms) is None


def _is_trading(call: Call, changes: Changes, interval: int) -> bool:
    closure_s = changes.current(GATE_CLOSURE)["value"]
    return bool(call.block_time_ms < interval * INTERVAL_MS - closure_s * 1_000)


# --------------------------------------------------------------------------------------------------- offers


def _may_offer(call: Call, changes: Changes, prefix: str, offer: Value) -> bool:
    """Of its owner's side, in multiples of the least energy, of an interval that trades."""
    asks = offer.get("side", "ask") == "ask"
    if not _may(call, changes, owner_of(offer), SELLING if asks else BUYING):
        return False
    if prefix == AUCTIONED:
        run = changes.current(f"{RUNS}{offer['product']}/{offer['interval']:010d}")
        return _is_multiple(offer["energy_wh"], run.get("order_wh_min", 1))
    if offer["interval"] > call.block_time_ms // INTERVAL_MS + AHEAD_MAX:
        return False
    if not _is_multiple(offer["energy_wh"], changes.current(ORDER_WH_MIN)["value"]):
        return False
    if prefix == DIRECTED:
        return bool(offer["to"] != offer["owner"]) and _may(call, changes, offer["to"], BUYING if asks else SELLING)
    if prefix == LISTINGS:
        return bool(0 < offer["lot_wh"] <= offer["energy_wh"])
    return _is_executed(call, changes, offer)


def _is_multiple(energy_wh: int, least_wh: int) -> bool:
    return least_wh < 2 or energy_wh % least_wh == 0


def _is_executed(call: Call, changes: Changes, order: Value) -> bool:
    """Only a limit order rests; all or nothing is filled. What would still meet others after as many
    as may be is cancelled."""
    args = call.args if isinstance(call.args, dict) else {}
    execution = "limit" if call.function == "amend_order" else args.get("execution", "")
    if execution not in EXECUTIONS or looked_at(changes) > MATCHES_MAX:
        return False
    if order["status"] == "filled":
        return True
    if execution == "limit":
        ended = order["status"] == "cancelled" and looked_at(changes) == MATCHES_MAX and is_crossed(changes, order)
        return bool(order["status"] == "open" or ended)
    return execution == "ioc" and bool(order["status"] == "cancelled")


def _takes_lots(call: Call, changes: Changes) -> bool:
    """Whole lots, in multiples of the least energy, or all that is left."""
    for key in changes.below(LISTINGS):
        new, old = changes.new(key), changes.old(key)
        taken_wh = old["remaining_wh"] - new["remaining_wh"]
        least_wh = changes.current(ORDER_WH_MIN)["value"]
        if new["remaining_wh"] and (taken_wh % old["lot_wh"] or not _is_multiple(taken_wh, least_wh)):
            return False
    return True


def _may_trade(call: Call, changes: Changes, trade: Value) -> bool:
    """Both parties, with meters of theirs that are not suspended, before the gate closes. An auction's orders were
    screened."""
    if not _is_trading(call, changes, trade["interval"]):
        return False
    for party, name in (("seller", "meter"), ("buyer", "buyer_meter")):
        if not may_use(changes.current(METERS + trade[name]), trade[party]):
            return False
    return _may(call, changes, trade["seller"], SELLING) and _may(call, changes, trade["buyer"], BUYING)


# ------------------------------------------------------------------------------------------- what one is given


def _may_have(call: Call, changes: Changes) -> bool:
    """Money and certificates go to who may act; who signs for an account is a trader of its organisation; owners and
    gateways of meters, and the arbiter, are what they are named."""
    args = call.args if isinstance(call.args, dict) else {}
    if call.contract == "credit":
        return _may_be_paid(call, changes, args) and all(
            _may_sign(call, changes, key) for key in changes.below(POLICIES)
        )
    if call.function == "transfer" and changes.below(CERTIFICATES):
        return args["to"] != call.signers[0] and _may(call, changes, args["to"], TRADING)
    if call.function == "bind_meter" and changes.below(METERS):
        return _may(call, changes, args["owner"], TRADING) and _may(call, changes, args["gateway"], ("gateway",))
    if ARBITER in changes.raw:
        return _may(call, changes, args["user"], ("arbiter",))
    return True


def _may_be_paid(call: Call, changes: Changes, args: Value) -> bool:
    if call.function == "deposit":
        return args["account"] in (BALANCING, GRID) or _may(call, changes, args["account"])
    if call.function != "transfer":
        return True
    barred = authenticate(changes.base, args["account"], (), call.block_time_ms)
    return barred != RefusalCode.SUSPENDED and _may(call, changes, args["to"])


def _may_sign(call: Call, changes: Changes, key: str) -> bool:
    policy = changes.new(key)
    if policy is None:
        return True
    organisation = changes.current(USER_PREFIX + policy["account"])["organisation"]
    return all(
        _may(call, changes, signer, TRADING) and changes.current(USER_PREFIX + signer)["organisation"] == organisation
        for signer in policy["keys"]
    )
