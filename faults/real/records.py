"""What a run on real processes has shown so far: where nodes stood, their alarms, what struck, what clients saw."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from faults.observation import Commit, Cry, Stand, Strike
from faults.real.promises import Promises
from faults.real.watch import Cried, Seen
from sim.history import Operation


class Stopwatch:
    """Time of the scenario: ms since ``begin``, each ``pace`` ms of the wall long; 0 before."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._began_ns: int | None = None

    def begin(self) -> None:
        self._began_ns = time.monotonic_ns()

    def ms(self, at_ns: int | None = None) -> int:
        """The time at a moment of the monotonic clock, or now."""
        if self._began_ns is None:
            return 0
        passed_ns = (time.monotonic_ns() if at_ns is None else at_ns) - self._began_ns
        return max(0, int(passed_ns / 1e6 / self.pace))

    def seconds(self, ms: int) -> float:
        """How long so many ms of the scenario take."""
        return ms * self.pace / 1000

    def seconds_until(self, ms: int) -> float:
        return max(0.0, self.seconds(ms - self.ms()))


class Barred(NamedTuple):
    """Nothing that this signer signed takes effect above this block."""

    signer: str
    height: int


class Records:
    """``liars``: places whose words are not believed, here either."""

    def __init__(self, places: int, liars: Iterable[int], watch: Stopwatch) -> None:
        self.liars = frozenset(liars)
        self.watch = watch
        self.honest = [place for place in range(places) if place not in self.liars]
        self.stands: list[Stand] = []
        self.commits: list[Commit] = []
        self.cries: list[Cry] = []
        self.struck: list[Strike] = []
        self.ended: list[str] = []
        """Sentences about nodes that ended by themselves."""
        self.calm_ms: int | None = None
        """When the faults had ended and every node ran again; None: not yet."""
        self.befallen = 0
        self.transfers = 0
        self.history: list[Operation] = []
        self.submitted: set[bytes] = set()
        self.promises = Promises()
        self.barred: dict[int, Barred] = {}
        """Clients whose certificate is revoked, by number."""
        self.sent_away: dict[int, int] = {}
        """Nodes whose certificate is revoked and that do not vote, by place: the block as of which it is so."""
        self.latest: dict[int, Seen] = {}
        self.on_seen: Callable[[int, Seen], None] = lambda place, seen: None

    def see(self, place: int, seen: Seen) -> None:
        """A node says where it stands."""
        before, at_ms = self.latest.get(place), self.watch.ms(seen.at_ns)
        self.latest[place] = seen
        if before is None or _view(before) != _view(seen):
            self.stands.append(Stand(at_ms, place, seen.epoch, seen.view, seen.active))
        if place in self.liars:
            return
        if before is not None and seen.first_height > before.first_height:
            self.transfers += 1
        top = self.commits[-1].height if self.commits else 0
        self.commits += [Commit(at_ms, height) for height in range(top + 1, seen.height + 1)]
        self.on_seen(place, seen)

    def hear(self, place: int, cried: Cried) -> None:
        if place not in self.liars:
            self.cries.append(Cry(self.watch.ms(cried.at_ns), place, cried.kind, cried.detail))

    def primary(self, up: Iterable[int], names: dict[str, int]) -> int:
        """The place of whoever most honest validators that run take for the primary."""
        running = set(up)
        voters = [(place, self.latest[place]) for place in self.honest if place in self.latest]
        voting = [seen for place, seen in voters if place in running and seen.voter] or [seen for _, seen in voters]
        views = Counter((seen.epoch, seen.view, seen.primary) for seen in voting)
        (_, _, name), _ = max(views.items(), key=lambda item: (item[1], item[0]))
        return names[name]

    @property
    def view_changes(self) -> int:
        """How many views have begun, beside each epoch's first."""
        return len({(s.epoch, s.view) for s in self.stands if s.node in self.honest and s.active and s.view})


def _view(seen: Seen) -> tuple[int, int, bool]:
    return seen.epoch, seen.view, seen.active
