"""An adjustment is the difference between what a trade owed and what it owes by a later reading, beside what is
disputed; both sign it too, or one of them and the arbiter."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation, place_of
from contracts.rules.groups import ACCOUNTS, ADJUSTMENTS, SHARES, TRADES
from contracts.rules.money import BALANCING, GRID
from contracts.rules.signatures import PARTIES, is_confirmed_lawfully, is_decided, terms_of
from contracts.rules.trades import OWED, PAID, fees_of, owed
from ledger.execution import Call
from ledger.values import Value

TERMS = ("id", "trade", "number", "interval", "meter", "seller", "buyer", "before_wh", "after_wh")
NEXT = {
    "proposed": ("proposed", "overdue", "settled", "void"),
    "overdue": ("overdue", "settled", "void"),
    "void": ("void",),
}
"""What an adjustment's state may become in one call: void by a dispute, which leaves it nothing to change. One that is
void already a dispute prices anew too."""

PAYING = ("confirm_adjustments", "decide_adjustment")
"""Where the second signature pays; whom mandates signed for may lack the grid's or the balancing account's part."""


def adjustments(call: Call, changes: Changes) -> Violation | None:
    """Terms follow the trade's and never change; it is settled after the trade and all earlier ones, signed by two."""
    for key in changes.below(ADJUSTMENTS):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != f"{ADJUSTMENTS}{new['trade']}-{new['number']:02d}" or key != ADJUSTMENTS + new["id"]:
            return Violation.ADJUSTMENT
        trade = changes.current(TRADES + new["trade"])
        if not _is_priced(new, trade):
            return Violation.ADJUSTMENT
        if not (_is_new(new, trade, changes) if old is None else _continues(old, new)):
            return Violation.ADJUSTMENT
        if not _is_covered_lawfully(new, old, changes):
            return Violation.ADJUSTMENT
        paid = trade["status"] in PAID
        fresh = old is None and paid and _earlier_is_settled(new, changes)
        for side in PARTIES:
            by_mandate = fresh and trade[f"{side}_mandate"]
            if not is_confirmed_lawfully(call, old, new, side, by_mandate=by_mandate):
                return Violation.SIGNATURES
        if fresh and _is_left_unsigned(new, trade, changes):
            return Violation.SIGNATURES
        if new["status"] == "settled":
            if not (new["seller_confirmed"] and new["buyer_confirmed"]) and not is_decided(call, old, new, changes):
                return Violation.SIGNATURES
            if not paid or not _earlier_is_settled(new, changes):
                return Violation.ADJUSTMENT
        elif call.function in PAYING and new["seller_confirmed"] and new["buyer_confirmed"]:
            return Violation.SIGNATURES
    return None if all(_is_cover_kept(changes, key) for key in changes.below(TRADES)) else Violation.ADJUSTMENT


def _is_settled_unread(changes: Changes, key: str) -> bool:
    """Whether a trade is settled here, or as far as it is not disputed, that was proposed without a reading."""
    old, new = changes.old(key), changes.current(key)
    was_open = old is not None and old["status"] in ("proposed", "overdue")
    return was_open and new["status"] in PAID and new.get("unread", False)


def _is_covered_lawfully(new: Value, old: Value, changes: Changes) -> bool:
    """The trade's hold goes over to what late readings found that the buyer owes, as the trade is settled."""
    covered = new.get("covered", False)
    if old is None or old.get("covered"):
        return bool(covered == (old is not None))
    return bool(not covered or (new["amount"] > 0 and _is_settled_unread(changes, TRADES + new["trade"])))


def _is_cover_kept(changes: Changes, key: str) -> bool:
    """The first of what late readings found is covered in any case, what corrections added as far as the money goes.
    Where the call settles one trade, covers are the last that it takes; else it is known what was there all along."""
    if not _is_settled_unread(changes, key):
        return True
    trade = changes.new(key)
    account = ACCOUNTS + trade["buyer"]
    if len(changes.below(TRADES)) == 1:
        free = changes.current(account)["available"]
    else:
        free = changes.old(account)["available"] - _covered(changes, trade["buyer"])
    made = changes.current(f"{SHARES}{place_of(trade)}/{trade['id']}")[2]
    for number in range(made, 0, -1):
        known = changes.current(f"{ADJUSTMENTS}{trade['id']}-{number:02d}")
        if known["amount"] <= 0:
            continue
        if known.get("covered"):
            free += known["amount"]
        elif number == 1 or free >= known["amount"]:
            return False
    return True


def _covered(changes: Changes, buyer: str) -> int:
    """What the call takes from what a buyer has available, for covers."""
    fresh = [changes.new(key) for key in changes.below(ADJUSTMENTS) if not (changes.old(key) or {}).get("covered")]
    return sum(new["amount"] for new in fresh if new["buyer"] == buyer and new.get("covered"))


def _is_new(new: Value, trade: Value, changes: Changes) -> bool:
    same = all(new[name] == trade[name] for name in ("interval", "meter", "seller", "buyer"))
    same = same and all(terms_of(new[f"{side}_policy"]) == terms_of(trade[f"{side}_policy"]) for side in PARTIES)
    share = f"{SHARES}{new['meter']}/{new['interval']:010d}/{new['trade']}"
    differs = new["before_wh"] != new["after_wh"]
    return bool(same and differs and share in changes.raw and new["status"] in ("proposed", "settled", "void"))


def _is_left_unsigned(new: Value, trade: Value, changes: Changes) -> bool:
    """Whether a mandate has not signed, or what both have signed is not paid, though the money for it is there."""
    if new["status"] != "proposed":
        return False
    costs = _costs(new)
    for side in PARTIES:
        if trade[f"{side}_mandate"] and not new[f"{side}_confirmed"] and _has(changes, new[side], costs[new[side]]):
            return True
    if not (new["seller_confirmed"] and new["buyer_confirmed"]):
        return False
    return all(_has(changes, account, costs[account]) for account in (GRID, BALANCING))


def _has(changes: Changes, account: str, cost: int) -> bool:
    """Whether so much was available all along: before the call, and of that after all that it takes for other
    adjustments. What it brings may have come too late."""
    if cost <= 0:
        return True
    known = changes.old(ACCOUNTS + account)
    return known is not None and bool(known["available"] - _taken(changes, account) >= cost)


def _taken(changes: Changes, account: str) -> int:
    """What the call takes from an account for adjustments that it makes: as a party signs, or as grid and balancing
    pay."""
    taken = 0
    for key in changes.below(ADJUSTMENTS):
        new = changes.new(key)
        signed = {new[side]: new[f"{side}_confirmed"] for side in PARTIES}
        if changes.old(key) is None and signed.get(account, new["status"] == "settled"):
            taken += max(0, _costs(new).get(account, 0))
    return taken


def _costs(adjustment: Value) -> dict[str, int]:
    """What an adjustment costs by account, negative where it brings something."""
    amount, grid_amount = adjustment["amount"], adjustment["grid_amount"]
    rest = adjustment["fee"] + adjustment["penalty"]
    seller = grid_amount + rest - amount
    return {adjustment["buyer"]: amount, adjustment["seller"]: seller, GRID: -grid_amount, BALANCING: -rest}


def _is_priced(new: Value, trade: Value) -> bool:
    """Whether it owes the difference, and is void only where there is none."""
    before, after = undisputed(trade, new["before_wh"]), undisputed(trade, new["after_wh"])
    changed = [b - a for a, b in zip(before, after, strict=True)]
    return [new[name] for name in OWED] == changed and (new["status"] == "void") != any(changed)


def undisputed(trade: Value, delivered_wh: int) -> list[int]:
    """What a delivery owes, with the disputed parts, which are the last of what was proposed, cut out."""
    amount, grid_amount, fee, penalty = owed(trade, delivered_wh)
    frozen = trade["buyer_disputed"]
    below = trade["amount"] - frozen
    if frozen and amount > below:
        grid_below, fee_below = fees_of(trade, below)
        grid_amount = grid_below + max(0, grid_amount - trade["grid_amount"])
        fee = fee_below + max(0, fee - trade["fee"])
        amount = max(below, amount - frozen)
    frozen = trade["seller_disputed"]
    return [amount, grid_amount, fee, max(min(penalty, trade["penalty"] - frozen), penalty - frozen)]


def _continues(old: Value, new: Value) -> bool:
    """What is settled is over, and nothing comes of what is void."""
    same = all(old[name] == new[name] for name in TERMS) and new["status"] in NEXT.get(old["status"], ())
    return same and all(terms_of(old[f"{side}_policy"]) == terms_of(new[f"{side}_policy"]) for side in PARTIES)


def _earlier_is_settled(new: Value, changes: Changes) -> bool:
    if new["number"] == 1:
        return True
    return changes.current(f"{ADJUSTMENTS}{new['trade']}-{new['number'] - 1:02d}")["status"] in ("settled", "void")
