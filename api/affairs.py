"""A ledger's trades and meters for the node itself, which tells people of them over MQTT and streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from api.pools import BoundedPool
from api.privacy import Viewer
from api.standing import REVOKED, who_is
from api.streams import Events, Hub
from ledger.ledger import Ledger
from ledger.values import decode_value
from sdk.streams import StreamParams, TradeTerms
from sdk.trading import Settlement

THREADS, CALLS_MAX, TIMEOUT_S = 1, 256, 10.0
OPEN_TRADES_MAX = 10_000
"""Of one party, that are looked at when the node starts."""
OWNERS_MAX = 10_000
METERED = ("proposed", "overdue", "disputed", "settled")


class Affairs:
    """A ``sdk.trading.Trading``, with the node's own eyes: it sees all, and whoever tells of it keeps it apart."""

    def __init__(self, hub: Hub, ledger: Ledger, node: str) -> None:
        self._hub, self._ledger = hub, ledger
        self._viewer = Viewer(signer=node, role="operator")
        self._pool = BoundedPool("affairs", THREADS, CALLS_MAX, TIMEOUT_S)

    def events(self) -> AsyncIterator[Events]:
        return self._hub.events(StreamParams(topics=("trades",)), lambda: self._viewer)

    async def open_trades(self, party: str, from_interval: int) -> dict[str, TradeTerms]:
        return await self._pool.run(self._open_trades, party, from_interval)

    def _open_trades(self, party: str, from_interval: int) -> dict[str, TradeTerms]:
        prefix = f"settlement/party/{party}/"
        keys = self._ledger.reader().scan(prefix, f"{prefix}{from_interval:010d}", OPEN_TRADES_MAX)
        trades = [key.rpartition("/")[2] for key, _ in keys]
        found = {trade: self._document(f"settlement/trade/{trade}") for trade in trades}
        return {trade: msgspec.convert(value, TradeTerms) for trade, value in found.items() if value is not None}

    async def settlement(self, trade: str) -> Settlement | None:
        value = await self._pool.run(self._document, f"settlement/trade/{trade}")
        return msgspec.convert(value, Settlement) if value is not None and value["status"] in METERED else None

    def is_told(self, party: str) -> bool:
        return who_is(self._ledger.reader(), party, self._ledger.time_ms) != REVOKED

    def _document(self, key: str) -> dict[str, Any] | None:
        entry = self._ledger.reader().get(key)
        value = None if entry is None else decode_value(entry.value)
        return value if isinstance(value, dict) else None


class Measured(Protocol):
    """A meter that was measured."""

    @property
    def serial(self) -> str: ...


class LivePower:
    """Carries the power of this node's meters into its streams, each to its owner; see ``meter.gateway.Watcher``."""

    def __init__(self, hub: Hub, ledger: Ledger) -> None:
        self._hub, self._ledger = hub, ledger
        self._owners: dict[str, tuple[int, str]] = {}

    def power(self, unit: Measured, at_ms: int, power_w: int) -> None:
        self._hub.publish_power(unit.serial, self._owner(unit.serial), power_w, at_ms)

    def measured(self, unit: Measured, sample: Any) -> None:
        """Energy is told by the chain."""

    def closed(self, reading: Any) -> None:
        """So are readings."""

    def _owner(self, serial: str) -> str:
        """Looked up again with each block: a meter may be bound to somebody else."""
        height, known = self._ledger.height, self._owners.get(serial)
        if known is not None and known[0] == height:
            return known[1]
        entry = self._ledger.reader().get(f"registry/meter/{serial}")
        record = None if entry is None else decode_value(entry.value)
        owner = str(record["owner"]) if isinstance(record, dict) else ""
        if serial in self._owners or len(self._owners) < OWNERS_MAX:
            self._owners[serial] = height, owner
        return owner
