"""A rolling upgrade as docs/OPERATIONS.md tells it, with load: two builds, node by node, forth and one node back.

No version has been released yet, so both builds are of the present tree; they differ in their version. Once there is a
release, the first build is to be that release's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from network import Network, Person, until

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.replay import replay

pytestmark = [pytest.mark.cluster, pytest.mark.full, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 120.0
OLD, NEW = "0.1.0", "0.1.1"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "build", "*.egg-info", "node_modules")


def pip(*arguments: str | Path, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "-q", "--disable-pip-version-check"]
    subprocess.run(command, check=True, cwd=cwd, capture_output=True)


def build(home: Path, version: str) -> Path:
    """The tree built as ``version`` and installed into a directory of its own; its dependencies are the tests'."""
    tree, target = home / f"tree-{version}", home / f"build-{version}"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    project = tree / "pyproject.toml"
    text = project.read_text("utf-8")
    assert f'version = "{OLD}"' in text, "the present version is another: change OLD and NEW"
    project.write_text(text.replace(f'version = "{OLD}"', f'version = "{version}"'))
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", home, tree, cwd=home)
    pip(
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        target,
        home / f"wattquorum-{version}-py3-none-any.whl",
        cwd=home,
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import node; print(node.__file__)"],
        env={**os.environ, "PYTHONPATH": str(target)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()).parent == target, "what runs is this build, not the tree"
    return target


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("builds")
    return {version: build(home, version) for version in (OLD, NEW)}


class Load:
    """People who trade without a pause through nodes that come and go; what they were acknowledged is remembered."""

    def __init__(self, people: list[Person], interval: int) -> None:
        self._people = people
        self._interval = interval
        self._going_on = True
        self._tasks = [asyncio.create_task(self._trade(person)) for person in people]

    @property
    def acknowledged(self) -> list[str]:
        return [tx_id for person in self._people for tx_id in person.acknowledged]

    async def _trade(self, person: Person) -> None:
        bid = {"side": "bid", "meter": f"M-{person.name}", "interval": self._interval, "energy_wh": 10}
        price = 1_000
        while self._going_on:
            price += 1
            await person.invoke("market", "place_order", {**bid, "execution": "limit", "price": price})

    async def progress(self, count: int) -> None:
        """Wait for so many more acknowledgements; an error of any of them is raised here."""
        wanted = len(self.acknowledged) + count

        async def reached() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()
            return len(self.acknowledged) >= wanted

        await until(reached, WITHIN_S)

    async def end(self) -> None:
        self._going_on = False
        await asyncio.gather(*self._tasks)

    async def give_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def restart_as(network: Network, name: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 3 of the document: stop, start the other build, wait until it is ready."""
    await network.cluster.stop(name)
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", str(target))
        network.cluster.start(name)
    await network.cluster.wait_ready(name)

    async def ready() -> bool:
        url = network.cluster.rest_url(name) + "/readyz"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200

    await until(ready, WITHIN_S)


async def versions(network: Network) -> dict[str, str]:
    found = {name: await network.cluster.status(name) for name in network.cluster.names}
    return {name: status.version if status is not None else "" for name, status in found.items()}


async def test_node_by_node_with_load_nothing_is_lost_and_one_goes_back(
    tmp_path: Path, builds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, load = Network(tmp_path / "net"), None
    monkeypatch.setenv("PYTHONPATH", str(builds[OLD]))
    try:
        await network.start()
        assert set((await versions(network)).values()) == {OLD}
        people = [await network.admit("dora", "buyer", 1), await network.admit("emeka", "buyer", 2)]
        load = Load(people, await network.interval())
        await load.progress(4)
        for name in network.cluster.names:
            await restart_as(network, name, builds[NEW], monkeypatch)
            await load.progress(4)
        assert set((await versions(network)).values()) == {NEW}
        await restart_as(network, "node2", builds[OLD], monkeypatch)
        await load.progress(4)
        await load.end()
        assert await versions(network) == {**dict.fromkeys(network.cluster.names, NEW), "node2": OLD}
        await network.agree()
    finally:
        if load is not None:
            await load.give_up()
        await network.close()
    for name in network.cluster.names:
        chain = network.cluster.home(name) / "data" / "chain"
        found: Counter[str] = replay(
            chain, network.cluster.directory / "genesis.json", PythonMachine(), MarketValidator()
        ).transactions
        assert [tx_id for tx_id in load.acknowledged if found[tx_id] != 1] == [], name
    assert len(load.acknowledged) >= 24
