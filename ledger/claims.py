"""What somebody claims, as JSON: read into a type of ours, or refused, before anything is computed with it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class NotReadable(Exception):
    """No such type; the message says where."""


def read_claim(tree: Any, kind: type[T]) -> T:
    """``tree`` as ``kind``. All of it can be hashed afterwards: no integer beyond 64 bits, no half of a surrogate pair,
    which JSON may hold and which no honest node ever encoded."""
    try:
        found = msgspec.convert(tree, kind)
        msgspec.msgpack.encode(found)
    except (msgspec.ValidationError, OverflowError, UnicodeEncodeError) as error:
        raise NotReadable(str(error)) from None
    return found
