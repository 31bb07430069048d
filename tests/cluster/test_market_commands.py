"""`wattq market` on a real network: two people trade by their connection files."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from network import Network, Person

pytestmark = [pytest.mark.cluster, pytest.mark.full]


class Desk:
    """Somebody's command line: a connection file, and the command."""

    def __init__(self, home: Path, network: Network, person: Person) -> None:
        person.key.save(home / f"{person.name}.key")
        nodes = [network.cluster.rest_url(name) for name in network.cluster.names]
        genesis = network.cluster.directory / "genesis.json"
        self.file = home / f"{person.name}.toml"
        self.file.write_text(
            f'nodes = {json.dumps(nodes)}\ngenesis = {json.dumps(str(genesis))}\nkey = "{person.name}.key"\n', "utf-8"
        )

    async def run(self, *arguments: str) -> tuple[int, str]:
        command = (sys.executable, "-m", "cli", "market", "--connection", str(self.file), *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def told(self, *arguments: str) -> Any:
        code, output = await self.run(*arguments, "--json")
        assert code == 0, output
        return json.loads(output)


async def test_two_people_trade_from_the_command_line(network: Network, tmp_path: Path) -> None:
    seller, buyer = await network.admit("ann", "seller", 0), await network.admit("ben", "buyer", 1)
    ann, ben = Desk(tmp_path, network, seller), Desk(tmp_path, network, buyer)
    interval = str(await network.interval())
    listing = (await ann.told("sell", "M-ann", interval, "1000", "0.18", "--lot", "100"))["value"]
    code, output = await ben.run("book", interval)
    assert (code, listing in output, "0.180000" in output, "no bids" in output) == (0, True, True, True), output
    code, output = await ben.run("take", listing, "M-ben", interval, "250", "0.18")
    shown, _, refusal = output.partition("\n")
    assert (code, shown) == (1, "at most 0.180000 per kWh, grid fee included")
    assert refusal.startswith("wattq market: LOT_MISMATCH: ")
    code, output = await ben.run("take", listing, "M-ben", interval, "300", "0.18", "--price-max", "0.179999")
    assert (code, "PRICE_ABOVE_LIMIT" in output) == (1, True), output
    trade = (await ben.told("take", listing, "M-ben", interval, "300", "0.18"))["value"]
    assert [(row["id"], row["energy_wh"], row["price"]) for row in await ann.told("trades")] == [(trade, 300, 180_000)]
    assert trade in (await ben.run("trades"))[1]
    bid = (await ben.told("order", "bid", "M-ben", interval, "500", "0.1"))["value"]["order"]
    bid = (await ben.told("amend", bid, "400", "0.11"))["value"]
    assert (await ben.told("book", interval))["bids"] == [{"price": 110_000, "energy_wh": 400}]
    amended = bid if isinstance(bid, str) else bid["order"]
    assert (await ben.told("cancel", amended))["code"] == "OK"
    assert (await ann.told("cancel", listing, "--listing"))["code"] == "OK"
    assert (await ben.told("book", interval))["bids"] == []
    assert (await ben.told("account"))["held"] > 0
    code, output = await ben.run("confirm", "--all")
    assert (code, "nothing waits for you" in output) == (2, True), output


async def test_bad_arguments_are_told_in_a_sentence(network: Network, tmp_path: Path) -> None:
    desk = Desk(tmp_path, network, network.operator)
    for arguments, sentence in (
        (("book", "tomorrow"), "'tomorrow' is no interval"),
        (("book", "2026-11-27T18:07"), "one begins at each quarter of an hour"),
        (("sell", "M", "+4", "100", "dear"), "'dear' is no price"),
        (("sell", "M", "+4", "100", "0.1234567"), "six decimal places"),
    ):
        code, output = await desk.run(*arguments)
        assert (code, sentence in output) == (2, True), output
    desk.file.write_text("nodes = []", "utf-8")
    code, output = await desk.run("account")
    assert (code, "nodes" in output, "Traceback" in output) == (2, True, False), output
