"""The simulated network: delays, loss, duplication, reordering, cut and clogged links, all from one seed.

A cut link loses everything sent over it, one way. A clogged one holds it until it is free again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from sim.cuts import Link, parted, ringed
from sim.plan import Weather

CALM = Weather()


class SimNetwork:
    """Decides when, and whether, a message arrives."""

    def __init__(self, chance: random.Random, weather: Weather) -> None:
        self._chance = chance
        self.weather = weather
        self._cut: frozenset[Link] = frozenset()
        self._of_links: dict[Link, Weather] = {}
        """Links whose weather is not the network's."""
        self._clogged: dict[Link, list[Callable[[], None]]] = {}

    # -------------------------------------------------------------------------------------------- links

    def partition(self, groups: Sequence[Sequence[int]]) -> None:
        """Only places of one group reach each other; a place in no group reaches everyone."""
        self._cut = parted(groups)

    def ring(self, order: Sequence[int]) -> None:
        """Each place reaches only its two neighbours in ``order``."""
        self._cut = ringed(order)

    def cut(self, links: Iterable[Link]) -> None:
        """Cut single directions, and join what was cut before."""
        self._cut = frozenset(links)

    def clog(self, links: Iterable[Link]) -> None:
        for link in links:
            self._clogged.setdefault(link, [])

    def unclog(self, links: Iterable[Link]) -> None:
        """What was held goes on its way, in the order in which it came."""
        for link in links:
            for deliver in self._clogged.pop(link, []):
                deliver()

    def change_weather(self, links: Iterable[Link], weather: Weather | None) -> None:
        """Give these links a weather of their own; None: the network's again."""
        for link in links:
            self._of_links.pop(link, None)
            if weather is not None:
                self._of_links[link] = weather

    def heal(self) -> None:
        """Everything reaches everything, in calm weather."""
        self._cut = frozenset()
        self._of_links.clear()
        self.weather = CALM
        self.unclog(list(self._clogged))

    # ---------------------------------------------------------------------------------------- messages

    def held(self, sender: int, receiver: int) -> list[Callable[[], None]] | None:
        """What a clogged link holds, to be called in turn once it is free; None for a link that is free."""
        return self._clogged.get((sender, receiver))

    def arrivals_ms(self, sender: int, receiver: int) -> Sequence[int]:
        """Delays after which copies of a message arrive: none when it is lost, two when it is duplicated."""
        if (sender, receiver) in self._cut:
            return ()
        return self.delays_ms(self._of_links.get((sender, receiver)))

    def delays_ms(self, own: Weather | None = None) -> Sequence[int]:
        """As above, for a link that nothing cuts: a client's. ``own``: the link's own weather."""
        weather, chance = own or self.weather, self._chance
        if weather.loss and chance.random() < weather.loss:
            return ()
        if weather.duplication and chance.random() < weather.duplication:
            return (self._delay_ms(weather), self._delay_ms(weather))
        return (self._delay_ms(weather),)

    def _delay_ms(self, weather: Weather) -> int:
        chance = self._chance
        span = weather.delay_ms_max - weather.delay_ms_min + 1
        delay_ms = weather.delay_ms_min + int(chance.random() * span)
        if weather.slow and chance.random() < weather.slow:
            delay_ms += int(chance.random() * weather.slow_ms_max)
        return delay_ms
