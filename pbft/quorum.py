"""Quorum arithmetic for any n, not only n = 3f + 1 (Castro and Liskov, OSDI '99, section 3; DESIGN "Quorum").

q = ceil((n + f + 1) / 2) with f = floor((n - 1) / 3): two quorums share at least f + 1 replicas, hence an
honest one, and n - f replicas are enough to form one. For n = 3f + 1 this is the paper's 2f + 1.
"""

from __future__ import annotations


def faulty_max(n: int) -> int:
    """How many of ``n`` replicas may be Byzantine: f = floor((n - 1) / 3)."""
    assert n >= 1, "a network has at least one replica"
    return (n - 1) // 3


def quorum(n: int) -> int:
    """How many equal votes decide among ``n`` replicas: q = ceil((n + f + 1) / 2)."""
    return (n + faulty_max(n)) // 2 + 1


def weak_quorum(n: int) -> int:
    """f + 1: among so many replicas at least one is honest."""
    return faulty_max(n) + 1


def leaders_of(n: int, first: int = 0, skipped: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The validators that lead views in turn: all from ``first`` on, but for the skipped ones (at most f)."""
    order = [(first + step) % n for step in range(n)]
    return tuple(index for index in order if index not in skipped)


def primary_of(view: int, leaders: tuple[int, ...]) -> int:
    """The primary of a view: p = v mod n (OSDI '99, section 4), over those that may lead."""
    return leaders[view % len(leaders)]
