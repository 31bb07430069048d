"""Writing scenarios: a ``Scenario`` as the TOML that reads back as the same."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from faults.scenario import Scenario

LINE_CHARS_MAX = 100


def write_scenario(scenario: Scenario) -> str:
    """The whole file, without what is as usual."""
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(scenario))
    return "\n".join(_table(tree, "")).strip() + "\n"


def _table(tree: dict[str, Any], path: str) -> list[str]:
    """A table's own keys, then the tables below it."""
    tables = {key: value for key, value in tree.items() if _is_table(path, value)}
    lists = {key: value for key, value in tree.items() if _is_list_of_tables(path, value)}
    lines = [f"{key} = {_value(value)}" for key, value in tree.items() if key not in tables and key not in lists]
    for key, value in tables.items():
        lines += ["", f"[{path}{key}]", *_table(value, f"{path}{key}.")]
    for key, items in lists.items():
        for item in items:
            lines += ["", f"[[{path}{key}]]", *_table(item, f"{path}{key}.")]
    return lines


def _is_table(path: str, value: Any) -> bool:
    """Whether it is worth a heading: small things stand in one line."""
    return isinstance(value, dict) and (path in ("", "topology."))


def _is_list_of_tables(path: str, value: Any) -> bool:
    return path in ("", "topology.") and isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
