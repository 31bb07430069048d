"""The demo with `--state couchdb`, as somebody types it: on servers of its own, or on the CouchDB that was given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from couch import GIVEN_URL, given, needs_couchdb

from demo.couchdb import PASSWORD_VARIABLE, USER_VARIABLE

pytestmark = [pytest.mark.e2e, pytest.mark.full, *needs_couchdb, pytest.mark.timeout(900)]
PATIENCE_S = 840


def test_a_short_day_on_couchdb_ends_with_every_database_at_the_last_block(tmp_path: Path) -> None:
    """What `make demo ARGS="--once --state couchdb"` runs, for an hour of the day; the observer has a database too."""
    if GIVEN_URL:
        with given(GIVEN_URL) as couch:
            access = {USER_VARIABLE: couch.user, PASSWORD_VARIABLE: couch.password}
            names = {"WATTQ_STATE__DATABASE_PREFIX": couch.prefix}
            play(tmp_path, ["--couchdb-url", couch.url], access | names)
            assert len(couch.made()) == 5
    else:
        told = play(tmp_path, [], {})
        assert "CouchDB-compatible servers" in told
        assert "is not CouchDB" in told


def play(place: Path, words: list[str], environment: dict[str, str]) -> str:
    """Play the hour; what it told."""
    command = [sys.executable, "-P", "-m", "cli", "demo", "--once", "--state", "couchdb", "--intervals", "4"]
    ended = subprocess.run(
        [*command, "--directory", str(place / "demo"), *words],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    told = " ".join((ended.stdout + ended.stderr).split())
    assert ended.returncode == 0, told
    assert "holds state databases: 5 of 5 hold block" in told
    assert "holds observer: observer1" in told
    return told
