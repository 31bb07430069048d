"""A foreign module of a room's name stops the command with a sentence that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.ours import HOME, check_rooms, foreign_rooms


def test_the_tree_is_its_own() -> None:
    assert foreign_rooms() == {}


def test_every_room_counts_as_foreign_seen_from_elsewhere(tmp_path: Path) -> None:
    assert {"sdk", "pbft"} <= set(foreign_rooms(tmp_path))
    assert set(foreign_rooms(tmp_path).values()) == {HOME}
    with pytest.raises(SystemExit, match="environment of its own"):
        check_rooms(tmp_path)


@pytest.mark.parametrize("foreign", ["cluster.py", "ledger/__init__.py"])
def test_a_foreign_module_ahead_on_the_path_is_named(tmp_path: Path, foreign: str) -> None:
    module = tmp_path / foreign
    module.parent.mkdir(exist_ok=True)
    module.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "import cli"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    name = foreign.partition("/")[0].removesuffix(".py")
    assert f"{name} would come from {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr
