"""Queries on CouchDB: as much of a selector as means the same there goes into ``_find``; the rest is decided here.

What is sent finds all that is wanted, and perhaps more: texts are only compared for equality, since CouchDB orders
them by ICU; whatever is negated is not sent. Each row is then checked again (``matching``). Pages go on behind
(sort values, key), not behind CouchDB's bookmarks, so that they stay right while blocks are projected. Sorting by key
or by height is CouchDB's; any other sort reads all that matches, within a bound.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ledger.statedb.couchdb_client import CouchClient, listed
from ledger.statedb.documents import Document, QueryTooCostly, SavepointLost, StateDatabaseAway, nobody
from ledger.statedb.matching import is_beyond, matches, rank, sort_values
from ledger.statedb.selector import Compare, Condition, Exists, Group, Holds, OneOf, Query, Scalar, write_bookmark

DESIGN = "wattquorum"
Path = tuple[str, ...]
ORDER: Path = ("h",)
HEIGHT: Path = ("version", "height")
INDEXES: dict[str, tuple[Path, ...]] = {
    "by_key": (ORDER,),
    "by_type": (("v", "type"), ORDER),
    "by_interval": (("v", "type"), ("v", "interval"), ORDER),
    "by_status": (("v", "type"), ("v", "status"), ORDER),
    "by_height": (HEIGHT, ORDER),
    "by_type_height": (("v", "type"), HEIGHT, ORDER),
}
"""Orders, listings, trades, readings and accounts are types. Each index ends with the key."""
BEHIND_ALL = "g"
"""Behind every hexadecimal digit, in every collation."""
HEIGHT_TOP = 2**53
"""Beyond every height, and before every text in its place."""
PAGE_ROWS_MIN, PAGE_ROWS_MAX = 50, 500
ROWS_READ_MAX = 20_000
"""Rows that one query may fetch."""
TIME_S = 4.0
PROBE_S = 0.5
"""How long a server that did not answer a query in time is given for a word."""

Selector = dict[str, Any]


def hexed(key: str) -> str:
    return key.encode().hex()


def document_from(body: Any) -> Document | None:
    """A document of ours; None for a stub, a design document, or what people have put there."""
    match body:
        case {"_id": str(key), "version": {"height": int(height), "index": int(index)}, "v": value}:
            return Document(key, height, index, value)
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """An index, what it is narrowed by, and the sort that its order gives (None: none that is wanted)."""

    index: str
    equal: dict[Path, Scalar]
    by_height: bool


def plan_of(query: Query) -> Plan | None:
    """The index with the most equalities that gives the query's order; None if none does."""
    equal = dict(_equalities(query.where))
    left = list(_significant(query.sort, equal))
    if left not in ([], [HEIGHT]):
        return None
    best: Plan | None = None
    for name, paths in INDEXES.items():
        inner, by_height = [path for path in paths[:-1] if path != HEIGHT], HEIGHT in paths
        usable = by_height == bool(left) and all(path in equal for path in inner)
        if usable and (best is None or len(inner) > len(best.equal)):
            best = Plan(name, {path: equal[path] for path in inner}, by_height)
    return best


def _significant(sort: tuple[Path, ...], equal: dict[Path, Scalar]) -> Iterator[Path]:
    """The sort without what is the same for all, and without what comes behind the key."""
    for path in sort:
        if path == ("_id",):
            return
        if path not in equal:
            yield path


def _equalities(condition: Condition) -> Iterator[tuple[Path, Scalar]]:
    """Fields that every match has at one value: a text or a number."""
    match condition:
        case Group("$and", parts):
            for part in parts:
                yield from _equalities(part)
        case Compare(path, "$eq", str() | int() as value) if not isinstance(value, bool):
            yield path, value


def pushed(condition: Condition) -> Selector | None:
    """A selector that CouchDB answers with all matches, and perhaps more; None if it could not leave any out.

    Flat, a field at most once and at most one ``$or``: what is left out is only decided here.
    """
    found: Selector = {}
    for part in _conjuncts(condition):
        for name, wanted in (_pushed_part(part) or {}).items():
            if name not in found:
                found[name] = wanted
            elif name != "$or":
                found[name] = {**wanted, **found[name]}
    return found or None


def _conjuncts(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, Group) and condition.operator == "$and":
        for part in condition.parts:
            yield from _conjuncts(part)
    else:
        yield condition


def _pushed_part(condition: Condition) -> Selector | None:
    match condition:
        case Compare(path, sign, value) if _is_sent(path) and value is not None:
            number = isinstance(value, int) and not isinstance(value, bool)
            return {".".join(path): {sign: value}} if sign == "$eq" or (number and sign != "$ne") else None
        case OneOf(path, values, False) if _is_sent(path) and None not in values:
            return {".".join(path): {"$in": list(values)}}
        case Holds(path, value) if _is_sent(path):
            return {".".join(path): {"$elemMatch": {"$eq": value}}}
        case Exists(path, True) if _is_sent(path):
            return {".".join(path): {"$exists": True}}
        case Group("$or", parts):
            choices = [pushed(part) for part in parts]
            return None if None in choices else {"$or": choices}
    return None


def _is_sent(path: Path) -> bool:
    """Whether it leads to what only values and versions have: the key is sought by ``h``."""
    return path[0] in ("v", "contract") or path in (HEIGHT, ("version", "index"))


def key_range(condition: Condition) -> Selector:
    """Bounds of ``h`` for the keys that the condition allows."""
    lows, highs = [("", False)], [(BEHIND_ALL, True)]
    for part in _conjuncts(condition):
        match part:
            case Compare(("_id",), sign, str() as value):
                if sign in ("$eq", "$gte", "$gt"):
                    lows.append((hexed(value), sign == "$gt"))
                if sign in ("$eq", "$lte", "$lt"):
                    highs.append((hexed(value), sign == "$lt"))
    low, high = max(lows), min(highs, key=lambda bound: (bound[0], not bound[1]))
    return {"$gt" if low[1] else "$gte": low[0], "$lt" if high[1] else "$lte": high[0]}


@dataclass(slots=True)
class Budget:
    """What one query may still take."""

    ends_at: float = field(default_factory=lambda: time.monotonic() + TIME_S)
    rows: int = field(default_factory=lambda: ROWS_READ_MAX)

    def left_s(self) -> float:
        left = self.ends_at - time.monotonic()
        if left <= 0 or self.rows <= 0:
            raise QueryTooCostly
        return left


class Finder:
    """Runs queries on the client's loop."""

    def __init__(self, client: CouchClient, root: str, design: str) -> None:
        self._client = client
        self._root = root
        self._design = design
        self.on_broken: Callable[[], None] = nobody
        """Called when CouchDB does not answer a query of ours: the index or the database may be gone."""

    async def find(self, query: Query) -> tuple[tuple[Document, ...], str]:
        """A page and its bookmark."""
        plan = plan_of(query)
        wanted = query.limit + 1
        found = await self._sorted_here(query) if plan is None else await self._in_order(query, plan, wanted)
        kept = found[: query.limit]
        bookmark = write_bookmark(sort_values(kept[-1], query)) if len(found) > query.limit and kept else ""
        return tuple(kept), bookmark

    async def _sorted_here(self, query: Query) -> list[Document]:
        everything = replace(query, sort=(), descending=False, after=None)
        plan = plan_of(everything)
        assert plan is not None, "there is an index by key"
        found = await self._in_order(everything, plan, ROWS_READ_MAX + 1)
        if len(found) > ROWS_READ_MAX:
            raise QueryTooCostly
        beyond = [document for document in found if is_beyond(document, query)]
        beyond.sort(key=lambda document: rank(sort_values(document, query)), reverse=query.descending)
        return beyond[: query.limit + 1]

    async def _in_order(self, query: Query, plan: Plan, wanted: int) -> list[Document]:
        """Up to ``wanted`` matches behind the bookmark, as the plan's index has them."""
        budget = Budget()
        found: list[Document] = []
        at = None if query.after is None else _mark_of(query, query.after)
        same_height = plan.by_height and at is not None
        while len(found) < wanted:
            limit = min(max(wanted - len(found), PAGE_ROWS_MIN), PAGE_ROWS_MAX)
            rows = await self._rows(query, plan, _bounds(query, plan, at, same_height), limit, budget)
            documents = [document for row in rows if (document := document_from(row)) is not None]
            found += [document for document in documents if matches(document, query.where)]
            if rows:
                at = _mark_at(rows, plan.by_height)
            if len(rows) >= limit:
                same_height = plan.by_height
            elif same_height and not (query.descending and at is not None and at.height <= 0):
                same_height = False
            else:
                break
        return found[:wanted]

    async def _rows(self, query: Query, plan: Plan, bounds: Selector, limit: int, budget: Budget) -> list[Any]:
        fixed: Selector = {".".join(path): {"$eq": value} for path, value in plan.equal.items()}
        selector = {**(pushed(query.where) or {}), **bounds, **fixed}
        direction = "desc" if query.descending else "asc"
        asked = {
            "selector": selector,
            "sort": [{".".join(path): direction} for path in INDEXES[plan.index]],
            "limit": limit + 1,  # some servers count the row that "$gt" leaves out
            "use_index": [self._design, plan.index],
        }
        try:
            answer = await self._client.call("POST", f"{self._root}/_find", asked, timeout_s=budget.left_s(), retries=0)
        except StateDatabaseAway:
            if time.monotonic() < budget.ends_at:
                raise
            # No answer within what was left: too costly, if the server answers anything at all.
            await self._client.call("GET", self._root, timeout_s=PROBE_S, retries=0)
            raise QueryTooCostly from None
        if answer.status != 200:
            self.on_broken()
            raise SavepointLost(f"{self._root}: {answer.reason}")
        rows = listed(answer, "docs")
        budget.rows -= len(rows)
        return rows


@dataclass(frozen=True, slots=True)
class Mark:
    """A row's place in the order of an index."""

    height: int | float
    order: str


def _mark_at(rows: list[Any], by_height: bool) -> Mark:
    """The place of the last row that has one. The bounds let none through that has not, whatever people wrote."""
    for row in reversed(rows):
        match row:
            case {"h": str(order), "version": {"height": int() | float() as height}} if by_height:
                return Mark(height, order)
            case {"h": str(order)} if not by_height:
                return Mark(0, order)
    raise StateDatabaseAway("rows of a query have no place in the index")


def _mark_of(query: Query, after: tuple[Scalar, ...]) -> Mark:
    """A bookmark's place; its height counts only where the sort has one."""
    heights = [value for path, value in zip(query.sort, after, strict=False) if path == HEIGHT]
    height = heights[0] if heights else 0
    return Mark(height if isinstance(height, int) else 0, hexed(str(after[-1])))


def _bounds(query: Query, plan: Plan, at: Mark | None, same_height: bool) -> Selector:
    """What lies behind ``at``: of the same height, or of those behind it. An index needs a bound for each field."""
    keys = key_range(query.where)
    if plan.by_height and (at is None or not same_height):
        heights: Selector = {"$gte": 0, "$lte": HEIGHT_TOP}
        if at is not None and query.descending:
            heights = {"$gte": 0, "$lte": math.ceil(at.height) - 1}  # some servers take "$lt" beside "$gte" for "$lte"
        elif at is not None:
            heights = {"$gt": at.height, "$lte": HEIGHT_TOP}
        return {"version.height": heights, "h": keys}
    found: Selector = {"h": keys if at is None else _behind(keys, at.order, query.descending)}
    return {"version.height": {"$eq": at.height}, **found} if plan.by_height and at is not None else found


def _behind(keys: Selector, order: str, descending: bool) -> Selector:
    """Key bounds narrowed to what lies behind a place."""
    if descending:
        high = min(value for sign, value in keys.items() if sign in ("$lt", "$lte"))
        return keys if high < order else {**_only(keys, "$gt", "$gte"), "$lt": order}
    low = max(value for sign, value in keys.items() if sign in ("$gt", "$gte"))
    return keys if low > order else {**_only(keys, "$lt", "$lte"), "$gt": order}


def _only(keys: Selector, *signs: str) -> Selector:
    return {sign: value for sign, value in keys.items() if sign in signs}
