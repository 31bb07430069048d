"""Which links are cut, held or bad, as orders to the nodes that send."""

from __future__ import annotations

from faults.real.links import LinkFault
from faults.real.wiring import Wiring
from faults.scenario import Weather

CUT = LinkFault(cut=True)


def cut_links(wiring: Wiring, places: int = 4) -> set[tuple[int, int]]:
    return {(a, b) for a in range(places) for b, fault in wiring.faults_of(a).items() if fault.cut}


def wiring(weather: Weather | None = None, pace: float = 2.0) -> Wiring:
    return Wiring(4, weather or Weather(), pace)


def test_good_links_have_no_orders() -> None:
    assert [wiring().faults_of(place) for place in range(4)] == [{}] * 4


def test_a_partition_cuts_both_ways_between_groups_and_nobody_else() -> None:
    made = wiring()
    made.partition([[0, 1], [2]])
    assert cut_links(made) == {(0, 2), (2, 0), (1, 2), (2, 1)}
    made.isolate([3])
    assert cut_links(made) == {(a, b) for a in range(4) for b in range(4) if a != b and 3 in (a, b)}
    made.cut([(0, 1)])
    assert cut_links(made) == {(0, 1)}, "a later one takes the earlier one's place"


def test_in_a_ring_each_reaches_its_neighbours() -> None:
    made = wiring()
    made.ring([0, 2, 1, 3])
    assert cut_links(made) == {(0, 1), (1, 0), (2, 3), (3, 2)}


def test_weather_is_of_all_links_or_of_some_nodes_and_takes_the_pace() -> None:
    made = wiring(Weather(delay_ms=(10, 40), loss=0.5, slow=0.1, slow_ms_max=100))
    expected = LinkFault(delay_ms=20, jitter_ms=60, loss=0.5, slow=0.1, slow_ms_max=200)
    assert made.faults_of(0) == {1: expected, 2: expected, 3: expected}
    made.heal()
    made.change_weather([1], Weather(duplication=1.0))
    assert set(made.faults_of(0)) == {1}
    assert set(made.faults_of(1)) == {0, 2, 3}
    made.change_weather([1], None)
    assert made.faults_of(1) == {}


def test_a_held_link_is_held_until_it_is_let_go() -> None:
    made = wiring()
    made.hold([(0, 1)])
    assert made.faults_of(0) == {1: LinkFault(held=True)}
    made.let_go([(0, 1)])
    assert made.faults_of(0) == {}
