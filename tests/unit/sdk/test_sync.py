"""The blocking client offers all that the asynchronous one does, with the same parameters."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from desk import Desk, made_desk
from ledgers import ALICE, GENESIS

from api.socket import SocketServer
from sdk import methods
from sdk.client import AsyncClient, Signed
from sdk.sync import Client
from sdk.transports import connect

PUBLIC = [name for name in vars(AsyncClient) if not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_the_blocking_client_lacks_nothing(name: str) -> None:
    ours, theirs = getattr(Client, name, None), getattr(AsyncClient, name)
    assert ours is not None
    if callable(ours) and name not in ("open", "stream"):
        assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters]
        assert not inspect.iscoroutinefunction(ours)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = made_desk(tmp_path)
    server = SocketServer(made.service.handle, connections_max=16)
    await server.listen_unix(tmp_path / "s")
    yield made
    await server.close()
    made.close()


async def test_what_is_asked_is_answered_when_the_call_returns(desk: Desk, tmp_path: Path) -> None:
    desk.certify(1)

    def ask() -> tuple[object, ...]:
        with Client([connect(f"unix:{tmp_path / 's'}")], GENESIS, ALICE) as client:
            signed = client.sign("box", "put", {"key": "a", "value": 1}, nonce=0, expires_at_height=9)
            key = "market/trade/1"
            return (
                isinstance(signed, Signed),
                [row.key for row in client.documents(methods.TRADES).rows],
                [version.height for version in client.history(key).versions],
                client.value_at(key, 1).height,
                client.proof(key)[0].value["price"],
                client.call(methods.NONCE, methods.SignerParams(signer=ALICE.signer)).highest,
                client.run(AsyncClient.book, 5).interval,
            )

    told = await asyncio.to_thread(ask)
    assert told == (True, ["market/trade/1"], [1], 1, 7, -1, 5)


def test_the_example_without_its_arguments_says_what_it_takes() -> None:
    example = Path(__file__).parents[3] / "examples" / "many_orders.py"
    ended = subprocess.run([sys.executable, example], capture_output=True, text=True, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "many_orders.py wattquorum/cluster.toml alice.key METER" in ended.stderr
