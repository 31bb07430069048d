"""Orders to a lab node over its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from faults.real.clock import WallClock
from faults.real.control import ControlServer, LabError, Ordered, lab_socket, order
from faults.real.disk import LabDisk
from faults.real.links import LinkFault, Links


@pytest.fixture
def links() -> Links:
    return Links(lambda key: "", seed=1)


@pytest_asyncio.fixture
async def home(links: Links, tmp_path: Path) -> AsyncIterator[Path]:
    server = ControlServer(Ordered(links, LabDisk(1), WallClock()), frozenset({"node2", "*"}))
    await server.listen(lab_socket(tmp_path))
    yield tmp_path
    await server.close()


async def test_an_order_puts_faults_and_an_empty_one_asks(home: Path, links: Links) -> None:
    wanted = {"node2": LinkFault(cut=True), "*": LinkFault(delay_ms=5)}
    assert (await order(home, wanted)).links == wanted
    assert links.faults == wanted
    assert (await order(home)).links == wanted
    assert (await order(home, {})).links == {}


async def test_an_unknown_peer_is_named_and_changes_nothing(home: Path, links: Links) -> None:
    with pytest.raises(LabError, match=r"no peer 'node9'; there are \*, node2"):
        await order(home, {"node9": LinkFault(cut=True), "node2": LinkFault(cut=True)})
    assert links.faults == {}


async def test_a_node_that_does_not_listen_is_no_lab_node(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does it run as a lab node"):
        await order(tmp_path)


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"links":{"node2":{"loss":2}}}\n', b'{"stop":true}\n'])
async def test_garbage_gets_an_error_and_the_next_order_is_heard(home: Path, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(lab_socket(home))
    writer.write(line)
    assert b"no order" in await reader.readline()
    writer.write(b"{}\n")
    assert b'"error":""' in await reader.readline()
    writer.close()
    await order(home, {"node2": LinkFault()})
