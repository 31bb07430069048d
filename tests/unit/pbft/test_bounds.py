"""The tables of docs/PROTOCOL.md, "Bounds": every bound that they name has the value that they say, and none lacks."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from pbft.config import ReplicaConfig
from pbft.messages import Scope
from sdk.configuration import Limits, Primary, StateSection, Timers

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"^\| [^|]+ \| `([a-z_]+(?:\.[A-Za-z_]+)+)` \| ([\d,.]+) \|")
SECTIONS = {"limits": Limits(), "timers": Timers(), "primary": Primary(), "state": StateSection()}
REPLICA = ReplicaConfig(Scope(b"", "", 0), (b"",), 0)
BOUND = re.compile(r"_(MAX|MIN|KEPT)$|_(BYTES|TIMEOUT|PAUSE|SHARE|COST|WINDOW|WINDOW_S)$|^(AHEAD|REST_PER_ANSWER)$")
NO_BOUND_OF_WHAT_IS_KEPT = frozenset(
    {
        "HASH_BYTES", "WINDOW_BYTES", "_EPOCH_BYTES", "_LENGTH_BYTES", "FRESH_CHECKPOINTS",
        "INSORT_MAX", "UNSYNCED_BATCHES_MAX", "SNAPSHOT_DEPTH_MAX", "CHANNEL_ID_BYTES", "_HEIGHT_BYTES", "_INDEX_BYTES",
        "SWEEP_ROWS_MIN", "MORE_ROWS_MAX", "RECORD_OVERHEAD_BYTES", "ENTRY_OVERHEAD_BYTES",
    }
)  # fmt: skip
"""Sizes of fields, steps of algorithms, and what only the simulator's store has."""
SHAPES = frozenset({"ledger.envelope", "ledger.values", "ledger.accusations", "ledger.genesis"})
"""Modules whose bounds are those of one value's shape: what exceeds them is refused when it is read."""
SHAPE_NAMES = frozenset({"NUMBER_MAX", "TIME_MS_MAX", "HEIGHT_MAX", "PORT_MAX", "NAME_CHARS_MAX", "ADDRESS_CHARS_MAX"})


def rows() -> dict[str, float]:
    """Every bound named in the tables, with its value there."""
    text = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = ROW.match(line)
        if match is not None:
            name, value = match[1], float(match[2].replace(",", ""))
            assert found.setdefault(name, value) == value, f"{name} has two values"
    return found


def value_of(name: str) -> float:
    section, _, key = name.rpartition(".")
    if section == "replica":
        return float(getattr(REPLICA, key))
    return float(getattr(SECTIONS.get(section) or import_module(section), key))


@pytest.mark.parametrize("name", rows())
def test_a_bound_has_the_value_that_the_table_says(name: str) -> None:
    assert value_of(name) == rows()[name]


def constants() -> list[str]:
    """The bounds among the constants of pbft/ and ledger/, by the look of their names."""
    found = []
    for path in sorted([*ROOT.glob("pbft/*.py"), *ROOT.glob("ledger/*.py")]):
        module = f"{path.parent.name}.{path.stem}"
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if BOUND.search(name) and name not in NO_BOUND_OF_WHAT_IS_KEPT | SHAPE_NAMES and module not in SHAPES:
                    found.append(f"{module}.{name}")
    return found


def test_every_bound_is_in_the_table() -> None:
    named = {name.rpartition(".")[2] for name in rows()}
    assert len(named) > 60
    assert [name for name in constants() if name.rpartition(".")[2] not in named] == []


def test_every_limit_of_consensus_is_in_the_table() -> None:
    ours = {"rest_body_bytes_max", "sessions_max", "log_file_bytes_max", "log_files_max"}
    not_bounds = {"rotation_blocks", "snapshot_depth", "history_blocks"}
    known = rows()
    assert [key for key in Limits.__struct_fields__ if f"limits.{key}" not in known] == [
        key for key in Limits.__struct_fields__ if key in ours | not_bounds
    ]
    assert [key for key in Timers.__struct_fields__ if f"timers.{key}" not in known] == []
