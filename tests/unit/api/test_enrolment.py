"""Enrolment over HTTPS: a CA's own service, a node that passes on to it, and how each kind of refusal is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from msgspec import json
from typer.testing import CliRunner

from api.ca_service import BODY_BYTES_MAX, CaService
from api.enrolment import RELAYED_MAX, RELAYED_OF_ONE_MAX, NoOffice, OwnOffice, Relay
from ca.authority import Authority
from ca.certificates import RequestFacts, Role, create_request
from ca.codes import prove
from ca.keys import SigningKey
from ca.messages import Registration, Roots, application_text
from ca.server import ServerCertificate
from ca.tls import pem_of, trusting_context
from cli.main import app
from sdk import enrolment, methods
from sdk.admission import application_of
from sdk.errors import Refused
from sdk.methods import EnrolParams, Nothing, RegistrationParams
from sdk.transports import HttpTransport


class Served:
    """A CA in a directory and its service."""

    def __init__(self, home: Path) -> None:
        self.authority = Authority.init(home / "ca", "Grid North")
        self.shown = ServerCertificate(home / "ca", self.authority, ("localhost", "127.0.0.1"))
        self.service = CaService(self.authority, OwnOffice(self.authority))
        self.url = ""

    async def start(self) -> None:
        self.url = f"https://127.0.0.1:{await self.service.listen('127.0.0.1', 0, self.shown.context)}"

    @property
    def tls(self) -> ssl.SSLContext:
        return trusting_context(pem_of([self.authority.root_der]))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    await made.start()
    yield made
    await made.service.close()


@pytest.fixture
async def relay(served: Served) -> AsyncIterator[Relay]:
    made = Relay(served.url, lambda: [served.authority.root_der])
    yield made
    await made.close()


def asked(code: str = "", name: str = "alice") -> EnrolParams:
    return application_of(create_request(SigningKey.generate(), name, "house", Role.SELLER), code)


async def refusal(office: Relay | OwnOffice | NoOffice, params: EnrolParams) -> tuple[str, int]:
    with pytest.raises(Refused) as caught:
        await office.answer(methods.ENROL, params, "")
    assert caught.value.message.endswith(".")
    return caught.value.code, caught.value.status


async def test_a_node_passes_on_to_the_ca(served: Served, relay: Relay) -> None:
    code = served.authority.new_admission_code(Role.SELLER)
    told = await relay.answer(methods.ENROL, asked(code), "10.0.0.1")
    assert isinstance(told, Registration)
    assert served.authority.show(told.serial) is not None
    again = await relay.answer(methods.REGISTRATION, RegistrationParams(registration=told.registration), "10.0.0.1")
    assert again == told
    assert await relay.answer(methods.ROOTS, Nothing(), "") == Roots((served.authority.root_der,))


async def test_refusals_keep_their_codes_on_the_way(served: Served, relay: Relay) -> None:
    code = served.authority.new_admission_code(Role.BUYER)
    assert await refusal(relay, asked("unknown")) == ("CODE_UNKNOWN", 403)
    assert await refusal(relay, asked(code)) == ("CODE_OTHER_ROLE", 403)
    assert await refusal(relay, EnrolParams(request=b"garbage")) == ("REQUEST_INVALID", 400)
    assert served.authority.issued() == []
    assert await refusal(NoOffice(), asked(code)) == ("NOT_AN_AUTHORITY", 421)


async def test_who_passes_an_application_on_can_make_no_other_of_it(served: Served) -> None:
    code = served.authority.new_admission_code(Role.OPERATOR, "olga", "Grid")
    own, thief = SigningKey.generate(), SigningKey.generate()
    wire = application_of(create_request(own, "olga", "Grid", Role.OPERATOR), code)
    assert code.encode() not in json.encode(wire)
    stolen = EnrolParams(
        request=create_request(thief, "olga", "Grid", Role.OPERATOR), code_id=wire.code_id, code_proof=wire.code_proof
    )
    office = OwnOffice(served.authority)
    assert await refusal(office, stolen) == ("PROOF_INVALID", 403)
    told = await office.answer(methods.ENROL, wire, "")
    assert isinstance(told, Registration)
    assert (told.state, served.authority.issued()[0].signer) == ("issued", own.signer)


async def test_a_browsers_key_with_its_proof(served: Served) -> None:
    key, code = SigningKey.generate(), served.authority.new_admission_code(Role.SELLER)
    shown = prove(code, RequestFacts("爱丽丝", "house", "seller", key.public_key))
    params = EnrolParams(
        public_key=key.public_key,
        name="爱丽丝",
        organisation="house",
        role="seller",
        proof=key.sign(application_text("爱丽丝", "house", "seller", shown.id)),
        code_id=shown.id,
        code_proof=shown.proof,
    )
    ca = HttpTransport(served.url, served.tls)
    assert (await ca.call(methods.ENROL, params)).state == "issued"
    await ca.close()
    assert served.authority.issued()[0].name == "爱丽丝"


async def test_an_operator_far_away(served: Served) -> None:
    operator = SigningKey.generate()
    request = create_request(operator, "olga", "Grid", Role.OPERATOR)
    certificate = served.authority.issue(request, "olga", "Grid", Role.OPERATOR).certificate_der
    ca = HttpTransport(served.url, served.tls)
    told = await ca.call(methods.ENROL, asked())
    (one,) = await enrolment.waiting(ca, operator, certificate)
    assert (one.registration, one.name) == (told.registration, "alice")
    decided = await enrolment.decide(ca, operator, certificate, one.registration, approve=True)
    assert (await ca.call(methods.REGISTRATION, RegistrationParams(registration=one.registration))) == decided
    with pytest.raises(Refused) as caught:
        await enrolment.decide(ca, operator, certificate, one.registration, approve=False)
    assert (caught.value.code, caught.value.status) == ("ALREADY_DECIDED", 409)
    await ca.close()


async def test_a_revocation_that_is_noted_in_the_directory_holds_at_once(served: Served, tmp_path: Path) -> None:
    """By `wattq ca revoke` beside a running service: what an operator notes there who was told of it by the chain."""
    operator = SigningKey.generate()
    request = create_request(operator, "olga", "Grid", Role.OPERATOR)
    issued = served.authority.issue(request, "olga", "Grid", Role.OPERATOR)
    ca = HttpTransport(served.url, served.tls)
    try:
        assert await enrolment.waiting(ca, operator, issued.certificate_der) == ()
        words = ["ca", "revoke", issued.serial, "--reason", "key lost", "-d", str(tmp_path / "ca")]
        noted = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert noted.exit_code == 0, noted.output
        with pytest.raises(Refused, match="CERTIFICATE_REVOKED"):
            await enrolment.waiting(ca, operator, issued.certificate_der)
    finally:
        await ca.close()


async def test_bodies_are_bounded_and_nothing_else_is_there(served: Served) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=served.tls)) as session:
        kind = {"Content-Type": "application/json"}
        large = await session.post(f"{served.url}/v1/registrations", data=b"{" + b" " * BODY_BYTES_MAX, headers=kind)
        assert (large.status, json.decode(await large.read())["code"]) == (413, "BODY_TOO_LARGE")
        wide = {"request": "A" * 6_000}
        odd = await session.post(f"{served.url}/v1/registrations", json=wide)
        assert (odd.status, json.decode(await odd.read())["code"]) == (400, "PARAMETERS_INVALID")
        nothing = await session.get(f"{served.url}/v1/status")
        assert nothing.status == 404
        health = await session.get(f"{served.url}/v1/health")
        assert json.decode(await health.read())["holder"] == "ca"


async def test_a_ca_that_shows_another_roots_certificate_is_told_nothing(served: Served, tmp_path: Path) -> None:
    other = Authority.init(tmp_path / "other", "Elsewhere")
    relay = Relay(served.url, lambda: [other.root_der])
    assert await refusal(relay, asked()) == ("AUTHORITY_UNREACHABLE", 503)
    assert not (tmp_path / "ca" / "registrations.jsonl").exists()


async def test_a_relay_finds_the_ca_again_and_trusts_the_roots_of_then(served: Served, tmp_path: Path) -> None:
    roots = [Authority.init(tmp_path / "other", "Elsewhere").root_der]
    relay = Relay(served.url, lambda: roots)
    assert await refusal(relay, asked()) == ("AUTHORITY_UNREACHABLE", 503)
    roots.append(served.authority.root_der)
    assert (await relay.answer(methods.ENROL, asked(), "")) is not None
    await relay.close()


async def test_what_a_relay_has_under_way_is_bounded(served: Served, relay: Relay) -> None:
    calls = [relay.answer(methods.ROOTS, Nothing(), "") for _ in range(RELAYED_MAX + 8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    busy = [answer for answer in answers if isinstance(answer, Refused)]
    assert {(each.code, each.status) for each in busy} == {("TOO_BUSY", 503)}
    assert len(answers) - len(busy) == RELAYED_MAX


async def test_a_relay_tells_the_ca_for_whom_it_asks(
    served: Served, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.admission.WAITING_PER_CALLER_MAX", 1)
    assert await relay.answer(methods.ENROL, asked(name="a"), "10.0.0.1")
    pretending = msgspec.structs.replace(asked(name="b"), caller="10.0.0.9")
    with pytest.raises(Refused) as caught:
        await relay.answer(methods.ENROL, pretending, "10.0.0.1")
    assert caught.value.code == "TOO_MANY_WAITING"
    assert await relay.answer(methods.ENROL, asked(name="c"), "10.0.0.2")


async def test_one_user_does_not_take_all_places_of_a_relay(served: Served, relay: Relay) -> None:
    calls = [relay.answer(methods.ROOTS, Nothing(), "10.0.0.1") for _ in range(RELAYED_OF_ONE_MAX + 1)]
    told = asyncio.gather(*calls, return_exceptions=True)
    assert await relay.answer(methods.ROOTS, Nothing(), "10.0.0.2") == Roots((served.authority.root_der,))
    assert [each.code for each in await told if isinstance(each, Refused)] == ["TOO_MANY_REQUESTS"]


async def test_a_faulty_policy_is_the_cas_own_fault(served: Served, tmp_path: Path) -> None:
    (tmp_path / "ca" / "policy.toml").write_text("nonsense")
    assert await refusal(OwnOffice(served.authority), asked()) == ("AUTHORITY_FAULT", 503)


async def test_a_new_server_certificate_is_shown_without_a_restart(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "ca" / "server.crt"
    file.unlink()
    served.shown._renew_if_due()
    served.shown.reload()
    ca = HttpTransport(served.url, served.tls)
    assert (await ca.call(methods.ROOTS, Nothing())).roots == (served.authority.root_der,)
    await ca.close()
    host, port = served.url.removeprefix("https://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=served.tls)
    assert writer.get_extra_info("ssl_object").getpeercert(True) == ssl.PEM_cert_to_DER_cert(file.read_text())
    writer.close()
    await writer.wait_closed()


async def test_who_does_not_come_by_https_is_told_to(served: Served) -> None:
    ca = HttpTransport(served.url.replace("https", "http"))
    with pytest.raises(Refused) as caught:
        await ca.call(methods.ROOTS, Nothing())
    assert caught.value.code == "HTTPS_REQUIRED"
    await ca.close()
