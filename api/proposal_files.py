"""What waits for signatures at this node, on its disk: a file each, by its transaction's id. A restart loses none.

A file is whole or not there, as renaming makes it; it is not synced, since whoever began a proposal has it too. One
that cannot be read is removed: nothing hangs on it that its signers could not begin anew.
"""

from __future__ import annotations

import logging
import os
from hashlib import sha256
from pathlib import Path

import msgspec

from sdk.errors import UNREADABLE
from sdk.methods import ProposalRecord

SUFFIX, UNFINISHED = ".json", ".new"
log = logging.getLogger("wattq.proposals")


class ProposalFiles:
    """The directory is made when there is something to keep."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> list[ProposalRecord]:
        """All that is kept, the oldest first."""
        found = []
        for path in self._directory.glob("*"):
            record = _read(path)
            if record is None:
                log.warning("%s is no proposal, and is removed", path)
                _remove(path)
            else:
                found.append(record)
        return sorted(found, key=lambda record: (record.since_ms, record.tx_id))

    def keep(self, record: ProposalRecord) -> None:
        """Put a record in the place of the one with its id. Where the disk takes none it lasts as long as we run."""
        path = self._path(record.tx_id)
        fresh = path.with_suffix(UNFINISHED)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(record))
            os.replace(fresh, path)
        except OSError as error:
            log.warning("a proposal will not outlive this process: %s", error)

    def forget(self, tx_id: str) -> None:
        _remove(self._path(tx_id))

    def _path(self, tx_id: str) -> Path:
        return self._directory / (tx_id + SUFFIX)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("what waits no longer is still there: %s", error)


def _read(path: Path) -> ProposalRecord | None:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=ProposalRecord)
    except (OSError, *UNREADABLE):
        return None
    is_whole = path.name == sha256(record.payload.encode()).hexdigest() + SUFFIX == record.tx_id + SUFFIX
    return record if is_whole else None
