"""Documents: one a key, the value under ``v``, with contract and version, as JSON that any tool can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import msgspec

from ledger.state import Entry
from ledger.statedb.selector import Query
from ledger.values import Value, decode_value

_encode = msgspec.json.Encoder().encode

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
class Stub:
    """Stands in the place of a document that the back end would not store."""

    why: str


Kept: TypeAlias = Document | Stub | None
"""What there is under a key; None for what is not of the shape that ``apply`` gives it."""


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
    return _encode(document.value).decode()


UNPROJECTED = ("system/",)
"""Bookkeeping that nobody queries: nonces and the time index."""


def nobody() -> None:
    """Who is called where nobody listens."""


class StateDatabaseError(Exception):
    """What a back end says instead of an answer; the message is for an operator."""


class StateDatabaseAway(StateDatabaseError):
    """It does not answer, or not in time: try again later; nothing is lost."""


class StateDatabaseUnusable(StateDatabaseError):
    """It answers, and an operator has to change something; the message begins with the setting's name."""


class StateDatabaseDamaged(StateDatabaseUnusable):
    """Its file is damaged, and not ours to make anew."""


class SavepointLost(StateDatabaseError):
    """Somebody else removed, replaced or rolled back what was written: read everything again."""


class QueryTooCostly(Exception):
    """The query would read more than it may; narrow it by type, interval or key."""


class StateDatabase(Protocol):
    """A back end. Calls block; they run on the projector's or a reader's thread, never in the event loop.

    Any of them may raise a ``StateDatabaseError``. One projector writes; any thread reads.
    """

    on_lost: Callable[[], None]
    """Called, on a reader's thread, when it meets what ``check`` would."""
    left_out: dict[str, str]
    """Keys whose documents it will not store, and why; the last one last."""

    def check(self) -> None:
        """``SavepointLost`` if the savepoint is not where it was left, or what was written is seen to be gone."""

    def height(self) -> int:
        """The height of the last whole block in it, -1 when it is empty. The next ``apply`` counts on it."""

    def mark(self) -> str:
        """What the savepoint says beside that height of the state whose documents these are; '' without one."""

    def apply(self, changes: dict[str, Document | None], height: int, mark: str = "") -> None:
        """Store the changes: None deletes. Idempotent. Then, and on its own, move the savepoint to ``height`` and
        ``mark``, unless the height is -1; ``SavepointLost`` if it is not where it was left."""

    def clear(self) -> None:
        """Forget everything, savepoint first, so that a rebuild cut short shows."""

    def forget_savepoint(self) -> None:
        """Have whoever writes next read everything again. Allowed beside a running projector of another process."""

    def find(self, query: Query) -> Page:
        """Documents that match, a page of them."""

    def get(self, key: str) -> Document | None: ...

    def keys(self, after: str, limit: int) -> list[str]:
        """Up to ``limit`` keys greater than ``after``, ascending by code point."""

    def audit(self, after: str, limit: int) -> list[tuple[str, Kept]]:
        """What there is, in the order of ``keys``."""

    def audit_keys(self, keys: Sequence[str]) -> dict[str, Kept]:
        """The same for those of ``keys`` that there are."""

    def close(self) -> None:
        """Let go; calls under way in other threads end with an error."""
