"""The page's own verification, asked under Node.js: what a claim proves to it, or where it breaks."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.tools import TOOLS
from ledger.genesis import Genesis

STATIC = Path(__file__).resolve().parents[2] / "api" / "static"
RUNNER = Path(__file__).with_suffix(".mjs")
TIMEOUT_S = 120


def judge(genesis: Genesis, claims: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    """For each (kind, JSON tree) what it proves, or {"fault": ...}. Kinds: receipt, block, state, rows, and what
    the page asks before it signs: shown, listing, grid_fee, documents."""
    told = _run({"genesis": base64.b64encode(genesis.raw).decode(), "claims": claims, "encodings": []})
    assert told["chain"] == genesis.chain_id.hex()
    return list(told["said"])


def encoded_again(encodings: Sequence[bytes]) -> list[bytes]:
    """Each msgpack value, decoded and encoded by the page."""
    told = _run({"claims": [], "encodings": [base64.b64encode(each).decode() for each in encodings]})
    return [base64.b64decode(each) for each in told["encodings"]]


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    node = TOOLS["node"].path()
    assert node is not None, "tests that need it are marked needs('node')"
    done = subprocess.run(
        [node, "--experimental-detect-module", "--no-warnings", str(RUNNER), str(STATIC)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
