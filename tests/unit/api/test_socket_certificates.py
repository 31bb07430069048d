"""The client socket under TLS: who is known by a certificate, who needs a session, and who is turned away."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.buckets import Paces
from api.options import RestOptions
from api.socket import SocketServer
from ca.authority import Authority
from ca.certificates import InvalidCertificate, Role, certificate_facts, create_request
from ca.keys import SigningKey
from ca.tls import pem_of, trusting_context, user_context, welcoming_server_context
from sdk.errors import Refused, TransportError
from sdk.methods import NONCE, NonceState, SignerParams
from sdk.streams import StreamParams
from sdk.transports import SocketTransport

SIGNER = "ab" * 32


class House:
    """A server that tells each caller the token it came with, and the CAs whose roots it knows."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ours, self.theirs = Authority.init(home / "ours", "Grid"), Authority.init(home / "theirs", "Grid North")
        self.roots = [self.ours.root_der]
        self.paces = Paces(RestOptions())
        self.server = SocketServer(self.handle, 50, None, lambda channel: self, self.identify, self.charge)

    async def handle(self, method: str, params: Any, token: str, origin: str) -> NonceState:
        return NonceState(token, 0)

    def identify(self, der: bytes) -> str:
        try:
            return certificate_facts(der, self.roots).signer
        except InvalidCertificate:
            return ""

    def charge(self, address: str, channel: str, token: str, signer: str) -> None:
        self.paces.charge(address, {"a session": SIGNER}.get(token, "") if token else signer)

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
        self.port = await self.server.listen_tls("127.0.0.1", 0, context, lambda: self.roots)

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


async def codes(house: House, context: ssl.SSLContext, count: int, shown: str = "") -> list[str]:
    """What becomes of calls in a row, each by a connection of its own."""
    found = []
    for _ in range(count):
        try:
            await house.token(context, shown)
            found.append("OK")
        except Refused as refused:
            found.append(refused.code)
    return found


async def test_a_signer_has_the_pace_that_it_has_at_rest(house: House) -> None:
    """The socket took any number of calls, while REST bounded the same person's."""
    house.paces = Paces(RestOptions(signer_calls_per_s_max=1))
    (anna, signer), (dora, _) = house.user(house.ours, "anna"), house.user(house.ours, "dora")
    assert await codes(house, anna, 3) == ["OK", "OK", "TOO_MANY_REQUESTS"]
    assert await codes(house, dora, 1) == ["OK"], "another signer is not held up"
    with pytest.raises(Refused, match="TOO_MANY_REQUESTS"):
        house.paces.charge("10.0.0.9", signer)
    assert await codes(house, dora, 3, "a session") == ["OK", "OK", "TOO_MANY_REQUESTS"], "a session is its signer's"


async def test_an_address_has_the_pace_that_it_has_at_rest_and_streams_count(house: House) -> None:
    house.paces = Paces(RestOptions(address_calls_per_s_max=1))
    stranger = trusting_context(pem_of(house.roots))
    assert await codes(house, stranger, 3) == ["OK", "OK", "TOO_MANY_REQUESTS"]
    transport = SocketTransport(f"tls://127.0.0.1:{house.port}", stranger)
    with pytest.raises(Refused, match="TOO_MANY_REQUESTS"):
        await anext(transport.stream(StreamParams(topics=("blocks",))))
    await transport.close()


async def test_what_comes_by_the_machines_own_socket_was_charged_by_rest(house: House, tmp_path: Path) -> None:
    house.paces = Paces(RestOptions(address_calls_per_s_max=1, signer_calls_per_s_max=1))
    await house.server.listen_unix(tmp_path / "s")
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    for _ in range(5):
        await transport.call(NONCE, SignerParams(signer=SIGNER), "a session")
    await transport.close()
