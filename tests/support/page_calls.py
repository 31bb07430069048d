"""Call functions of the page's modules under Node.js, many in one process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.tools import TOOLS

STATIC = Path(__file__).resolve().parents[2] / "api" / "static"
RUNNER = Path(__file__).with_suffix(".mjs")
TIMEOUT_S = 60

Call = tuple[str, str, list[Any]]
"""Module below api/static, function, arguments."""


def page_calls(calls: Sequence[Call]) -> list[Any]:
    """The results, in order; a BigInt comes back as the integer that it is."""
    node = TOOLS["node"].path()
    assert node is not None, "tests that need it are marked needs('node')"
    done = subprocess.run(
        [node, "--experimental-detect-module", "--no-warnings", str(RUNNER), str(STATIC)],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(_plain(json.loads(done.stdout)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and value.endswith("n") and value[:-1].lstrip("-").isdigit():
        return int(value[:-1])
    return value
