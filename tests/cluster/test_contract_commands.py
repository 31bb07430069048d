"""`wattq contract deploy` and `upgrade` against running nodes, with operators' keys from files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from network import Network, until
from typer.testing import CliRunner

from cli.main import app

pytestmark = pytest.mark.cluster

TARIFFS = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "tariffs.py"
AHEAD_BLOCKS = 40
WITHIN_S = 120.0


async def wattq(network: Network, *words: object, code: int = 0) -> Any:
    """`wattq contract …` beside the running event loop."""
    home = network.cluster.directory
    node = network.cluster.rest_url(network.cluster.names[0])
    line = ["contract", *map(str, words), "--node", node, "--genesis", str(home / "genesis.json"), "--json"]
    done = await asyncio.to_thread(CliRunner().invoke, app, line)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if code == 0 else done.stderr


async def test_operators_deploy_and_upgrade_a_contract(network: Network, tmp_path: Path) -> None:
    users = network.cluster.directory / "users"
    keys = ("--key", users / "operator1.key", "--key", users / "operator2.key")
    assert "CONSENT_LACKING" in await wattq(network, "deploy", TARIFFS, *keys[:2], code=1)

    told = await wattq(network, "deploy", TARIFFS, *keys)
    assert told["contract"] == "tariffs"
    with pytest.raises(Exception, match="NOT_FOUND"):
        await network.operator.client.view("tariffs", "cost", {"meter": "none", "usage": []})
    assert "CONTRACT_KNOWN" in await wattq(network, "deploy", TARIFFS, code=1)

    newer = tmp_path / "tariffs.py"
    newer.write_text(TARIFFS.read_text() + "\n\n@view\ndef edition():\n    return 2\n")
    at = await network.height("node1") + AHEAD_BLOCKS
    assert (await wattq(network, "upgrade", newer, "--at", at))["sha256"] != told["sha256"]

    async def is_newer() -> bool:
        deposit = {"account": network.operator.key.signer, "amount": 1}
        await network.operator.invoke("credit", "deposit", deposit, co_signers=[network.second_operator])
        return await network.height("node1") >= at

    await until(is_newer, WITHIN_S)
    assert await network.operator.client.view("tariffs", "edition", {}) == 2
