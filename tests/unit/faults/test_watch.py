"""What a lab's node tells of itself: alarms reach whoever listens first, once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from faults.real.watch import Cried, Event, Seen, Watch
from pbft.events import Alarm, AlarmKind

STANDS = Seen(0, 0, 0, True, "node1", 1, 1, 1, True, True)


def test_an_alarm_before_anybody_listens_is_told_to_the_first_who_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "_stands", lambda watch: STANDS)
    driver = SimpleNamespace(on_step=lambda outputs: None)
    watch = Watch(cast("Any", driver), lambda: (1, 1))
    driver.on_step([SimpleNamespace(alarms=[Alarm(AlarmKind.AMNESIA, "the log is lost")])])
    first: list[Event] = []
    second: list[Event] = []
    watch.join(first.append)
    watch.join(second.append)
    driver.on_step([SimpleNamespace(alarms=[Alarm(AlarmKind.EQUIVOCATION, "two")])])
    assert [event.kind for event in first if isinstance(event, Cried)] == ["amnesia", "equivocation"]
    assert [event.kind for event in second if isinstance(event, Cried)] == ["equivocation"]
