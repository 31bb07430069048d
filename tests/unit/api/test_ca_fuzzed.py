"""A CA that serves apart from any node, fuzzed at its port: whatever comes, it answers with a typed refusal or hangs
up, fails nowhere inside, issues nothing that was not asked for rightly, and goes on serving."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import ca_fuzz
import pytest
from ca_fuzz import People
from hypothesis import strategies as st
from throwing import lengths, throw

from api import ca_service
from api.ca_service import CaService
from api.enrolment import OwnOffice
from api.options import RestOptions
from ca.authority import Authority, now_ms
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.server import ServerCertificate
from ca.tls import pem_of, trusting_context
from sdk.problem_codes import CODES

HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: ca\r\nConnection: close\r\n\r\n"
KNOWN = set(CODES) - {"INTERNAL_ERROR", "AUTHORITY_FAULT"}
PATIENT = RestOptions(body_bytes_max=32_768, stranger_body_bytes_max=32_768, address_calls_per_s_max=100_000)

pytestmark = pytest.mark.timeout(900)


class Fuzzed:
    """A CA, its service, and people whose signatures are good there."""

    def __init__(self, home: Path) -> None:
        self.authority = Authority.init(home, "Grid North")
        operator, seller = SigningKey.from_seed(b"operator"), SigningKey.from_seed(b"seller")
        issue = self.authority.issue
        self.people = People(
            self.authority,
            operator,
            issue(create_request(operator, "olga", "Grid", Role.OPERATOR), "olga", "Grid", Role.OPERATOR),
            seller,
            issue(create_request(seller, "sam", "house", Role.SELLER), "sam", "house", Role.SELLER),
            now_ms(),
        )
        self.issued = len(self.authority.issued())
        shown = ServerCertificate(home, self.authority, ("localhost", "127.0.0.1"))
        self.context = shown.context
        self.service = CaService(self.authority, OwnOffice(self.authority))
        self.tls = trusting_context(pem_of([self.authority.root_der]))

    async def start(self) -> None:
        self.port = await self.service.listen("127.0.0.1", 0, self.context)

    async def serves(self) -> bool:
        return b"200 OK" in (await ca_fuzz.sent(self.port, self.tls, HEALTH, whole=True)).split(b"\r\n")[0]


@pytest.fixture
def lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address asks for everything here; its pace has tests of its own."""
    monkeypatch.setattr(ca_service, "OPTIONS", PATIENT)
    monkeypatch.setattr("api.enrolment.CALLS_PER_S_MAX", 100_000)


def judge(answer: bytes) -> None:
    """Every problem that is told is a documented one, and none is the CA's own fault."""
    for part in answer.split(b'{"type":"urn:wattquorum:problem:')[1:]:
        code = part.split(b'"')[0].decode()
        assert code in KNOWN, answer


@lengths
@pytest.mark.parametrize("way", ["over TLS", "without TLS"])
async def test_whatever_comes_is_answered_or_hung_up_on(
    tmp_path: Path, lifted: None, caplog: pytest.LogCaptureFixture, way: str, examples: int
) -> None:
    fuzzed = Fuzzed(tmp_path / "ca")
    await fuzzed.start()

    async def probe(data: bytes) -> None:
        judge(await ca_fuzz.sent(fuzzed.port, fuzzed.tls if way == "over TLS" else None, data))

    try:
        with caplog.at_level(logging.WARNING):
            await throw(examples, ca_fuzz.streams(fuzzed.people), probe)
        assert await fuzzed.serves()
    finally:
        await fuzzed.service.close()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert_nothing_was_given_away(fuzzed)


@lengths
async def test_whatever_is_asked_is_answered_and_typed(
    tmp_path: Path, lifted: None, caplog: pytest.LogCaptureFixture, examples: int
) -> None:
    fuzzed = Fuzzed(tmp_path / "ca")
    await fuzzed.start()
    statuses: set[int] = set()

    async def probe(drawn: tuple[str, Any]) -> None:
        path, body = drawn
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: ca\r\nConnection: close\r\nContent-Type: application/json\r\n"
        asked = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
        answer = await ca_fuzz.sent(fuzzed.port, fuzzed.tls, asked, whole=True)
        statuses.add(int(answer.split(b" ")[1]))
        judge(answer)

    try:
        posted = st.tuples(
            st.sampled_from([path for path in ca_fuzz.PATHS if "0000" not in path]), ca_fuzz.bodies(fuzzed.people)
        )
        await throw(examples, posted, probe)
        assert await fuzzed.serves()
    finally:
        await fuzzed.service.close()
    assert {200, 400} <= statuses
    assert 500 not in statuses
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert_nothing_was_given_away(fuzzed)


def assert_nothing_was_given_away(fuzzed: Fuzzed) -> None:
    """Everybody waits for an operator: no policy and no code admits here, and nobody's renewal is due."""
    assert len(fuzzed.authority.issued()) == fuzzed.issued
    Authority.check_log(fuzzed.authority.folder.directory)
