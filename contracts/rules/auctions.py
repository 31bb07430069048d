"""An auction's course: opened on its product's terms, counted order by order, then cleared stage by stage, at one
price that lies where its bounds say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from contracts.rules.changes import Changes, Violation, args_of
from contracts.rules.clearing import NOTHING, is_walked
from contracts.rules.fills import INTERVAL_MS, ORDER_WH_MIN
from contracts.rules.groups import (
    ACCOUNTS,
    AUCTION_ASKS,
    AUCTION_BIDS,
    AUCTION_SHARES,
    AUCTIONED,
    COUNTS,
    METERS,
    PARAMETERS,
    PARTY,
    PRODUCTS,
    RUNS,
    SEALED,
    SHARES,
    SIDES,
    SOLD,
    TRADES,
    UNREVEALED,
    ZONES,
)
from contracts.rules.terms import GATE_CLOSURE, may_use
from ledger.execution import Call
from ledger.values import Value

REVEAL = PARAMETERS + "reveal_s"
RUN_TERMS = ("product", "interval", "mechanism", "ties", "grid_fee", "order_wh_min", "entry_ms", "clear_ms")
BEGUN: dict[str, Value] = {
    "type": "auction", "stage": "open", "price": 0, "volume_wh": 0, "low": 0, "high": 0, "welfare": 0, "trades": 0,
    "rationed": "",
}  # fmt: skip
"""An auction as it opens, beside its terms."""

WALK = frozenset({"stage", "side", "after", "steps"})
PRICED = frozenset({"price", "seller_price", "low", "high", "volume_wh", "welfare", "traded_wh", "gained"})
FOUND = WALK | PRICED | {"bid", "ask"}
STEPS: dict[tuple[str, str], frozenset[str]] = {
    ("forfeit", "forfeit"): WALK,
    ("forfeit", "screen"): WALK,
    ("screen", "screen"): WALK,
    ("screen", "match"): WALK | {"bid", "ask"},
    ("screen", "mechanism"): WALK,
    ("match", "match"): WALK | {"bid", "ask", "volume_wh", "welfare"},
    ("match", "level"): FOUND | {"rationed", "level_wh", "given_wh"},
    ("match", "fill"): FOUND | {"rationed"},
    ("match", "rest"): FOUND,
    ("mechanism", "fill"): FOUND,
    ("mechanism", "rest"): WALK | {"failed"},
    ("level", "level"): WALK | {"level_wh"},
    ("level", "share"): WALK | {"level_wh"},
    ("share", "share"): WALK | {"given_wh"},
    ("share", "fill"): WALK | {"given_wh", "extra_wh", "bid", "ask"},
    ("fill", "fill"): WALK | {"bid", "ask", "extra_wh", "trades", "traded_wh", "gained"},
    ("fill", "rest"): WALK | PRICED | {"bid", "ask", "extra_wh", "trades"},
    ("rest", "rest"): WALK,
    ("rest", "done"): WALK | {"bid", "ask", "level_wh", "given_wh", "extra_wh", "traded_wh", "gained"},
}
"""From which stage a step leads to which, and what of the auction it may change."""
ENDS = {"screen": ("barred", "full"), "fill": ("open", "filled", "full"), "rest": ("expired",)}
"""What becomes of an order in a stage that touches orders."""
MISSING = object()
SEALED_TIER = PARAMETERS + "sealed_tier"
ORDERS_MAX, MECHANISM_ORDERS_MAX, PARTIES_MIN = 20_000, 400, 20
"""What an auction can clear, in itself and by another mechanism; of which one party has at most a twentieth."""
AHEAD_MAX = 672
"""Intervals that trade: a week's."""


def auctions(call: Call, changes: Changes) -> Violation | None:
    """Each auction that is written takes one lawful step, and stands for the orders that entered and left."""
    if call.contract != "auction":
        return None  # nobody else writes there
    entered = _entered(changes) if call.kind == "transaction" else Counter()
    if any(f"{RUNS}{place}" not in changes.raw for place, count in entered.items() if count):
        return Violation.AUCTION
    if not all(_is_lawful(call, changes, key, entered) for key in changes.below(RUNS)):
        return Violation.AUCTION
    if call.kind == "deadline" and not _is_noted(call, changes):
        return Violation.AUCTION
    if call.kind == "transaction" and changes.below(AUCTION_SHARES):
        return Violation.AUCTION  # a mechanism's answer, which steps alone bring in and take away
    if call.kind == "transaction" and not (_sides_agree(changes) and _are_in_time(call, changes)):
        return Violation.AUCTION
    return None if all(_is_sealed(changes, key) for key in changes.below(SEALED)) else Violation.AUCTION


def _place(record: Value) -> str:
    return f"{record['product']}/{record['interval']:010d}"


def _entered(changes: Changes) -> Counter[str]:
    """By auction, how many orders more there are. A sealed order counts from its sealing on."""
    found: Counter[str] = Counter()
    for key in changes.below(AUCTIONED):
        new, old = changes.new(key), changes.old(key)
        if old is None:
            revealed = SEALED + new["id"] in changes.raw
            found[_place(new)] += 0 if revealed else 1
        elif new["status"] in ("cancelled", "amended"):
            found[_place(new)] -= 1
    found.update(_place(changes.new(key)) for key in changes.below(SEALED) if changes.old(key) is None)
    return found


def _is_lawful(call: Call, changes: Changes, key: str, entered: Counter[str]) -> bool:
    new, old = changes.new(key), changes.old(key)
    if new is None or key != RUNS + _place(new):
        return False
    if old is None:
        return _is_opened(call, new, changes) and bool(new["orders"] == entered[_place(new)] > 0)
    if call.kind == "transaction":
        return bool(old["stage"] == "open" and new == {**old, "orders": old["orders"] + entered[_place(new)]})
    if call.kind == "migrate":
        return all(new[name] == old[name] for name in RUN_TERMS if name in old)
    if args_of(call)[:2] != [new["product"], new["interval"]]:
        return False
    return DEADLINES[call.function](call, changes, old, new)


def _is_opened(call: Call, run: Value, changes: Changes) -> bool:
    """On its product's terms and the parameters in force, cleared as the gate closes."""
    product = changes.current(PRODUCTS + run["product"])
    clear_ms = run["interval"] * INTERVAL_MS - changes.current(GATE_CLOSURE)["value"] * 1_000
    terms = {
        **BEGUN,
        **{name: product[name] for name in ("mechanism", "ties", "grid_fee")},
        **{name: run[name] for name in ("product", "interval", "orders")},
        "order_wh_min": changes.current(ORDER_WH_MIN)["value"],
        "entry_ms": clear_ms - changes.current(REVEAL)["value"] * 1_000,
        "clear_ms": clear_ms,
    }
    in_time = (
        call.block_time_ms < terms["entry_ms"] and run["interval"] <= call.block_time_ms // INTERVAL_MS + AHEAD_MAX
    )
    return bool(run == terms and in_time and run["mechanism"] != "continuous")


def _are_in_time(call: Call, changes: Changes) -> bool:
    """Orders enter and leave until the end of entry; from then on, until the gate closes, sealed ones are revealed."""
    for group in (AUCTIONED, SEALED):
        for key in changes.below(group):
            new = changes.new(key)
            run = changes.current(RUNS + _place(new))
            reveals = SEALED + new["id"] in changes.raw and changes.old(SEALED + new["id"]) is not None
            begin_ms, end_ms = (run["entry_ms"], run["clear_ms"]) if reveals else (0, run["entry_ms"])
            if not begin_ms <= call.block_time_ms < end_ms:
                return False
    return True


def _is_sealed(changes: Changes, key: str) -> bool:
    """By the owner of a meter that may trade, in its product's auction, for the tier in force, if there is a time to
    reveal it."""
    new = changes.new(key)
    if changes.old(key) is not None:
        return True
    meter, run = changes.current(METERS + new["meter"]), changes.current(RUNS + _place(new))
    zone = changes.current(ZONES + meter["zone"])
    owned = may_use(meter, new["owner"]) and zone["product"] == new["product"]
    return bool(
        owned and run["entry_ms"] < run["clear_ms"] and new["collateral"] == changes.current(SEALED_TIER)["value"]
    )


# ------------------------------------------------------------------------------------------- who stands where


def _sides_agree(changes: Changes) -> bool:
    """Who stands on which side with how many orders is counted order by order."""
    moved: Counter[str] = Counter()
    sides: dict[str, str] = {}
    for key in changes.below(AUCTIONED):
        new, old = changes.new(key), changes.old(key)
        left = new["status"] in ("cancelled", "amended")
        if old is not None and not left:
            continue
        for name in new.get("names", [new["owner"]]):
            stands = f"{SIDES}{_place(new)}/{name}"
            sides[stands] = new["side"]
            moved[stands] += -1 if left else 1
    expected: dict[str, Value] = {}
    for stands, count in moved.items():
        known = changes.old(stands)
        orders = count + (0 if known is None else known["orders"])
        expected[stands] = {"orders": orders, "side": sides[stands]} if orders else None
        if known is not None and known["side"] != sides[stands]:
            return False
    for key in changes.below(SEALED):
        new = changes.new(key)
        if changes.old(key) is None:
            stands = f"{SIDES}{_place(new)}/{new['owner']}/sealed"
            expected[stands] = (changes.old(stands) or 0) + 1
    if any(key not in expected for key in changes.below(SIDES)) or not all(
        _has_room(changes, key) for key in changes.below(RUNS)
    ):
        return False
    return all(changes.current(key) == value for key, value in expected.items())


def _has_room(changes: Changes, key: str) -> bool:
    """An auction takes as many orders as it can clear, and of one party a twentieth of that."""
    run, place = changes.new(key), key[len(RUNS) :]
    most = ORDERS_MAX if run["mechanism"] == "auction" else MECHANISM_ORDERS_MAX
    prefix = f"{SIDES}{place}/"
    for stands in changes.below(SIDES):
        name = stands[len(prefix) :].removesuffix("/sealed")
        known = changes.current(prefix + name)
        orders = (0 if known is None else known["orders"]) + (changes.current(f"{prefix}{name}/sealed") or 0)
        if orders > max(most // PARTIES_MIN, _orders_before(changes, prefix + name)):
            return False
    return bool(run["orders"] <= most)


def _orders_before(changes: Changes, stands: str) -> int:
    known = changes.old(stands)
    return (0 if known is None else int(known["orders"])) + int(changes.old(stands + "/sealed") or 0)


# -------------------------------------------------------------------------------------------------- clearing


def _is_noted(call: Call, changes: Changes) -> bool:
    """Whatever is done of an auction is done with a step that counts."""
    product, interval = args_of(call)[:2]
    key = f"{RUNS}{product}/{interval:010d}"
    goes_on = call.function == "rescue" and changes.old(key)["steps"] != args_of(call)[2]
    return goes_on != (key in changes.raw)


def _changed(old: Value, new: Value) -> set[str]:
    return {name for name in {*old, *new} if old.get(name, MISSING) != new.get(name, MISSING)}


def _is_cleared(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    return bool(old["stage"] == "open" and new == {**old, "stage": "forfeit", "steps": 0})


def _is_step(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """One of those that follow, and it counts, as do the trades that it makes."""
    step = (old["stage"], new["stage"])
    if step not in STEPS or not _changed(old, new) <= STEPS[step]:
        return False
    if new["stage"] != "done" and new["steps"] != old["steps"] + 1:
        return False
    made = [changes.new(key) for key in changes.below(TRADES) if changes.old(key) is None]
    if new["trades"] != old["trades"] + len(made):
        return False
    return is_walked(call, changes, old, new) and (step != ("fill", "rest") or _is_published(old, new))


def _is_published(old: Value, new: Value) -> bool:
    """What was traded, and at what price: at none if nothing was."""
    names = ("price", "seller_price", "low", "high")
    prices = [old[name] for name in names] if new["traded_wh"] else [0] * len(names)
    same = [new[name] for name in names] == prices
    return bool(same and new["volume_wh"] == new["traded_wh"] and new["welfare"] == new["gained"] // 1000)


def _is_rescued(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """What has made no step since ends without further trades; what is only being given back is tried again."""
    if old["steps"] != args_of(call)[2]:
        return False
    if old["stage"] in ("forfeit", "rest"):
        return bool(new == old)
    failed = "MECHANISM_FAILED" if old["stage"] == "mechanism" else "CLEARING_FAILED"
    ended = {**old, "stage": "rest", "side": "bid", "after": "", "failed": failed}
    if old["stage"] == "mechanism":
        return bool(new == ended)
    if old["stage"] != "fill":
        return bool(new == {**ended, **NOTHING})
    reckoned = [new[name] == old[name] for name in ("traded_wh", "gained")]
    return _changed(ended, new) <= PRICED and _is_published(old, new) and all(reckoned)


DEADLINES: dict[str, Callable[[Call, Changes, Value, Value], bool]] = {
    "clear": _is_cleared,
    "work": _is_step,
    "rescue": _is_rescued,
}


# ---------------------------------------------------------------------------- what a step may write besides


def _stage(call: Call, changes: Changes) -> str:
    product, interval = args_of(call)[:2]
    return str(changes.old(f"{RUNS}{product}/{interval:010d}")["stage"])


def _is_of(call: Call, record: Value) -> bool:
    return [record["product"], record["interval"]] == args_of(call)[:2]


def _sealed(call: Call, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    return _stage(call, changes) == "forfeit" and _is_of(call, new) and bool(new["status"] == "forfeited")


def _order(call: Call, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    sells = new["side"] == "ask" or new["status"] != "full"
    return sells and _is_of(call, new) and new["status"] in ENDS.get(_stage(call, changes), ())


def _trade(call: Call, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    made = changes.old(key) is None and new["source"] == "auction"
    return made and _stage(call, changes) == "fill" and bool(new["interval"] == args_of(call)[1])


def _side(call: Call, changes: Changes, key: str) -> bool:
    """Trades are counted as orders are matched, and all is forgotten at last."""
    product, interval = args_of(call)
    place = f"{product}/{interval:010d}"
    if _stage(call, changes) == "match":
        return key.startswith(f"{SIDES}{place}/trades/")
    at_last = changes.old(RUNS + place)["side"] == "side" and _stage(call, changes) == "rest"
    return at_last and changes.raw[key] is None and key.startswith(f"{SIDES}{place}/")


def _shares(call: Call, changes: Changes, key: str) -> bool:
    product, interval = args_of(call)
    kept = (_stage(call, changes), changes.raw[key] is None) in (("mechanism", False), ("rest", True))
    return kept and key == f"{AUCTION_SHARES}{product}/{interval:010d}"


def _run(call: Call, changes: Changes, key: str) -> bool:
    """See ``auctions``."""
    return True


def by_other_rules(call: Call, changes: Changes, key: str) -> bool:
    """Money, capacity, rows and counts follow from the records, which other rules see to."""
    return True


Act = Callable[[Call, Changes, str], bool]
_FOLLOW = (
    AUCTION_ASKS, AUCTION_BIDS, UNREVEALED, ACCOUNTS, SOLD, SHARES,
    COUNTS, PARTY,
)  # fmt: skip
_WORK: dict[str, Act] = {
    RUNS: _run,
    SEALED: _sealed,
    AUCTIONED: _order,
    TRADES: _trade,
    SIDES: _side,
    AUCTION_SHARES: _shares,
    **dict.fromkeys(_FOLLOW, by_other_rules),
}


def is_worked(function: str) -> dict[str, Any]:
    """By group, what a deadline of the auction may write besides its own deadlines."""
    return _WORK if function == "work" else {RUNS: _run}
