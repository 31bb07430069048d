"""The programs outside Python that some tests need: where to find them and how to get them.

`wattq doctor`, the test runner and `tests/conftest.py` share this table, so that all name the same command.
Standard library only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VERSION_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: the names that it goes by, its Debian package, its oldest usable major version, its use."""

    names: tuple[str, ...]
    package: str
    use: str
    major_min: int = 0

    def path(self) -> str | None:
        """The first of the tool's names on PATH that is good enough, or None."""
        found = (shutil.which(name) for name in self.names)
        return next((program for program in found if program and self._is_good(program)), None)

    def _is_good(self, program: str) -> bool:
        if _is_snap_stub(program):
            return False
        return self.major_min == 0 or major_version(program) >= self.major_min


TOOLS = {
    "node": Tool(("node", "nodejs"), "nodejs", "tests of the page's modules", major_min=20),
    "npm": Tool(("npm",), "npm", "the CouchDB-compatible server in tests"),
    "mosquitto": Tool(("mosquitto",), "mosquitto", "tests of MQTT"),
    "chromium": Tool(
        ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser"),
        "chromium",
        "tests of the page in a browser",
    ),
    "openssl": Tool(("openssl",), "openssl", "transactions made by hand"),
}


def _is_snap_stub(program: str) -> bool:
    """Ubuntu's `chromium` package is a small script that only asks for the snap: no browser."""
    path = Path(program).resolve()
    return path.stat().st_size < 10_000 and b"snap install" in path.read_bytes()


def major_version(program: str) -> int:
    """The first number that `program --version` prints; 0 if it prints none or does not run."""
    command = [program, "--version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    number = re.search(r"\d+", answer.stdout)
    return int(number.group()) if number else 0


def apt_command(names: Iterable[str]) -> str:
    """The exact command that brings the named tools on Debian and its kin."""
    return "sudo apt install " + " ".join(sorted({TOOLS[name].package for name in names}))
