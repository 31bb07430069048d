"""Questions to the state database: who may ask, as of which height, and how many at a time.

Waiting for a height holds no thread: the projector wakes the waiters from the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from api.pools import BoundedPool
from api.privacy import OVERDUE, PARTY_FIELDS, POLICY_FIELDS, Viewer, is_public, may_read
from ledger.ledger import Ledger
from ledger.statedb.documents import UNPROJECTED, Page, QueryTooCostly, SavepointLost, StateDatabase, StateDatabaseError
from ledger.statedb.projector import Projector
from ledger.statedb.selector import IN_MAX, Condition, SelectorInvalid, keys_named, parse_query
from ledger.values import decode_value
from sdk.errors import Problem, Refused
from sdk.methods import QueryParams

MIN_HEIGHT_WAIT_S = 5.0
HEIGHT_AHEAD_MAX = 1_000
"""Blocks that ``min_height`` may lie ahead of this node; more is a mistake, or another node's business."""
HEIGHT_WAITERS_MAX = 256
KEY_SHOWN = 128
MARK_CHARS = 16
HEIGHT_WAITERS_PER_SIGNER_MAX = 16


class Queries:
    """``pool`` runs them, and bounds them in number and time."""

    def __init__(self, ledger: Ledger, database: StateDatabase, projector: Projector, pool: BoundedPool) -> None:
        self._ledger = ledger
        self._database = database
        self._heights = HeightWaiters(projector)
        self._pool = pool

    async def find(self, params: QueryParams, viewer: Viewer) -> Page:
        """A page of the documents that match and that ``viewer`` may read."""
        if params.min_height > self._ledger.height + HEIGHT_AHEAD_MAX:
            message = f"min_height is more than {HEIGHT_AHEAD_MAX} blocks ahead of this node, at {self._ledger.height}."
            raise Refused(Problem("HEIGHT_TOO_FAR", message, 422))
        if not await self._heights.wait(params.min_height, viewer.signer):
            raise _lagging()
        return await self._pool.run(self._find, params, viewer)

    def _find(self, params: QueryParams, viewer: Viewer) -> Page:
        selector = params.selector
        try:
            place = _place_in(params)
            if not viewer.reads_all:
                selector = {"$and": [selector, {"$or": [*_parties(viewer), *_public(selector)]}]}
            query = parse_query(selector, params.limit, params.sort, params.fields, place)
            self._check_named(query.where, viewer)
            page = self._database.find(query)
        except SelectorInvalid as error:
            raise Refused(Problem("SELECTOR_INVALID", f"{error}.", 400)) from None
        except QueryTooCostly:
            message = "This query reads too much. Narrow it by v.type, v.interval or v.status."
            raise Refused(Problem("QUERY_TOO_COSTLY", message, 422)) from None
        except SavepointLost:
            raise _lagging() from None
        except StateDatabaseError:
            raise _unavailable() from None
        kept = tuple(d for d in page.documents if may_read(viewer, d.key, d.value))
        return Page(kept, page.height, page.bookmark and _mark(params) + page.bookmark)

    def _check_named(self, where: Condition, viewer: Viewer) -> None:
        """Whoever asks for a key by name is told if it is nobody's to query, or not theirs, instead of finding nothing.
        What is not there is refused like what is, so that nobody learns which keys there are."""
        reader = self._ledger.reader()
        for key in keys_named(where):
            if key.startswith(UNPROJECTED):
                raise SelectorInvalid(f"_id: {key!r} is the system's bookkeeping, of which there are no documents")
            entry = None if viewer.reads_all else reader.get(key)
            if not may_read(viewer, key, None if entry is None else decode_value(entry.value)):
                raise Refused(Problem("NOT_YOURS", f"_id: {key[:KEY_SHOWN]} is not yours to read.", 403))


def _mark(params: QueryParams) -> str:
    """What of a bookmark names the query that it goes on with, whoever asks and however many rows at a time."""
    return sha256(repr(parse_query(params.selector, 1, params.sort)).encode()).hexdigest()[:MARK_CHARS]


def _place_in(params: QueryParams) -> str:
    """The database's bookmark in that of the answer before."""
    mark, place = params.bookmark[:MARK_CHARS], params.bookmark[MARK_CHARS:]
    if params.bookmark and mark != _mark(params):
        raise SelectorInvalid("this bookmark belongs to another query. Ask without one for the first page")
    return place


def _lagging() -> Refused:
    return Refused(Problem("STATE_LAGGING", "The state database is behind. Try again shortly.", 503))


def _unavailable() -> Refused:
    message = (
        "This node's state database does not answer. Ask another node; `wattq cluster status` tells why it does not."
    )
    return Refused(Problem("STATE_UNAVAILABLE", message, 503))


def _public(selector: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What everybody may read is found by whoever names it."""
    named = [key for key in keys_named(parse_query(selector, 1).where) if is_public(key)]
    return [{"_id": {"$in": named[:IN_MAX]}}] if named else []


def _parties(viewer: Viewer) -> list[dict[str, Any]]:
    selves = {"$in": sorted(viewer.selves)} if viewer.accounts else viewer.signer
    named: list[dict[str, Any]] = [{f"v.{field}": selves} for field in PARTY_FIELDS]
    named += [{f"v.{field}.keys": {"$elemMatch": {"$eq": viewer.signer}}} for field in POLICY_FIELDS]
    return [*named, {"v.type": "adjustment", "v.status": OVERDUE}] if viewer.decides else named


class HeightWaiters:
    """Who waits until the state database holds a height: bounded in all and for each signer."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._per_signer: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        projector.on_advance = self._advanced

    async def wait(self, height: int, signer: str) -> bool:
        """Whether the database holds ``height``, at the latest after ``MIN_HEIGHT_WAIT_S``."""
        if self._projector.holds(height):
            return True
        self._loop = asyncio.get_running_loop()
        with self._place(height, signer) as come:
            if not self._projector.holds(height):
                await asyncio.wait([come], timeout=MIN_HEIGHT_WAIT_S)
        return self._projector.holds(height)

    @contextmanager
    def _place(self, height: int, signer: str) -> Iterator[asyncio.Future[None]]:
        if len(self._waiting) >= HEIGHT_WAITERS_MAX or self._per_signer[signer] >= HEIGHT_WAITERS_PER_SIGNER_MAX:
            message = "Too many queries wait for a height already. Try again shortly, or without min_height."
            raise Refused(Problem("TOO_MANY_WAITERS", message, 503))
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[come] = height
        self._per_signer[signer] += 1
        try:
            yield come
        finally:
            del self._waiting[come]
            self._per_signer[signer] -= 1
            self._per_signer += Counter()  # forgets those at zero

    def _advanced(self) -> None:
        """On the projector's thread."""
        if self._waiting and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for come, height in self._waiting.items():
            if not come.done() and self._projector.holds(height):
                come.set_result(None)
