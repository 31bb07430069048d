"""What may befall a run from the beginning of its measured time on, by the names that `--attacks` has too."""

from __future__ import annotations

from enum import StrEnum

SLOW_MS = 1_000
"""By which everything of a slow node is late: half of what a request may wait before anybody complains."""
DELAY_MS_MAX = 600_000


class Fault(StrEnum):
    NONE = "none"
    CRASHED_PRIMARY = "crashed primary"
    SLOW_PRIMARY = "slow primary"
    CRASHED_REPLICA = "crashed replica"
    SLOW_REPLICA = "slow replica"
    FLOODING_CLIENT = "flooding client"
    """Sends what nobody signed who is registered, again and again."""
    FLOODING_REPLICA = "flooding replica"
    """In the last node's place, which is down from before the load on: it fetches without end."""


FLOODS = frozenset({Fault.FLOODING_CLIENT, Fault.FLOODING_REPLICA})
