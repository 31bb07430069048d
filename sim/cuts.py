"""Which single directions a cut takes away, in the simulated network and in a real one."""

from __future__ import annotations

from collections.abc import Sequence

Link = tuple[int, int]
"""(sender's place, receiver's place)."""


def parted(groups: Sequence[Sequence[int]]) -> frozenset[Link]:
    """Only places of one group reach each other; a place in no group reaches everyone."""
    group_of = {place: number for number, group in enumerate(groups) for place in group}
    return frozenset((a, b) for a in group_of for b in group_of if group_of[a] != group_of[b])


def ringed(order: Sequence[int]) -> frozenset[Link]:
    """Each place reaches only its two neighbours in ``order``."""
    near = {(a, b) for a, b in zip(order, [*order[1:], order[0]], strict=True)}
    near |= {(b, a) for a, b in near}
    return frozenset((a, b) for a in order for b in order if a != b and (a, b) not in near)
