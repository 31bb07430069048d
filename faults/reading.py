"""Reading scenarios: TOML in, a ``Scenario`` out, or an error that names file, line and key, and what is allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from faults.lines import line_of
from faults.scenario import Scenario

SUFFIX = ".toml"
FILE_BYTES_MAX = 200_000
_AT = re.compile(r" - at `(?:key in )?\$?(.*?)`$")
_PATH = re.compile(r"([\w.\[\]-]+): ")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_TOML_LINE = re.compile(r"\(at line (\d+), ")


class BadScenario(Exception):
    """No scenario: the sentence names the file, the line and the key."""


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file. Raises ``BadScenario``."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadScenario(f"{path}: more than {FILE_BYTES_MAX} bytes, which is no scenario")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadScenario(f"{path}: {error}") from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario in a text; ``source`` is what errors call it."""
    try:
        return msgspec.convert(tomllib.loads(text), Scenario)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = _TOML_LINE.search(str(error))
        line = int(at[1]) if at else len(text.splitlines())
        raise BadScenario(f"{source}:{line}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        told = _told(str(error))
        found = line_of(text, _meant(told))
        raise BadScenario(f"{source}{f':{found}' if found else ''}: {told}") from None


def _meant(told: str) -> str:
    """The path that a sentence is about: of a key that is unknown, its own."""
    at, unknown = _PATH.match(told), _UNKNOWN.search(told)
    return ".".join(part for part in (at[1] if at else "", unknown[1] if unknown else "") if part)


def _told(message: str) -> str:
    """msgspec's sentence, the key first, and what may stand there."""
    found = _AT.search(message)
    path = found[1].lstrip(".") if found else ""
    said = message[: found.start()] if found else message
    said = said[0].lower() + said[1:]
    allowed = _allowed(path, said)
    return f"{path + ': ' if path else ''}{said}{f'; allowed: {allowed}' if allowed else ''}"


def _allowed(path: str, said: str) -> str:
    """The keys, or the values, that may stand at a path."""
    place: Any = inspect.type_info(Scenario)
    for step in filter(None, re.split(r"\.|(\[\.{3}\]|\[\d+\])", path)):
        place = _below(place, step)
    if "unknown field" in said or "required field" in said:
        return ", ".join(field.encode_name for field in getattr(place, "fields", ()))
    values = [value for part in _parts(place) if isinstance(part, inspect.LiteralType) for value in part.values]
    return ", ".join(map(str, values))


def _below(place: Any, step: str) -> Any:
    for part in _parts(place):
        if step.startswith("["):
            if isinstance(part, inspect.VarTupleType):
                return part.item_type
            if isinstance(part, inspect.TupleType):
                return part.item_types[0]
        for field in getattr(part, "fields", ()):
            if field.encode_name == step:
                return field.type
    return inspect.AnyType()


def _parts(place: Any) -> Iterable[Any]:
    """A union's members, or the type itself, without its bounds."""
    while isinstance(place, inspect.Metadata):
        place = place.type
    for part in getattr(place, "types", (place,)):
        yield part.type if isinstance(part, inspect.Metadata) else part
