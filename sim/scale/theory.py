"""What PBFT's normal case sends for one decision among n replicas, by the protocol's text (OSDI '99, section 4.2).

A message to n - 1 others counts n - 1 times. The primary sends no prepare; outcomes are this system's
checkpoint and reply in one, sent by everybody.

    pre-prepare  n - 1            the primary to every backup
    prepare      (n - 1)^2        every backup to every other replica
    commit       n (n - 1)        every replica to every other
    outcome      n (n - 1)        every replica to every other
    together     3 n (n - 1)
"""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """Messages of one decision, by phase."""

    pre_prepare: int
    prepare: int
    commit: int
    outcome: int

    @property
    def total(self) -> int:
        return sum(self)


def messages_of_a_decision(n: int) -> Counts:
    """What a fault-free decision sends when nothing has to be sent again."""
    return Counts(n - 1, (n - 1) ** 2, n * (n - 1), n * (n - 1))
