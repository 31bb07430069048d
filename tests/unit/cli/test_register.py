"""`wattq register` at a CA of its own and at a node that is none: what is kept, what is said, how it goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.register
from api.ca_service import CaService
from api.enrolment import OwnOffice
from ca.admission import Admissions
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.messages import Registration
from ca.server import ServerCertificate
from cli.main import app
from sdk import enrolment
from sdk.errors import Problem, Refused
from sdk.transports import HttpTransport

REAL_REACH = enrolment.reach


class World:
    """A CA that serves alone, and a chain that takes every certificate unless it is told to refuse."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.authority = Authority.init(home / "ca", "Grid North")
        shown = ServerCertificate(home / "ca", self.authority, ("localhost", "127.0.0.1"))
        self.service, self.context = CaService(self.authority, OwnOffice(self.authority)), shown.context
        self.url, self.refusal, self.entered = "", "", list[bytes]()

    async def start(self) -> None:
        self.url = f"https://127.0.0.1:{await self.service.listen('127.0.0.1', 0, self.context)}"

    async def enter(self, _: object, certificate: bytes) -> Any:
        if self.refusal:
            raise Refused(Problem(self.refusal, "No.", 422))
        self.entered.append(certificate)
        return SimpleNamespace(height=7, tx_id="t")

    async def reach(self, *_: object) -> None:
        """There is a node."""

    async def run(self, *words: object, code: int = 0, at: str = "--ca") -> str:
        """Runs `wattq register` with alice's key; what it said."""
        where = (at, self.url, "--genesis", self.home / "genesis.json")
        arguments = ["register", "--key", *map(str, (self.home / "alice.key", *where, *words))]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert result.exit_code == code, result.output
        return result.output

    def files(self) -> set[str]:
        return {path.name for path in self.home.glob("alice*")}


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.start()
    trusted = SimpleNamespace(roots=[made.authority.root_der], validators=())
    monkeypatch.setattr(cli.register, "load_genesis", lambda _: trusted)
    monkeypatch.setattr(enrolment, "enter", made.enter)
    monkeypatch.setattr(enrolment, "reach", made.reach)
    yield made
    await made.service.close()


NAMES = ("--name", "alice", "--organisation", "house", "--role", "seller")


async def test_a_ca_that_serves_alone_is_enrolled_at(world: World) -> None:
    code = world.authority.new_admission_code(Role.SELLER, "alice", "house")
    assert "registered in block 7" in await world.run(*NAMES, "--code", code)
    assert world.entered == [world.authority.issued()[0].certificate_der]
    assert world.files() == {"alice.key", "alice.crt"}


async def test_other_names_than_the_certificates_are_not_passed_over(world: World) -> None:
    """Who asked to be registered as bob, with anna's key, was told of success, and was anna as before."""
    code = world.authority.new_admission_code(Role.SELLER, "alice", "house")
    await world.run(*NAMES, "--code", code)
    for other in (("--name", "bob"), ("--organisation", "flat"), ("--role", "buyer")):
        said = await world.run(*other, code=2)
        assert "is for alice, house, as seller" in said.replace("\n", " ")
    await world.run(*NAMES)
    assert len(world.entered) == 2


async def test_no_code_is_spent_where_no_ledger_is_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "reach", REAL_REACH)
    code = world.authority.new_admission_code(Role.SELLER, "alice", "house")
    said = await world.run(*NAMES, "--code", code, code=1, at="--node")
    assert "--ca" in said
    assert (world.authority.issued(), world.files()) == ([], set())


async def test_who_waited_goes_on_without_saying_the_names_again(world: World) -> None:
    assert "run wattq register --key" in await world.run(*NAMES, code=4)
    (one,) = Admissions(world.authority).waiting()
    assert "alice, house" in await world.run("--name", "Alice", "--organisation", "house", code=2)
    Admissions(world.authority).approve(one.registration, "keeper")
    await world.run()
    assert (len(world.entered), world.files()) == (1, {"alice.key", "alice.crt"})
    await world.run()
    assert len(world.entered) == 2


@pytest.mark.parametrize("names", [("--name", " alice"), ("--name", "a", "--organisation", ""), ()])
async def test_wrong_names_leave_nothing_behind(world: World, names: tuple[str, ...]) -> None:
    await world.run("--organisation", "house", *names, code=2)
    assert world.files() == set()


async def test_who_is_refused_may_apply_under_another_name(world: World) -> None:
    await world.run(*NAMES, "--code", "unknown", code=1)
    assert world.files() == {"alice.key"}
    await world.run("--name", "Alice", "--organisation", "house", code=4)


@pytest.mark.parametrize("what", ["key", "name", "garbage"])
async def test_another_ones_certificate_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    SigningKey.generate().save(world.home / "alice.key")
    key = SigningKey.generate() if what == "key" else SigningKey.load(world.home / "alice.key")
    names = ("alice" if what == "key" else "alicia", "house", Role.SELLER)
    der = world.authority.issue(create_request(key, *names), *names).certificate_der

    async def lie(*_: object, **__: object) -> Registration:
        return Registration("0" * 32, "issued", b"garbage" if what == "garbage" else der, "1")

    with monkeypatch.context() as patch:
        patch.setattr(HttpTransport, "call", lie)
        assert "not for this key" in await world.run(*NAMES, code=1)
    assert "alice.crt" not in world.files()
    assert world.entered == []
    await world.run(*NAMES, code=4)


async def test_what_the_chain_does_not_know_as_its_own_is_not_kept(world: World) -> None:
    code = world.authority.new_admission_code(Role.SELLER, "alice", "house")
    world.refusal = "CERTIFICATE_INVALID"
    await world.run(*NAMES, "--code", code, code=1)
    assert "alice.crt" not in world.files()
    world.refusal = "MEMBERS_ONLY"
    await world.run(*NAMES, "--code", code, code=1)
    assert "alice.crt" in world.files()
    world.refusal = ""
    await world.run()
    assert json.loads(await world.run("--json"))["height"] == 7
