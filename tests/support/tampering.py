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


ODD: tuple[Any, ...] = (2**70, -(2**70), 2**63, -1, "\ud800", "é", None, 1.5, [], {})


def oddly(tree: Any, *also: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Puts one odd value after another in the place of each leaf; where and what. ``tree`` ends as it was."""
    for path in list(leaves(tree)):
        place = tree
        for key in path[:-1]:
            place = place[key]
        kept = place[path[-1]]
        for odd in (each for each in (*ODD, *also) if each != kept):
            place[path[-1]] = odd
            yield path, odd
        place[path[-1]] = kept
