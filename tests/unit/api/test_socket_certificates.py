"""The client socket under TLS: who is known by a certificate, who needs a session, and who is turned away."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.socket import SocketServer
from ca.authority import Authority
from ca.certificates import InvalidCertificate, Role, certificate_facts, create_request
from ca.keys import SigningKey
from ca.tls import pem_of, trusting_context, user_context, welcoming_server_context
from sdk.errors import TransportError
from sdk.methods import NONCE, NonceState, SignerParams
from sdk.transports import SocketTransport

SIGNER = "ab" * 32


class House:
    """A server that tells each caller the token it came with, and the CAs whose roots it knows."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ours, self.theirs = Authority.init(home / "ours", "Grid"), Authority.init(home / "theirs", "Grid North")
        self.roots = [self.ours.root_der]
        self.server = SocketServer(self.handle, 50, doors=lambda channel: self, identify=self.identify)

    async def handle(self, method: str, params: Any, token: str, origin: str) -> NonceState:
        return NonceState(token, 0)

    def identify(self, der: bytes) -> str:
        try:
            return certificate_facts(der, self.roots).signer
        except InvalidCertificate:
            return ""

    def vouch(self, signer: str) -> str:
        return f"known as {signer}"

    def stream(self, params: Any, token: str, origin: str = "") -> Any:
        raise NotImplementedError

    def files(self, authority: Authority, name: str, role: Role, key: SigningKey) -> tuple[Path, Path]:
        issued = authority.issue(create_request(key, name, "o", role), name, "o", role, hosts=("127.0.0.1",))
        certificate, file = self.home / f"{name}.crt", self.home / f"{name}.key"
        certificate.write_bytes(issued.certificate_pem)
        key.save(file)
        return certificate, file

    async def start(self) -> None:
        files = self.files(self.ours, "node", Role.NODE, SigningKey.generate())
        context = welcoming_server_context(*files, pem_of(self.roots))
        await self.server.listen_tls("127.0.0.1", 0, context, lambda: self.roots)
        listening: Any = self.server._servers[0]
        self.port = listening.sockets[0].getsockname()[1]

    async def token(self, context: ssl.SSLContext, shown: str = "") -> str:
        """With which session the server believes that a caller comes."""
        transport = SocketTransport(f"tls://127.0.0.1:{self.port}", context)
        try:
            return (await transport.call(NONCE, SignerParams(signer=SIGNER), shown)).signer
        finally:
            await transport.close()

    def user(self, authority: Authority, name: str) -> tuple[ssl.SSLContext, str]:
        key = SigningKey.generate()
        files = self.files(authority, name, Role.BUYER, key)
        return user_context(pem_of([self.ours.root_der]), *files), key.signer


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.start()
    yield made
    await made.server.close()


async def test_a_certificate_of_the_networks_ca_is_as_good_as_a_session(house: House) -> None:
    context, signer = house.user(house.ours, "anna")
    assert await house.token(context) == f"known as {signer}"
    assert await house.token(context, "a session") == "a session"


async def test_nobody_has_to_show_one(house: House) -> None:
    assert await house.token(trusting_context(pem_of(house.roots))) == ""


async def test_a_certificate_of_another_ca_is_turned_away_until_the_chain_knows_its_root(house: House) -> None:
    context, signer = house.user(house.theirs, "mallory")
    with pytest.raises(TransportError):
        await house.token(context)
    house.roots = [*house.roots, house.theirs.root_der]
    assert await house.token(context) == f"known as {signer}"


async def test_a_root_that_the_chain_has_removed_vouches_for_nobody(house: House) -> None:
    house.roots = [*house.roots, house.theirs.root_der]
    context, signer = house.user(house.theirs, "mallory")
    assert await house.token(context) == f"known as {signer}"
    house.roots = [house.ours.root_der]
    assert await house.token(context) == ""
