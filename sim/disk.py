"""The simulated disk of one node. A crash may hit in the middle of any operation."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.node import SimNode


class PowerCut(BaseException):
    """The machine stops here. Not an ``Exception``: nothing but the world may catch it."""

    def __init__(self, node: SimNode) -> None:
        super().__init__(f"power cut at node {node.place}")
        self.node = node


class SimDisk:
    """What of a node outlives its crashes."""

    def __init__(self, node: SimNode, chance: random.Random) -> None:
        self._node = node
        self._chance = chance

    def cut_power_in(self, operations: int) -> None:
        """Stop at the operation with this number, counted from now."""

    def crash(self) -> None:
        """Forget what was not synced."""

    def rot(self, which: int) -> None:
        """Turn one bit."""

    def lose(self, part: str) -> None:
        """Forget a whole directory."""
