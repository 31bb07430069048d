"""The simulated network: what is cut is lost one way, what is clogged waits, and weather is as bad as asked for."""

from __future__ import annotations

import random
from collections.abc import Callable

from sim.network import SimNetwork
from sim.plan import Weather


def network(**weather: float) -> SimNetwork:
    return SimNetwork(random.Random(1), Weather(**weather))  # type: ignore[arg-type]


def reaches(made: SimNetwork, sender: int, receiver: int) -> bool:
    return bool(made.arrivals_ms(sender, receiver))


def test_a_partition_separates_its_groups_only() -> None:
    made = network()
    made.partition([[0, 1], [2]])
    assert reaches(made, 0, 1)
    assert not reaches(made, 0, 2)
    assert not reaches(made, 2, 1)
    assert reaches(made, 3, 0)
    made.heal()
    assert reaches(made, 0, 2)


def test_a_cut_is_one_way() -> None:
    made = network()
    made.cut([(0, 1)])
    assert not reaches(made, 0, 1)
    assert reaches(made, 1, 0)


def test_in_a_ring_only_neighbours_reach_each_other() -> None:
    made = network()
    made.ring([0, 2, 1, 3])
    reached = {(a, b) for a in range(4) for b in range(4) if a != b and reaches(made, a, b)}
    assert reached == {(0, 2), (2, 0), (2, 1), (1, 2), (1, 3), (3, 1), (3, 0), (0, 3)}


def test_a_clogged_link_holds_messages_and_gives_them_back_in_order() -> None:
    made = network()
    made.clog([(0, 1)])
    came: list[int] = []

    def arrival(number: int) -> Callable[[], None]:
        return lambda: came.append(number)

    held = made.held(0, 1)
    assert held is not None
    held += [arrival(1), arrival(2)]
    assert made.held(1, 0) is None
    assert came == []
    made.unclog([(0, 1)])
    assert came == [1, 2]
    assert made.held(0, 1) is None


def test_loss_duplication_and_delay_are_as_bad_as_the_weather() -> None:
    made = network(delay_ms_min=3, delay_ms_max=9, loss=0.2, duplication=0.1, slow=0.1, slow_ms_max=500)
    copies = [made.arrivals_ms(0, 1) for _ in range(5_000)]
    delays = [delay for copy in copies for delay in copy]
    assert 0.17 < sum(1 for copy in copies if not copy) / len(copies) < 0.23
    assert 0.06 < sum(1 for copy in copies if len(copy) == 2) / len(copies) < 0.10
    assert min(delays) == 3
    assert 0.07 < sum(1 for delay in delays if delay > 9) / len(delays) < 0.13
    assert max(delays) < 9 + 500
