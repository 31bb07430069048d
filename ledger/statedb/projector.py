"""The projector: brings the state database up behind the commit store, on a thread of its own.

Changes of pending blocks are combined, so that a key written in ten blocks is stored once. While the back end does not
answer they wait. At the lag bound, in blocks or in bytes, the queue is dropped and the commit store is read again;
until then queries answer ``STATE_LAGGING``. A slow or broken back end therefore never stalls, and never grows, the
node. The one exception is chosen by the operator: with a bound of 0 blocks each commit waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ledger.state import Entry, StateReader
from ledger.statedb.documents import (
    UNPROJECTED,
    Document,
    SavepointLost,
    StateDatabase,
    StateDatabaseAway,
    StateDatabaseError,
    StateDatabaseUnusable,
    document_of,
    nobody,
)
from ledger.statedb.patrol import PATROL_S, Patrol

RETRY_S = 0.5
RETRY_S_MAX = 10.0
LOSS_QUIET_S = 60.0
"""After so long without one, the next lost savepoint is acted upon at once again."""
CHECK_S = 3.0
"""How often the savepoint is looked at, blocks or no blocks."""
SCAN_KEYS = 1_000
PART_KEYS, PART_BYTES = 8_000, 8_000_000
"""What is written in one go when the state is read: the first of these that is reached, and a scan's more."""
LAG_BYTES_MAX = 64_000_000
RATE_WINDOW_S = 10.0
STOP_TIMEOUT_S = 3.0

log = logging.getLogger("wattq.projector")


def _no_mark(height: int) -> str:
    """Whoever has no marks believes savepoints by their height."""
    return ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How the projector gets on. ``lag_bytes``: of changes that wait, or are being written."""

    height: int
    lag_blocks: int
    lag_bytes: int
    lag_ms: int
    documents_per_s: float
    documents: int
    resyncs: int
    fault: str
    """Why it does not get on, or ''."""
    left_out: int
    left_out_last: str
    """How many documents the database will not store, and the last one's key, or ''."""


class Projector:
    """Feed it committed blocks with ``offer``; it owns the database's writer side. ``start`` and ``stop`` once each."""

    def __init__(
        self,
        database: StateDatabase,
        snapshot: Callable[[], tuple[StateReader, int]],
        lag_blocks_max: int,
        lag_bytes_max: int = LAG_BYTES_MAX,
        interval_s: float = 0.0,
        mark_at: Callable[[int], str | None] = _no_mark,
    ) -> None:
        """``snapshot()`` gives a consistent reader of the commit store and its height. ``interval_s``: the least time
        between the beginnings of two writes, so that blocks are combined even where the back end keeps up.
        ``mark_at``: what names the commit store's state at a height, None for one that it cannot vouch for."""
        self._database = database
        self._snapshot = snapshot
        self._mark_at = mark_at
        self._blocks_max, self._bytes_max = lag_blocks_max, lag_bytes_max
        self._interval_s = interval_s
        self._written_at = -interval_s
        self._wake = threading.Condition()
        self._queue = Queue()
        self._taken: Queue | None = None
        _, self._offered = snapshot()
        self._offered_mark = ""
        self._projected = -1
        self._behind_since = time.monotonic()
        self._resync = True
        self._replaced = False
        self._reading = False
        self._stopping = False
        self._meter = Meter()
        self._resyncs = 0
        self._fault = ""
        self._checked_at = self._check_at = -CHECK_S
        self._patrol, self._patrolled_at = Patrol(database), time.monotonic()
        database.on_lost = self._suspect
        self.on_advance: Callable[[], None] = nobody
        """Called on the projector's thread whenever the database holds one more block."""
        self._thread = threading.Thread(target=self._run, name="projector", daemon=True)

    @property
    def height(self) -> int:
        """The last block that the database holds whole."""
        return self._projected

    @property
    def lagging(self) -> bool:
        """Whether queries would find too little: everything is to be read again, or is being read."""
        return self._resync or self._reading

    def progress(self) -> Progress:
        with self._wake:
            behind = max(0, self._offered - self._projected)
            since = self._behind_since if self.lagging else self._oldest()
            left_out = list(self._database.left_out)
            return Progress(
                height=self._projected,
                lag_blocks=behind,
                lag_bytes=self._queue.bytes + (self._taken.bytes if self._taken is not None else 0),
                lag_ms=int((time.monotonic() - since) * 1000) if behind else 0,
                documents_per_s=self._meter.per_s(),
                documents=self._meter.total,
                resyncs=self._resyncs,
                fault=self._fault,
                left_out=len(left_out),
                left_out_last=left_out[-1] if left_out else "",
            )

    def _oldest(self) -> float:
        """When the oldest block that waits, or is being written, was offered."""
        return self._taken.since if self._taken is not None else self._queue.since

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Hold up no commit any longer, and end when what is being written is done. Does not wait for that."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def stop(self) -> None:
        """Have it end. One that waits for a back end ends when that is closed."""
        self.end()
        self._thread.join(STOP_TIMEOUT_S)

    def offer(self, height: int, changes: Mapping[str, Entry | None]) -> None:
        """A block has been committed. Never waits for the database, unless the bound is 0 blocks."""
        mark = self._mark_at(height) or ""
        with self._wake:
            self._offered, self._offered_mark = height, mark
            if not self._resync:
                self._queue.add(changes)
                self._bound()
            self._wake.notify_all()
            if self._blocks_max == 0:
                self._wake.wait_for(lambda: self.holds(height) or self._stopping)

    def _bound(self) -> None:
        """At the lag bound the queue is dropped. What is being written lags, and is held, as what waits does."""
        parts = (self._queue,) if self._taken is None else (self._taken, self._queue)
        blocks, size = sum(part.blocks for part in parts), sum(part.bytes for part in parts)
        if 0 < self._blocks_max < blocks or size > self._bytes_max:
            log.warning("state database lags by %d blocks, %d bytes; resynchronising", blocks, size)
            self._behind_since = self._oldest()
            self._resync = True
            self._queue = Queue()

    def resync(self) -> None:
        """The commit store holds something else by now: read everything again, whatever the savepoint says."""
        with self._wake:
            self._resync = self._replaced = True
            self._behind_since = time.monotonic()
            self._queue = Queue()
            self._wake.notify_all()

    def wait_for(self, height: int, timeout_s: float) -> bool:
        """Block until the database holds ``height``; False when it does not come in time."""
        with self._wake:
            return self._wake.wait_for(lambda: self.holds(height), timeout_s)

    def holds(self, height: int) -> bool:
        """Whether the database holds ``height`` whole. Never blocks."""
        return self._projected >= height and not self.lagging

    def _suspect(self) -> None:
        """A reader found something gone: look soon, but not at every such query."""
        with self._wake:
            self._check_at = min(self._check_at, self._checked_at + RETRY_S)
            self._wake.notify_all()

    # ------------------------------------------------------------------------------------------ on its own thread

    def _run(self) -> None:
        pauses = Pauses()
        while not self._stopping:
            try:
                self._step()
                pauses.end()
                self._fault = ""
            except Exception as error:
                if self._is_ending():
                    return
                delay_s = pauses.after(error)
                self._note(error, delay_s)
                with self._wake:
                    self._wake.wait_for(lambda: self._stopping, delay_s)

    def _note(self, error: Exception, delay_s: float) -> None:
        fault = str(error) or type(error).__name__
        if not isinstance(error, StateDatabaseError):
            log.exception("state database failed; trying again in %.1f s", delay_s)
        elif fault != self._fault:
            log.error("state database: %s", fault)
        self._fault = fault

    def _step(self) -> None:
        if self._resync:
            self._read_everything()
            return
        with self._wake:
            self._wake.wait_for(self._has_work, max(0.0, self._check_at - time.monotonic()))
        if time.monotonic() >= self._check_at and not self._resync:
            self._check()
        with self._wake:
            rest_s = self._written_at + self._interval_s - time.monotonic()
            if rest_s > 0 and self._queue.blocks:
                self._wake.wait_for(lambda: self._resync or self._stopping, rest_s)
            if not self._queue.blocks or self._resync or self._stopping:
                return
            taken, height, mark = self._queue, self._offered, self._offered_mark
            self._queue, self._taken = Queue(), taken
            self._written_at = time.monotonic()
        try:
            self._write(taken.changes, height, mark)
        except (StateDatabaseAway, StateDatabaseUnusable):
            self._put_back(taken)
            raise
        except Exception:
            self._read_again()
            raise
        self._advance(height)

    def _has_work(self) -> bool:
        return bool(self._queue.blocks) or self._resync or self._stopping or time.monotonic() >= self._check_at

    def _check(self) -> None:
        """A ledger may be quiet for long: what befell the database meanwhile is noticed without a block."""
        self._checked_at = time.monotonic()
        self._check_at = self._checked_at + CHECK_S
        try:
            self._database.check()
        except SavepointLost:
            self._read_again()
            raise
        if self._checked_at >= self._patrolled_at + PATROL_S and not self.lagging:
            self._patrolled_at = self._checked_at
            self._mend()

    def _mend(self) -> None:
        """Write again what somebody else changed, on the next page of documents."""
        reader, _ = self._snapshot()
        drifted = self._patrol.drifted(reader, self._projected)
        if drifted:
            log.warning("%d documents, %s first, were changed by somebody else: written again", *_summary(drifted))
            self._database.apply(drifted, -1)

    def _write(self, changes: Mapping[str, Entry | None], height: int, mark: str = "") -> None:
        documents = documents_of(changes)
        self._database.apply(documents, height, mark)
        self._meter.note(len(documents))

    def _put_back(self, taken: Queue) -> None:
        """The back end is away: what it did not take waits, with what came meanwhile on top."""
        with self._wake:
            self._taken = None
            if not self._resync:
                self._queue = taken.followed_by(self._queue)
                self._bound()

    def _read_again(self) -> None:
        with self._wake:
            self._behind_since = self._oldest()
            self._taken, self._queue, self._resync = None, Queue(), True

    def _read_everything(self) -> None:
        """Bring the database to where the commit store is: from its savepoint, or anew if that is of another state.

        A mark names one state alone. So what stands there after a roll back or a snapshot is never taken for ours,
        whenever that happened and however long the back end was away.
        """
        with self._wake:
            self._queue = Queue()
            reader, height = self._snapshot()
            mark = self._mark_at(height) or ""
            replaced = self._replaced
            self._resync, self._replaced, self._reading = False, False, True
        try:
            saved = self._database.height()
            if replaced or not 0 <= saved <= height or self._database.mark() != self._mark_at(saved):
                saved = -1
            if saved != height:
                self._resyncs += 1
                self._projected = saved
                self._bring_up(reader, saved)
                self._write({}, height, mark)
        except Exception:
            with self._wake:
                self._resync, self._reading, self._queue = True, False, Queue()
                self._replaced = self._replaced or replaced
            raise
        self._advance(height)

    def _bring_up(self, reader: StateReader, saved: int) -> None:
        if saved >= 0:
            log.info("reading what changed after block %d", saved)
            self._write_all(later_changes(reader, self._database, saved))
            return
        log.info("reading the whole state")
        self._database.clear()
        self._write_all(whole(reader))

    def _write_all(self, parts: Iterable[Mapping[str, Entry | None]]) -> None:
        for changes in gathered(parts):
            self._write(changes, -1)
            self._check_stopping()

    def _is_ending(self) -> bool:
        return self._stopping

    def _check_stopping(self) -> None:
        if self._stopping:
            raise StateDatabaseAway("the node ends")

    def _advance(self, height: int) -> None:
        with self._wake:
            self._projected, self._reading, self._taken = height, False, None
            self._wake.notify_all()
        self.on_advance()


class Pauses:
    """How long to wait after what went wrong. The first lost savepoint costs no wait; whoever loses it again and again,
    to another that writes there too or to a server that always says so, waits as for one that is away."""

    def __init__(self) -> None:
        self._delay_s, self._loss_delay_s = RETRY_S, 0.0
        self._lost_at = -LOSS_QUIET_S

    def end(self) -> None:
        self._delay_s = RETRY_S

    def after(self, error: Exception) -> float:
        if isinstance(error, SavepointLost):
            return self._after_loss(time.monotonic())
        delay_s, self._delay_s = self._delay_s, min(2 * self._delay_s, RETRY_S_MAX)
        return delay_s

    def _after_loss(self, now: float) -> float:
        delay_s = self._loss_delay_s if now - self._lost_at < LOSS_QUIET_S else 0.0
        self._loss_delay_s = min(2 * delay_s, RETRY_S_MAX) if delay_s else RETRY_S
        self._lost_at = now
        return delay_s


class Queue:
    """Changes of blocks that wait, combined, with their size."""

    def __init__(self) -> None:
        self.changes: dict[str, Entry | None] = {}
        self.blocks = 0
        self.bytes = 0
        self.since = time.monotonic()
        """When its first block came."""

    def add(self, changes: Mapping[str, Entry | None]) -> None:
        if not self.blocks:
            self.since = time.monotonic()
        self.blocks += 1
        self._merge(changes)

    def _merge(self, changes: Mapping[str, Entry | None]) -> None:
        for key, entry in changes.items():
            if key in self.changes:
                self.bytes -= _size(key, self.changes[key])
            self.changes[key] = entry
            self.bytes += _size(key, entry)

    def followed_by(self, later: Queue) -> Queue:
        self.blocks += later.blocks
        self._merge(later.changes)
        return self


def _summary(drifted: Mapping[str, Document | None]) -> tuple[int, str]:
    return len(drifted), next(iter(drifted))


def _size(key: str, entry: Entry | None) -> int:
    return len(key) + (0 if entry is None else len(entry.value))


class Meter:
    """Documents written, in all and a second over the last while."""

    def __init__(self) -> None:
        self.total = 0
        self._recent: deque[tuple[float, int]] = deque()

    def note(self, documents: int) -> None:
        self.total += documents
        self._recent.append((time.monotonic(), documents))
        self._forget()

    def per_s(self) -> float:
        self._forget()
        return round(sum(count for _, count in list(self._recent)) / RATE_WINDOW_S, 1)

    def _forget(self) -> None:
        while self._recent and self._recent[0][0] < time.monotonic() - RATE_WINDOW_S:
            self._recent.popleft()


def whole(reader: StateReader) -> Iterator[dict[str, Entry | None]]:
    """The state, a part at a time."""
    after = ""
    while page := reader.scan("", after, SCAN_KEYS):
        after = page[-1][0]
        yield dict(page)


def gathered(parts: Iterable[Mapping[str, Entry | None]]) -> Iterator[Mapping[str, Entry | None]]:
    """The same in larger parts: a back end that works on several bulks at once waits at the end of each part."""
    queue = Queue()
    for part in parts:
        queue.add(part)
        if len(queue.changes) >= PART_KEYS or queue.bytes >= PART_BYTES:
            yield queue.changes
            queue = Queue()
    if queue.changes:
        yield queue.changes


def later_changes(reader: StateReader, database: StateDatabase, saved: int) -> Iterator[dict[str, Entry | None]]:
    """What a database at ``saved`` lacks or has too much: the commit store and the database's keys, side by side."""
    held = Held(database)
    after = ""
    while page := reader.scan("", after, SCAN_KEYS):
        after = page[-1][0]
        there = set(held.up_to(after))
        changes: dict[str, Entry | None] = {
            key: entry for key, entry in page if entry.height > saved or key not in there
        }
        entries = dict(page)
        changes.update({key: None for key in there if key not in entries})
        yield changes
    yield dict.fromkeys(held.up_to(""))


class Held:
    """The database's keys in order, a part at a time."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self._waiting: deque[str] = deque()
        self._last = ""
        self._whole = False

    def up_to(self, key: str) -> Iterator[str]:
        """Keys not given yet, up to and with ``key``; '' means all."""
        while True:
            while self._waiting and (not key or self._waiting[0] <= key):
                yield self._waiting.popleft()
            if self._waiting or self._whole:
                return
            page = self._database.keys(self._last, SCAN_KEYS)
            self._whole = len(page) < SCAN_KEYS
            self._waiting.extend(page)
            self._last = page[-1] if page else self._last


def documents_of(changes: Mapping[str, Entry | None]) -> dict[str, Document | None]:
    """Documents for the changed keys that people may query."""
    return {
        key: document_of(key, entry) if entry is not None else None
        for key, entry in changes.items()
        if not key.startswith(UNPROJECTED)
    }
