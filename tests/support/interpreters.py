"""Other supported interpreters on this machine, and what a module prints there.

On PATH, in pyenv's versions, and what WATTQ_PYTHONS names; none needs our packages, see ``bare.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TIMEOUT_S = 280
ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


@cache
def other_pythons() -> tuple[str, ...]:
    """One interpreter of each other supported version; those that WATTQ_PYTHONS names come first."""
    named = [name for name in os.environ.get("WATTQ_PYTHONS", "").split(os.pathsep) if name]
    on_path = [path for version in VERSIONS if (path := shutil.which(f"python{version}"))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = [str(path) for version in VERSIONS for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    found = {_version(sys.executable): sys.executable}
    for path in (*named, *on_path, *installed):
        version = _version(path)
        if version in VERSIONS:
            found.setdefault(version, path)
    return tuple(path for path in found.values() if path != sys.executable)


def _version(python: str) -> str:
    """An interpreter's version; empty if it does not run, as a shim of a version that is not chosen."""
    try:
        done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def answer(
    python: str, module: str, *arguments: str, hash_seed: str = "0", interpreter_options: tuple[str, ...] = ()
) -> Any:
    """The JSON that a module of tests/support prints when that interpreter runs it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, *interpreter_options, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{python}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)
