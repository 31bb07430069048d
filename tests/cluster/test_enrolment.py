"""Enrolment among processes: `wattq ca serve`, nodes that pass on to it, `wattq register`, revocation and renewal."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from network import Network, free_ports, until
from typer.testing import CliRunner

from ca.authority import Authority
from ca.certificates import RequestFacts, Role, create_request
from ca.issuing import make_certificate
from ca.keys import SigningKey
from ca.messages import renewal_text
from ca.tls import pem_of, trusting_context
from cli.main import app
from cluster import Cluster
from sdk import methods
from sdk.errors import Refused
from sdk.methods import RenewParams
from sdk.transports import HttpTransport

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 60.0


class World:
    """A network whose first node has the CA's directory, and a CA service on the same one for all other nodes."""

    def __init__(self, directory: Path) -> None:
        self.home = directory
        self.network = Network(directory / "net")
        self.cluster: Cluster = self.network.cluster
        self.net = self.cluster.directory
        (self.port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{self.port}"
        self.service: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self.serve()
        os.environ["WATTQ_NETWORK__CA_URL"] = self.url
        try:
            await self.network.start()
        finally:
            del os.environ["WATTQ_NETWORK__CA_URL"]

    def serve(self, *more: str) -> None:
        words = ["ca", "serve", "-d", str(self.net / "ca"), "--port", str(self.port), *more]
        self.service = subprocess.Popen([sys.executable, "-m", "cli", *words], stdout=subprocess.PIPE)
        assert self.service.stdout is not None
        assert self.service.stdout.readline().decode().strip() == f"the CA is served at {self.url}"

    async def health(self) -> dict[str, Any]:
        """Of the CA service."""
        tls = trusting_context(pem_of([Authority.open(self.net / "ca").root_der]))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            answer = await session.get(f"{self.url}/v1/health")
            found: dict[str, Any] = json.loads(await answer.read())
            return found

    def end_service(self) -> int:
        assert self.service is not None
        self.service.send_signal(signal.SIGTERM)
        code = self.service.wait(30)
        assert self.service.stdout is not None
        self.service.stdout.close()
        self.service = None
        return code

    async def close(self) -> None:
        if self.service is not None:
            self.end_service()
        await self.network.close()

    async def run(self, *words: object, code: int = 0) -> Any:
        """Runs `wattq …` in a thread, expects its exit code; what it printed, as JSON if it succeeded."""
        arguments = [*map(str, words), *(["--json"] if code == 0 else [])]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 else result.stderr

    def at(self, node: int) -> str:
        return self.cluster.rest_url(f"node{node}")

    def register(self, name: str, node: int, *more: object) -> tuple[object, ...]:
        where = ("--node", self.at(node), "--genesis", self.net / "genesis.json")
        who = ("--key", self.home / f"{name}.key", "--name", name, "--organisation", "house", "--role", "seller")
        return ("register", *who, *where, *more)

    @property
    def governing(self) -> tuple[object, ...]:
        return ("--genesis", self.net / "genesis.json", "--node", self.at(1))

    async def user(self, signer: str) -> dict[str, Any]:
        """A user whom a quorum has registered; the node that is asked may execute that a little later."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            asked = self.network.operator.client.call(methods.USER, methods.SignerParams(signer=signer))
            with contextlib.suppress(Refused):
                found[:] = [(await asked).value]
            return bool(found)

        await until(is_there, 30.0)
        return found[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = World(tmp_path_factory.mktemp("enrolment"))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_one_command_from_a_fresh_key_to_the_chain(world: World) -> None:
    code = Authority.open(world.net / "ca").new_admission_code(Role.SELLER, "alice")
    told = await world.run(*world.register("alice", 2, "--code", code))
    assert (await world.user(told["signer"]))["name"] == "alice"
    again = await world.run(*world.register("alice", 3))
    assert (again["signer"], again["height"] > told["height"]) == (told["signer"], True)


async def test_a_ca_that_no_node_passes_on_to_is_named(world: World) -> None:
    code = Authority.open(world.net / "ca").new_admission_code(Role.SELLER, "zoe", "house")
    words = world.register("zoe", 2, "--code", code)
    at_ca = tuple(world.url if word == world.at(2) else word for word in words)
    assert "ROUTE_UNKNOWN" in await world.run(*at_ca, code=1)
    told = await world.run(*words, "--ca", world.url)
    assert (await world.user(told["signer"]))["name"] == "zoe"


async def test_who_has_no_code_waits_for_an_operator_at_another_node(world: World) -> None:
    said = await world.run(*world.register("bob", 2), code=4)
    assert "waits for an operator's decision" in said
    users = world.net / "users"
    operator = ("--at", world.at(3), "--key", users / "operator1.key", "--certificate", users / "operator1.crt")
    (one,) = await world.run("ca", "waiting", *operator)
    assert one["name"] == "bob"
    seller = ("--key", world.home / "alice.key", "--certificate", world.home / "alice.crt")
    assert "ROLE_REQUIRED" in await world.run("ca", "waiting", "--at", world.at(3), *seller, code=1)
    await world.run("ca", "approve", one["registration"], *operator)
    where = ("--node", world.at(4), "--genesis", world.net / "genesis.json")
    told = await world.run("register", "--key", world.home / "bob.key", *where)
    assert (await world.user(told["signer"]))["role"] == "seller"


async def test_a_revocation_holds_on_the_chain_from_the_stated_height(world: World) -> None:
    network = world.network
    carol = await network.admit("carol", "seller", 2)
    serial = (await world.user(carol.key.signer))["serial"]
    request = create_request(carol.key, "carol", "Wattquorum", Role.SELLER)
    spare = Authority.open(world.net / "ca").issue(request, "carol", "Wattquorum", Role.SELLER)
    told = await world.run("ca", "revoke", serial, "--reason", "lost", "-d", world.net / "ca", *world.governing)
    assert told["others"] == [spare.serial]
    key = f"governance/revoked/{serial}"
    proven, _ = await network.operator.client.proof(key, told["effective_height"])
    assert proven.value["height"] == told["effective_height"]
    with pytest.raises(Refused) as caught:
        await carol.invoke("market", "cancel_order", {"order": "000000000001-00000"})
    assert caught.value.code == "CERTIFICATE_REVOKED"
    entry = {"certificate_der": base64.b64encode(spare.certificate_der).decode()}
    with pytest.raises(Refused) as caught:
        await carol.invoke("registry", "register", entry)
    assert caught.value.code == "CERTIFICATE_REVOKED"
    ca = HttpTransport(world.at(2))
    with pytest.raises(Refused) as caught:
        await ca.call(methods.RENEW, RenewParams(serial=serial, proof=carol.key.sign(renewal_text(serial))))
    await ca.close()
    assert caught.value.code == "CERTIFICATE_REVOKED"


@pytest.mark.full
async def test_a_ca_apart_from_any_node_learns_of_a_revocation_from_the_chain(world: World) -> None:
    """One that nobody noted at the CA, as from the page: it renewed the certificate, and knew of no chain."""
    assert (await world.health())["chain"] is None
    world.end_service()
    world.serve("--node", world.at(2), "--node", world.at(3), "--genesis", str(world.net / "genesis.json"))

    async def has_looked() -> bool:
        return (await world.health())["chain"]["age_s"] is not None

    await until(has_looked, WITHIN_S)
    erin = await world.network.enter("erin", "seller", 2)
    serial = (await world.user(erin.key.signer))["serial"]
    renewal = RenewParams(serial=serial, proof=erin.key.sign(renewal_text(serial)))
    ca = HttpTransport(world.at(3))
    try:
        with pytest.raises(Refused, match="RENEWAL_TOO_EARLY"):
            await ca.call(methods.RENEW, renewal)
        operators = [world.network.second_operator]
        revoked = {"serial": serial, "reason": "lost"}
        async with world.network.client(1, world.network.operator.key) as client:
            await client.invoke("governance", "revoke", revoked, co_signers=operators)

        async def is_barred() -> bool:
            with pytest.raises(Refused) as caught:
                await ca.call(methods.RENEW, renewal)
            return caught.value.code == "CERTIFICATE_REVOKED"

        await until(is_barred, WITHIN_S)
    finally:
        await ca.close()


async def test_a_node_takes_up_its_new_certificate_without_a_restart(world: World) -> None:
    home, pid = world.cluster.home("node4"), world.cluster.pid("node4")
    key = SigningKey.load(home / "node.key")
    request = create_request(key, "node4", "Wattquorum", Role.NODE)
    hosts = ("127.0.0.1", "localhost")
    issued = Authority.open(world.net / "ca").issue(request, "node4", "Wattquorum", Role.NODE, 20, hosts)
    (home / "draft").write_bytes(issued.certificate_pem)
    (home / "draft").replace(home / "node.crt")

    async def warned() -> bool:
        status = await world.cluster.status("node4")
        return status is not None and bool(status.warnings)

    await until(warned, WITHIN_S)
    status = await world.cluster.status("node4")
    assert status is not None
    (node,) = [each for each in status.certificates if each.holder == "node"]
    assert (node.not_after_ms, node.warning_days) == (issued.not_after_ms, 30)
    assert "ends in 19 days" in status.warnings[0]
    assert (status.alarms, world.cluster.pid("node4")) == ((), pid)


async def test_the_chain_accepts_what_an_accepted_intermediate_certifies(world: World) -> None:
    coop, csr, crt = world.home / "coop", world.home / "coop.csr", world.home / "coop.crt"
    await world.run("ca", "subordinate", coop, "--organisation", "Coop", "-o", csr)
    await world.run("ca", "intermediate", csr, "--organisation", "Coop", "-d", world.net / "ca", "-o", crt)
    await world.run("ca", "install", crt, "-d", coop)
    below, key = Authority.open(coop), SigningKey.generate()
    issued = below.issue(create_request(key, "dora", "Coop", Role.SELLER), "dora", "Coop", Role.SELLER)
    entry = {"certificate_der": base64.b64encode(issued.certificate_der).decode()}
    async with world.network.client(0, key) as client:
        with pytest.raises(Refused) as caught:
            await client.invoke("registry", "register", entry)
        assert caught.value.code in ("NOT_REGISTERED", "CERTIFICATE_INVALID")
        await world.run("ca", "accept", crt, *world.governing)
        await client.invoke("registry", "register", entry)
    assert (await world.user(key.signer))["name"] == "dora"

    eve = SigningKey.generate()
    asked = RequestFacts("eve", "Wattquorum 1", Role.OPERATOR, eve.public_key)
    forged = make_certificate(SigningKey.load(coop / "intermediate.key"), below.certificate, asked, 9, ())
    der = forged.public_bytes(Encoding.DER)
    async with world.network.client(0, eve) as client:
        with pytest.raises(Refused) as caught:
            await client.invoke("registry", "register", {"certificate_der": base64.b64encode(der).decode()})
    assert caught.value.code in ("NOT_REGISTERED", "CERTIFICATE_INVALID")


async def test_the_audit_log_is_whole_after_all_this(world: World) -> None:
    entries = await world.run("ca", "audit", "-d", world.net / "ca")
    assert {"code", "issued", "revoked", "intermediate"} <= {entry["what"] for entry in entries}


async def test_a_ca_that_is_away_is_told_of_and_found_again(world: World) -> None:
    assert world.end_service() == 0
    ca = HttpTransport(world.at(2))
    asked = methods.EnrolParams(request=create_request(SigningKey.generate(), "finn", "house", Role.SELLER))
    with pytest.raises(Refused) as caught:
        await ca.call(methods.ENROL, asked)
    assert (caught.value.code, caught.value.status) == ("AUTHORITY_UNREACHABLE", 503)
    world.serve()
    assert (await ca.call(methods.ENROL, asked)).state == "waiting"
    await ca.close()
