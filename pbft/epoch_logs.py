"""The write-ahead logs of a node: one directory an epoch, and a note of which there are.

A log that is missing or damaged means amnesia: we may have cast votes that nobody here remembers, so the replica
stays mute until none of them can matter. A node that has never run is told from one that lost its log by the
mark that is made together with its key. The log of the epoch before stays until the next boundary, because the
certificate that ends an epoch may not be durable yet when the next one begins.
"""

from __future__ import annotations

import logging

import msgspec

from pbft.files import Files
from pbft.messages import DECODE_ERRORS
from pbft.wal import SEGMENT_BYTES_MAX, SUFFIX, WalCorrupt, WriteAheadLog

NEW_MARK = "node.new"
"""In the node's home from the making of its key until its first log is durable."""
NOTE = "logs"
_DRAFT = "logs.draft"

log = logging.getLogger("wattq.wal")


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """The epochs that have logs, the newer one last, and whether something was lost and still matters."""

    epochs: tuple[int, ...]
    amnesia: bool


class EpochLogs:
    """``files`` is the directory of all logs, ``home`` the one that may hold the mark. Blocks; one thread at a time."""

    def __init__(self, files: Files, home: Files, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self._files = files
        self._home = home
        self._segment_bytes_max = segment_bytes_max
        self._note = self._read()

    @property
    def amnesia(self) -> bool:
        """Whether a log was lost, and we have not been well since."""
        return self._note is not None and self._note.amnesia

    def open(self, epoch: int) -> WriteAheadLog:
        """The log of an epoch, new or as it was left; sets ``amnesia``."""
        known = self._note.epochs if self._note is not None else ()
        amnesia = self.amnesia or (self._note is None and NEW_MARK not in self._home.names())
        files = self._files.below(f"{epoch:08d}")
        # Of an epoch before those that have logs, the log is gone: a replica whose ledger was set aside comes there.
        lost = not files.names(SUFFIX) if epoch in known else epoch < max(known, default=0)
        opened: WriteAheadLog | None = None
        try:
            opened = None if lost else WriteAheadLog(files, self._segment_bytes_max)
        except WalCorrupt as error:
            log.error("a new log replaces the one of epoch %d: %s", epoch, error)
        if opened is None:
            # Said before anything of a new log is there: from then on nothing else tells that one was lost.
            amnesia = True
            self._write(_Note(known, amnesia))
            files.remove_all()
            opened = WriteAheadLog(files, self._segment_bytes_max)
        kept = known if epoch in known else (*known[-1:], epoch)
        self._write(_Note(kept, amnesia))
        for gone in set(known) - set(kept):
            self._files.below(f"{gone:08d}").remove_all()
        if NEW_MARK in self._home.names():
            self._home.remove(NEW_MARK)
            self._home.sync_names()
        return opened

    def recovered(self) -> None:
        """What was lost matters no more."""
        assert self._note is not None, "a log is open"
        self._write(msgspec.structs.replace(self._note, amnesia=False))

    def _read(self) -> _Note | None:
        if NOTE not in self._files.names():
            return None
        try:
            return msgspec.msgpack.decode(self._files.read(NOTE), type=_Note)
        except (OSError, *DECODE_ERRORS) as error:
            log.error("the note of the logs is unreadable: %s", error)
            return None

    def _write(self, note: _Note) -> None:
        if note == self._note:
            return
        if _DRAFT in self._files.names():
            self._files.remove(_DRAFT)
        draft = self._files.append(_DRAFT)
        draft.write(msgspec.msgpack.encode(note))
        draft.sync()
        draft.close()
        self._files.rename(_DRAFT, NOTE)
        self._files.sync_names()
        self._note = note
