"""Which links of a real network are cut, held or bad at the moment, and what each node is ordered to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from faults.real.links import LinkFault
from faults.scenario import Weather
from sim.cuts import Link, parted, ringed

GOOD = Weather()


class Wiring:
    """``pace``: how many ms of the wall a ms of the scenario is. ``weather``: of all links that have none of their
    own; the usual one is what real links have by themselves."""

    def __init__(self, places: int, weather: Weather, pace: float) -> None:
        self._places, self._weather, self._pace = range(places), weather, pace
        self._cut: frozenset[Link] = frozenset()
        self._held: set[Link] = set()
        self._of_links: dict[Link, Weather] = {}

    def partition(self, groups: Sequence[Sequence[int]]) -> None:
        """Only places of one group reach each other; a place in no group reaches everyone."""
        self._cut = parted(groups)

    def isolate(self, inside: Iterable[int]) -> None:
        """These reach each other only."""
        group = tuple(inside)
        self.partition((group, tuple(place for place in self._places if place not in group)))

    def ring(self, order: Sequence[int]) -> None:
        """Each place reaches only its two neighbours in ``order``."""
        self._cut = ringed(order)

    def cut(self, links: Iterable[Link]) -> None:
        """Cut single directions, and join what was cut before."""
        self._cut = frozenset(links)

    def hold(self, links: Iterable[Link]) -> None:
        self._held.update(links)

    def let_go(self, links: Iterable[Link]) -> None:
        self._held.difference_update(links)

    def change_weather(self, nodes: Sequence[int], weather: Weather | None) -> None:
        """Give the links of these nodes, both ways, or all links, a weather of their own; None: the usual one again."""
        for link in self._links(nodes):
            self._of_links.pop(link, None)
            if weather is not None:
                self._of_links[link] = weather

    def heal(self) -> None:
        """Everything reaches everything, in good weather."""
        self._cut, self._weather = frozenset(), GOOD
        self._held.clear()
        self._of_links.clear()

    def faults_of(self, sender: int) -> dict[int, LinkFault]:
        """What befalls frames from a place to each other one, where anything does."""
        found = {to: self._fault(sender, to) for to in self._places if to != sender}
        return {to: fault for to, fault in found.items() if fault != LinkFault()}

    def _fault(self, sender: int, to: int) -> LinkFault:
        if (sender, to) in self._cut:
            return LinkFault(cut=True)
        weather, held = self._of_links.get((sender, to), self._weather), (sender, to) in self._held
        if weather == GOOD:
            return LinkFault(held=held)
        shortest_ms, longest_ms = weather.delay_ms
        return LinkFault(
            delay_ms=int(shortest_ms * self._pace),
            jitter_ms=int((longest_ms - shortest_ms) * self._pace),
            loss=weather.loss,
            duplication=weather.duplication,
            held=held,
            slow=weather.slow,
            slow_ms_max=int(weather.slow_ms_max * self._pace) if weather.slow else 0,
        )

    def _links(self, nodes: Sequence[int]) -> list[Link]:
        return [
            (a, b) for a in self._places for b in self._places if a != b and (not nodes or a in nodes or b in nodes)
        ]
