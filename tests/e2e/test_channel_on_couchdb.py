"""A channel whose members keep their state in CouchDB: a database of its own for each channel and node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from couch import Couch, any_server, basic, needs_couchdb
from network import Network
from typer.testing import CliRunner

from ca.keys import SigningKey
from cli.founding import Founding, Plan
from cli.main import app
from demo.couchdb import PASSWORD_VARIABLE, USER_VARIABLE
from sdk.client import AsyncClient
from sdk.transports import connect

pytestmark = [pytest.mark.e2e, *needs_couchdb, pytest.mark.timeout(240)]
SECRET = "a-reason-that-is-the-channels-own"


async def test_a_channels_documents_are_in_its_own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with any_server() as couch:
        monkeypatch.setenv(USER_VARIABLE, couch.user)
        monkeypatch.setenv(PASSWORD_VARIABLE, couch.password)
        network = Network(tmp_path / "net", extra=couch.state_section + f'couchdb_url = "{couch.url}"')
        try:
            await network.start()
            await _revokes_inside(network)
            assert SECRET in await documents(couch, f"{couch.prefix}-family-node1")
            assert SECRET not in await documents(couch, f"{couch.prefix}-main-node1")
        finally:
            await network.close()
        words = ["state", "verify", "node1", "--channel", "family", "--directory", str(tmp_path / "net")]
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 0, told.output


async def _revokes_inside(network: Network) -> None:
    """An act in the channel, read back from its state database."""
    genesis = await Founding(network.cluster).create(Plan("family", network.cluster.names))
    users = network.cluster.directory / "users"
    keys = [SigningKey.load(users / f"operator{number}.key") for number in (1, 2)]
    endpoints = [connect(network.cluster.rest_url("node1"))]
    async with AsyncClient(endpoints, genesis, keys[0], "family") as client:
        args = {"serial": "ab", "reason": SECRET}
        done = await client.invoke("governance", "revoke", args, co_signers=keys[1:])
        rows = await client.query({"v.type": "revocation"}, min_height=done.height)
        assert [row.value["reason"] for row in rows.rows] == [SECRET]


async def documents(couch: Couch, database: str) -> str:
    """Everything that a database holds, as text."""
    url = f"{couch.url}/{database}/_all_docs"
    options: dict[str, Any] = {"params": {"include_docs": "true"}}
    async with (
        aiohttp.ClientSession(headers=basic(couch.user, couch.password)) as session,
        session.get(url, **options) as answer,
    ):
        assert answer.status == 200, database
        return await answer.text()
