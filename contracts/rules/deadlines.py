"""Deadlines are set by what needs them, for then and there, and no others; each acts within what it was set for. Other
contracts set for themselves what they like, from now on and as many as may wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from contracts.rules.auctions import Act, by_other_rules, is_worked
from contracts.rules.changes import Changes, Violation, args_of, place_of
from contracts.rules.fills import INTERVAL_MS
from contracts.rules.groups import (
    ACCOUNTS,
    ADJUSTMENTS,
    ARBITER,
    ASKS,
    BIDS,
    COUNTS,
    DIRECTED,
    LISTED,
    LISTINGS,
    MARKET_GATES,
    OFFERED,
    OFFERS_GATES,
    OFFERS_OPEN,
    ORDERS,
    PARAMETERS,
    RUNS,
    SHARES,
    SOLD,
    TOPS,
    TRADES,
)
from contracts.rules.terms import GATE_CLOSURE
from ledger.execution import (
    DEADLINE_PREFIX,
    REMINDER_PREFIX,
    REMINDERS_RUN_PREFIX,
    REMINDERS_SET_PREFIX,
    REMINDERS_WAITING_MAX,
    Call,
)
from ledger.values import Value

METERING, CONFIRMATION = PARAMETERS + "metering_deadline_s", PARAMETERS + "confirmation_deadline_s"
LANES, RESCUE_MS = 4, 60_000
"""How many steps of an auction's clearing are set to work at once, and how often it is looked whether they get on."""
EXPIRED_MAX = 40
"""Rows of a kind that a closing gate ends in a call."""

Due = tuple[int, str, str, tuple[Value, ...]]
"""A deadline: its time in ms, the contract, the function and its arguments."""


def deadlines(call: Call, changes: Changes) -> Violation | None:
    """A version's migration was agreed on with its source, and may set what it likes."""
    if _overtakes(call, changes) or not _is_counted(changes):
        return Violation.DEADLINE
    if call.kind == "migrate":
        return None
    acts = ACTS.get((call.contract, call.function)) if call.kind == "deadline" else None
    if acts is not None and not all(
        _acts_within(acts, call, changes, group, keys) for group, keys in changes.groups.items()
    ):
        return Violation.DEADLINE
    due, scheduled = (
        [(max(at_ms, call.block_time_ms), *what) for at_ms, *what in _due(call, changes)],
        _scheduled(changes),
    )
    return None if due == scheduled or Counter(due) == Counter(scheduled) else Violation.DEADLINE


# ------------------------------------------------------------------------------------------------ what is due


def _scheduled(changes: Changes) -> list[Due]:
    """What the call sets for shipped contracts."""
    found = []
    for key in changes.below(DEADLINE_PREFIX):
        told = changes.new(key)
        found.append((_time_ms(key), told["contract"], told["function"], tuple(told["args"])))
    return found


def _time_ms(key: str) -> int:
    return int(key.split("/", 3)[2])


def _overtakes(call: Call, changes: Changes) -> bool:
    """Whether a deadline is set at a time that was before: it would have its turn before what is due now."""
    keys = changes.below(DEADLINE_PREFIX) + changes.below(REMINDER_PREFIX)
    return any(_time_ms(key) < call.block_time_ms for key in keys)


def _is_counted(changes: Changes) -> bool:
    """Whether what others' contracts set is counted with theirs, and no more of it than may wait."""
    added = Counter(changes.new(key)["contract"] for key in changes.below(REMINDER_PREFIX))
    if {*changes.below(REMINDERS_SET_PREFIX)} != {REMINDERS_SET_PREFIX + contract for contract in added}:
        return False
    for contract, count in added.items():
        key = REMINDERS_SET_PREFIX + contract
        ever = (changes.old(key) or 0) + count
        waiting = ever - (changes.old(REMINDERS_RUN_PREFIX + contract) or 0)
        if waiting > REMINDERS_WAITING_MAX or type(changes.new(key)) is not int or changes.new(key) != ever:
            return False
    return True


def _due(call: Call, changes: Changes) -> Iterator[Due]:
    for group in changes.groups:
        setter = SETTERS.get(group)
        if setter is not None:
            yield from setter(call, changes, group)
    goes_on = GOES_ON.get((call.contract, call.function)) if call.kind == "deadline" else None
    if goes_on is not None:
        yield from goes_on(call, changes)


def _seconds(changes: Changes, parameter: str) -> int:
    return int(changes.current(parameter)["value"])


def _gates(call: Call, changes: Changes, group: str) -> Iterator[Due]:
    """Whoever opens a gate sets when it closes."""
    for key in changes.below(group):
        if changes.new(key) == "open" and changes.old(key) != "open":
            interval = int(key[len(group) :])
            closes_ms = interval * INTERVAL_MS - _seconds(changes, GATE_CLOSURE) * 1_000
            yield closes_ms, group.partition("/")[0], "close_gate", (interval,)


def _runs(call: Call, changes: Changes, group: str) -> Iterator[Due]:
    """Whoever opens an auction sets when it is cleared."""
    for key in changes.below(group):
        if changes.old(key) is None:
            run = changes.new(key)
            yield run["clear_ms"], "auction", "clear", (run["product"], run["interval"])


def _trades(call: Call, changes: Changes, group: str) -> Iterator[Due]:
    """The first trade of a meter's interval, and each once that is over, has the interval settled without a reading;
    each proposal is overdue in the end."""
    made: Counter[tuple[str, int]] = Counter()
    for key in changes.below(group):
        new, old = changes.new(key), changes.old(key)
        if old is None:
            made[new["meter"], new["interval"]] += 1
        elif [old["status"], new["status"]] == ["matched", "proposed"]:
            yield _overdue_ms(call, changes), "settlement", "mark_overdue", (new["id"],)
    for (meter, interval), count in made.items():
        end_ms = (interval + 1) * INTERVAL_MS
        if call.block_time_ms < end_ms:
            count = 0 if changes.old(f"{COUNTS}{meter}/{interval:010d}") is not None else 1
        for _ in range(count):
            yield end_ms + _seconds(changes, METERING) * 1_000, "settlement", "close_metering", (meter, interval)


def _adjustments(call: Call, changes: Changes, group: str) -> Iterator[Due]:
    for key in changes.below(group):
        new = changes.new(key)
        if changes.old(key) is None and new["status"] == "proposed":
            yield _overdue_ms(call, changes), "settlement", "mark_adjustment_overdue", (new["id"],)


def _overdue_ms(call: Call, changes: Changes) -> int:
    return call.block_time_ms + _seconds(changes, CONFIRMATION) * 1_000


SETTERS: dict[str, Callable[[Call, Changes, str], Iterator[Due]]] = {
    MARKET_GATES: _gates,
    OFFERS_GATES: _gates,
    RUNS: _runs,
    TRADES: _trades,
    ADJUSTMENTS: _adjustments,
}
"""By group, the deadlines that its written records need."""


# -------------------------------------------------------------------------------------------- what goes on


def _closing(call: Call, changes: Changes) -> Iterator[Due]:
    """A gate is closed, or goes on closing in the next block."""
    (interval,) = args_of(call)
    if f"{call.contract}/gate/{interval:010d}" not in changes.raw:
        yield call.block_time_ms, call.contract, "close_gate", (interval,)


def _clearing(call: Call, changes: Changes) -> Iterator[Due]:
    yield from _set_to_work(call)
    yield call.block_time_ms + RESCUE_MS, "auction", "rescue", (*args_of(call), 0)


def _working(call: Call, changes: Changes) -> Iterator[Due]:
    product, interval = args_of(call)
    if changes.current(f"{RUNS}{product}/{interval:010d}")["stage"] != "done":
        yield call.block_time_ms, "auction", "work", (product, interval)


def _rescuing(call: Call, changes: Changes) -> Iterator[Due]:
    product, interval, steps = args_of(call)
    run = changes.old(f"{RUNS}{product}/{interval:010d}")
    if run["steps"] == steps:
        yield from _set_to_work(call)
    yield call.block_time_ms + RESCUE_MS, "auction", "rescue", (product, interval, run["steps"])


def _set_to_work(call: Call) -> Iterator[Due]:
    product, interval = args_of(call)[:2]
    for _ in range(LANES):
        yield call.block_time_ms, "auction", "work", (product, interval)


GOES_ON: dict[tuple[str, str], Callable[[Call, Changes], Iterator[Due]]] = {
    ("market", "close_gate"): _closing,
    ("offers", "close_gate"): _closing,
    ("auction", "clear"): _clearing,
    ("auction", "work"): _working,
    ("auction", "rescue"): _rescuing,
}
"""What a deadline sets to go on with, beside what it makes needs."""


# --------------------------------------------------------------------------------- what a deadline may do


def _acts_within(acts: dict[str, Act], call: Call, changes: Changes, group: str, keys: list[str]) -> bool:
    if group == DEADLINE_PREFIX:
        return True
    act = acts.get(group)
    return act is not None and all(act(call, changes, key) for key in keys)


def _expires(call: Call, changes: Changes, key: str) -> bool:
    new = changes.new(key)
    return bool([new["interval"], new["status"]] == [args_of(call)[0], "expired"])


def _closes(call: Call, changes: Changes, key: str) -> bool:
    """Once nothing is left that stands in this interval."""
    place = f"{args_of(call)[0]:010d}"
    if key != f"{call.contract}/gate/{place}" or changes.new(key) != "closed":
        return False
    # Of what stands there a call ends no more than that, so that one row more shows whether any is left.
    return not any(changes.rows(f"{book}{place}/", EXPIRED_MAX + 1) for book in STANDING[call.contract])


STANDING = {
    "market": (ASKS, BIDS, LISTED, TOPS + "ask/", TOPS + "bid/"),
    "offers": (OFFERS_OPEN,),
}
"""Where lies what stands until the gate closes."""


def _is_of_interval(call: Call, changes: Changes, key: str) -> bool:
    return changes.raw[key] is None and key.split("/")[3] == f"{args_of(call)[0]:010d}"


def _settles(call: Call, changes: Changes, key: str) -> bool:
    meter, interval = args_of(call)
    return place_of(changes.new(key)) == f"{meter}/{interval:010d}"


def _becomes_overdue(call: Call, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    if old is None or key.rpartition("/")[2] != args_of(call)[0] or old["status"] != "proposed":
        return False
    overdue = {**old, "status": "overdue"}
    if call.function == "mark_overdue":
        named = changes.current(ARBITER)
        overdue["arbiter"] = "" if named is None else named["signer"]
    return bool(new == overdue)


_GATE: dict[str, Act] = {ACCOUNTS: by_other_rules, SOLD: by_other_rules}
ACTS: dict[tuple[str, str], dict[str, Act]] = {
    ("market", "close_gate"): {
        **_GATE,
        **dict.fromkeys((ORDERS, LISTINGS), _expires),
        **dict.fromkeys((ASKS, BIDS, LISTED), by_other_rules),
        MARKET_GATES: _closes,
        TOPS: _is_of_interval,
    },
    ("offers", "close_gate"): {
        **_GATE,
        DIRECTED: _expires,
        OFFERS_OPEN: by_other_rules,
        OFFERED: by_other_rules,
        OFFERS_GATES: _closes,
    },
    **{("auction", function): is_worked(function) for function in ("clear", "work", "rescue")},
    ("settlement", "close_metering"): {
        ACCOUNTS: by_other_rules,
        SHARES: by_other_rules,
        TRADES: _settles,
        ADJUSTMENTS: _settles,
    },
    ("settlement", "mark_overdue"): {TRADES: _becomes_overdue},
    ("settlement", "mark_adjustment_overdue"): {ADJUSTMENTS: _becomes_overdue},
}
"""By deadline, what it may write, and of which records."""
