"""When faults strike on real processes: what waits for something may come late, and never after the calm."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faults.real import timeline as timeline_
from faults.real.records import Records, Stopwatch
from faults.real.timeline import Timeline
from faults.real.watch import Seen
from faults.scenario import Fault, Scenario, When

CRASH = Fault(fault="crash", when=When(height=6), nodes=(1,))
SCENARIO = Scenario(name="made-up", title="Made up", covers=(18,), timeline=(CRASH,))


def seen(height: int) -> Seen:
    return Seen(0, 0, 0, True, "node1", height, height, 1, True, True)


async def nothing(*_: object) -> None:
    return None


def begun() -> tuple[Timeline, Records]:
    records = Records(4, (), Stopwatch(0.1))
    records.watch.begin()
    lab = SimpleNamespace(
        records=records, wiring=SimpleNamespace(heal=lambda: None), proxies=None, disks={}, drifts={}, traps=(),
        places={}, order_all=nothing, kill=nothing, start=lambda place: None,
    )  # fmt: skip
    timeline = Timeline(SCENARIO, cast("Any", None), cast("Any", lab), cast("Any", None), cast("Any", None), [])
    timeline.begin()
    return timeline, records


async def test_what_is_waited_for_strikes_not_after_the_calm() -> None:
    timeline, records = begun()
    await timeline.calm()
    records.see(0, seen(7))
    await asyncio.sleep(0)
    await timeline.close()
    assert records.struck == []


async def test_what_comes_late_strikes_before_the_calm() -> None:
    timeline, records = begun()
    exhausted = asyncio.create_task(timeline.exhaust())
    await asyncio.sleep(0)
    assert not exhausted.done()
    records.see(0, seen(6))
    await exhausted
    await timeline.calm()
    assert [strike.kind for strike in records.struck] == ["crash"]


async def test_what_never_comes_is_waited_for_no_longer_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_, "LATE_S_MAX", 0.05)
    timeline, records = begun()
    await timeline.exhaust()
    assert records.struck == []
