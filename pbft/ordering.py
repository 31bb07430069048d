"""The ordering module (M7): the pool of requests, and when the primary makes a batch of them (OSDI '99, sections 4.1
and 4.2; thesis, sections 5.1.4, "Request Batching", and 5.5, "Denial-of-Service Attacks").

A request waits here from admission until the block that holds it has executed, or until it can't be lawful any
more. Batches are drawn from the clients in turn, so that one client's flood does not delay the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile

from pbft.config import ReplicaConfig
from pbft.events import PoolRequest

SERVED_CLIENTS_MAX = 10_000
"""Clients of whom is known when the primary last served them; of the longest unserved it is forgotten."""
BATCH_BYTES, ENVELOPE_BYTES = 128, 8
"""What a batch takes beside its envelopes, and beside each of them, encoded."""
OLDEST = 8
"""Among how many times as many of the oldest requests those are looked for that the primary was not told of."""
RESERVED_SHARE = 8
"""The last 1/8 of the pool's places is for clients that have none: others' backlogs shut nobody out."""


@dataclass(slots=True)
class _Waiting:
    request: PoolRequest
    since_ms: int
    told_ms: int | None = None
    """When this view's primary was told of it, as far as we know."""
    sequence: int | None = None
    """The sequence that it is proposed at in this view, until one that it was proposed at has executed."""


@dataclass(slots=True)
class _Client:
    """One client's share of the pool, and how this view's primary has treated it."""

    count: int = 0
    fresh: dict[bytes, None] = field(default_factory=dict)
    """Requests that are not proposed yet, in order of arrival."""
    told: dict[bytes, None] = field(default_factory=dict)
    """Those of them that the primary was told of, in that order."""
    overtaken_ms: int = 0
    """The latest arrival among its proposed requests."""
    crowded_ms: int = -1
    """When it last filled half of its share."""


def _told_ms(waiting: _Waiting) -> int:
    assert waiting.told_ms is not None, "asked of those that the primary was told of"
    return waiting.told_ms


class Room:
    """What still fits into a batch, by count, bytes and gas."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._count = config.batch_transactions_max
        self._bytes = config.batch_bytes_max - BATCH_BYTES
        self._gas = config.block_gas_max

    def takes(self, request: PoolRequest) -> bool:
        """Put it in, if it fits."""
        size, gas = len(request.envelope) + ENVELOPE_BYTES, request.gas_limit
        if not self._count or size > self._bytes or gas > self._gas:
            return False
        self._count -= 1
        self._bytes -= size
        self._gas -= gas
        return True


def owed_beside(config: ReplicaConfig, delivered: Iterable[PoolRequest], waiting: Iterable[PoolRequest]) -> int:
    """How many of those that waited, the oldest first, would have fitted into a batch beside what was delivered."""
    room = Room(config)
    for request in delivered:
        room.takes(request)
    return sum(1 for _ in takewhile(room.takes, waiting))


class Pool:
    """Requests by id; bounded in number and bytes, in all and for one client: the newest is refused."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self._waiting: dict[bytes, _Waiting] = {}
        self._fresh: dict[bytes, None] = {}
        self._told: dict[bytes, None] = {}
        """Fresh requests that the primary was told of, in that order: for others it owes nothing."""
        self._proposed: dict[int, list[bytes]] = {}
        """What is proposed at each sequence that has not executed; at most a window's."""
        self._clients: dict[str, _Client] = {}
        self._turns: dict[str, None] = {}
        """Clients with fresh requests; the one to be served next comes first."""
        self._bytes = 0
        self._client_max = max(1, config.pool_transactions_max * config.client_pool_share_percent // 100)
        self._crowded_ms = self._full_ms = -1
        """When the pool was last half full, and when it last had no room for a client that had nothing in it."""
        self._served_ms: OrderedDict[str, int] = OrderedDict()
        """When each client was last served in this view, whether we knew what was proposed or not."""
        self._twice_ms = 0
        """The latest time after a client was served at which it was served again."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def held_bytes(self) -> int:
        """Of all envelopes here; for status reports."""
        return self._bytes

    def add(self, request: PoolRequest, now_ms: int, *, told: bool = False) -> bool:
        """Take a request in; False if there is no room. One that is known already counts as taken. ``told``: everybody
        else is told of it now."""
        if request.tx_id in self._waiting:
            return True
        size = len(request.envelope)
        known = self._clients.get(request.client)
        if self._is_full(size, first=known is None):
            self._full_ms = now_ms if known is None else self._full_ms
            return False
        if known is not None and known.count >= self._client_max:
            return False
        client = self._clients.setdefault(request.client, _Client())
        client.count += 1
        self._waiting[request.tx_id] = _Waiting(request, now_ms)
        self._bytes += size
        self._put_fresh(request)
        if told:
            self._tell(request, now_ms)
        if 2 * client.count >= self._client_max:
            client.crowded_ms = now_ms
        if (
            2 * len(self._waiting) >= self._config.pool_transactions_max
            or 2 * self._bytes >= self._config.pool_bytes_max
        ):
            self._crowded_ms = now_ms
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

    def _tell(self, request: PoolRequest, now_ms: int) -> None:
        """The primary is told of a fresh request, for the first time as far as we know."""
        waiting = self._waiting[request.tx_id]
        if waiting.told_ms is None:
            waiting.told_ms = now_ms
            self._put_told(request)

    def _put_told(self, request: PoolRequest) -> None:
        self._told[request.tx_id] = self._clients[request.client].told[request.tx_id] = None

    def _drop_fresh(self, request: PoolRequest) -> None:
        if request.tx_id not in self._fresh:
            return
        del self._fresh[request.tx_id]
        client = self._clients[request.client]
        del client.fresh[request.tx_id]
        self._told.pop(request.tx_id, None)
        client.told.pop(request.tx_id, None)
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

    def mark_proposed(self, requests: Iterable[PoolRequest], sequence: int) -> None:
        """The view's primary proposes these, some of which we may never have seen."""
        for request in requests:
            waiting = self._waiting.get(request.tx_id)
            if waiting is None:
                continue
            waiting.sequence = sequence
            self._proposed.setdefault(sequence, []).append(request.tx_id)
            self._drop_fresh(waiting.request)
            client = self._clients[waiting.request.client]
            client.overtaken_ms = max(client.overtaken_ms, waiting.since_ms)

    def settle(self, sequence: int) -> None:
        """A block has executed there. What was proposed to us in its place, and is not in it, waits as it did before:
        the primary told others something else."""
        left = [self._waiting[tx_id] for tx_id in self._proposed.pop(sequence, ()) if tx_id in self._waiting]
        if not left:
            return
        for waiting in left:
            waiting.sequence = None
            self._put_fresh(waiting.request)
            if waiting.told_ms is not None:
                self._put_told(waiting.request)
        self._fresh = self._by_age(self._fresh)
        self._told = self._by_told(self._told)
        for name in {waiting.request.client for waiting in left}:
            client = self._clients[name]
            client.fresh, client.told = self._by_age(client.fresh), self._by_told(client.told)

    def _by_age(self, tx_ids: Iterable[bytes]) -> dict[bytes, None]:
        return dict.fromkeys(sorted(tx_ids, key=lambda tx_id: self._waiting[tx_id].since_ms))

    def _by_told(self, tx_ids: Iterable[bytes]) -> dict[bytes, None]:
        return dict.fromkeys(sorted(tx_ids, key=lambda tx_id: _told_ms(self._waiting[tx_id])))

    def note_served(self, clients: frozenset[str], at_ms: int) -> None:
        """Something of each of these clients was proposed then, and was admissible when its turn came."""
        for name in clients:
            self._twice_ms = max(self._twice_ms, self._served_ms.get(name, 0))
            self._served_ms[name] = at_ms
            self._served_ms.move_to_end(name)
        while len(self._served_ms) > SERVED_CLIENTS_MAX:
            self._served_ms.popitem(last=False)

    def restart(self, kept: Iterable[int], now_ms: int) -> None:
        """A new view has begun: timers start anew, and only what stands at the ``kept`` sequences is proposed."""
        sequences = frozenset(kept)
        self._fresh, self._turns, self._told, self._proposed = {}, {}, {}, {}
        self._twice_ms = 0
        self._served_ms.clear()
        for client in self._clients.values():
            client.fresh, client.told, client.overtaken_ms = {}, {}, 0
        for waiting in self._waiting.values():
            waiting.since_ms, waiting.told_ms = now_ms, None
            if waiting.sequence in sequences:
                self._proposed.setdefault(waiting.sequence, []).append(waiting.request.tx_id)
            else:
                waiting.sequence = None
                self._put_fresh(waiting.request)

    # ------------------------------------------------------------------------------------------ waiting

    def owed(self, before_ms: int, count_max: int) -> list[PoolRequest]:
        """Up to ``count_max`` requests that the primary was told of before ``before_ms`` and has not proposed."""
        found: list[PoolRequest] = []
        for tx_id in self._told:
            waiting = self._waiting[tx_id]
            if _told_ms(waiting) > before_ms or len(found) == count_max:
                break
            found.append(waiting.request)
        return found

    def _unproposed(self, before_ms: int, count_max: int) -> Iterator[PoolRequest]:
        """The oldest fresh requests, those that the primary was not told of first."""
        waiting = takewhile(lambda one: one.since_ms <= before_ms, (self._waiting[tx_id] for tx_id in self._fresh))
        oldest = list(islice(waiting, OLDEST * count_max))
        return (one.request for one in sorted(oldest, key=lambda one: one.told_ms is not None))

    def reminders(self, before_ms: int, count_max: int, now_ms: int) -> list[PoolRequest]:
        """Up to ``count_max`` requests that have waited since before ``before_ms`` without being proposed, one client
        after another, and others the next time: the primary may lack any of them, and is told of them now."""
        found: list[PoolRequest] = []
        for name in list(self._turns):
            waiting = self._waiting[next(iter(self._clients[name].fresh))]
            if waiting.since_ms <= before_ms:
                found.append(waiting.request)
                self._turns[name] = self._turns.pop(name)
            if len(found) == count_max:
                break
        seen = {request.tx_id for request in found}
        others = (request for request in self._unproposed(before_ms, count_max) if request.tx_id not in seen)
        found.extend(islice(others, count_max - len(found)))
        for request in found:
            self._tell(request, now_ms)
        return found

    def oldest_ms(self) -> int | None:
        """Since when the oldest request waits, or None for an empty pool."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since_ms

    def oldest_fresh_ms(self) -> int | None:
        """Since when the oldest request waits to be proposed, or None."""
        first = next(iter(self._fresh), None)
        return None if first is None else self._waiting[first].since_ms

    def oldest_told_ms(self) -> int | None:
        """Since when the oldest request that the primary was told of waits to be proposed, or None."""
        first = next(iter(self._told), None)
        return None if first is None else _told_ms(self._waiting[first])

    def censored(self, patience_ms: int) -> bool:
        """Whether the primary passes over some client's oldest request: for others of the same client that came
        ``patience_ms`` later, or, while this client gets nothing, for a client that has its second turn.

        A mere backlog is no censorship: a correct primary serves clients in turn, so that whoever has waited is served
        before anybody has a second turn. Nor is a full pool, which may have refused there what waits here: a client's
        first request finds room in the eighth that is reserved, the others may not where it is crowded. Nor does it
        count what the primary was not told of: somebody may have sent it to all others.
        """
        return any(self._is_censored(self._clients[name], name, patience_ms) for name in self._turns)

    def _is_censored(self, client: _Client, name: str, patience_ms: int) -> bool:
        first = next(iter(client.told), None)
        if first is None:
            return False
        since_ms = _told_ms(self._waiting[first])
        if since_ms + patience_ms <= client.overtaken_ms and since_ms > max(client.crowded_ms, self._crowded_ms):
            return True
        waits_ms = max(since_ms, self._served_ms.get(name, 0))
        return waits_ms + patience_ms <= self._twice_ms and since_ms > self._full_ms

    # --------------------------------------------------------------------------------------- as primary

    def due(self, now_ms: int, in_flight: int) -> bool:
        """Whether to batch now: at once when nothing is in flight, by size or by delay under load."""
        at_ms = self.due_at_ms(in_flight)
        return at_ms is not None and (at_ms <= now_ms or len(self._fresh) >= self._config.batch_transactions_max)

    def due_at_ms(self, in_flight: int) -> int | None:
        """When the oldest fresh request has waited long enough for others to go with it: twice as long with each block
        in flight, since what those cost falls with their number and a request would wait behind them anyway. No longer
        than half of the time after which the others remind of it."""
        oldest_ms, config = self.oldest_fresh_ms(), self._config
        wait_ms = config.batch_delay_ms_max * (2**in_flight - 1)
        return None if oldest_ms is None else oldest_ms + min(wait_ms, config.status_interval_ms // 2)

    def take(self) -> list[PoolRequest]:
        """The next batch's requests, one client after another, within the limits on count, bytes and gas.

        A client whose next request does not fit keeps its place for the next batch, and the others go on.
        """
        chosen: list[PoolRequest] = []
        room = Room(self._config)
        turns = deque((name, iter(tuple(self._clients[name].fresh))) for name in self._turns)
        while turns:
            name, requests = turns.popleft()
            tx_id = next(requests, None)
            if tx_id is None:
                continue
            request = self._waiting[tx_id].request
            if not room.takes(request):
                continue
            chosen.append(request)
            turns.append((name, requests))
            self._turns[name] = self._turns.pop(name)
        return chosen
