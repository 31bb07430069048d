"""What the page says to the CA, for those who apply and those who decide, is what the CA takes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from page_calls import Call, page_calls

from ca.authority import Authority
from ca.certificates import RequestFacts, Role, create_request
from ca.codes import prove
from ca.keys import SigningKey

pytestmark = pytest.mark.needs("node")


@pytest.mark.parametrize("code", ["dGhpcyBpcyBubyBjb2RlIQ", "短", "x" * 40])
def test_the_page_shows_a_code_as_the_ca_reads_it(code: str) -> None:
    key = SigningKey.generate()
    names = {"name": "爱丽丝", "organisation": "house", "role": "seller"}
    expected = prove(code, RequestFacts(**names, public_key=key.public_key))
    (told,) = page_calls([("lib/codes.js", "shown", [code, {"signer": key.signer, **names}])])
    assert told == {"code_id": expected.id, "code_proof": base64.b64encode(expected.proof).decode()}


def test_without_a_code_nothing_is_shown() -> None:
    assert page_calls([("lib/codes.js", "shown", ["", {}])]) == [{"code_id": "", "code_proof": ""}]


def test_the_page_names_the_ca_that_certified_the_operator(tmp_path: Path) -> None:
    authority = Authority.init(tmp_path / "ca", "Grid North")
    names = ("olga", "Grid", Role.OPERATOR)
    issued = authority.issue(create_request(SigningKey.generate(), *names), *names)
    text = base64.b64encode(issued.certificate_der).decode()
    root = base64.b64encode(b"no certificate").decode()
    calls: list[Call] = [("views/operations/admissions.js", "issuerOf", [each]) for each in (text, root)]
    assert page_calls(calls) == [authority.key_id, ""]
