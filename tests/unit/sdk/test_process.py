"""How processes end with who started them, and where a node's socket lies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdk import process
from sdk.configuration import ConfigurationError
from sdk.process import (
    LEASH_VARIABLE,
    SOCKET_PATH_BYTES_MAX,
    ending_signals,
    leashed_environment,
    make_socket_path,
    socket_path,
)

CHILD = """
import signal, sys
from sdk.process import follow_leash
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
follow_leash()
print("up", flush=True)
signal.pause()
"""
PARENT = """
import os, subprocess, sys
from sdk.process import leashed_environment
leash, held = os.pipe()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=leash, env=leashed_environment())
sys.stdout.write(f"{child.pid}\\n")
sys.stdout.flush()
child.wait()
"""


def test_a_short_home_holds_its_socket(tmp_path: Path) -> None:
    home = tmp_path.resolve()
    assert len(os.fsencode(home)) < 90, "this test's own directory is too deep"
    assert make_socket_path(home) == home / "node.sock"


def test_a_long_homes_socket_lies_elsewhere_and_always_at_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TEMPORARY", tmp_path)
    homes = [tmp_path / ("x" * 100) / name for name in ("node1", "node2")]
    first, second = map(make_socket_path, homes)
    assert first != second
    assert first == socket_path(homes[0])
    assert first.parent.stat().st_mode & 0o777 == 0o700


def test_a_homes_socket_fits_whatever_the_home() -> None:
    assert len(os.fsencode(socket_path(Path("/" + "x/" * 200)))) <= SOCKET_PATH_BYTES_MAX


def test_a_socket_directory_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TEMPORARY", tmp_path)
    (tmp_path / f"wattquorum-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"wattquorum-{os.getuid()}").chmod(0o755)
    with pytest.raises(ConfigurationError, match="no directory of this user alone"):
        make_socket_path(tmp_path / ("x" * 100))


def test_a_link_in_place_of_the_socket_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TEMPORARY", tmp_path)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"wattquorum-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="no directory of this user alone"):
        make_socket_path(tmp_path / ("x" * 100))


def test_a_hang_up_ends_unless_it_is_ignored() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signal.SIGHUP in ending_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert signal.SIGHUP not in ending_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_end_of_the_leash_asks_for_an_orderly_end() -> None:
    leash, held = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=leash, stdout=subprocess.PIPE, env=leashed_environment()
    ) as child:
        os.close(leash)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert child.poll() is None
        os.close(held)
        assert child.wait(20) == 7


def test_whoever_follows_a_named_pipe_ends_with_whoever_holds_it(tmp_path: Path) -> None:
    """And does not begin where nobody does any more."""
    pipe = tmp_path / "leash"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    command, environment = [sys.executable, "-c", CHILD], {**os.environ, LEASH_VARIABLE: str(pipe)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert child.poll() is None
        os.close(held)
        assert child.wait(20) == 7
    assert subprocess.run(command, capture_output=True, env=environment, check=False, timeout=20).returncode == 7


def test_a_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert {parent.stdout.readline()[:-1].isdigit(), parent.stdout.readline() == b"up\n"} == {True}
        parent.kill()
        # The child holds the pipe's other end: reading to the end of it is waiting for the child's.
        assert parent.stdout.read() == b""
