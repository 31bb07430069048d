"""What a forger might change in a JSON document: every leaf, in each of a few ways."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(tree, dict | list):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(item, (*path, key))
    else:
        yield path


def changed(value: Any) -> Iterator[Any]:
    """Every byte of a base64 flipped once, texts made longer, numbers moved up and down."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            data = b""
        yield value + "x"
        for position in range(len(data)):
            flipped = bytearray(data)
            flipped[position] ^= 1
            yield base64.b64encode(flipped).decode()
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif value is None:
        yield base64.b64encode(b"\x93\x01\x00\xc4\x01\x01").decode()
