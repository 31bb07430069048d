"""The arrows between the rooms, as the table in docs/ARCHITECTURE.md draws them.

Every import statement of every module is read with `ast`, wherever it stands: at the top, in a function,
or under `TYPE_CHECKING`. The tables below are the rule; a new arrow is an architectural decision, and is
made by editing them.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# What a room may import of the other rooms. An entry names a room or a module and covers all below it.
ARROWS: dict[str, frozenset[str]] = {
    "ca": frozenset(),
    "pbft": frozenset({"ca"}),
    "ledger": frozenset(
        {
            "ca", "pbft.quorum", "pbft.messages", "pbft.events", "pbft.ports", "pbft.epoch", "pbft.files",
            "pbft.evidence", "pbft.torn",
        }
    ),
    "contracts": frozenset(
        {
            "ledger.state", "ledger.values", "ledger.execution", "ledger.authentication", "ledger.codes",
            "ledger.blocks", "ledger.epochs", "ledger.accusations", "ledger.upgrades",
        }
    ),
    "sdk": frozenset({"ca", "ledger", "pbft.client"}),
    "meter": frozenset({"sdk", "ca.listening"}),
    "api": frozenset({"ca", "sdk", "ledger"}),
    "sim": frozenset({"pbft", "ledger", "contracts", "ca"}),
    "faults": frozenset({"sim", "sdk", "cluster", "node", "ca", "pbft", "ledger", "contracts"}),
    "bench": frozenset(
        {
            "ca", "sdk", "cluster", "contracts", "ledger.envelope", "ledger.execution", "ledger.genesis",
            "ledger.state", "ledger.statedb", "ledger.store", "ledger.upgrades", "ledger.values",
            "pbft.exchange", "pbft.link", "pbft.messages", "pbft.quorum", "pbft.transport", "pbft.view_change",
        }
    ),
    "demo": frozenset({"ca", "sdk", "meter", "cluster", "ledger.genesis"}),
    "node": frozenset({"ca", "pbft", "ledger", "contracts", "sdk", "meter", "api", "seat"}),
    "seat": frozenset({"ca", "pbft", "ledger", "sdk", "api", "witness"}),
    "witness": frozenset({"pbft", "sdk", "api"}),
    "cluster": frozenset({"ca", "sdk", "ledger.genesis"}),
    "cli": frozenset(
        {
            "ca", "pbft", "ledger", "contracts", "sdk", "meter", "api", "sim", "faults", "bench", "demo",
            "node", "seat", "witness", "cluster",
        }
    ),
}  # fmt: skip

# The modules of pbft/ that do I/O. Everything else there is the core, which the simulator runs as it is.
PBFT_ADAPTERS = (
    "pbft.disk", "pbft.driver", "pbft.epoch_logs", "pbft.evidence_store", "pbft.exchange", "pbft.execution",
    "pbft.gate", "pbft.link", "pbft.peers", "pbft.reception", "pbft.serving", "pbft.session", "pbft.transport",
    "pbft.wal",
)  # fmt: skip

# What the core must not touch: clocks, randomness, sockets, files, threads, processes, the event loop.
FORBIDDEN_IN_CORE = frozenset(
    {
        "aiohttp", "asyncio", "concurrent", "datetime", "fcntl", "io", "logging", "mmap", "multiprocessing",
        "os", "pathlib", "queue", "random", "rocksdict", "secrets", "select", "selectors", "shutil",
        "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "uuid",
        "uvloop",
    }
)  # fmt: skip
FORBIDDEN_CALLS_IN_CORE = frozenset({"open", "input", "print", "hash", "id"})

NODE_LINES_MAX = 300

# Where the import name is not the distribution's name.
IMPORT_NAMES = {"hdrhistogram": "hdrh", "paho-mqtt": "paho", "prometheus-client": "prometheus_client", "pyyaml": "yaml"}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def covers(entry: str, module: str) -> bool:
    return module == entry or module.startswith(entry + ".")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """Every module of every room, but not the shipped contracts, which the VM runs and nobody imports."""
    paths: list[Path] = []
    for room in ARROWS:
        paths += (ROOT / room).rglob("*.py")
        paths += ROOT.glob(f"{room}.py")
    return {module_name(path): path for path in paths if "shipped" not in path.parts}


MODULES = modules()


def absolute_base(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module that a `from ... import` names, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    parts = package.split(".")
    parent = parts[: len(parts) - node.level + 1]
    return ".".join([*parent, *([node.module] if node.module else [])])


def imported(source: str, module: str, path: Path) -> Iterator[str]:
    """Every module that the source imports; `from room import module` counts as `room.module`."""
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(node, module, path)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    return set(imported(path.read_text("utf-8"), module, path))


def is_core(module: str) -> bool:
    return room_of(module) == "pbft" and not any(covers(adapter, module) for adapter in PBFT_ADAPTERS)


def broken_arrows(module: str, names: set[str]) -> list[str]:
    """The imports of another room that the table does not allow."""
    own = room_of(module)
    return sorted(
        name
        for name in names
        if room_of(name) in ARROWS and room_of(name) != own and not any(covers(entry, name) for entry in ARROWS[own])
    )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_only_what_the_table_allows(module: str) -> None:
    assert not broken_arrows(module, imports_of(module))


@pytest.mark.parametrize("module", sorted(filter(is_core, MODULES)))
def test_the_consensus_core_does_no_io(module: str) -> None:
    names = imports_of(module)
    assert not {name for name in names if room_of(name) in FORBIDDEN_IN_CORE}
    assert not {name for name in names if any(covers(adapter, name) for adapter in PBFT_ADAPTERS)}
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & FORBIDDEN_CALLS_IN_CORE


def test_third_party_imports_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in lines}
    known = {IMPORT_NAMES.get(name, name) for name in declared} | sys.stdlib_module_names | set(ARROWS)
    undeclared = {
        f"{module} imports {name}" for module in MODULES for name in imports_of(module) if room_of(name) not in known
    }
    assert not undeclared


def test_node_stays_thin() -> None:
    assert len((ROOT / "node.py").read_text("utf-8").splitlines()) < NODE_LINES_MAX


def test_the_table_has_no_cycle() -> None:
    """Rooms can be put in an order in which each imports only earlier ones."""
    placed: set[str] = set()
    while waiting := set(ARROWS) - placed:
        ready = {room for room in waiting if {room_of(entry) for entry in ARROWS[room]} <= placed}
        assert ready, f"these rooms import one another: {sorted(waiting)}"
        placed |= ready


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        ("ca.keys", "import pbft.quorum", ["pbft.quorum"]),
        ("ca.keys", "def f():\n    from cli import main", ["cli.main"]),
        ("ledger.receipts", "from pbft.driver import Driver", ["pbft.driver"]),
        ("ledger.receipts", "from pbft.quorum import quorum", []),
        ("ledger.receipts", "from pbft import quorum", []),
        ("pbft.quorum", "from . import messages", []),
        ("sim.world", "import node", ["node"]),
        ("meter.polling", "import asyncio, sdk", []),
    ],
)
def test_this_test_sees_a_broken_arrow(module: str, source: str, broken: list[str]) -> None:
    assert broken_arrows(module, set(imported(source, module, ROOT / "made_up.py"))) == broken
