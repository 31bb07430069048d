"""Each single change of what a call writes, and of what it leaves alone, as a lying machine might make it."""

from __future__ import annotations

from collections.abc import Iterator

from forgery import Outcome

from ledger.values import Value, decode_value, encode_value

PER_GROUP_MAX = 3
"""Of the records of a group that a call leaves alone, so many are tried."""
DROPPED, DELETED = "dropped", "deleted"
Change = tuple[str, str, bytes | None]
"""A key, what of it is changed, and what is written in its place."""


def others(value: Value) -> list[Value]:
    if value is None:
        return [0, "sol"]
    if type(value) is bool:
        return [not value, int(value)]
    if type(value) is int:
        # To Python a truth is a number; contracts end where one stands for the other.
        return [value + 1, value - 1, 0 if value else 7, *([bool(value)] if value in (0, 1) else [])]
    if type(value) is str:
        return ["sol" if value != "sol" else "bea", "", value + "x"]
    return [[*value, "sol"], value[:-1]] if value else [["sol"]]


def changed(value: Value, path: str = "") -> Iterator[tuple[str, Value]]:
    """Where a value can be changed in one place, and what it is then."""
    if type(value) is dict:
        for name, item in value.items():
            for where, other in changed(item, f"{path}.{name}"):
                yield where, {**value, name: other}
            yield f"{path}.{name} left out", {key: kept for key, kept in value.items() if key != name}
        yield f"{path} with one more", {**value, "zzz": 1}
        return
    if type(value) is list:
        for at, item in enumerate(value):
            for where, other in changed(item, f"{path}[{at}]"):
                yield where, [*value[:at], other, *value[at + 1 :]]
    for other in others(value):
        if other != value or type(other) is not type(value):
            yield path, other


def of_what_is_written(outcome: Outcome) -> Iterator[Change]:
    for key, data in outcome.view.writes.items():
        yield key, DROPPED, None
        if data is not None:
            yield key, DELETED, None
            for where, other in changed(decode_value(data)):
                yield key, where, encode_value(other)


def of_what_is_left_alone(outcome: Outcome) -> Iterator[Change]:
    seen: dict[str, int] = {}
    state = outcome.market.chain.state
    for key, entry in sorted(state.entries.items()):
        group = group_of(key)
        if key in outcome.view.writes or seen.setdefault(group, 0) >= PER_GROUP_MAX:
            continue
        seen[group] += 1
        yield key, DELETED, None
        for where, other in changed(decode_value(entry.value)):
            yield key, where, encode_value(other)


def accepted(outcome: Outcome, changes: Iterator[Change]) -> list[tuple[str, str]]:
    """Which of these changes the validation module lets through: the group, and what was changed."""
    found, lawful = [], dict(outcome.view.writes)
    for key, what, data in [*changes]:
        writes = {**lawful, key: data}
        if what == DROPPED:
            del writes[key]
        outcome.view.writes = writes
        if outcome.verdict() is None:
            found.append((group_of(key), what))
    outcome.view.writes = lawful
    return found


def group_of(key: str) -> str:
    contract, _, rest = key.partition("/")
    return f"{contract}/{rest.partition('/')[0]}/"
