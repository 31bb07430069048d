"""Each expectation of a scenario against a run: met or not, and a sentence that says by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from faults.observation import Observation
from faults.scenario import Scenario, Window


class Check(msgspec.Struct, frozen=True):
    """One expectation's outcome. ``key``: its name in the scenario's file, below ``expect``, or ``timeline``."""

    key: str
    met: bool
    said: str


def checks_of(scenario: Scenario, run: Observation) -> list[Check]:
    """Every expectation that the scenario has, in the order of its file's keys."""
    return [check for checker in _CHECKERS for check in checker(scenario, run)]


def _struck(scenario: Scenario, run: Observation) -> Iterator[Check]:
    """A scenario whose fault never happened has shown nothing."""
    happened = {strike.number for strike in run.struck}
    for number, fault in enumerate(scenario.timeline):
        if number not in happened:
            name = f" ({fault.name})" if fault.name else ""
            yield Check(
                "timeline", False, f"timeline[{number}]{name}: {fault.fault} never struck before the faults' end"
            )


def _holds(scenario: Scenario, run: Observation) -> Iterator[Check]:
    if scenario.expect.outcome == "holds":
        said = "; ".join(run.violations[:2]) or "every property holds"
        yield Check("outcome", not run.violations, said)


def _commits(scenario: Scenario, run: Observation) -> Iterator[Check]:
    for window in scenario.expect.commits:
        count = _commits_in(scenario, run, window)
        if count is not None:
            yield Check("commits", count > 0, f"{count} blocks committed {_told(window)}, at least one must")
    for window in scenario.expect.no_commits:
        count = _commits_in(scenario, run, window)
        if count is not None:
            yield Check("no_commits", count == 0, f"{count} blocks committed {_told(window)}, none may")


def _commits_in(scenario: Scenario, run: Observation, window: Window) -> int | None:
    """None: its fault never struck, which another check tells."""
    since_ms = since(scenario, run, window.after)
    if since_ms is None:
        return None
    return sum(since_ms + window.from_ms <= commit.at_ms < since_ms + window.to_ms for commit in run.commits)


def since(scenario: Scenario, run: Observation, after: str | None) -> int | None:
    """When the fault of this name struck first; 0 for no name, None if it never did."""
    if after is None:
        return 0
    numbers = {number for number, fault in enumerate(scenario.timeline) if fault.name == after}
    return min((strike.at_ms for strike in run.struck if strike.number in numbers), default=None)


def _told(window: Window) -> str:
    after = f" after {window.after}" if window.after else ""
    return f"from {window.from_ms} to {window.to_ms} ms{after}"


def _amounts(scenario: Scenario, run: Observation) -> Iterator[Check]:
    expect = scenario.expect
    amounts = (
        ("blocks_min", expect.blocks_min, max((commit.height for commit in run.commits), default=0), "blocks"),
        ("operations_min", expect.operations_min, len(run.acknowledged), "operations acknowledged"),
        ("transfers_min", expect.transfers_min, run.transfers, "ledgers replaced by snapshots"),
        ("epoch_min", expect.epoch_min, max((stand.epoch for stand in run.stands), default=0), "is the newest epoch"),
    )
    for key, wanted, found, what in amounts:
        if wanted:
            yield Check(key, found >= wanted, f"{found} {what}, at least {wanted} expected")


def _views(scenario: Scenario, run: Observation) -> Iterator[Check]:
    expect, honest = scenario.expect, [stand for stand in run.stands if stand.node not in run.liars]
    if expect.no_view_change:
        later = [stand for stand in honest if stand.view]
        said = f"node {later[0].node} came to view {later[0].view} at {later[0].at_ms} ms" if later else "none"
        yield Check("no_view_change", not later, said)
    if expect.view_change is None:
        return
    since_ms = since(scenario, run, expect.view_change.after)
    if since_ms is None:
        return
    before = max(((s.epoch, s.view) for s in honest if s.active and s.at_ms <= since_ms), default=(0, 0))
    began = [s.at_ms for s in honest if s.active and s.at_ms > since_ms and (s.epoch, s.view) > before]
    took_ms = min(began) - since_ms if began else None
    within_ms = expect.view_change.within_ms
    said = "no view began" if took_ms is None else f"a view began {took_ms} ms later"
    yield Check("view_change", took_ms is not None and took_ms <= within_ms, f"{said}, at most {within_ms} ms expected")


def _waits(scenario: Scenario, run: Observation) -> Iterator[Check]:
    expect = scenario.expect
    if expect.recovers_within_ms is not None:
        settled_ms = run.settled_ms
        said = "never recovered" if settled_ms is None else f"recovered {settled_ms} ms after the faults' end"
        met = settled_ms is not None and settled_ms <= expect.recovers_within_ms
        yield Check("recovers_within_ms", met, f"{said}, at most {expect.recovers_within_ms} ms expected")
    if expect.served_within_ms is not None:
        waits = [(o.answered_ms or run.ended_ms) - o.asked_ms for o in run.operations]
        longest_ms = max(waits, default=0)
        said = f"a client waited {longest_ms} ms at most, {expect.served_within_ms} ms expected"
        yield Check("served_within_ms", longest_ms <= expect.served_within_ms, said)


def _evidence(scenario: Scenario, run: Observation) -> Iterator[Check]:
    for wanted in scenario.expect.accused:
        held = [a for a in run.accusations if a.node == wanted.node and wanted.of in (None, a.of)]
        what = f"of {wanted.of}" if wanted.of else "of any lie"
        by = ", ".join(dict.fromkeys(accusation.holders for accusation in held))
        said = f"{by} hold evidence {what}" if held else f"no node holds evidence {what}"
        yield Check("accused", bool(held), f"{said} against node {wanted.node}")
    if scenario.expect.alarm is not None:
        cries = [cry for cry in run.cries if cry.kind == scenario.expect.alarm]
        said = f"node {cries[0].node} raised it at {cries[0].at_ms} ms" if cries else "no node raised it"
        yield Check("alarm", bool(cries), f"{scenario.expect.alarm}: {said}")


_CHECKERS: tuple[Callable[[Scenario, Observation], Iterator[Check]], ...] = (
    _struck,
    _holds,
    _commits,
    _amounts,
    _views,
    _waits,
    _evidence,
)
