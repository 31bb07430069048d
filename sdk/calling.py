"""A call of a contract as a value: what ``sdk.calls`` makes, and what both clients take.

``client.do(market.cancel_order(order=…))`` signs and submits; ``client.see(registry.get_meter(serial=…))`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A function that changes state: it is signed, ordered and executed."""

    contract: str
    function: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """A function that only reads: one node answers it, from its own state."""

    contract: str
    function: str
    args: Mapping[str, Any]
