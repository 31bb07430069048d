"""Documents: one a key, the value under ``v``, with contract and version, as JSON that any tool can read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.state import Entry
from ledger.statedb.selector import Query
from ledger.values import Value, decode_value

SAFE_INTEGER = 2**53
WIDE_DIGITS = 78
"""Digits of the fixed-width text for integers >= 2^53: enough for 2^256, so that text order is number order."""


@dataclass(frozen=True, slots=True)
class Document:
    """A key's current value and the version (height, index in block) that wrote it."""

    key: str
    height: int
    index: int
    value: Any

    @property
    def contract(self) -> str:
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Page:
    """Documents of one answer, the height as of which it stands, and the bookmark of the next page or ''."""

    documents: tuple[Document, ...]
    height: int
    bookmark: str


def document_of(key: str, entry: Entry) -> Document:
    """The document for a state entry."""
    return Document(key, entry.height, entry.index, narrow(decode_value(entry.value)))


def narrow(value: Value) -> Any:
    """Integers beyond 2^53 as fixed-width decimal text, since most JSON tools would round them."""
    if isinstance(value, bool) or not isinstance(value, int | list | dict):
        return value
    if isinstance(value, int):
        return value if abs(value) < SAFE_INTEGER else f"{'-' if value < 0 else ''}{abs(value):0{WIDE_DIGITS}d}"
    if isinstance(value, list):
        return [narrow(item) for item in value]
    return {key: narrow(item) for key, item in value.items()}


def to_json(document: Document) -> str:
    return json.dumps(document.value, separators=(",", ":"), ensure_ascii=False)


class StateDatabase(Protocol):
    """A back end. Calls block; they run on the projector's or a reader's thread, never in the event loop."""

    def height(self) -> int:
        """The height of the last whole block in it, -1 when it is empty."""

    def apply(self, changes: dict[str, Document | None], height: int) -> None:
        """Bring it to ``height``: None deletes. Idempotent; the savepoint moves last."""

    def clear(self) -> None:
        """Forget everything, savepoint first, so that a rebuild cut short shows."""

    def find(self, query: Query) -> Page:
        """Documents that match, a page of them."""

    def get(self, key: str) -> Document | None: ...

    def close(self) -> None: ...
