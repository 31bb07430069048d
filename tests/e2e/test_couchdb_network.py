"""Four real nodes with a CouchDB: its death, its deletion and edits by hand never touch the chain, and come right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from couch import Couch, any_server, basic, needs_couchdb
from couch_proxy import Proxy, proxied
from network import Network, until
from typer.testing import CliRunner

from cli.main import app
from demo.couchdb import PASSWORD_VARIABLE, USER_VARIABLE

pytestmark = [pytest.mark.e2e, *needs_couchdb, pytest.mark.timeout(240)]
PATIENCE_S = 60.0


class Place:
    """The network, its server, and the ways to look at both."""

    def __init__(self, network: Network, couch: Couch, proxy: Proxy) -> None:
        self.network = network
        self.couch = couch
        self._proxy = proxy

    def cut_off(self) -> None:
        """The nodes have no CouchDB any more: it is killed, if it is ours to kill."""
        self._proxy.away = True
        if self.couch.server is not None:
            self.couch.server.kill()

    def bring_back(self) -> None:
        if self.couch.server is not None:
            self.couch.server.start()
        self._proxy.away = False

    async def heights(self) -> tuple[int, int]:
        """Of node1: executed, and in the state database."""
        status = await self.network.cluster.status("node1")
        assert status is not None
        return status.executed_height, status.state_database_height

    async def goes_on(self, blocks: int = 5) -> None:
        """The chain makes blocks."""
        goal = (await self.heights())[0] + blocks
        await self._until(lambda executed, _: executed >= goal)

    async def caught_up(self) -> None:
        goal = (await self.heights())[0]
        await self._until(lambda _, projected: projected >= goal)

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds(*await self.heights()):  # noqa: ASYNC110  # the nodes tell nobody
                await asyncio.sleep(0.1)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.couch.url}/{self.couch.prefix}-main-node1{path}"
        headers = basic(self.couch.user, self.couch.password)
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            return await answer.json(content_type=None)

    async def wattq(self, *words: str) -> tuple[int, dict[str, Any]]:
        directory = str(self.network.cluster.directory)
        command = ["state", *words, "--directory", directory, "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        return done.exit_code, json.loads(done.stdout)


@pytest_asyncio.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    with any_server() as couch, proxied(couch.url) as proxy:
        monkeypatch.setenv(USER_VARIABLE, couch.user)
        monkeypatch.setenv(PASSWORD_VARIABLE, couch.password)
        network = Network(tmp_path / "net", extra=couch.state_section + f'couchdb_url = "{proxy.url}"')
        try:
            await network.start()
            yield Place(network, couch, proxy)
        finally:
            await network.close()


async def test_the_chain_outlives_its_couchdb_and_documents_come_right(place: Place) -> None:
    await place.caught_up()
    code, told = await place.wattq("verify", "node1")
    assert (code, told["matches"], told["drifted"], told["state_matches_root"]) == (0, True, {}, True)

    place.cut_off()
    await place.goes_on()
    place.network.cluster.kill("node1")  # and the node with it
    await place.network.cluster.wait_gone("node1")
    await place.network.cluster.up(["node1"])
    await place.goes_on()
    place.bring_back()
    await place.caught_up()

    await place.call("DELETE", "")
    await place.goes_on()
    await place.caught_up()

    rows = (await place.call("GET", "/_all_docs?startkey=%22registry/user/%22&limit=1&include_docs=true"))["rows"]
    edited = rows[0]["doc"]
    edited["v"]["role"] = "operator?"
    await place.call("POST", "/_bulk_docs", {"docs": [edited]})

    async def mended() -> bool:
        return (await place.wattq("verify", "node1"))[0] == 0

    await until(mended, 60)  # by itself
    code, told = await place.wattq("rebuild", "node1")
    assert (code, told["rebuilt"]) == (0, True)
    code, told = await place.wattq("verify", "node1")
    assert (code, told["drifted"]) == (0, {})

    await place.network.cluster.stop("node1")
    await place.call("POST", "/_bulk_docs", {"docs": [{**edited, "_rev": (await _revision(place, edited["_id"]))}]})
    assert (await place.wattq("verify", "node1"))[0] == 1
    assert (await place.wattq("rebuild", "node1"))[0] == 0
    assert (await place.wattq("verify", "node1"))[0] == 0


async def _revision(place: Place, key: str) -> str:
    rows = (await place.call("POST", "/_all_docs", {"keys": [key]}))["rows"]
    return str(rows[0]["value"]["rev"])
