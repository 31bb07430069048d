"""`wattq why` and `wattq node` without a network: exit codes, sentences, JSON; and a node that answers by socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from network import configuration_text
from typer.testing import CliRunner

from api.socket import SocketServer
from cli.contracts import shipped_contracts
from cli.main import app
from cluster import Cluster, prepare
from sdk.configuration import parse
from sdk.diagnosis import Diagnosis
from sdk.errors import Problem, Refused
from sdk.methods import LogLevels
from sdk.process import socket_path


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's home; nothing runs in it."""
    home = tmp_path_factory.mktemp("why") / "net"
    text = configuration_text(4)
    prepare(home, parse(text, "test"), text, shipped_contracts())
    return home


def told_by(name: str, certified_ms: int) -> Diagnosis:
    return Diagnosis(
        name=name, channel="main", chain="ab", epoch=0, validators=("node1", "node2", "node3", "node4"), quorum=3,
        observer=False, view=0, primary="node1", ordered_height=2, executed_height=2, certified_height=2,
        certified_ms=certified_ms, patience_ms=1_000, pool_transactions=0, waiting_ms=0, votes=True, diverged=False,
        whole=True, closed=False, unreachable=("node2", "node3", "node4"), complaints=(), alarms=(),
    )  # fmt: skip


class Node:
    """node1's socket, with an answer."""

    def __init__(self) -> None:
        self.certified_ms = 10
        self.asked: list[tuple[str, Any]] = []

    async def handle(self, method: str, params: Any, token: str, origin: str) -> msgspec.Struct:
        self.asked.append((method, params))
        assert origin == "", "by the socket of this machine's user"
        if method == "log_level" and params.logger == "nosuch":
            raise Refused(Problem("NOT_FOUND", "There is no logger 'nosuch'.", 404))
        return LogLevels({"": "info"}) if method == "log_level" else told_by("node1", self.certified_ms)


@pytest.fixture
async def node(directory: Path) -> AsyncIterator[Node]:
    made = Node()
    server = SocketServer(made.handle, 4)
    await server.listen_unix(socket_path(Cluster(directory).home("node1")))
    yield made
    await server.close()


async def run(*words: str) -> tuple[int, str]:
    """The command in a thread: it has an event loop of its own."""
    result = await asyncio.to_thread(CliRunner().invoke, app, list(words))
    return result.exit_code, result.output


async def test_nobody_answers(directory: Path) -> None:
    code, output = await run("why", "-d", str(directory))
    assert (code, output.splitlines()[0]) == (3, "No node answers (node1, node2, node3 and node4).")
    code, output = await run("why", "node2", "-d", str(directory), "--json")
    assert (code, list(json.loads(output)["silent"])) == (3, ["node2"])


@pytest.mark.parametrize(("certified_ms", "code", "first"), [(10, 0, "COMMITS"), (9_000, 1, "STANDS_STILL")])
async def test_the_exit_code_says_whether_blocks_are_certified(
    directory: Path, node: Node, certified_ms: int, code: int, first: str
) -> None:
    node.certified_ms = certified_ms
    found, output = await run("why", "-d", str(directory), "--json")
    told = json.loads(output)
    assert (found, told["findings"][0]["code"]) == (code, first)
    assert list(told["nodes"]) == ["node1"]
    assert set(told["silent"]) == {"node2", "node3", "node4"}
    _, text = await run("why", "-d", str(directory))
    assert "node2, node3 and node4 are not reachable from node1. 1 of 4 validators are left, and it takes 3." in text
    assert "\n  Start node2, node3 and node4" in text


@pytest.mark.parametrize(
    "words",
    [
        ("why", "-d", "nowhere"),
        ("why", "node9"),
        ("why", "--node", "ftp://x"),
        ("why", "--node", "http://127.0.0.1:1", "--key", "nokey"),
        ("node", "log-level", "node9", "debug"),
        ("node", "log-level", "node1", "debug", "--node", "http://127.0.0.1:1"),
    ],
)
async def test_bad_arguments(directory: Path, words: tuple[str, ...]) -> None:
    place = () if "-d" in words else ("-d", str(directory))
    code, output = await run(*words, *place)
    assert code == 2, output
    assert "Traceback" not in output


async def test_a_log_level_is_set_by_the_nodes_own_socket(directory: Path, node: Node) -> None:
    words = ("node", "log-level", "node1", "debug", "--logger", "wattq.pbft", "-d", str(directory), "--json")
    code, output = await run(*words)
    assert (code, json.loads(output)) == (0, {"node": "node1", "levels": {"": "info"}})
    ((method, params),) = node.asked
    assert (method, params.logger, params.level) == ("log_level", "wattq.pbft", "debug")
    code, output = await run("node", "log-level", "node1", "info", "-l", "nosuch", "-d", str(directory))
    assert (code, "no logger" in output) == (1, True)
    assert (await run("node", "log-level", "node2", "info", "-d", str(directory)))[0] == 3
