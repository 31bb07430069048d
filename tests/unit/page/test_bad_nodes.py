"""What a page does whose node restarts, lies or refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cli.tools import TOOLS

pytestmark = pytest.mark.needs("node")

ROOT = Path(__file__).resolve().parents[3]
RUNNER = ROOT / "tests" / "support" / "page_bad_nodes.mjs"


def played(scenario: str) -> Any:
    node = TOOLS["node"].path()
    assert node is not None, "tests that need it are marked needs('node')"
    options = ["--experimental-detect-module", "--no-warnings"]
    command = [node, *options, str(RUNNER), str(ROOT / "api" / "static"), scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_goes_back_to_its_stream_when_a_restarted_node_is_there_again() -> None:
    """It polled for ever, which has no live power, and went on showing a session that the node had forgotten."""
    told = played("restart")
    assert (told["before"], told["polled"], told["after"], told["power"]) == (True, True, True, 1)
    assert told["closed"] >= 1


def test_what_is_signed_expires_behind_what_the_page_has_verified_and_lives_once() -> None:
    """A node that named a height far ahead held orders for days; after a refusal without proof people ordered twice."""
    told = played("refusal")
    assert told["expiries"] == [5_050] * 4
    assert told["nonces"] == [8, 8, 8, 8]


def test_a_listing_of_another_lot_or_zone_than_was_shown_is_not_taken() -> None:
    """A greater lot takes more at once, another zone costs another grid fee; the price is in the key that is proven."""
    told = played("listing")
    assert told["told"] == {"nothing": "", "lot_wh": "NOT_AS_SHOWN", "zone": "NOT_AS_SHOWN"}
    assert told["asked"][0].endswith(quote("market/offer/0000000042/0000001200/l-7", safe=""))
