"""Whatever a demo or a cluster started ends when it should: by a closed terminal, by kill -9, in long paths."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from network import configuration_text, until

from cli.contracts import shipped_contracts
from cluster import Cluster, prepare
from sdk.configuration import parse
from sdk.process import socket_path

pytestmark = pytest.mark.cluster
STARTED_S = 150.0
ENDED_S = 60.0
TESTS = Path(__file__).resolve().parents[1]
KILLED = """
import signal
from pathlib import Path

from network import Network


async def test_it():
    await Network(Path(__file__).parent / "network").start()
    print("it is up", flush=True)
    signal.pause()
"""


def hear_hang_ups() -> None:
    """Under ``nohup`` they are ignored, and whoever runs the tests may be."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@asynccontextmanager
async def wattq(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, with its output kept; killed at the end, should it still run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "cli", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        preexec_fn=hear_hang_ups,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def users_of(directory: Path) -> list[int]:
    """The processes whose command line or working directory lies in ``directory``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.startswith(f"{directory}/network") for word in words):
            found.append(int(entry.name))
    return found


async def run_until_it_trades(process: asyncio.subprocess.Process) -> None:
    """Read a demo's output up to its first line of progress: every process runs by then."""
    assert process.stdout is not None
    async with asyncio.timeout(STARTED_S):
        while line := await process.stdout.readline():
            if b"trading" in line:
                return
    raise AssertionError("the demo ended before it traded")


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
async def test_nothing_outlives_a_demo(tmp_path: Path, how: signal.Signals) -> None:
    directory = tmp_path / "demo"
    async with wattq("demo", "--seconds-per-interval", "0.4", "-d", str(directory)) as process:
        await run_until_it_trades(process)
        assert len(users_of(directory)) >= 5, "four nodes, and gateways or meters"
        process.send_signal(how)
        assert await process.wait() == (130 if how is signal.SIGHUP else -signal.SIGKILL)

        async def gone() -> bool:
            return not users_of(directory)

        await until(gone, ENDED_S)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
async def test_a_hang_up_while_a_cluster_starts_ends_what_was_started(tmp_path: Path) -> None:
    text = configuration_text(4)
    (tmp_path / "c.toml").write_text(text)
    directory = tmp_path / "net"
    prepare(directory, parse(text, "test"), text, shipped_contracts())
    cluster = Cluster(directory)
    (cluster.home("node4") / "node.key").unlink()
    os.mkfifo(cluster.home("node4") / "node.key", 0o600)  # node4 waits here for ever: the start does not come to an end
    try:
        async with wattq("cluster", "up", "-c", str(tmp_path / "c.toml"), "-d", str(directory)) as process:

            async def started() -> bool:
                return all([await cluster.status(name) for name in ("node1", "node2", "node3")])

            await until(started, STARTED_S)
            process.send_signal(signal.SIGHUP)
            assert await process.wait() == 130
            assert [name for name in cluster.names if cluster.pid(name) is not None] == []
    finally:
        await cluster.down()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
async def test_nodes_end_with_tests_that_are_killed(tmp_path: Path) -> None:
    """As by a timeout: they ran on, and the next tests had half a machine."""
    (tmp_path / "test_it.py").write_text(KILLED)
    shutil.copy(TESTS / "conftest.py", tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-qs", "-p", "no:cacheprovider", "-c", str(TESTS.parent / "pyproject.toml"),
        str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(STARTED_S):
            while (line := await process.stdout.readline()) != b"it is up\n":
                assert line, "it ended"
        assert len(users_of(tmp_path)) >= 4
    finally:
        process.kill()
        await process.wait()

    async def gone() -> bool:
        return not users_of(tmp_path)

    await until(gone, ENDED_S)


async def test_a_network_in_a_long_path(tmp_path: Path) -> None:
    directory = tmp_path / ("a long name " * 10).strip()
    text = configuration_text(4)
    (tmp_path / "c.toml").write_text(text)
    try:
        async with wattq("cluster", "up", "-c", str(tmp_path / "c.toml"), "-d", str(directory)) as process:
            output, _ = await process.communicate()
        assert (process.returncode, b"Unclosed" in output) == (0, False), output.decode()
        cluster = Cluster(directory)
        assert socket_path(cluster.home("node1")).is_socket()
        assert len(os.fsencode(cluster.home("node1") / "node.sock")) > 107
    finally:
        async with wattq("cluster", "down", "-d", str(directory), "--json") as process:
            output, _ = await process.communicate()
        assert b'"ended": ["node1", "node2", "node3", "node4"]' in output
    assert not socket_path(cluster.home("node1")).exists(), "a node that ends takes its socket with it"


async def test_a_genesis_with_a_bad_contract_ends_the_node_with_its_line(tmp_path: Path) -> None:
    contracts = shipped_contracts()
    text = configuration_text(4)
    bad = {**contracts.sources, "market": "x = 1\nimport os\n"}
    prepare(tmp_path / "net", parse(text, "test"), text, type(contracts)(bad, contracts.parameters))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node", "--config", str(tmp_path / "net" / "cluster.toml"), "--name", "node1",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert (process.returncode, said.decode().startswith("node node1: contract market: line 2: ")) == (2, True), said


async def test_a_node_takes_its_number_for_its_name(tmp_path: Path) -> None:
    text = configuration_text(4)
    prepare(tmp_path / "net", parse(text, "test"), text, shipped_contracts())
    cluster = Cluster(tmp_path / "net")
    await cluster.up(["node3"])
    try:
        for command, told in (
            ("restart", '"restarted": "node3"'),
            ("logs", '"node.log": ['),
            ("kill", '"killed": "node3"'),
        ):
            async with wattq("cluster", command, "3", "-d", str(tmp_path / "net"), "--json") as process:
                output, _ = await process.communicate()
            assert (process.returncode, told in output.decode()) == (0, True), output.decode()
        assert cluster.pid("node3") is None
        async with wattq("cluster", "kill", "9", "-d", str(tmp_path / "net")) as process:
            output, _ = await process.communicate()
        assert (process.returncode, b"no node 'node9'" in output) == (2, True), output.decode()
    finally:
        await cluster.down()
