"""The wheel, installed into an empty environment elsewhere, runs the demo without the tree beside it.

It catches what an editable install hides: contracts, device profiles, pages and the sample configuration
that were not packaged, an undeclared dependency, and a module found only because the tree was on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEMO_COMMAND = ("demo", "--once", "--intervals", "4")
STEP_TIMEOUT_S = 400

# What the wheel must carry besides modules, as glob patterns in the tree.
DATA_PATTERNS = (
    "contracts/shipped/*.py",
    "meter/profiles/*.toml",
    "api/static/**/*",
    "demo/data/**/*",
    "faults/library/*.toml",
    "faults/template.toml",
    "cluster.toml",
    "*/py.typed",
)
ROOMS = {
    "pbft", "ledger", "contracts", "ca", "meter", "sdk", "api", "sim", "faults", "bench", "demo", "cli",
    "node.py", "seat.py", "witness.py", "cluster.py", "cluster.toml",
}  # fmt: skip
STRIPPED = {"PYTHONPATH", "VIRTUAL_ENV"}

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3 * STEP_TIMEOUT_S)]


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a command outside the tree, without its environment variables; returns standard output."""
    environment = {key: value for key, value in os.environ.items() if key not in STRIPPED}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
        check=False,
    )
    said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{said}"
    return done.stdout


def sources() -> set[str]:
    """The data files in the tree that the wheel must carry."""
    found = (path.relative_to(ROOT) for pattern in DATA_PATTERNS for path in ROOT.glob(pattern))
    return {path.as_posix() for path in found if (ROOT / path).is_file() and "__pycache__" not in path.parts}


def copy_tree(target: Path) -> None:
    """Copies what a wheel is built from: the rooms and the files at the root, no caches, no run's data."""
    target.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, target)
        elif path.name in ROOMS | {"scripts"}:
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, with a space in its name, far from the tree."""
    place: Path = tmp_path_factory.mktemp("else where")
    return place


@pytest.fixture(scope="session")
def wheel(elsewhere: Path) -> Path:
    """The wheel, built from a copy of the tree without network and without build isolation."""
    tree = elsewhere / "tree"
    copy_tree(tree)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *offline, "-w", elsewhere / "wheels", tree, cwd=elsewhere)
    shutil.rmtree(tree)
    (built,) = (elsewhere / "wheels").glob("wattquorum-*.whl")
    return built


@pytest.fixture(scope="session")
def wattq(elsewhere: Path, wheel: Path) -> Path:
    """The installed command of an environment that has the wheel and its dependencies, nothing else."""
    environment = elsewhere / "environment"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(environment)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install")
    wheels_only = ("-q", "--disable-pip-version-check", "--only-binary", ":all:")
    run(*pip, *wheels_only, "-c", ROOT / "constraints.txt", f"{wheel}[demo]", cwd=elsewhere)
    return environment / "bin" / "wattq"


def test_the_wheel_carries_all_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert sources() <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} <= ROOMS


def test_the_installed_command_runs_elsewhere(wattq: Path, elsewhere: Path) -> None:
    assert run(wattq, "--version", cwd=elsewhere).startswith("wattq ")
    findings = json.loads(run(wattq, "doctor", "--json", cwd=elsewhere))
    assert not [finding for finding in findings if finding["level"] == "fail"]


@pytest.mark.full
def test_a_trading_day_runs_from_the_wheel(wattq: Path, elsewhere: Path) -> None:
    run(wattq, *DEMO_COMMAND, cwd=elsewhere)
