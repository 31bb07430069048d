"""The demo with `--state couchdb`, as somebody types it: its own servers, which it says are no CouchDB, a verdict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.full,
    pytest.mark.needs("node"),
    pytest.mark.needs("npm"),
    pytest.mark.timeout(900),
]
PATIENCE_S = 840


def test_a_short_day_on_couchdb_ends_with_every_database_at_the_last_block(tmp_path: Path) -> None:
    """What `make demo ARGS="--once --state couchdb"` runs, for an hour of the day; the observer has a database too."""
    command = [sys.executable, "-P", "-m", "cli", "demo", "--once", "--state", "couchdb", "--intervals", "4"]
    ended = subprocess.run(
        [*command, "--directory", str(tmp_path / "demo")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    told = " ".join((ended.stdout + ended.stderr).split())
    assert ended.returncode == 0, told
    assert "CouchDB-compatible servers" in told
    assert "is not CouchDB" in told
    assert "holds state databases: 5 of 5 hold block" in told
    assert "holds observer: observer1" in told
