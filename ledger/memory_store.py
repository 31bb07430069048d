"""A commit store in memory, for the simulator and for tests: sorted keys, cheap snapshots, and a crash's losses.

Every write keeps what it replaced for as long as a snapshot may ask for it or a crash may undo it. So a snapshot
costs nothing when it is made, and a read of one costs a look at the writes since.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping
from itertools import islice
from weakref import WeakSet

from ledger.near import Near, fitting, near_before

UNSYNCED_BATCHES_MAX = 64
"""Batches that a crash may lose; older ones have reached the disk by themselves."""
INSORT_MAX = 64
"""New keys of one batch up to which each is put in its place; more are sorted together."""


class MemoryStore:
    """Implements ``ledger.store.CommitStore``. For one thread. ``lose`` is what a crash does to it."""

    engine = "memory"

    def __init__(self) -> None:
        self._pairs: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._replaced: deque[dict[bytes, bytes | None]] = deque()
        self._version = 0
        self._synced = 0
        self._snapshots: WeakSet[MemorySnapshot] = WeakSet()

    @property
    def unsynced(self) -> int:
        """How many of the last batches a crash may lose."""
        return self._version - max(self._synced, self._version - UNSYNCED_BATCHES_MAX)

    def lose(self, batches: int) -> None:
        """Forget the last ``batches`` writes, as a crash may; snapshots do not survive one."""
        assert 0 <= batches <= self.unsynced, "what was synced stays"
        self._snapshots.clear()
        for _ in range(batches):
            self._apply(self._replaced.pop())
            self._version -= 1

    def get(self, key: bytes) -> bytes | None:
        return self._pairs.get(key)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        keys, pairs = self._keys, self._pairs
        start = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
        rows: list[tuple[bytes, bytes]] = []
        for key in islice(keys, start, start + limit):
            if not key.startswith(prefix):
                break
            rows.append((key, pairs[key]))
        return rows

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        first, behind = bisect_left(self._keys, low), bisect_left(self._keys, high)
        places = range(behind - 1, first - 1, -1) if down else range(first, behind)
        return fitting(((self._keys[at], self._pairs[self._keys[at]]) for at in places), limit, bytes_max)

    def write(self, batch: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        pairs = self._pairs
        self._replaced.append({key: pairs.get(key) for key in batch})
        self._version += 1
        self._apply(batch)
        if sync:
            self._synced = self._version
        self._trim()

    def snapshot(self) -> MemorySnapshot:
        made = MemorySnapshot(self, self._version)
        self._snapshots.add(made)
        return made

    def replaced_since(self, version: int) -> dict[bytes, bytes | None]:
        """What keys held at ``version`` that were written since."""
        found: dict[bytes, bytes | None] = {}
        for replaced in islice(self._replaced, version - self._version + len(self._replaced), None):
            for key, value in replaced.items():
                found.setdefault(key, value)
        return found

    def at(self, version: int, key: bytes) -> bytes | None:
        for replaced in islice(self._replaced, version - self._version + len(self._replaced), None):
            if key in replaced:
                return replaced[key]
        return self._pairs.get(key)

    def close(self) -> None:
        """Its content stays, for whoever opens it again."""

    # ------------------------------------------------------------------------------------------- inside

    def _apply(self, batch: Mapping[bytes, bytes | None]) -> None:
        pairs, keys = self._pairs, self._keys
        fresh = [key for key, value in batch.items() if value is not None and key not in pairs]
        for key, value in batch.items():
            if value is not None:
                pairs[key] = value
            elif pairs.pop(key, None) is not None:
                del keys[bisect_left(keys, key)]
        if len(fresh) > INSORT_MAX:
            keys.extend(fresh)
            keys.sort()
        else:
            for key in fresh:
                insort(keys, key)

    def _trim(self) -> None:
        oldest = min((snapshot.version for snapshot in self._snapshots), default=self._version)
        needed = self._version - min(oldest, self._version - self.unsynced)
        while len(self._replaced) > needed:
            self._replaced.popleft()


class MemorySnapshot:
    """The store as it was at ``version``."""

    def __init__(self, store: MemoryStore, version: int) -> None:
        self._store = store
        self.version = version

    def get(self, key: bytes) -> bytes | None:
        return self._store.at(self.version, key)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        replaced = self._store.replaced_since(self.version)
        own = {key: old for key, old in replaced.items() if key.startswith(prefix) and key > after}
        rows = [pair for pair in self._store.scan(prefix, after, limit + len(own)) if pair[0] not in own]
        rows.extend((key, old) for key, old in own.items() if old is not None)
        return sorted(rows)[:limit]

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        replaced = self._store.replaced_since(self.version)
        return near_before(self._store, replaced, low, high, down, limit, bytes_max)
