"""How fast a round goes, as Caliper's rate controllers have it (hyperledger.github.io/caliper, "Rate Controllers").

Rates are one client's; all clients have the same share of what a file asks for. A fixed load is a closed loop, with
so many in flight from its beginning on; the others are open loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice, takewhile

STEP_TPS_MIN = 0.1
"""Of a maximum rate: smaller steps are not halved any more."""


@dataclass(frozen=True, slots=True)
class FixedLoad:
    outstanding: int


@dataclass(frozen=True, slots=True)
class FixedRate:
    tps: float

    @property
    def first_tps(self) -> float:
        """With which it begins."""
        return self.tps


@dataclass(frozen=True, slots=True)
class LinearRate:
    """The distance between two transactions changes linearly, over the time or the number of the round's."""

    starting_tps: float
    finishing_tps: float

    @property
    def first_tps(self) -> float:
        return self.starting_tps


@dataclass(frozen=True, slots=True)
class MaximumRate:
    """Up by ``step_tps`` at each sample that ended more a second than the one before, else down by it (but not by more
    than half), and by half as much from then on. Before anything has ended there is no sample."""

    tps: float
    step_tps: float
    sample_s: float

    @property
    def first_tps(self) -> float:
        return self.tps


OpenPace = FixedRate | LinearRate | MaximumRate
Pace = FixedLoad | OpenPace


def due_times(
    pace: OpenPace, from_s: float, until_s: float, number: int | None, ended: Callable[[], int]
) -> Iterator[float]:
    """When each is due, from ``from_s`` until before ``until_s``, ``number`` at most. ``ended``: how many have ended so
    far; it is asked when a moment is taken, for the one after it."""
    moments: Iterator[float]
    if isinstance(pace, FixedRate):
        moments = (from_s + n / pace.tps for n in count())
    elif isinstance(pace, LinearRate):
        moments = _linear(pace, from_s, until_s, number)
    else:
        moments = _maximum(pace, from_s, ended)
    return islice(takewhile(lambda due_s: due_s < until_s, moments), number)


def _linear(pace: LinearRate, from_s: float, until_s: float, number: int | None) -> Iterator[float]:
    first_s, last_s = 1 / pace.starting_tps, 1 / pace.finishing_tps
    at_s = from_s
    for n in count():
        yield at_s
        share = (at_s - from_s) / (until_s - from_s) if number is None else n / number
        at_s += first_s + (last_s - first_s) * share


def _maximum(pace: MaximumRate, from_s: float, ended: Callable[[], int]) -> Iterator[float]:
    at_s, sampled_s, tps, step_tps = from_s, from_s, pace.tps, pace.step_tps
    ended_before, last_tps = 0, 0.0
    while True:
        yield at_s
        at_s += 1 / tps
        if at_s - sampled_s < pace.sample_s:
            continue
        if not (ended_now := ended()):
            sampled_s = at_s
            continue
        observed_tps = (ended_now - ended_before) / (at_s - sampled_s)
        if observed_tps > last_tps:
            tps += step_tps
        else:
            tps = max(tps / 2, tps - step_tps)
            step_tps = step_tps / 2 if step_tps > STEP_TPS_MIN else step_tps
        sampled_s, ended_before, last_tps = at_s, ended_now, observed_tps
