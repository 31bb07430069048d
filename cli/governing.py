"""An act of governance from the command line: a transaction that operators of enough organisations sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ca.keys import SigningKey
from cli.client import genesis_of
from cli.operators import operators_of
from sdk.client import AsyncClient, Outcome
from sdk.transports import connect

GOVERNANCE = "governance"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A function of the contract ``governance`` with its arguments, and the ledger to which it goes."""

    function: str
    args: dict[str, Any]
    nodes: Sequence[str]
    genesis: Path
    channel: str = ""

    async def submitted(self, keys: Sequence[Path]) -> Outcome:
        """The proven outcome. Without keys, those of the network's directory on this machine sign."""
        trusted = genesis_of(self.genesis, self.channel)
        found = [SigningKey.load(path) for path in keys] or operators_of(self.genesis.parent, trusted)
        first, *others = found
        async with AsyncClient([connect(url) for url in self.nodes], trusted, first, self.channel) as client:
            return await client.invoke(GOVERNANCE, self.function, self.args, co_signers=others)
