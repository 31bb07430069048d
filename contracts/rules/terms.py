"""What an offer says: of its owner's meter, at the collateral in force, for as long as it stands; and who ends it."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation
from contracts.rules.fills import IMBALANCE_PRICE, INTERVAL_MS
from contracts.rules.groups import (
    AUCTIONED,
    COUNTS,
    DIRECTED,
    LISTINGS,
    METERS,
    OFFERS,
    PARAMETERS,
    POLICIES,
    SEALED,
    ZONES,
)
from ledger.authentication import authenticate
from ledger.execution import Call
from ledger.values import Value

GATE_CLOSURE = PARAMETERS + "gate_closure_s"
PRICE_MAX = ENERGY_MAX = 10**9
TRADES_MAX = 100
CHANGING = frozenset({"remaining_wh", "status"})
CONCLUDED = ("other_meter", "accepted_tx", "trade")
"""What a directed offer says once it is accepted."""
MATCHING = (("market", "place_order"), ("market", "amend_order"))
"""What fills orders that rest, and finds them barred. In an auction nobody's word does, offers are accepted."""
ACCEPTING = CHANGING | {*CONCLUDED}
"""What of an offer changes, and of a directed one."""


def terms(call: Call, changes: Changes) -> Violation | None:
    """An offer's terms are sound when it is made and never change; it never grows, and once closed stays as it is."""
    for prefix in OFFERS:
        for key in changes.below(prefix):
            new, old = changes.new(key), changes.old(key)
            if new is None or key != prefix + new["id"] or not 0 <= new["remaining_wh"] <= new["energy_wh"]:
                return Violation.OVERSOLD
            if old is None:
                if not _is_sound(call, prefix, new, changes):
                    return Violation.LIMIT
            elif not _is_kept(prefix, old, new):
                return Violation.OVERSOLD
            if not _may_become(call, prefix, new, changes):
                return Violation.SIGNATURES
    return None


def owner_of(offer: Value) -> str:
    return str(offer["seller"] if "seller" in offer else offer["owner"])


def may_use(meter: Value, owner: str) -> bool:
    """Whether a meter trades for somebody: it is bound to them, and not suspended."""
    return bool(meter["owner"] == owner) and not meter.get("suspended")


def _is_kept(prefix: str, old: Value, new: Value) -> bool:
    if old["status"] != "open" or new["remaining_wh"] > old["remaining_wh"] or old.keys() != new.keys():
        return False
    changing = ACCEPTING if prefix == DIRECTED else CHANGING
    return all(new[name] == value or name in changing for name, value in old.items())


def _is_sound(call: Call, prefix: str, new: Value, changes: Changes) -> bool:
    """Its owner's meter, which is not suspended, in its zone and product, before the gate closes, for what it has to
    hold."""
    meter = changes.current(METERS + new["meter"])
    if meter is None or not may_use(meter, owner_of(new)) or meter["zone"] != new["zone"]:
        return False
    if new.get("side", "ask") not in ("ask", "bid"):
        return False
    if not 0 < new["price"] <= PRICE_MAX or not 0 < new["energy_wh"] <= ENERGY_MAX:
        return False
    least = new["price"] if new.get("side") == "bid" else changes.current(IMBALANCE_PRICE)["value"]
    if new["imbalance_price" if prefix == LISTINGS else "collateral_price"] != least:
        return False
    if prefix == AUCTIONED:
        # A sealed order's meter may have been bound in another zone since.
        sealed = changes.current(SEALED + new["id"])
        product = _product_of(new, changes) if sealed is None else sealed["product"]
        return _stands_for_all_its_keys(new, changes) and bool(product == new["product"])
    if prefix == DIRECTED and new["proposed_tx"] != call.tx_id:
        return False
    closure_s = changes.current(GATE_CLOSURE)["value"]
    if call.block_time_ms >= new["interval"] * INTERVAL_MS - closure_s * 1_000:
        return False
    return "product" not in new or _product_of(new, changes) == new["product"]


def _stands_for_all_its_keys(order: Value, changes: Changes) -> bool:
    """So that nobody stands on both sides of an auction."""
    owner = order["owner"]
    policy = changes.current(POLICIES + owner)
    keys = [] if policy is None else [key for key in policy["keys"] if key != owner]
    return bool(order.get("names") == ([owner, *keys] if keys else None))


def _product_of(offer: Value, changes: Changes) -> str:
    zone = changes.current(ZONES + offer["zone"])
    return "" if zone is None else str(zone["product"])


def _may_become(call: Call, prefix: str, new: Value, changes: Changes) -> bool:
    """By trades, by its owner, by whom it named, by time, or since its owner or its meter may trade no more."""
    status = new["status"]
    if prefix == DIRECTED and status != "accepted" and any(new[name] for name in CONCLUDED):
        return False
    if status == "open":
        return bool(new["remaining_wh"] > 0)
    if status in ("taken", "filled", "accepted"):
        return bool(new["remaining_wh"] == 0 and new.get("accepted_tx", call.tx_id) == call.tx_id)
    if status in ("cancelled", "amended", "withdrawn"):
        return owner_of(new) in call.signers
    if status in ("declined", "countered"):
        return new["to"] in call.signers
    if status == "expired":
        return call.kind == "deadline"
    if call.kind == "transaction" and (call.contract, call.function) not in MATCHING:
        return False
    if status == "full":
        count = changes.current(f"{COUNTS}{new['meter']}/{new['interval']:010d}")
        return count is not None and count >= TRADES_MAX
    return status == "barred" and _is_barred(call, new, changes)


def _is_barred(call: Call, order: Value, changes: Changes) -> bool:
    roles = ("seller", "prosumer") if order["side"] == "ask" else ("buyer", "prosumer")
    meter = changes.current(METERS + order["meter"])
    return (
        not may_use(meter, order["owner"])
        or authenticate(changes.base, order["owner"], roles, call.block_time_ms) is not None
    )
