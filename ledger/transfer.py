"""A snapshot on its way in: staged into a generation of its own, and put in force by one rename.

Whatever stops this before the rename leaves the old generation in force; afterwards the new one is whole and
durable. The generation that was replaced stays beside it until the next one is installed.
"""

from __future__ import annotations

from ledger import epochs
from ledger.layout import (
    BASE,
    BOUNDARY,
    CERTIFICATE,
    CERTIFIED,
    HASHED,
    HEAD,
    STATE,
    TREE,
    Base,
    Head,
    number,
    pack,
)
from ledger.snapshots import Checked, check_chunk
from ledger.storage import Storage, state_name
from ledger.tree import StateTree
from ledger.views import StateView
from pbft.epoch import Boundary
from pbft.messages import Chunk


class Transfer:
    """The store of the next generation while it fills. For the execution thread."""

    def __init__(self, storage: Storage, generation: int, checked: Checked) -> None:
        self.checked = checked
        self._storage = storage
        self._name = state_name(generation)
        storage.remove_store(self._name)
        self.store = storage.open_store(self._name)
        self._staged: set[int] = set()
        self.store.write({TREE + path: record for path, record in checked.manifest.branches})

    def stage(self, chunk: Chunk) -> None:
        """Keep a chunk that the edge has verified."""
        pairs, records = check_chunk(chunk, self.checked)
        batch: dict[bytes, bytes | None] = {STATE + key.encode(): record for key, record in pairs}
        batch.update({TREE + path: record for path, record in records.items()})
        self.store.write(batch)
        self._staged.add(chunk.index)

    def finish(self) -> None:
        """Make it a whole store, durably."""
        manifest, header = self.checked.manifest, self.checked.header
        statement, height = manifest.certificate.statement, manifest.height
        assert len(self._staged) == manifest.chunks, "all chunks are staged"
        root = StateTree(lambda path: self.store.get(TREE + path)).root
        assert root == statement.state_root, "verified chunks make the certified state"
        head = Head(height, header.time_ms, statement.header_hash, statement, None)
        batch: dict[bytes, bytes | None] = {
            HEAD: pack(head),
            BASE: pack(Base(height, manifest.header)),
            CERTIFIED: pack(manifest.certificate),
            HASHED: pack(0),
            CERTIFICATE + number(height): pack(manifest.certificate),
        }
        for position, boundary in enumerate(manifest.boundaries, start=1):
            batch[BOUNDARY + number(position)] = boundary
        epoch = epochs.epoch_of(StateView(self.store))
        if epoch.number == manifest.certificate.epoch + 1:
            batch[BOUNDARY + number(epoch.number)] = pack(Boundary(epoch, manifest.certificate))
        self.store.write(batch, sync=True)

    def give_up(self) -> None:
        self.store.close()
        self._storage.remove_store(self._name)
