"""By which addresses a node is known: its certificate's names and what its configuration adds, each with its port."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.addresses import addresses_of
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from sdk.configuration import NodeSection

KEY = SigningKey.from_seed(b"a node of many names")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    authority = Authority.init(tmp_path / "ca", "net")
    request = create_request(KEY, "node1", "Wattquorum", Role.NODE)
    issued = authority.issue(request, "node1", "Wattquorum", Role.NODE, 30, ("node1.example", "192.0.2.7"))
    (tmp_path / "node.crt").write_bytes(issued.certificate_pem)
    return tmp_path / "node.crt"


def section(host: str, addresses: tuple[str, ...] = ()) -> NodeSection:
    return NodeSection(host=host, peer_port=1, rest_port=26601, client_port=0, addresses=addresses)


def test_a_node_is_known_by_its_host_its_certificates_names_and_what_is_added(certificate: Path) -> None:
    known = addresses_of(section("node1", ("Power.Example:443",)), certificate)
    ours = {"node1:26601", "node1.example:26601", "192.0.2.7:26601"}
    assert known == {"unix", *ours, "power.example:443"}


def test_on_loopback_a_node_is_known_by_each_of_its_names(certificate: Path) -> None:
    assert {"127.0.0.1:26601", "localhost:26601", "[::1]:26601"} < addresses_of(section("127.0.0.1"), certificate)
