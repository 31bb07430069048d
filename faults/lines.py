"""Where in a TOML file something stands: the line of a key's path, for sentences about mistakes.

``tomllib`` gives values and no lines. What is needed of TOML is little: headers, and keys at the beginning of a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")
_LONG = ('"""', "'''")
"""Begin and end strings of several lines."""


def line_of(text: str, path: str) -> int | None:
    """The line of a path like ``timeline[2].when.height``, or of the nearest thing round it; None if nothing is."""
    places = dict(_places(text))
    below = [line for place, line in places.items() if place.startswith((f"{path}.", f"{path}["))]
    while path and path not in places:
        if below:
            return min(below)
        path = re.sub(r"(\[\d+\]|\.?[^.\[\]]+)$", "", path)
    return places.get(path)


def _places(text: str) -> Iterator[tuple[str, int]]:
    """(path, line) of every header and key."""
    tables: Counter[str] = Counter()
    here, inside = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if inside:
            inside = "" if inside in line else inside
            continue
        if (header := _HEADER.match(line)) is not None:
            here = _resolved(header[2], tables)
            if header[1] == "[[":
                tables[here] += 1
                here = f"{here}[{tables[here] - 1}]"
            yield here, number
        elif (key := _KEY.match(line)) is not None:
            yield f"{here}.{key[1]}" if here else key[1], number
        inside = next((mark for mark in _LONG if line.count(mark) % 2), "")


def _resolved(name: str, tables: Counter[str]) -> str:
    """A header's name; where a part of it is a list of tables, the last of these is meant."""
    path = ""
    *above, last = name.split(".")
    for part in above:
        path = f"{path}.{part}" if path else part
        if tables[path]:
            path = f"{path}[{tables[path] - 1}]"
    return f"{path}.{last}" if path else last
