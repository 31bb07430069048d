"""One connection file is enough to be known by one's certificate: over a real TLS port, without any session."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, made_desk
from ledgers import ALICE, BOB, GENESIS, user_value
from typer.testing import CliRunner

from api.socket import SocketServer
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import pem_of, welcoming_server_context
from cli.client import endpoints_of
from cli.main import app
from ledger.genesis import write_genesis
from sdk.configuration import ConfigurationError
from sdk.connection import read_connection
from sdk.errors import Refused
from sdk.sync import Client


@dataclass
class House:
    """A node's service behind its TLS port, and ALICE's files beside a connection file."""

    home: Path
    desk: Desk
    asked: list[str] = field(default_factory=list)
    file: Path = Path()

    async def handle(self, method: str, params: Any, token: str, origin: str = "") -> Any:
        self.asked.append(method)
        return await self.desk.service.handle(method, params, token, origin)


def certified(authority: Authority, home: Path, name: str, key: SigningKey, role: Role) -> tuple[Path, Path]:
    issued = authority.issue(create_request(key, name, "o", role), name, "o", role, hosts=("127.0.0.1",))
    (home / f"{name}.crt").write_bytes(issued.certificate_pem)
    key.save(home / f"{name}.key")
    return home / f"{name}.crt", home / f"{name}.key"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    authority = Authority.init(tmp_path / "ca", "Grid")
    roots = [authority.root_der]
    write_genesis(tmp_path / "genesis.json", GENESIS)
    (tmp_path / "roots.pem").write_text(pem_of(roots))
    node = certified(authority, tmp_path, "node", SigningKey.generate(), Role.NODE)
    certified(authority, tmp_path, "alice", ALICE, Role.PROSUMER)
    BOB.save(tmp_path / "bob.key")
    made = House(tmp_path, made_desk(tmp_path))
    service = made.desk.service
    made.desk.plant({"governance/root/1": {"certificate": base64.b64encode(authority.root_der).decode()}})
    server = SocketServer(made.handle, 16, None, lambda _: service, service.identify)
    context = welcoming_server_context(*node, pem_of(roots))
    port = await server.listen_tls("127.0.0.1", 0, context, lambda: roots)
    made.file = tmp_path / "connection.toml"
    lines = [f'nodes = ["tls://127.0.0.1:{port}"]', 'roots = "roots.pem"', 'key = "alice.key"']
    made.file.write_text("\n".join([*lines, 'certificate = "alice.crt"', ""]))
    yield made
    await server.close()
    made.desk.close()


async def test_a_connection_file_with_a_certificate_needs_no_session(house: House) -> None:
    """It was on paper only: no file, client or command could show a certificate."""

    def ask() -> Any:
        with Client.open(house.file) as client:
            return client.account().value["owner"]

    assert await asyncio.to_thread(ask) == ALICE.signer
    assert house.asked == ["account"]


async def test_the_command_line_is_known_by_its_certificate(house: House) -> None:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["market", "-c", str(house.file), "trades", "--json"])
    assert result.exit_code == 0, result.output
    assert [trade["seller"] for trade in json.loads(result.stdout)] == [ALICE.signer]
    assert house.asked == ["query"]


async def test_another_key_shows_no_certificate_and_opens_a_session(house: House) -> None:
    read = read_connection(house.file, house.home / "bob.key")
    assert (read.vouched, [each.vouched for each in read.transports()]) == (False, [False])
    assert [each.vouched for each in read_connection(house.file).transports()] == [True]


async def test_a_connection_that_is_open_ends_its_identity_with_the_revocation(house: House) -> None:
    def ask() -> str:
        with Client.open(house.file) as client:
            client.account()
            serial = user_value(ALICE, "prosumer")["serial"]
            revoke = {f"governance/revoked/{serial}": {"type": "revocation", "serial": serial}}
            loop.call_soon_threadsafe(house.desk.plant, revoke)
            try:
                while True:
                    client.account()
            except Refused as refusal:
                return refusal.code

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(ask) == "CERTIFICATE_REVOKED"


def test_a_certificate_of_another_key_or_without_one_is_named(house: House) -> None:
    text = house.file.read_text()
    for wrong, why in (
        (text.replace("alice.key", "bob.key"), "no certificate of"),
        (text.replace("alice.crt", "x"), "x"),
    ):
        house.file.write_text(wrong)
        with pytest.raises(ConfigurationError, match=why):
            read_connection(house.file)
    house.file.write_text(text.replace('key = "alice.key"', ""))
    with pytest.raises(ConfigurationError, match="name that too"):
        read_connection(house.file)


def test_commands_that_take_nodes_show_the_certificate_beside_the_key(house: House) -> None:
    nodes = ["tls://127.0.0.1:1", "http://127.0.0.1:2"]
    made = {name: endpoints_of(nodes, GENESIS, house.home / f"{name}.key") for name in ("alice", "bob")}
    assert {name: [each.vouched for each in found] for name, found in made.items()} == {
        "alice": [True, False],
        "bob": [False, False],
    }
