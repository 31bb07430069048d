"""Texts as SQLite's JSON functions can bear them: those end a text at U+0000.

U+0000 becomes U+0001 U+0001, and U+0001 becomes U+0001 U+0002, which keeps every order and equality.
"""

from __future__ import annotations

from typing import Any

_ESCAPES = {0: "\x01\x01", 1: "\x01\x02"}


def escaped(value: Any) -> Any:
    """A value with every text in it escaped, names of fields included."""
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {escaped(name): escaped(item) for name, item in value.items()}
    return value


def plain(value: Any) -> Any:
    """The value that was escaped."""
    if isinstance(value, str):
        return value.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in value else value
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(name): plain(item) for name, item in value.items()}
    return value
