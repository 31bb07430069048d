"""TLS contexts: both nodes show certificates of one CA, in TLS 1.3, or there is no connection."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import client_context, public_server_context, server_context, trusting_context

ROUNDS_MAX = 10


def node(authority: Authority, home: Path) -> tuple[Path, Path]:
    """A node's certificate and key files."""
    home.mkdir()
    key = SigningKey.generate()
    key.save(home / "node.key")
    request = create_request(key, home.name, "o", Role.NODE)
    issued = authority.issue(request, home.name, "o", Role.NODE, hosts=("localhost",))
    (home / "node.crt").write_bytes(issued.certificate_pem)
    return home / "node.crt", home / "node.key"


def root_pem(authority: Authority) -> str:
    return ssl.DER_cert_to_PEM_cert(authority.root_der)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A whole TLS handshake in memory, and one byte each way, since TLS 1.3 refuses a client only after its own."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_side=False, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    )
    shaken: set[ssl.SSLObject] = set()
    for _ in range(ROUNDS_MAX):
        for end in ends:
            try:
                end.do_handshake()
                shaken.add(end)
            except ssl.SSLWantReadError:
                continue
        if len(shaken) == 2:
            break
    for sender, receiver in (ends, ends[::-1]):
        sender.write(b"x")
        assert receiver.read(1) == b"x"
    return ends


def test_two_nodes_of_one_ca_speak_tls_1_3(tmp_path: Path, authority: Authority) -> None:
    dialling, accepting = node(authority, tmp_path / "a"), node(authority, tmp_path / "b")
    client, server = shake_hands(
        client_context(*dialling, root_pem(authority)), server_context(*accepting, root_pem(authority))
    )
    assert client.version() == server.version() == "TLSv1.3"
    for end, (certificate, _) in ((server, dialling), (client, accepting)):
        assert end.getpeercert(True) == ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_a_node_of_another_ca_is_turned_away_by_either_side(tmp_path: Path, authority: Authority) -> None:
    other = Authority.init(tmp_path / "other", "Grid North")
    ours, theirs = node(authority, tmp_path / "a"), node(other, tmp_path / "b")
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        shake_hands(client_context(*ours, root_pem(authority)), server_context(*theirs, root_pem(authority)))
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        shake_hands(client_context(*theirs, root_pem(other)), server_context(*ours, root_pem(authority)))


def test_a_peer_without_a_certificate_is_turned_away(tmp_path: Path, authority: Authority) -> None:
    server = server_context(*node(authority, tmp_path / "a"), root_pem(authority))
    with pytest.raises(ssl.SSLError, match="peer did not return a certificate"):
        shake_hands(trusting_context(root_pem(authority)), server)


def test_clients_need_none_but_trust_the_networks_ca_alone(tmp_path: Path, authority: Authority) -> None:
    server = public_server_context(*node(authority, tmp_path / "a"))
    client, _ = shake_hands(trusting_context(root_pem(authority)), server)
    assert client.version() == "TLSv1.3"
    other = Authority.init(tmp_path / "other", "Grid North")
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        shake_hands(trusting_context(root_pem(other)), server)


def test_tls_1_2_is_refused(tmp_path: Path, authority: Authority) -> None:
    old = trusting_context(root_pem(authority))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported protocol|protocol version"):
        shake_hands(old, public_server_context(*node(authority, tmp_path / "a")))
