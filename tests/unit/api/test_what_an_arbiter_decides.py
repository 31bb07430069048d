"""The arbiter in force finds what waits for its decision, and nothing else of other people's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, made_desk
from ledgers import ALICE, BOB, GENESIS, user_value
from typer.testing import CliRunner

from api.socket import SocketServer
from ca.keys import SigningKey
from cli.main import app
from ledger.genesis import write_genesis

ARBITER, FORMER = SigningKey.from_seed(b"arbiter"), SigningKey.from_seed(b"a former arbiter")
TERMS = {"seller": ALICE.signer, "buyer": BOB.signer, "before_wh": 5, "after_wh": 7, "amount": 2_000_000, "interval": 5}


def adjustment(name: str, status: str) -> dict[str, Any]:
    return {f"settlement/adjustment/{name}": {"type": "adjustment", "id": name, "status": status, **TERMS}}


PLANTED: dict[str, Any] = {
    **adjustment("a-01", "overdue"),
    **adjustment("a-02", "proposed"),
    "notes/adjustment/a-03": {"type": "adjustment", "id": "another contract's", "status": "overdue", **TERMS},
    "settlement/trade/a": {"type": "trade", "id": "a", "status": "overdue", **TERMS},
    "registry/arbiter": {"signer": ARBITER.signer},
    **{f"registry/user/{key.signer}": user_value(key, "arbiter") for key in (ARBITER, FORMER)},
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = made_desk(tmp_path)
    made.plant(PLANTED)
    made.certify(made.ledger.height)
    assert made.projector.wait_for(made.ledger.height, 30.0)
    yield made
    made.close()


async def adjustments(desk: Desk, key: SigningKey, **options: Any) -> list[str]:
    rows = await desk.call("adjustments", await desk.token(key), **options)
    return [row.value["id"] for row in rows.rows]


async def test_the_arbiter_in_force_lists_overdue_adjustments(desk: Desk) -> None:
    """It was told of each by a notice, once, and could not ask."""
    assert await adjustments(desk, ARBITER, status="overdue") == ["a-01"]
    assert await adjustments(desk, ARBITER) == ["a-01"]
    assert await adjustments(desk, FORMER) == [], "whoever is not in force decides nothing"
    assert await adjustments(desk, ALICE) == ["another contract's", "a-01", "a-02"], "parties read their own"
    assert (await desk.call("trades", await desk.token(ARBITER))).rows == ()


async def test_the_command_shows_them(desk: Desk, tmp_path: Path) -> None:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    await asyncio.to_thread(ARBITER.save, tmp_path / "arbiter.key")
    file = tmp_path / "connection.toml"
    file.write_text(f'nodes = ["unix:{tmp_path / "s"}"]\ngenesis = "genesis.json"\nkey = "arbiter.key"\n')
    server = SocketServer(desk.service.handle, connections_max=4)
    await server.listen_unix(tmp_path / "s")
    try:
        words = ["market", "--connection", str(file), "adjustments", "--status", "overdue"]
        table = await asyncio.to_thread(CliRunner().invoke, app, words)
        found = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"])
    finally:
        await server.close()
    assert (table.exit_code, found.exit_code) == (0, 0), table.output + found.output
    assert "a-01" in table.output
    assert [row["id"] for row in json.loads(found.output)] == ["a-01"]
