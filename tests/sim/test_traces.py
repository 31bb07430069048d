"""The same plan gives the same trace, byte for byte, in every process and on every supported Python.

Row 21 of the reliability table. ``wattq sim golden --write tests/data/sim_golden.json`` records the digests anew
after a change that is meant to change what replicas do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.golden import GOLDEN
from sim.run import run_seed

ROOT = Path(__file__).resolve().parents[2]
GOLDEN_FILE = ROOT / "tests" / "data" / "sim_golden.json"
HINT = "if replicas are meant to behave differently now: wattq sim golden --write tests/data/sim_golden.json"
NEEDED = "import cryptography, msgspec"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def pythons() -> list[str]:
    """Supported interpreters on PATH, and those that WATTQ_PYTHONS names, but for our own version."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = [shutil.which(f"python{version}") for version in VERSIONS if version != own]
    named = os.environ.get("WATTQ_PYTHONS", "").split(os.pathsep)
    return [path for path in (*found, *named) if path]


def traces(python: str, hash_seed: str) -> dict[str, dict[str, str]]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "sim.golden"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def golden() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(GOLDEN_FILE.read_text("utf-8"))
    return found


def test_the_golden_file_holds_what_is_to_be_compared() -> None:
    assert sorted(golden()) == sorted(f"{adversary}/{nodes}/{seed}" for seed, nodes, adversary in GOLDEN)
    assert len({entry["trace"] for entry in golden().values()}) == len(GOLDEN)


@pytest.mark.row(21)
@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_another_process_gives_the_golden_traces(hash_seed: str) -> None:
    assert traces(sys.executable, hash_seed) == golden(), HINT


@pytest.mark.parametrize("python", pythons() or ["none"])
def test_another_python_gives_the_golden_traces(python: str) -> None:
    if python == "none":
        pytest.skip(f"no Python on PATH but our own, {sys.version.split()[0]}")
    if subprocess.run([python, "-c", NEEDED], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} cannot {NEEDED}: only {sys.version.split()[0]} was compared")
    assert traces(python, "7") == golden(), HINT


@pytest.mark.row(21)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_seed_twice_gives_one_trace_and_another_seed_another(seed: int) -> None:
    assert run_seed(seed).trace == run_seed(seed).trace
    assert run_seed(seed).trace != run_seed(seed + 100).trace
