"""Runs the test suite: `run_tests.py MARKEXPR [PYTEST-ARGUMENT...]`.

As root it first installs, by apt, the tools that tests ask for with `pytest.mark.needs`; otherwise
those tests are not run, and `tests/conftest.py` lists them at the end with the command that helps.
Tests that start processes (markers `cluster` and `e2e`) run one after another, beside the others, which
tests/conftest.py sees to; a soak starts its own processes and runs in this one. Pytest's own closing line
is the last thing printed, and its exit code is ours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cli.tools import TOOLS

ROOT = Path(__file__).resolve().parents[1]
WORKERS = os.environ.get("WATTQ_TEST_WORKERS", "2")


def tools_asked_for() -> set[str]:
    """The tools that any test names; found in the text, since importing every test takes longer."""
    texts = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r'mark\.needs\("(\w+)"', text)}


def install_missing_tools() -> None:
    """As root, brings the missing tools by apt; a tool that cannot be had is left to the report."""
    missing = sorted({TOOLS[name].package for name in tools_asked_for() if TOOLS[name].path() is None})
    if not missing or os.geteuid() != 0 or not Path("/usr/bin/apt-get").exists():
        return
    print(f"test: installing {' '.join(missing)} with apt-get", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=env, check=False)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=env, check=False)


def main() -> int:
    mark_expression, *rest = sys.argv[1:]
    install_missing_tools()
    workers = "0" if mark_expression == "soak" else WORKERS
    parallel = ["-n", workers, "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", "-m", mark_expression, *parallel, *rest]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
