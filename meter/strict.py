"""TOML and JSON files read strictly into frozen structures: an error names the file and the key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from meter.errors import ProfileError

T = TypeVar("T")
UNKNOWN_KEY = "Object contains unknown field `"


def parse_toml(text: str, kind: type[T], source: str) -> T:
    """``text`` as a ``kind``; raises ``ProfileError`` that begins with ``source``."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"{source}: not TOML: {error}") from None
    return _convert(tree, kind, source)


def load_toml(path: Path, kind: type[T]) -> T:
    """The TOML file ``path`` as a ``kind``."""
    return parse_toml(_read(path), kind, str(path))


def load_json(path: Path, kind: type[T]) -> T:
    """The JSON file ``path`` as a ``kind``."""
    try:
        tree = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: not JSON: {error}") from None
    return _convert(tree, kind, str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None


def _convert(tree: object, kind: type[T], source: str) -> T:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ProfileError(f"{source}: {_key_first(str(error))}") from None


def _key_first(message: str) -> str:
    """msgspec ends with ``- at `$.import_wh```; people look for the key first."""
    text, _, path = message.partition(" - at `")
    key = path.rstrip("`").removeprefix("$").lstrip(".")
    if text.startswith(UNKNOWN_KEY):
        name = text.removeprefix(UNKNOWN_KEY).rstrip("`")
        return f"{key}.{name}: unknown key" if key else f"{name}: unknown key"
    return f"{key}: {text}" if key else text
