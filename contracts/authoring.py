"""What a contract's author wants to know of a source: all its faults, or what it consists of."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from hashlib import sha256

from contracts.language import ContractInvalid, check

SYNTAX = "this is not Python"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault with its place, counted from 1."""

    line: int
    column: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A function that can be called from outside, with its marker and the marker's names."""

    function: str
    kind: str
    names: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """A contract that the language accepts."""

    bytes: int
    nodes: int
    sha256: str
    entries: tuple[Entry, ...]


def examine(source: str) -> tuple[Facts | None, list[Finding]]:
    """What the contract is, or everything that the checker finds wrong with it."""
    try:
        checked = check(source)
    except ContractInvalid as error:
        return None, [Finding(f.line, f.column, _explained(source, f.sentence)) for f in error.faults]
    entries = tuple(
        Entry(function.name, function.marker, function.names, function.parameters)
        for function in checked.functions.values()
        if function.marker
    )
    nodes = sum(1 for _ in ast.walk(checked.tree))
    return Facts(len(source), nodes, sha256(source.encode()).hexdigest(), entries), []


def _explained(source: str, sentence: str) -> str:
    """A syntax error in the interpreter's words too: for people, never for a result, since versions differ."""
    if sentence != SYNTAX:
        return sentence
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"{sentence}: {getattr(error, 'msg', '') or error}"
    return sentence
