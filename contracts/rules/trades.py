"""A trade keeps its terms, delivers no more than was metered, and is paid once, with both signatures, or the arbiter's
for one of them."""

from __future__ import annotations

import re

from contracts.rules.changes import Changes, Violation, id_of, place_of
from contracts.rules.deliveries import is_usable
from contracts.rules.disputes import open_disputes
from contracts.rules.groups import DISPUTES, PARAMETERS, PARTY, POLICIES, READINGS, TRADES
from contracts.rules.signatures import PARTIES, has_mandate, is_confirmed_lawfully, is_decided, share_control, terms_of
from ledger.execution import Call
from ledger.values import Value

TERMS = (
    "id", "interval", "meter", "buyer_meter", "seller", "buyer", "price", "grid_fee", "imbalance_price",
    "fee_permille", "energy_wh", "source", "seller_mandate", "buyer_mandate",
)  # fmt: skip
FEE = PARAMETERS + "fee_permille"
PAID = ("settled", "disputed")
OWED = ("amount", "grid_amount", "fee", "penalty")
SETTLING = frozenset({"seller_disputed", "buyer_disputed", "open_disputes", "arbiter"})
"""What a trade says besides once it is metered."""
TRADE_NUMBER = re.compile(r"[0-9]{3}")
NEXT = {
    "matched": ("proposed", "settled"),
    "proposed": ("proposed", "overdue", "disputed", "settled"),
    "overdue": ("overdue", "disputed", "settled"),
    "disputed": ("disputed", "settled"),
}
"""What a trade's state may become in one call."""


def trades(call: Call, changes: Changes) -> Violation | None:
    """A trade's terms never change, its debts are fixed once by delivery and terms, and only signatures settle it."""
    for key in changes.below(TRADES):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != TRADES + new["id"] or not 0 <= new["delivered_wh"] <= new["energy_wh"]:
            return Violation.DELIVERY
        if not (_is_new(new, changes) if old is None else _continues(old, new)):
            return Violation.DELIVERY
        if old is not None and new.get("unread", False) != _is_unread(old, new, changes):
            return Violation.DELIVERY
        if not _is_signed(call, old, new, changes):
            return Violation.SIGNATURES
        if new["status"] != "matched" and not _disputes_agree(old, new, changes):
            return Violation.DISPUTE
    return None if _are_numbered(call, changes) else Violation.DELIVERY


def _are_numbered(call: Call, changes: Changes) -> bool:
    """Trades are called by when they are made, and in turn: who traded first is delivered to first. Of an auction's,
    numbers of orders that could not sell are left out."""
    made = sorted(key[len(TRADES) :] for key in changes.below(TRADES) if changes.old(key) is None)
    if call.contract != "auction":
        return made == [f"{id_of(call)}-{number:03d}" for number in range(len(made))]
    return all(TRADE_NUMBER.fullmatch(name.removeprefix(f"{id_of(call)}-")) for name in made)


def _is_new(new: Value, changes: Changes) -> bool:
    """A match owes nothing yet; its fee, its parties' policies and mandates are those in force."""
    for side in PARTIES:
        policy = changes.current(POLICIES + new[side])
        if terms_of(new[f"{side}_policy"]) != terms_of(policy) or (policy and new[f"{side}_policy"]["signed"]):
            return False
        if new[f"{side}_mandate"] != has_mandate(changes, new[side]):
            return False
    return (
        new["status"] == "matched"
        and new["energy_wh"] > 0
        and new["seller"] != new["buyer"]
        and (new["source"] == "auction" or not share_control(new))
        and 0 <= new["grid_fee"] <= new["price"]
        and new["fee_permille"] == changes.current(FEE)["value"]
        and not any(new[name] for name in ("delivered_wh", *OWED, "seller_confirmed", "buyer_confirmed"))
        and SETTLING.isdisjoint(new)
        and _is_listed(new, changes)
    )


def _is_listed(new: Value, changes: Changes) -> bool:
    """Both parties find it among theirs."""
    rows = {f"{PARTY}{new[side]}/{new['interval']:010d}/{new['id']}": side for side in PARTIES}
    return all(key in changes.raw and changes.new(key) == side for key, side in rows.items())


def _continues(old: Value, new: Value) -> bool:
    """Terms stay; delivery and payment are fixed once, by the terms; what is settled is over."""
    fixed = TERMS if old["status"] == "matched" else (*TERMS, "delivered_wh", *OWED)
    if (
        not new.keys() >= SETTLING
        or new["status"] not in NEXT.get(old["status"], ())
        or any(old[name] != new[name] for name in fixed)
    ):
        return False
    if any(terms_of(old[f"{side}_policy"]) != terms_of(new[f"{side}_policy"]) for side in PARTIES):
        return False
    return [new[name] for name in OWED] == owed(new, new["delivered_wh"])


def _is_unread(old: Value, new: Value, changes: Changes) -> bool:
    """Whether it was proposed without a reading that can be used."""
    if old["status"] == "matched":
        return not is_usable(changes.current(READINGS + place_of(new)))
    return bool(old.get("unread", False))


def owed(trade: Value, delivered_wh: int) -> list[int]:
    """Amount, the grid's part of it, the market's fee, and the penalty of a trade that delivers so much."""
    amount = delivered_wh * trade["price"] // 1000
    grid_amount = delivered_wh * trade["grid_fee"] // 1000
    fee = (amount - grid_amount) * trade["fee_permille"] // 1000
    return [amount, grid_amount, fee, (trade["energy_wh"] - delivered_wh) * trade["imbalance_price"] // 1000]


def fees_of(trade: Value, paid: int) -> tuple[int, int]:
    """The grid's part and the market's fee of so much of the buyer's debt: the grid's of all of it, the market's of
    what that leaves, so that whatever more is paid never leaves the seller less."""
    grid_part = trade["grid_amount"] * paid // trade["amount"] if paid else 0
    rest, rest_in_all = paid - grid_part, trade["amount"] - trade["grid_amount"]
    return grid_part, trade["fee"] * rest // rest_in_all if rest else 0


def _is_signed(call: Call, old: Value, new: Value, changes: Changes) -> bool:
    metered_now = old is not None and old["status"] == "matched"
    usable = metered_now and is_usable(changes.current(READINGS + place_of(new)))
    for side in PARTIES:
        by_mandate = usable and new[f"{side}_mandate"]
        if not is_confirmed_lawfully(call, old, new, side, by_mandate=by_mandate):
            return False
        if by_mandate and not new[f"{side}_confirmed"]:
            return False
    both = new["seller_confirmed"] and new["buyer_confirmed"]
    if new["status"] not in PAID:
        return not both  # the second signature pays
    if old is not None and old["status"] in PAID:
        return True
    return bool(both or is_decided(call, old, new, changes))


def _disputes_agree(old: Value, new: Value, changes: Changes) -> bool:
    """What is frozen is what disputes name; a trade is settled when none is open."""
    for side in PARTIES:
        record = changes.current(f"{DISPUTES}{new['id']}-{side}")
        if new[f"{side}_disputed"] != (0 if record is None else record["disputed"]):
            return False
    count = open_disputes(changes, new["id"])
    if new["open_disputes"] != count or (old["status"] in ("settled", "disputed") and new["status"] == "proposed"):
        return False
    return {"settled": count == 0, "disputed": count > 0}.get(new["status"], True)
