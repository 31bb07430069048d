"""What the page signs to open a session is what a node verifies: it names the node by the address that was dialled."""

from __future__ import annotations

import pytest
from page_calls import page_calls

from sdk.client import session_text
from sdk.node_address import address_of

pytestmark = pytest.mark.needs("node")
URLS = ("http://127.0.0.1:26601/#/market", "https://Node1.Example/", "http://localhost/", "http://[::1]:26601/")


def test_the_page_signs_for_a_session_what_the_node_verifies() -> None:
    challenge = bytes(range(56))
    addresses = page_calls([("lib/api.js", "addressOf", [url]) for url in URLS])
    assert addresses == [address_of(url) for url in URLS]
    texts = page_calls([("lib/api.js", "sessionText", ["ab" * 32, each, list(challenge)]) for each in addresses])
    assert [bytes(text.values()) for text in texts] == [
        session_text(bytes.fromhex("ab" * 32), each, challenge) for each in addresses
    ]
