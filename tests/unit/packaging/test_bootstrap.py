"""Set-up on a machine that lacks something: what it takes, what it refuses, and what it then says."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from threading import Thread

import pytest

from scripts import bootstrap

ROOT = Path(__file__).resolve().parents[3]
CONTENT = b"not really a wheel"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing, so that test output stays readable."""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package index on loopback whose pip page links to one file of the pinned wheel's name."""
    page = tmp_path / "index" / "pip"
    page.mkdir(parents=True)
    (page / bootstrap.PIP_WHEEL).write_bytes(CONTENT)
    (page / "index.html").write_text(f'<a href="../pip/{bootstrap.PIP_WHEEL}#sha256=0">wheel</a>')
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(page.parent)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("index")
def test_a_wheel_of_another_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not the wheel we pinned"):
        bootstrap.wheel_by_index(tmp_path)
    assert not (tmp_path / bootstrap.PIP_WHEEL).exists()


@pytest.mark.usefixtures("index")
def test_the_wheel_of_the_pinned_hash_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PIP_WHEEL_SHA256", hashlib.sha256(CONTENT).hexdigest())
    wheel = bootstrap.wheel_by_index(tmp_path)
    assert wheel is not None
    assert wheel.read_bytes() == CONTENT


def test_every_requirement_is_installed_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [
        lines for name, lines in project["optional-dependencies"].items() if name not in bootstrap.EXTRAS_LEFT_OUT
    ]
    declared = {*project["dependencies"], *chain(*extras)}  # some in two extras
    required, optional = bootstrap.requirements()
    assert sorted([*required, *chain(*optional.values())]) == sorted(declared)
    assert set(optional) == set(bootstrap.OPTIONAL)


def only_on_path(directory: Path, *names: str) -> None:
    """Links the few programs that the script itself needs, and no Python."""
    for name in names:
        program = shutil.which(name)
        assert program is not None
        (directory / name).symlink_to(program)


def run_setup(tree: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tree / "scripts" / "setup")],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree, its path with a space in it, whose bootstrap only tells with what it was called."""
    scripts = tmp_path / "a tree" / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy2(ROOT / "scripts" / "setup", scripts)
    (scripts / "bootstrap.py").write_text("import sys; print(sys.executable)")
    return scripts.parent


@pytest.fixture
def shims(tmp_path: Path) -> Path:
    """A directory of interpreters' names that are there and do not run, as pyenv leaves them."""
    directory = tmp_path / "shims"
    directory.mkdir()
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        (directory / name).write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        (directory / name).chmod(0o755)
    only_on_path(directory, "sh", "dirname")
    return directory


def test_without_a_python_that_runs_the_command_that_helps_is_printed(tree: Path, shims: Path) -> None:
    done = run_setup(tree, str(shims))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].strip().startswith("sudo apt install python3")


def test_a_python_behind_a_broken_shim_is_found(tree: Path, shims: Path, tmp_path: Path) -> None:
    behind = tmp_path / "behind"
    behind.mkdir()
    (behind / "python3").symlink_to(Path(sys.executable))
    done = run_setup(tree, f"{shims}:{behind}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(behind / "python3")
