"""The ordering module (M7): the pool of requests, and when the primary makes a batch of them (OSDI '99, sections 4.1
and 4.2; thesis, sections 5.1.4, "Request Batching", and 5.5, "Denial-of-Service Attacks").

A request waits here from admission until the block that holds it has executed, or until it can't be lawful any
more. Batches are drawn from the clients in turn, so that one client's flood does not delay the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pbft.config import ReplicaConfig
from pbft.events import PoolRequest

SERVED_CLIENTS_MAX = 10_000
"""Clients of whom is known when the primary last served them; of the longest unserved it is forgotten."""
RESERVED_SHARE = 8
"""The last 1/8 of the pool's places is for clients that have none: others' backlogs shut nobody out."""


@dataclass(slots=True)
class _Waiting:
    request: PoolRequest
    since_ms: int
    sequence: int | None = None
    """The sequence that it is proposed at in this view, if it is."""


@dataclass(slots=True)
class _Client:
    """One client's share of the pool, and how this view's primary has treated it."""

    count: int = 0
    fresh: dict[bytes, None] = field(default_factory=dict)
    """Requests that are not proposed yet, in order of arrival."""
    overtaken_ms: int = 0
    """The latest arrival among its proposed requests."""


class Pool:
    """Requests by id; bounded in number and bytes, in all and for one client: the newest is refused."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self._waiting: dict[bytes, _Waiting] = {}
        self._fresh: dict[bytes, None] = {}
        self._clients: dict[str, _Client] = {}
        self._turns: dict[str, None] = {}
        """Clients with fresh requests; the one to be served next comes first."""
        self._bytes = 0
        self._client_max = max(1, config.pool_transactions_max * config.client_pool_share_percent // 100)
        self._overtaken_ms = 0
        """The latest arrival among requests that this view's primary has proposed."""
        self._served_ms: OrderedDict[str, int] = OrderedDict()
        """When each client was last served in this view, whether we knew what was proposed or not."""
        self._twice_ms = 0
        """The latest time after a client was served at which it was served again."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: PoolRequest, now_ms: int) -> bool:
        """Take a request in; False if there is no room. One that is known already counts as taken."""
        if request.tx_id in self._waiting:
            return True
        size = len(request.envelope)
        known = self._clients.get(request.client)
        if self._is_full(size, first=known is None) or (known is not None and known.count >= self._client_max):
            return False
        client = self._clients.setdefault(request.client, _Client())
        client.count += 1
        self._waiting[request.tx_id] = _Waiting(request, now_ms)
        self._bytes += size
        self._put_fresh(request)
        return True

    def _is_full(self, size: int, *, first: bool) -> bool:
        """Whether ``size`` bytes more find no room; ``first``: of a client that has nothing here."""
        count_max, bytes_max = self._config.pool_transactions_max, self._config.pool_bytes_max
        if not first:
            count_max, bytes_max = count_max - count_max // RESERVED_SHARE, bytes_max - bytes_max // RESERVED_SHARE
        return len(self._waiting) >= count_max or self._bytes + size > bytes_max

    def _put_fresh(self, request: PoolRequest) -> None:
        self._fresh[request.tx_id] = None
        self._clients[request.client].fresh[request.tx_id] = None
        self._turns.setdefault(request.client)

    def _drop_fresh(self, request: PoolRequest) -> None:
        if request.tx_id not in self._fresh:
            return
        del self._fresh[request.tx_id]
        client = self._clients[request.client]
        del client.fresh[request.tx_id]
        if not client.fresh:
            del self._turns[request.client]

    def remove(self, tx_ids: Iterable[bytes]) -> None:
        for tx_id in tx_ids:
            waiting = self._waiting.pop(tx_id, None)
            if waiting is None:
                continue
            request = waiting.request
            self._drop_fresh(request)
            self._bytes -= len(request.envelope)
            client = self._clients[request.client]
            client.count -= 1
            if not client.count:
                del self._clients[request.client]

    def waiting_since(self, before_ms: int) -> list[PoolRequest]:
        """Requests that have waited since before ``before_ms``."""
        return [waiting.request for waiting in self._waiting.values() if waiting.since_ms <= before_ms]

    def mark_proposed(self, tx_ids: Sequence[bytes], clients: Iterable[str], sequence: int, now_ms: int) -> None:
        """The view's primary proposes these; ``clients``: whose each one is, also of those that we never saw."""
        self._note_served(frozenset(clients), now_ms)
        for tx_id in tx_ids:
            waiting = self._waiting.get(tx_id)
            if waiting is None:
                continue
            waiting.sequence = sequence
            self._drop_fresh(waiting.request)
            client = self._clients[waiting.request.client]
            client.overtaken_ms = max(client.overtaken_ms, waiting.since_ms)
            self._overtaken_ms = max(self._overtaken_ms, waiting.since_ms)

    def _note_served(self, clients: frozenset[str], now_ms: int) -> None:
        for name in clients:
            self._twice_ms = max(self._twice_ms, self._served_ms.get(name, 0))
            self._served_ms[name] = now_ms
            self._served_ms.move_to_end(name)
        while len(self._served_ms) > SERVED_CLIENTS_MAX:
            self._served_ms.popitem(last=False)

    def restart(self, kept: Iterable[int], now_ms: int) -> None:
        """A new view has begun: timers start anew, and only what stands at the ``kept`` sequences is proposed."""
        sequences = frozenset(kept)
        self._fresh, self._turns = {}, {}
        self._overtaken_ms = self._twice_ms = 0
        self._served_ms.clear()
        for client in self._clients.values():
            client.fresh, client.overtaken_ms = {}, 0
        for waiting in self._waiting.values():
            waiting.since_ms = now_ms
            if waiting.sequence not in sequences:
                waiting.sequence = None
                self._put_fresh(waiting.request)

    # ------------------------------------------------------------------------------------------ waiting

    def unproposed(self, before_ms: int, count_max: int) -> list[PoolRequest]:
        """Up to ``count_max`` requests that have waited since before ``before_ms`` without being proposed."""
        found: list[PoolRequest] = []
        for tx_id in self._fresh:
            waiting = self._waiting[tx_id]
            if waiting.since_ms > before_ms or len(found) == count_max:
                break
            found.append(waiting.request)
        return found

    def oldest_ms(self) -> int | None:
        """Since when the oldest request waits, or None for an empty pool."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since_ms

    def oldest_fresh_ms(self) -> int | None:
        """Since when the oldest request waits to be proposed, or None."""
        first = next(iter(self._fresh), None)
        return None if first is None else self._waiting[first].since_ms

    def censored(self, now_ms: int, patience_ms: int) -> bool:
        """Whether the primary passes over some client's oldest request: for others of the same client that came
        ``patience_ms`` later; or, while this client gets nothing, for other clients' that came so much later, or for
        a client that has its second turn. A mere backlog is no censorship: a correct primary serves clients in turn,
        so that whoever has waited is served before anybody has a second turn."""
        return any(self._is_censored(name, now_ms, patience_ms) for name in self._turns)

    def _is_censored(self, name: str, now_ms: int, patience_ms: int) -> bool:
        client = self._clients[name]
        since_ms = self._waiting[next(iter(client.fresh))].since_ms
        if since_ms + patience_ms <= client.overtaken_ms:
            return True
        served_ms = self._served_ms.get(name, since_ms)
        if since_ms + patience_ms <= self._overtaken_ms and served_ms + patience_ms <= now_ms:
            return True
        return max(since_ms, served_ms) + patience_ms <= self._twice_ms

    # --------------------------------------------------------------------------------------- as primary

    def due(self, now_ms: int, pipeline_idle: bool) -> bool:
        """Whether to batch now: at once when nothing is in flight, by size or by delay under load."""
        oldest_ms = self.oldest_fresh_ms()
        if oldest_ms is None:
            return False
        if pipeline_idle or len(self._fresh) >= self._config.batch_transactions_max:
            return True
        return oldest_ms + self._config.batch_delay_ms_max <= now_ms

    def due_at_ms(self) -> int | None:
        """When the delay of the oldest fresh request ends."""
        oldest_ms = self.oldest_fresh_ms()
        return None if oldest_ms is None else oldest_ms + self._config.batch_delay_ms_max

    def take(self) -> list[PoolRequest]:
        """The next batch's requests, one client after another, within the limits on count, bytes and gas."""
        config = self._config
        chosen: list[PoolRequest] = []
        size = gas = 0
        turns = deque((name, iter(tuple(self._clients[name].fresh))) for name in self._turns)
        while turns:
            name, requests = turns.popleft()
            tx_id = next(requests, None)
            if tx_id is None:
                continue
            request = self._waiting[tx_id].request
            size += len(request.envelope) + 8
            gas += request.gas_limit
            full = len(chosen) == config.batch_transactions_max
            if full or size + 128 > config.batch_bytes_max or gas > config.block_gas_max:
                break
            chosen.append(request)
            turns.append((name, requests))
            self._turns[name] = self._turns.pop(name)
        return chosen
