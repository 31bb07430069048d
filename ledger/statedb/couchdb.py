"""The CouchDB back end: one database a channel and node, one document a key.

A document is ``{_id: key, h, contract, version: {height, index}, v: value}``. ``h`` is the key's bytes in hexadecimal:
its order is the same in every collation, while CouchDB's own order of texts is not ours. The savepoint is an ordinary
document, written last and on its own: its revision shows at the next write if anybody removed, replaced or rolled it
back. Revisions are kept in memory; where they are wrong (a lost reply, an edit by hand) they are read again and the
document is overwritten. A document that CouchDB will not store is left out by itself, with a stub in its place.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ledger.statedb.couchdb_client import Access, Answer, CouchClient, listed, quoted
from ledger.statedb.couchdb_find import DESIGN, INDEXES, Finder, document_from, hexed
from ledger.statedb.documents import (
    Document,
    Kept,
    Page,
    SavepointLost,
    StateDatabaseAway,
    StateDatabaseUnusable,
    Stub,
    nobody,
)
from ledger.statedb.selector import Query

FORMAT_VERSION = 1
VERSION_MIN = 3
SAVEPOINT = "savepoint"
"""No key: those begin with a contract's name and a slash."""
BULK_DOCUMENTS = 500
BULK_BYTES = 4_000_000
BULK_BYTES_MIN = 65_536
BULKS_AT_ONCE = 2
"""Chosen by measurement: bench/couchdb_clients.py, decision 3."""
CONFLICT_ROUNDS = 5
REVISIONS_MAX = 200_000
"""Revisions kept in memory; beyond it the memory is emptied and fills again."""
LEFT_OUT_KEPT = 100
"""Keys of documents left out that the savepoint holds."""
WHY_CHARS_MAX = 200
"""Of the reason for which a document is left out."""
REVISIONS_LIMIT = 20
"""Numbers of earlier revisions that CouchDB keeps of a document: nobody replicates here."""
INDEX_TIMEOUT_S = 60.0
BAD_REQUEST, TOO_LARGE = 400, 413

log = logging.getLogger("wattq.couchdb")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it goes out, without its revision; ``gone``: a deletion."""

    key: str
    body: bytes
    gone: bool
    stub: bool = False
    """It stands for a document that was refused."""

    def with_revision(self, revision: str | None) -> bytes:
        return self.body if revision is None else b'{"_rev":"' + revision.encode() + b'",' + self.body[1:]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose database it is: the chain (hexadecimal), the channel, the node."""

    chain: str
    channel: str
    node: str


def database_name(prefix: str, owner: Owner) -> str:
    """CouchDB allows small letters, digits and ``_$()+/-``; anything else becomes ``$`` and hexadecimal.

    So does a dash in the channel, or channel x-y of node z would share a database with channel x of node y-z.
    """
    return f"{prefix}-{_plain(owner.channel, '')}-{_plain(owner.node, '-')}"


def _plain(text: str, kept: str) -> str:
    return re.sub(f"[^a-z0-9_{kept}]", lambda found: f"${ord(found.group()):02x}", text)


async def _server_version(client: CouchClient, access: Access) -> str:
    answer = await client.call("GET", "/")
    about = answer.body if isinstance(answer.body, dict) else {}
    version = str(about.get("version", ""))
    place = f"{access.url_setting}: {access.url}"
    if "couchdb" not in about:
        raise StateDatabaseUnusable(f"{place} is no CouchDB")
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < VERSION_MIN:
        raise StateDatabaseUnusable(f"{place} is CouchDB {version}; {VERSION_MIN} or newer is needed")
    return version


def probe(access: Access) -> str:
    """The version of the CouchDB there, if it lets us in; raises a ``StateDatabaseError``."""
    client = CouchClient(access)
    try:
        version = client.run(lambda: _server_version(client, access))
        client.run(lambda: client.call("GET", "/_all_dbs?limit=1"))
        return version
    finally:
        client.close()


class CouchDatabase:
    """Implements ``StateDatabase``."""

    def __init__(self, access: Access, name: str, owner: Owner, prefix_setting: str = "state.database_prefix") -> None:
        self._access = access
        self._owner = owner
        self._prefix_setting = prefix_setting
        self.name = name
        self._root = f"/{quoted(name)}"
        self._design = f"{DESIGN}-{owner.chain[:16]}"
        self._client = CouchClient(access)
        self._finder = Finder(self._client, self._root, self._design)
        self._revisions: dict[str, str] = {}
        self._savepoint_revision: str | None = None
        self._bulk_bytes = BULK_BYTES
        self._finder.on_broken = self._reopen
        self.on_lost: Callable[[], None] = nobody
        self._ready = False
        self._ours = False
        """Whether it has been seen to be this chain's, by this process."""
        self._empty = False
        """Made by this process, and nothing has been written into it."""
        self._height = -1
        self._mark = ""
        self._sent: tuple[int, str] | None = None
        """A savepoint that was sent, and perhaps stored although no reply came."""
        self.left_out: dict[str, str] = {}
        """The last ones are in the savepoint too, since a process that starts does not write them again."""
        self._refusals = 0

    # ------------------------------------------------------------------------------------------------- writing

    def height(self) -> int:
        return self._client.run(self._open)

    def check(self) -> None:
        self._client.run(self._check)

    def mark(self) -> str:
        return self._mark

    def apply(self, changes: dict[str, Document | None], height: int, mark: str = "") -> None:
        self._client.run(lambda: self._apply(changes, height, mark))

    def clear(self) -> None:
        self._client.run(self._clear)

    def forget_savepoint(self) -> None:
        self._client.run(self._forget_savepoint)

    async def _apply(self, changes: Mapping[str, Document | None], height: int, mark: str) -> None:
        if not self._ready:
            left_at = self._height
            if await self._open() != left_at:
                raise SavepointLost(f"{self.name}: the savepoint was at {left_at}, and is at {self._height}")
        self._empty = False
        await self._write([item_of(key, document) for key, document in changes.items()])
        if height >= 0:
            await self._move_savepoint(height, mark)

    async def _write(self, items: list[Item]) -> None:
        """Bulks, some at once; conflicts are resolved by reading the revisions again."""
        waiting = await self._deletable(items)
        for _ in range(CONFLICT_ROUNDS):
            gate = asyncio.Semaphore(BULKS_AT_ONCE)
            conflicts = await asyncio.gather(*(self._bulk(bulk, gate) for bulk in self._bulks(waiting)))
            waiting = [item for bulk in conflicts for item in bulk]
            if not waiting:
                return
            await self._read_revisions([item.key for item in waiting])
            waiting = [item for item in waiting if not (item.gone and item.key not in self._revisions)]
        raise SavepointLost(f"{self.name}: somebody else keeps writing {waiting[0].key!r}")

    async def _deletable(self, items: list[Item]) -> list[Item]:
        """Without deletions of what is not there: those need a revision."""
        if unknown := [item.key for item in items if item.gone and item.key not in self._revisions]:
            await self._read_revisions(unknown)
        return [item for item in items if not item.gone or item.key in self._revisions]

    def _bulks(self, items: list[Item]) -> Iterator[list[Item]]:
        bulk: list[Item] = []
        size = 0
        for item in items:
            if bulk and (len(bulk) == BULK_DOCUMENTS or size + len(item.body) > self._bulk_bytes):
                yield bulk
                bulk, size = [], 0
            bulk.append(item)
            size += len(item.body)
        if bulk:
            yield bulk

    async def _bulk(self, bulk: list[Item], gate: asyncio.Semaphore) -> list[Item]:
        """Store a bulk; what conflicted. One that is rejected is halved until the bad document stands alone."""
        async with gate:
            answer = await self._send(bulk)
        if answer.status in (201, 202) and isinstance(answer.body, list):
            return self._noted(bulk, answer)
        if answer.status not in (BAD_REQUEST, TOO_LARGE):
            raise self._missing(answer)
        if len(bulk) == 1:
            return await self._leave_out(bulk[0], answer)
        middle = len(bulk) // 2
        bad_before = self._refusals
        conflicts = [*await self._bulk(bulk[:middle], gate), *await self._bulk(bulk[middle:], gate)]
        if answer.status == TOO_LARGE and self._refusals == bad_before:  # a limit of the request, not of a document
            self._bulk_bytes = max(BULK_BYTES_MIN, sum(len(item.body) for item in bulk) // 2)
        return conflicts

    async def _send(self, bulk: list[Item]) -> Answer:
        parts = b",".join(item.with_revision(self._revisions.get(item.key)) for item in bulk)
        return await self._client.call("POST", f"{self._root}/_bulk_docs", b'{"docs":[' + parts + b"]}")

    def _noted(self, bulk: list[Item], answer: Answer) -> list[Item]:
        if len(self._revisions) > REVISIONS_MAX:
            self._revisions = {}
        items = {item.key: item for item in bulk}
        conflicts = []
        for told in answer.body:
            item = items[told["id"]]
            if told.get("ok"):
                if item.gone:
                    self._revisions.pop(item.key, None)
                else:
                    self._revisions[item.key] = told["rev"]
                if not item.stub:
                    self.left_out.pop(item.key, None)
            elif told.get("error") == "conflict":
                conflicts.append(item)
            else:
                why = f"{told.get('error')} {told.get('reason')}"
                raise StateDatabaseUnusable(
                    f"{self._access.url_setting}: {self.name} does not take {item.key!r}: {why}"
                )
        return conflicts

    async def _leave_out(self, item: Item, answer: Answer) -> list[Item]:
        """Put a stub in the place of a document that CouchDB will not store, so that no old one stays.

        A server that will not even store that has no room: it is not the document's fault.
        """
        if item.stub and answer.status == TOO_LARGE:
            del self.left_out[item.key]
            raise StateDatabaseAway(f"{self._access.url_setting}: {self._access.url} stores nothing: {answer.reason}")
        why = answer.reason
        stub = _encode({"_id": item.key, "left_out": why[:WHY_CHARS_MAX]})
        if item.key not in self.left_out:
            log.error("%s: %r is left out: %s", self.name, item.key, why)
        self._refusals += 1
        self.left_out.pop(item.key, None)
        self.left_out[item.key] = why[:WHY_CHARS_MAX]
        if item.stub or item.key.startswith("_"):  # CouchDB does not take the key itself
            return []
        return await self._bulk([Item(item.key, stub, False, stub=True)], asyncio.Semaphore(1))

    async def _read_revisions(self, keys: list[str]) -> None:
        for start in range(0, len(keys), BULK_DOCUMENTS):
            part = keys[start : start + BULK_DOCUMENTS]
            answer = await self._client.call("POST", f"{self._root}/_all_docs", {"keys": part})
            if answer.status != 200:
                raise self._missing(answer)
            for key, row in zip(part, listed(answer, "rows"), strict=True):
                value = row.get("value")
                if value is None or value.get("deleted"):
                    self._revisions.pop(key, None)
                else:
                    self._revisions[key] = value["rev"]

    def _reopen(self) -> None:
        self._ready = False
        self.on_lost()

    def _missing(self, answer: Answer) -> Exception:
        """What an unexpected answer means: the database is gone, or this is no CouchDB."""
        self._ready = False
        if answer.status == 404:
            return SavepointLost(f"{self.name}: the database was deleted")
        return StateDatabaseAway(f"{self._access.url_setting}: {self._access.url}: {answer.reason}")

    # ----------------------------------------------------------------------------------------------- savepoint

    async def _move_savepoint(self, height: int, mark: str) -> None:
        """A reply may be lost: what stands there then decides."""
        body = {
            "_id": SAVEPOINT,
            "format": FORMAT_VERSION,
            "chain": self._owner.chain,
            "channel": self._owner.channel,
            "node": self._owner.node,
            "height": height,
            "state": mark,
            "left_out": list(self.left_out)[-LEFT_OUT_KEPT:],
        }
        if self._savepoint_revision is not None:
            body["_rev"] = self._savepoint_revision
        before, self._sent = self._height, (height, mark)
        answer = await self._client.call("PUT", f"{self._root}/{SAVEPOINT}", body)
        if answer.status in (201, 202):
            self._savepoint_revision, self._height, self._mark = answer.body["rev"], height, mark
            return
        if answer.status != 409:
            raise self._missing(answer)
        if await self._read_savepoint() != height:
            self._ready = False
            raise SavepointLost(f"{self.name}: the savepoint was at {before}, and is at {self._height}")

    async def _check(self) -> None:
        if self._ready and await self._is_savepoint_there():
            return
        self._ready = False
        raise SavepointLost(f"{self.name}: the savepoint is not as it was left, or a query found something gone")

    async def _is_savepoint_there(self) -> bool:
        """As it was left, or as it was sent when the reply was lost."""
        left_at, revision = (self._height, self._mark), self._savepoint_revision
        await self._read_savepoint()
        return self._savepoint_revision == revision or (self._height, self._mark) in (left_at, self._sent)

    async def _read_savepoint(self) -> int:
        """Its height, -1 without one of ours; ``StateDatabaseUnusable`` if it is another chain's."""
        answer = await self._client.call("GET", f"{self._root}/{SAVEPOINT}")
        if answer.status != 200 or not isinstance(answer.body, dict):
            self._savepoint_revision, self._height, self._mark = None, -1, ""
            return -1
        found = answer.body
        self._savepoint_revision = str(found.get("_rev"))
        chain, node = found.get("chain"), found.get("node")
        if (chain, node) != (self._owner.chain, self._owner.node) and found.get("format") is not None:
            raise StateDatabaseUnusable(
                f"{self._prefix_setting}: the database {self.name} is of node {node} of chain {str(chain)[:16]}; "
                "choose another prefix, or delete that database"
            )
        whole = found.get("format") == FORMAT_VERSION and isinstance(found.get("height"), int)
        self._height = found["height"] if whole else -1
        self._mark = str(found.get("state", ""))
        if not self._ours and isinstance(found.get("left_out"), list):
            self.left_out = dict.fromkeys(map(str, found["left_out"]), "it was refused before")
        return self._height

    async def _forget_savepoint(self) -> None:
        """A running projector may move it meanwhile: then once more."""
        await self._open()
        self._ready = False
        for _ in range(CONFLICT_ROUNDS):
            if self._savepoint_revision is None:
                return
            path = f"{self._root}/{SAVEPOINT}?rev={quoted(self._savepoint_revision)}"
            if (await self._client.call("DELETE", path)).status != 409:
                return
            await self._read_savepoint()

    # ------------------------------------------------------------------------------------------------- opening

    async def _open(self) -> int:
        """Make database and indexes if they are not there, and see whose it is; the savepoint's height."""
        await _server_version(self._client, self._access)
        made = await self._client.call("PUT", self._root)
        if made.status not in (201, 202, 412):
            raise StateDatabaseUnusable(f"{self._prefix_setting}: {self.name} cannot be made: {made.reason}")
        height = await self._read_savepoint()
        if made.status == 412 and height < 0 and not self._ours:
            await self._check_foreign()
        self._ours = True
        self._empty = self._empty or made.status != 412
        await self._client.call("PUT", f"{self._root}/_revs_limit", REVISIONS_LIMIT)
        for name, paths in INDEXES.items():
            index = {"index": {"fields": [".".join(path) for path in paths]}, "ddoc": self._design, "name": name}
            told = await self._client.call("POST", f"{self._root}/_index", index, timeout_s=INDEX_TIMEOUT_S)
            if told.status == 404:
                await self._check_queries(told)
            if told.status != 200:
                raise self._missing(told)
        self._revisions = {}
        self._ready = True
        return height

    async def _check_queries(self, told: Answer) -> None:
        """Who has the database and not its ``_index`` has no Mango queries."""
        if (await self._client.call("GET", self._root)).status == 200:
            place = f"{self._access.url_setting}: {self._access.url}"
            raise StateDatabaseUnusable(f"{place} takes no indexes for queries, or a proxy hides them: {told.reason}")

    async def _check_foreign(self) -> None:
        """A database that was there, without our savepoint: only an empty one, or one with our indexes, is ours."""
        about = await self._client.call("GET", self._root)
        if about.status == 200 and not about.body.get("doc_count"):
            return
        ours = await self._client.call("GET", f"{self._root}/_design/{quoted(self._design)}")
        if ours.status != 200:
            raise StateDatabaseUnusable(
                f"{self._prefix_setting}: the database {self.name} holds what is not this chain's; "
                "choose another prefix, or delete that database"
            )

    async def _clear(self) -> None:
        height = await self._open()
        if self._empty and height < 0:
            return
        self._ready = False
        answer = await self._client.call("DELETE", self._root)
        if answer.status not in (200, 202, 404):
            raise StateDatabaseAway(f"{self.name} cannot be cleared: {answer.reason}")
        self.left_out = {}
        await self._open()

    # ------------------------------------------------------------------------------------------------- reading

    def find(self, query: Query) -> Page:
        height = self._height
        documents, bookmark = self._client.run(lambda: self._finder.find(query))
        return Page(documents, height, bookmark)

    def get(self, key: str) -> Document | None:
        return self._client.run(lambda: self._get(key))

    async def _get(self, key: str) -> Document | None:
        answer = await self._client.call("GET", f"{self._root}/{quoted(key)}")
        return document_from(answer.body) if answer.status == 200 else None

    def keys(self, after: str, limit: int) -> list[str]:
        return [row["id"] for row in self._client.run(lambda: self._rows(after, limit, False))]

    def audit(self, after: str, limit: int) -> list[tuple[str, Kept]]:
        rows = self._client.run(lambda: self._rows(after, limit, True))
        return [(row["id"], audited(row.get("doc"))) for row in rows]

    async def _rows(self, after: str, limit: int, documents: bool) -> list[dict[str, Any]]:
        """Rows of ``_all_docs`` behind ``after`` without our bookkeeping; ids stand there by code point."""
        found: list[dict[str, Any]] = []
        start, step = after, max(limit, 2) + 2
        while len(found) < limit:
            place = quoted(_encode(start).decode())
            more = f"{self._root}/_all_docs?startkey={place}&limit={step}" + "&include_docs=true" * documents
            answer = await self._client.call("GET", more)
            if answer.status != 200:
                raise self._missing(answer)
            rows = listed(answer, "rows")
            found += [row for row in rows if row["id"] > start and not _is_bookkeeping(row["id"])]
            if len(rows) < step:
                break
            start = rows[-1]["id"]
        return found[:limit]

    def audit_keys(self, keys: Sequence[str]) -> dict[str, Kept]:
        return self._client.run(lambda: self._audit_keys(list(keys)))

    async def _audit_keys(self, keys: list[str]) -> dict[str, Kept]:
        answer = await self._client.call("POST", f"{self._root}/_all_docs?include_docs=true", {"keys": keys})
        if answer.status != 200:
            raise self._missing(answer)
        return {row["id"]: audited(row["doc"]) for row in listed(answer, "rows") if row.get("doc")}

    def close(self) -> None:
        self._client.close()


def item_of(key: str, document: Document | None) -> Item:
    if document is None:
        return Item(key, _encode({"_id": key, "_deleted": True}), True)
    return Item(key, _encode(fields_of(document)), False)


def fields_of(document: Document) -> dict[str, Any]:
    """A document as CouchDB holds it, without its revision."""
    return {
        "_id": document.key,
        "h": hexed(document.key),
        "contract": document.contract,
        "version": {"height": document.height, "index": document.index},
        "v": document.value,
    }


def audited(body: Any) -> Kept:
    """A document or stub of exactly the shape that we write, or None."""
    match body:
        case {"_id": str(), "left_out": str(why)} if body.keys() <= {"_id", "_rev", "left_out"}:
            return Stub(why)
    document = document_from(body)
    if document is None or {name: body[name] for name in body if name != "_rev"} != fields_of(document):
        return None
    return document


def _is_bookkeeping(key: str) -> bool:
    return key == SAVEPOINT or key.startswith("_design/")
