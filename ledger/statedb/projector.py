"""The projector: brings the state database up behind the commit store, on a thread of its own.

Changes of pending blocks are combined, so that a key written in ten blocks is stored once. At the lag bound
the queue is dropped and everything is read again from the commit store; until then queries answer
``STATE_LAGGING``. A slow or broken back end therefore never stalls, and never grows, the node.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from ledger.state import Entry, StateReader
from ledger.statedb.documents import Document, StateDatabase, document_of

RETRY_S = 0.5
RETRY_S_MAX = 10.0
SCAN_KEYS = 1_000
UNPROJECTED = ("system/",)
"""Bookkeeping that nobody queries: nonces and the time index."""

log = logging.getLogger("wattq.projector")


class Projector:
    """Feed it committed blocks with ``offer``; it owns the database's writer side. ``start`` and ``stop`` once each."""

    def __init__(
        self,
        database: StateDatabase,
        snapshot: Callable[[], tuple[StateReader, int]],
        lag_blocks_max: int,
    ) -> None:
        """``snapshot()`` gives a consistent reader of the commit store and its height."""
        self._database = database
        self._snapshot = snapshot
        self._lag_max = lag_blocks_max
        self._wake = threading.Condition()
        self._pending: dict[str, Entry | None] = {}
        self._offered = -1
        self._pending_blocks = 0
        self._projected = database.height()
        self._resync = True
        self._replaced = False
        self._reading = False
        self._stopping = False
        self.on_advance: Callable[[], None] = _nothing
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

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join()

    def offer(self, height: int, changes: Mapping[str, Entry | None]) -> None:
        """A block has been committed. Never blocks on the database."""
        with self._wake:
            self._offered = height
            if not self._resync:
                self._pending.update(changes)
                self._pending_blocks += 1
                if self._pending_blocks > self._lag_max:
                    log.warning("state database lags by more than %d blocks; resynchronising", self._lag_max)
                    self._resync = True
                    self._pending, self._pending_blocks = {}, 0
            self._wake.notify_all()

    def resync(self) -> None:
        """The commit store holds something else by now: read everything again, whatever the savepoint says."""
        with self._wake:
            self._resync = self._replaced = True
            self._pending, self._pending_blocks = {}, 0
            self._wake.notify_all()

    def wait_for(self, height: int, timeout_s: float) -> bool:
        """Block until the database holds ``height``; False when it does not come in time."""
        with self._wake:
            return self._wake.wait_for(lambda: self.holds(height), timeout_s)

    def holds(self, height: int) -> bool:
        """Whether the database holds ``height`` whole. Never blocks."""
        return self._projected >= height and not self.lagging

    def _run(self) -> None:
        delay_s = RETRY_S
        while not self._stopping:
            try:
                self._step()
                delay_s = RETRY_S
            except Exception:
                # Any failure of the back end means the same: try again later, from the commit store.
                log.exception("state database failed; trying again in %.1f s", delay_s)
                with self._wake:
                    self._resync = True
                    self._wake.wait_for(lambda: self._stopping, delay_s)
                delay_s = min(2 * delay_s, RETRY_S_MAX)

    def _step(self) -> None:
        if self._resync:
            self._read_everything()
            return
        with self._wake:
            self._wake.wait_for(lambda: bool(self._pending_blocks) or self._resync or self._stopping)
            if not self._pending_blocks:
                return
            changes, height = self._pending, self._offered
            self._pending, self._pending_blocks = {}, 0
        self._database.apply(documents_of(changes), height)
        self._advance(height)

    def _read_everything(self) -> None:
        """Rebuild from the commit store, unless the savepoint says that the database is already there."""
        with self._wake:
            self._pending, self._pending_blocks = {}, 0
            reader, height = self._snapshot()
            rebuild = self._replaced or self._database.height() != height
            if rebuild:
                self._projected = -1
            self._resync, self._replaced, self._reading = False, False, True
        if rebuild:
            self._database.clear()
            after = ""
            while page := reader.scan("", after, SCAN_KEYS):
                self._database.apply(documents_of(dict(page)), -1)
                after = page[-1][0]
            self._database.apply({}, height)
        self._advance(height)

    def _advance(self, height: int) -> None:
        with self._wake:
            self._projected, self._reading = height, False
            self._wake.notify_all()
        self.on_advance()


def _nothing() -> None:
    """Nobody listens."""


def documents_of(changes: Mapping[str, Entry | None]) -> dict[str, Document | None]:
    """Documents for the changed keys that people may query."""
    return {
        key: document_of(key, entry) if entry is not None else None
        for key, entry in changes.items()
        if not key.startswith(UNPROJECTED)
    }
