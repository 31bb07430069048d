"""What the page sends of an admission code is what the CA takes."""

from __future__ import annotations

import base64

import pytest
from page_calls import page_calls

from ca.certificates import RequestFacts
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
