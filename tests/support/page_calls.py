"""Call functions of the page's modules under Node.js, or have its panels quote, many in one process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.tools import TOOLS

STATIC = Path(__file__).resolve().parents[2] / "api" / "static"
RUNNER = Path(__file__).with_suffix(".mjs")
QUOTING = Path(__file__).with_name("page_quotes.mjs")
TIMEOUT_S = 60

Call = tuple[str, str, list[Any]]
"""Module below api/static, function, arguments."""
Quote = tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]
"""Module below api/static, act, the view's state, what it is about, what somebody fills in."""


def page_calls(calls: Sequence[Call]) -> list[Any]:
    """The results, in order; a BigInt comes back as the integer that it is."""
    return list(_plain(_run(RUNNER, calls)))


def page_quotes(quotes: Sequence[Quote]) -> list[dict[str, Any]]:
    """Of each panel its ``facts``, by term, and the ``call`` that would be signed."""
    return list(_run(QUOTING, quotes))


def _run(runner: Path, asked: Sequence[Any]) -> Any:
    node = TOOLS["node"].path()
    assert node is not None, "tests that need it are marked needs('node')"
    done = subprocess.run(
        [node, "--experimental-detect-module", "--no-warnings", str(runner), str(STATIC)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and value.endswith("n") and value[:-1].lstrip("-").isdigit():
        return int(value[:-1])
    return value
