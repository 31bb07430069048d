"""A node's address as clients sign it: one way to write each."""

from __future__ import annotations

import pytest

from sdk.node_address import address_of


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://127.0.0.1:26601", "127.0.0.1:26601"),
        ("https://Node1.Example:26601/", "node1.example:26601"),
        ("https://node1.example", "node1.example:443"),
        ("http://localhost", "localhost:80"),
        ("tls://node1.example:26602", "node1.example:26602"),
        ("http://[::1]:26601", "[::1]:26601"),
        ("unix:/run/Node1/node.sock", "unix"),
    ],
)
def test_an_endpoint_has_one_address(endpoint: str, address: str) -> None:
    assert address_of(endpoint) == address
