"""State transfer: a peer's snapshot at a certified checkpoint in place of a ledger that is far behind, damaged or
contradicted (OSDI '99, section 4.4, asks for it; thesis, section 5.3.2, "State Transfer"; DESIGN "Disagree").

One peer gives the manifest, which the edge has verified from genesis on; its chunks come from several peers at
once, each verified by itself. Whoever sends a wrong one is asked no more. The caller stages chunks and, at the
end, installs them and starts a new replica.
"""

from __future__ import annotations

from collections import Counter

from pbft.core import Core
from pbft.events import RejectReason
from pbft.messages import Chunk, FetchChunk, FetchManifest, Manifest, Status

SLOW_ROUNDS_MAX = 4
"""When everyone was slow so often in turn, each time with more patience, another snapshot is chosen."""
SILENT_ROUNDS_MAX = 1
"""The same while no chunk has come at all: then it may be a snapshot that nobody keeps."""


class StateTransfer:
    """At most one transfer at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._height_min = 0
        self._asked: int | None = None
        self._asked_until_ms = 0
        self._all_asked: set[int] = set()
        """Everyone asked for a manifest by now: a late answer is as good as one in time."""
        self._manifest: Manifest | None = None
        self._giver: int | None = None
        """Whose manifest it is."""
        self._fruitless: set[int] = set()
        """Peers whose manifests led to nothing: asked again when everybody's has."""
        self._todo: list[int] = []
        self._asked_for: dict[int, tuple[int, int]] = {}
        """Chunk index: the peer asked, and until when its answer is awaited."""
        self._liars: set[int] = set()
        self._without: set[int] = set()
        """Peers that do not have this snapshot."""
        self._slow: set[int] = set()
        """Peers whose chunks did not come in time; they are asked again when nobody else is left."""
        self._rounds = 0
        """How often everyone was slow since the last chunk came."""
        self._staged: set[int] = set()
        self.wanted = False

    @property
    def chooses(self) -> bool:
        """Whether a manifest is of use."""
        return self.wanted and self._manifest is None and not self._core.installing

    def takes(self, height: int) -> bool:
        """Whether a chunk of the snapshot at ``height`` is of use."""
        return self._manifest is not None and self._manifest.height == height

    @property
    def progress(self) -> tuple[int, int] | None:
        """Chunks staged and chunks in all, while a transfer is under way."""
        return None if self._manifest is None else (len(self._staged), self._manifest.chunks)

    def want(self, height_min: int) -> None:
        """Replace our ledger by a snapshot at or above ``height_min``."""
        self.wanted = True
        self._height_min = max(self._height_min, height_min)

    # ---------------------------------------------------------------------------------------- deciding

    def on_status(self, sender: int, status: Status) -> None:
        """f + 1 validators stand far ahead, or nobody ahead holds the block that we need next: take a snapshot."""
        core = self._core
        if core.ended or core.installing or not status.whole:
            return
        gap = core.credible_height() - core.executed
        if not self.wanted and gap > 0 and (gap > core.config.snapshot_gap_blocks or self._is_pruned()):
            self.want(core.executed + 1)
        self.tick()

    def _is_pruned(self) -> bool:
        """Whether no validator ahead of us has the next block, but for those that said so and did not give it."""
        core = self._core
        ahead = [
            told
            for peer, told in core.peers.items()
            if core.is_validator(peer) and peer not in core.silent and told.certified_height > core.executed
        ]
        return all(told.first_height > core.executed + 1 for told in ahead if told.whole)

    def tick(self) -> None:
        """Ask for what is missing, and again for what did not come in time."""
        core = self._core
        if core.diverged and not self.wanted:
            wrong = core.outcomes.contradicted()
            self.want(core.executed + 1 if wrong is None else wrong)
        if not self.wanted or core.installing:
            return
        if self._manifest is None:
            self._ask_manifest()
        else:
            self._ask_chunks()

    def wake_ms(self) -> int | None:
        """When an answer is overdue."""
        if not self.wanted or self._core.installing:
            return None
        times = [until for _, until in self._asked_for.values()]
        if self._asked is not None:
            times.append(self._asked_until_ms)
        return min(times, default=None)

    def _sources(self, height: int) -> list[int]:
        """Peers that may have a snapshot at ``height``."""
        return [
            peer
            for peer, told in sorted(self._core.peers.items())
            if told.whole and told.certified_height >= height and peer not in self._liars
        ]

    def _ask_manifest(self) -> None:
        core = self._core
        if self._asked is not None and core.now.timer_ms < self._asked_until_ms:
            return
        known = self._sources(self._height_min)
        sources = [peer for peer in known if peer not in self._fruitless]
        if known and not sources:
            self._fruitless.clear()
            sources = known
        if not sources:
            self._asked = None
            return
        later = [peer for peer in sources if self._asked is not None and peer > self._asked]
        self._asked = (later or sources)[0]
        self._all_asked.add(self._asked)
        self._asked_until_ms = core.now.timer_ms + core.config.request_timeout_ms
        core.send(self._asked, FetchManifest(self._height_min))

    # -------------------------------------------------------------------------------------- transferring

    def on_manifest(self, sender: int, manifest: Manifest) -> None:
        """A verified manifest that we asked for: begin."""
        core = self._core
        if not self.wanted or self._manifest is not None or sender not in self._all_asked or core.installing:
            core.reject(sender, RejectReason.USELESS)
            return
        if manifest.height < self._height_min:
            core.reject(sender, RejectReason.USELESS)
            return
        self._manifest, self._giver, self._asked, self._all_asked = manifest, sender, None, set()
        self._todo = list(range(manifest.chunks))
        self._asked_for, self._without, self._slow, self._staged = {}, set(), set(), set()
        self._rounds = 0
        core.out.transfer = manifest
        self._ask_chunks()
        self._finish()

    def on_chunk(self, sender: int, chunk: Chunk) -> None:
        """A chunk, verified unless it is empty, which says that the sender lacks this snapshot.

        One that comes after its time, when somebody else has been asked, is as good: it proves itself.
        """
        index, asked = chunk.index, self._asked_for.get(chunk.index)
        wanted = asked is not None or index in self._todo
        if self._manifest is None or chunk.height != self._manifest.height or not wanted:
            self._core.reject(sender, RejectReason.USELESS)
            return
        if chunk.data:
            self._asked_for.pop(index, None)
            self._todo = [other for other in self._todo if other != index]
            self._slow.discard(sender)
            self._rounds = 0
            self._staged.add(index)
            self._core.out.stage.append(chunk)
        elif asked is not None and asked[0] == sender:
            del self._asked_for[index]
            self._todo.append(index)
            self._without.add(sender)
        self._ask_chunks()
        self._finish()

    def refuted(self, sender: int) -> None:
        """What ``sender`` sent was proven wrong: ask others."""
        self._liars.add(sender)
        self._all_asked.discard(sender)
        if sender == self._asked:
            self._asked = None
        for index in [i for i, (peer, _) in self._asked_for.items() if peer == sender]:
            del self._asked_for[index]
            self._todo.append(index)
        self.tick()

    def _ask_chunks(self) -> None:
        core = self._core
        assert self._manifest is not None, "only asked for a chosen snapshot"
        for index in [i for i, (_, until) in self._asked_for.items() if until <= core.now.timer_ms]:
            self._slow.add(self._asked_for.pop(index)[0])
            self._todo.append(index)
        having = self._holders(self._manifest.height)
        sources = [peer for peer in having if peer not in self._slow]
        if not sources and having and self._rounds < (SLOW_ROUNDS_MAX if self._staged else SILENT_ROUNDS_MAX):
            self._rounds += 1
            self._slow.clear()
            sources = having
        if not sources and (self._todo or self._asked_for):
            self._give_up()
            return
        load = Counter(peer for peer, _ in self._asked_for.values())
        until_ms = core.now.timer_ms + (1 + self._rounds) * core.config.request_timeout_ms
        while self._todo:
            peer = min(sources, key=lambda source: (load[source], source))
            if load[peer] >= core.config.chunks_in_flight_max:
                return
            index = self._todo.pop(0)
            self._asked_for[index] = (peer, until_ms)
            load[peer] += 1
            core.send(peer, FetchChunk(self._manifest.height, index))

    def _holders(self, height: int) -> list[int]:
        """Who may give chunks of the snapshot chosen; its giver too, whose last status may be older than it."""
        holders = {*self._sources(height), self._giver} - self._without - self._liars
        return sorted(peer for peer in holders if peer is not None)

    def _give_up(self) -> None:
        """Nobody has this snapshot any more: choose another one, of somebody else. Liars are remembered."""
        if self._giver is not None:
            self._fruitless.add(self._giver)
        self._manifest = self._giver = None
        self._todo, self._asked_for, self._without, self._slow = [], {}, set(), set()

    def _finish(self) -> None:
        core = self._core
        if self._manifest is None or len(self._staged) < self._manifest.chunks:
            return
        if core.whole and not core.diverged and self._manifest.height <= core.executed:
            # Blocks came meanwhile, by votes: the snapshot is older than our own ledger, which is sound.
            self._give_up()
            self.wanted = False
            return
        core.out.install = core.installing = True
