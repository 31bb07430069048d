"""The README's trade, as a newcomer runs it, and its receipt, true and tampered with."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from network import Network

pytestmark = pytest.mark.cluster
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXAMPLE, MANY = EXAMPLES / "one_trade.py", EXAMPLES / "many_orders.py"


async def run(cwd: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_readmes_trade_and_its_receipt(network: Network, tmp_path: Path) -> None:
    directory = network.cluster.directory
    code, output = await run(tmp_path, str(EXAMPLE), str(directory))
    assert code == 0, output
    assert "300 Wh taken" in output
    verify = ("-m", "cli", "verify", "receipt", "receipt.json", "--genesis", str(directory / "genesis.json"))
    code, output = await run(tmp_path, *verify)
    assert (code, "VALID, 3 of 4 validators signed" in output) == (0, True), output
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    receipt["result"][1] = "NOT_OK"
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    code, output = await run(tmp_path, *verify)
    assert (code, "INVALID, result proof" in output) == (1, True), output
    code, output = await run(tmp_path, str(EXAMPLE), str(directory))
    assert (code, "300 Wh taken" in output) == (0, True), f"the README has it run twice: {output}"
    chain = str(directory / "node2" / "data" / "chain")
    await network.cluster.down()
    code, output = await run(
        tmp_path, "-m", "cli", "verify", "chain", chain, "--genesis", str(directory / "genesis.json")
    )
    assert (code, "VALID" in output) == (0, True), output


async def test_many_orders_from_a_program_without_an_event_loop(network: Network, tmp_path: Path) -> None:
    buyer = await network.admit("bea", "buyer", 0)
    buyer.key.save(tmp_path / "bea.key")
    file = network.cluster.directory / "cluster.toml"
    code, output = await run(tmp_path, str(MANY), str(file), str(tmp_path / "bea.key"), "M-bea")
    assert code == 0, output
    assert "20 of 20 orders stand, each proven by its receipt" in output
    assert "best bid 119000, 2000 Wh in all" in output
    assert "20 documents of mine" in output


async def test_the_example_says_in_one_sentence_that_nobody_issues_certificates(
    network: Network, tmp_path: Path
) -> None:
    network.cluster.kill("node1")
    await network.cluster.wait_gone("node1")
    code, output = await run(tmp_path, str(EXAMPLE), str(network.cluster.directory))
    assert code == 1
    assert output == (
        "one_trade: nobody can enrol: the node that issues certificates, node1, does not answer; "
        "start it with: wattq cluster restart node1\n"
    )
