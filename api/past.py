"""Proofs of the state, and the past of keys: what a viewer may read of them, and at which height."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from api.places import Places
from api.pools import BoundedPool
from api.privacy import Viewer, is_public, may_read
from api.queries import HEIGHT_AHEAD_MAX
from ledger.answers import BlockNotHeld
from ledger.history import HistoryUnknown, Past, Version
from ledger.ledger import Ledger
from ledger.proofs import KeyProof, Prover, to_json
from ledger.state import Entry
from ledger.statedb.documents import Document, Page, narrow
from ledger.values import decode_value
from sdk import methods
from sdk.errors import Problem, Refused

CERTIFIED_WAIT_S = 5.0
WAITERS_MAX, STRANGERS_WAITING_MAX, WAITERS_EACH_MAX = 256, 64, 16
"""Who waits for certificates: in all, of them without identity, and of one signer or one stranger's address."""
VERSIONS_READ_MAX, VERSIONS_AT_ONCE = 2_000, 64
"""Versions of a key looked at in one call, in search of those that the viewer may read; read at a time."""
ATTEMPTS = 3
"""How often a query is asked again because its rows have changed before they could be proven."""
CHANGED = "CHANGED_SINCE"
"""Why a row has no proof: proofs are made at the newest certified height, and it holds something else there."""


class PastReader:
    """``pool`` runs what blocks."""

    def __init__(self, ledger: Ledger, pool: BoundedPool) -> None:
        self._ledger = ledger
        self._pool = pool
        self._places = Places(WAITERS_MAX, STRANGERS_WAITING_MAX, WAITERS_EACH_MAX)
        self._certified = asyncio.Event()

    def on_certified(self) -> None:
        """Another block is certified. On the event loop."""
        self._certified.set()
        self._certified = asyncio.Event()

    # ------------------------------------------------------------------------------------------- proofs

    async def proof(self, params: methods.ProofParams, viewer: Viewer) -> dict[str, Any] | None:
        """The proof of a key at the newest certified height; None if it is not the viewer's."""
        prover = await self._prover(params.min_height, viewer)
        entry = await self._pool.run(prover.entry, params.key)
        if not may_read(viewer, params.key, None if entry is None else decode_value(entry.value)):
            return None
        return to_json(await self._pool.run(prover.whole, params.key))

    async def proven(
        self, find: Callable[[], Awaitable[Page]], viewer: Viewer
    ) -> tuple[Page, Prover, dict[str, KeyProof]]:
        """A page of documents, and the proofs of those that stand unchanged at the newest certified height."""
        attempt = 0
        while True:
            attempt += 1
            page = await find()
            prover = await self._prover(page.height, viewer)
            proofs = await self._pool.run(_prove_all, prover, page.documents)
            if len(proofs) == len(page.documents) or attempt == ATTEMPTS:
                return page, prover, proofs

    async def _prover(self, height: int, viewer: Viewer) -> Prover:
        """One for a certified height at or above ``height``, waited for within bounds."""
        if height > self._ledger.height + HEIGHT_AHEAD_MAX:
            message = f"min_height is more than {HEIGHT_AHEAD_MAX} blocks ahead of this node, at {self._ledger.height}."
            raise Refused(Problem("HEIGHT_TOO_FAR", message, 422))
        if self._ledger.certified_height < height:
            await self._wait(height, viewer)
        prover = await self._pool.run(self._ledger.prover)
        if prover is None:
            raise Refused(Problem("NOT_CERTIFIED_YET", "No block is certified here yet. Try again shortly.", 503))
        return prover

    async def _wait(self, height: int, viewer: Viewer) -> None:
        with self._places.taken(viewer, "Too many wait for certificates already. Try again."):
            try:
                async with asyncio.timeout(CERTIFIED_WAIT_S):
                    while self._ledger.certified_height < height:
                        await self._certified.wait()
            except TimeoutError:
                message = f"Block {height} has no certificate yet. Try again shortly."
                raise Refused(Problem("NOT_CERTIFIED_YET", message, 503)) from None

    # ------------------------------------------------------------------------------------------- history

    async def history(self, params: methods.HistoryParams, viewer: Viewer) -> methods.History:
        """A page of the versions that ``viewer`` may read, newest first. Others leave no trace: the bookmark names the
        last version shown, and there is one only if another follows that may be read too."""
        past, found = await self._pool.run(self._readable, params, viewer)
        shown = found[: params.limit]
        records = await self._pool.run(lambda: [self._record(version) for version in shown])
        bookmark = f"{shown[-1].height}-{shown[-1].index}" if len(found) > params.limit else ""
        return methods.History(params.key, tuple(records), past.height, past.known_from, bookmark)

    def _readable(self, params: methods.HistoryParams, viewer: Viewer) -> tuple[Past, list[Version]]:
        """The versions that the viewer may read, one more than are wanted if there are. In a thread."""
        before, found, seen = _bookmark(params.bookmark), [], 0
        at_once = params.limit + 1 if viewer.reads_all or is_public(params.key) else VERSIONS_AT_ONCE
        while True:
            past: Past = self._asked(self._ledger.past, params.key, at_once + 1, before)
            page = past.versions[:at_once]
            found += [each for place, each in enumerate(page) if _may_see(viewer, params.key, past.versions, place)]
            seen += len(page)
            if len(found) > params.limit or len(past.versions) <= at_once or seen >= VERSIONS_READ_MAX:
                return past, found
            before = page[-1].height, page[-1].index

    async def value(self, params: methods.ValueParams, viewer: Viewer) -> methods.PastValue | None:
        """What a key held at a height; None if it is not the viewer's."""
        entry: Entry | None = await self._pool.run(self._asked, self._ledger.entry_at, params.key, params.height)
        value = None if entry is None else decode_value(entry.value)
        if not may_read(viewer, params.key, value):
            return None
        if entry is None:
            raise Refused(Problem("NOT_FOUND", f"At block {params.height} there was no such key.", 404))
        version = await self._pool.run(self._record, Version(entry.height, entry.index, entry.value))
        return methods.PastValue(params.key, params.height, version)

    def _asked(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except HistoryUnknown as error:
            raise Refused(Problem("HISTORY_NOT_HELD", f"{error}.", 410)) from None
        except BlockNotHeld as error:
            message = f"Block {error.height} is not here yet: this node is at {self._ledger.height}."
            raise Refused(Problem("HEIGHT_TOO_FAR", message, 422)) from None

    def _record(self, version: Version) -> methods.VersionRecord:
        writer = self._ledger.writer(version.height, version.index)
        is_transaction = writer is not None and writer[1]
        return methods.VersionRecord(
            height=version.height,
            index=version.index,
            tx_id=writer[0].hex() if writer is not None and is_transaction else None,
            deadline=writer[0].decode() if writer is not None and not is_transaction else None,
            deleted=version.value is None,
            value=None if version.value is None else narrow(decode_value(version.value)),
        )


def _prove_all(prover: Prover, documents: tuple[Document, ...]) -> dict[str, KeyProof]:
    proofs: dict[str, KeyProof] = {}
    for document in documents:
        entry = prover.entry(document.key)
        if entry is not None and (entry.height, entry.index) == (document.height, document.index):
            proofs[document.key] = prover.prove(document.key)
    return proofs


def _may_see(viewer: Viewer, key: str, versions: tuple[Version, ...], place: int) -> bool:
    """A deletion is shown to those who may read what it deleted."""
    value = versions[place].value
    if value is None and place + 1 < len(versions):
        value = versions[place + 1].value
    return may_read(viewer, key, None if value is None else decode_value(value))


def _bookmark(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    height, _, index = text.partition("-")
    return int(height), int(index)
