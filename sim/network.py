"""The simulated network: delays, loss, duplication, reordering by random delay, and partitions, all from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the links are. Delays in ms of virtual time; shares between 0 and 1."""

    delay_ms_min: int = 1
    delay_ms_max: int = 20
    loss: float = 0.0
    duplication: float = 0.0


CALM = Weather()


class SimNetwork:
    """Decides when, and whether, a message arrives. A cut link loses everything sent over it, one way."""

    def __init__(self, chance: random.Random, weather: Weather) -> None:
        self._chance = chance
        self.weather = weather
        self._cut: frozenset[tuple[int, int]] = frozenset()

    def partition(self, groups: list[list[int]]) -> None:
        """Only nodes of the same group reach each other."""
        place = {node: number for number, group in enumerate(groups) for node in group}
        self._cut = frozenset((a, b) for a in place for b in place if place[a] != place[b])

    def cut(self, links: list[tuple[int, int]]) -> None:
        """Cut single directions."""
        self._cut = frozenset(links)

    def heal(self) -> None:
        """Everything reaches everything, in calm weather."""
        self._cut = frozenset()
        self.weather = CALM

    def arrivals_ms(self, sender: int, receiver: int) -> list[int]:
        """Delays after which copies of a message arrive: none when it is lost, two when it is duplicated."""
        weather = self.weather
        if (sender, receiver) in self._cut or self._chance.random() < weather.loss:
            return []
        copies = 2 if self._chance.random() < weather.duplication else 1
        return [self._chance.randint(weather.delay_ms_min, weather.delay_ms_max) for _ in range(copies)]
