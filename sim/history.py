"""What clients saw: each operation with when it was invoked and answered, for the linearizability checker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Operation:
    """One call of a client. ``answered_ms`` None: the client never learnt what became of it.

    Times are counts of the world's events, so that no two are equal, but for those in ms of virtual time. ``code`` and
    ``value`` are the contract's.
    """

    client: int
    function: str
    arguments: dict[str, Any]
    tx_id: bytes
    invoked: int
    answered: int | None = None
    code: str = ""
    value: Any = None
    height: int = 0
    """The block that the receipt proves it to be in."""
    asked_ms: int = 0
    waited_ms: int | None = None

    @property
    def cell(self) -> str:
        cell: str = self.arguments["cell"]
        return cell

    @property
    def is_of_a_cell(self) -> bool:
        """Whether it is a call of the cells, and none of the bank's."""
        return "cell" in self.arguments
