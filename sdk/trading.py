"""Where somebody who tells of trades learns of them: a node's own ledger, or a client that follows one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from sdk.streams import StreamEvent, TradeTerms


class Settlement(msgspec.Struct, frozen=True):
    """What a metered trade owes, in Wh and micro-currency."""

    delivered_wh: int
    amount: int
    penalty: int


class Trading(Protocol):
    """A ledger's trades."""

    def events(self) -> AsyncIterator[Sequence[StreamEvent]]:
        """Events of the topic ``trades`` from now on, each once; ``Refused`` when that ends."""

    async def open_trades(self, party: str, from_interval: int) -> dict[str, TradeTerms]:
        """Trades of ``party`` from an interval on, by id, as far as they are known."""

    async def settlement(self, trade: str) -> Settlement | None:
        """What the trade owes, once it is metered."""

    def is_told(self, party: str) -> bool:
        """Whether a party may still learn of its trades: not once its certificate was revoked."""
