"""The ordering module (M7): the pool of requests, and when the primary makes a batch of them.

A request waits here from admission until the block that holds it has executed. While it waits its timer runs;
a primary that leaves it lying for ``request_timeout_ms`` gives a reason to complain (OSDI '99, section 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pbft.config import ReplicaConfig
from pbft.events import PoolRequest


@dataclass(slots=True)
class _Waiting:
    request: PoolRequest
    since_ms: int
    sequence: int | None = None
    """The sequence that it is proposed at in this view, if it is."""


class Pool:
    """Requests by id, in order of arrival; bounded in number and bytes: the newest is refused."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self._waiting: dict[bytes, _Waiting] = {}
        self._fresh: dict[bytes, None] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: PoolRequest, now_ms: int) -> bool:
        """Take a request in; False if there is no room. One that is known already counts as taken."""
        if request.tx_id in self._waiting:
            return True
        size = len(request.envelope)
        if len(self._waiting) >= self._config.pool_transactions_max or self._bytes + size > self._config.pool_bytes_max:
            return False
        self._waiting[request.tx_id] = _Waiting(request, now_ms)
        self._fresh[request.tx_id] = None
        self._bytes += size
        return True

    def remove(self, tx_ids: Iterable[bytes]) -> None:
        for tx_id in tx_ids:
            waiting = self._waiting.pop(tx_id, None)
            if waiting is not None:
                self._fresh.pop(tx_id, None)
                self._bytes -= len(waiting.request.envelope)

    def waiting_since(self, before_ms: int) -> list[PoolRequest]:
        """Requests that have waited since before ``before_ms``."""
        return [waiting.request for waiting in self._waiting.values() if waiting.since_ms <= before_ms]

    def mark_proposed(self, tx_ids: Sequence[bytes], sequence: int) -> None:
        for tx_id in tx_ids:
            waiting = self._waiting.get(tx_id)
            if waiting is not None:
                waiting.sequence = sequence
                self._fresh.pop(tx_id, None)

    def restart(self, kept: Iterable[int], now_ms: int) -> None:
        """A new view has begun: timers start anew, and only what stands at the ``kept`` sequences is proposed."""
        sequences = frozenset(kept)
        self._fresh = {}
        for tx_id, waiting in self._waiting.items():
            waiting.since_ms = now_ms
            if waiting.sequence not in sequences:
                waiting.sequence = None
                self._fresh[tx_id] = None

    def restart_timers(self, now_ms: int) -> None:
        for waiting in self._waiting.values():
            waiting.since_ms = now_ms

    def unproposed(self, before_ms: int) -> list[PoolRequest]:
        """Requests that have waited since before ``before_ms`` without being proposed, oldest first."""
        found = []
        for tx_id in self._fresh:
            waiting = self._waiting[tx_id]
            if waiting.since_ms > before_ms:
                break
            found.append(waiting.request)
        return found

    def oldest_ms(self) -> int | None:
        """Since when the oldest request waits, or None for an empty pool."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since_ms

    @property
    def fresh(self) -> int:
        """How many requests wait to be proposed."""
        return len(self._fresh)

    def due(self, now_ms: int, pipeline_idle: bool) -> bool:
        """Whether to batch now: at once when nothing is in flight, by size or by delay under load."""
        if not self._fresh:
            return False
        if pipeline_idle or len(self._fresh) >= self._config.batch_transactions_max:
            return True
        return self._fresh_since_ms() + self._config.batch_delay_ms_max <= now_ms

    def due_at_ms(self) -> int | None:
        """When the delay of the oldest fresh request ends."""
        return self._fresh_since_ms() + self._config.batch_delay_ms_max if self._fresh else None

    def _fresh_since_ms(self) -> int:
        return self._waiting[next(iter(self._fresh))].since_ms

    def take(self) -> list[PoolRequest]:
        """The next batch's requests, oldest first, within the limits on count, bytes and gas."""
        config = self._config
        chosen: list[PoolRequest] = []
        size = gas = 0
        for tx_id in self._fresh:
            request = self._waiting[tx_id].request
            size += len(request.envelope) + 8
            gas += request.gas_limit
            full = len(chosen) == config.batch_transactions_max
            if full or size + 128 > config.batch_bytes_max or gas > config.block_gas_max:
                break
            chosen.append(request)
        return chosen
