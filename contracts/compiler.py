"""From a source to code: checked, rewritten, compiled once for all threads, and what governance asks of a new source.

Compiled code is kept by the source's hash, the engine's version and Python's minor version, as each of them changes it.
"""

from __future__ import annotations

import ast
import re
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from types import CodeType

from contracts.catalog import SHIPPED
from contracts.language import Checked, ContractInvalid, check
from contracts.rewrite import Pay, pay_at_once, rewrite
from ledger.execution import ENGINE_VERSION

PLACE = "<contract "
"""How the file names of contracts' code begin."""
COMPILED_MAX = 64
"""Contracts whose code is kept; the one used longest ago goes first."""
FACTS_MAX = 256
"""Sources of which is known what was found in them."""
BYTE_GAS, NODE_GAS = 10, 50
RESERVED = frozenset({"system"})
"""Names below which the ledger itself keeps state."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A source that passed the checker, and its code."""

    sha256: str
    checked: Checked
    code: CodeType


class Compiler:
    """Compiles sources and keeps what they came to. Thread-safe. ``pay``: how blocks are charged."""

    def __init__(self, pay: Pay = pay_at_once) -> None:
        self._pay = pay
        self._kept: OrderedDict[tuple[str, str, int, tuple[int, int]], Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def compiled(self, name: str, source: str) -> Compiled:
        """Raises ``ContractInvalid``."""
        key = (name, digest_of(source), ENGINE_VERSION, (sys.version_info.major, sys.version_info.minor))
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                checked = check(source)
                code = compile(rewrite(checked, self._pay), f"{PLACE}{name}>", "exec", dont_inherit=True, optimize=0)
                found = self._kept[key] = Compiled(key[1], checked, code)
                while len(self._kept) > COMPILED_MAX:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return found


def digest_of(source: str) -> str:
    """What a source is known by: its SHA-256, in hex."""
    return sha256(source.encode()).hexdigest()


def is_name(name: str) -> bool:
    """Whether a contract can have this name."""
    return _NAME.fullmatch(name) is not None and name not in RESERVED


@dataclass(frozen=True, slots=True)
class Facts:
    """What is asked of a source again and again: its nodes, its functions' names, and of the marked ones name, marker,
    the marker's names and parameters."""

    nodes: int
    functions: frozenset[str]
    ways_in: frozenset[tuple[str, str, tuple[str, ...], tuple[str, ...]]]


@lru_cache(maxsize=FACTS_MAX)
def facts_of(source: str) -> Facts | None:
    """None of what is no contract. Reading a source takes up to a tenth of a second: machine and validation module ask
    for the same one several times."""
    try:
        checked = check(source)
    except ContractInvalid:
        return None
    marked = (each for each in checked.functions.values() if each.marker)
    return Facts(
        sum(1 for _ in ast.walk(checked.tree)),
        frozenset(checked.functions),
        frozenset((each.name, each.marker, each.names, each.parameters) for each in marked),
    )


def deployment_fault(name: str, source: str, current: str | None) -> str:
    """Why ``source`` cannot be the contract ``name``, whose version in force is ``current``: a code, or ''.

    What the ledger and the shipped contracts rely on keeps every way in that it has, so that no upgrade can take away
    a network's means to govern itself. Where and why a source is invalid is not said here: Python's versions differ.
    """
    if not is_name(name):
        return "NAME_INVALID"
    made = facts_of(source)
    if made is None:
        return "CONTRACT_INVALID"
    if name not in SHIPPED or current is None:
        return ""
    before = facts_of(current)
    if before is None:
        return "CONTRACT_INVALID"
    return "" if before.ways_in <= made.ways_in else "INTERFACE_LOST"


def deployment_gas(source: str) -> int:
    """What the nodes of a valid source cost; its bytes are charged before it is parsed."""
    facts = facts_of(source)
    return 0 if facts is None else NODE_GAS * facts.nodes
