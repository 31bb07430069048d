"""The addresses by which a node is known: a session is opened by a signature that names one of them.

So what somebody signs for an impostor, or for another node, is worth nothing here.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from ca.issuing import hosts_of
from sdk.configuration import LOOPBACK, NodeSection
from sdk.node_address import SOCKET_ADDRESS, joined


def addresses_of(section: NodeSection, certificate: Path) -> frozenset[str]:
    """Every HOST:PORT of a node's REST and socket, by its host and its TLS certificate's names; and what its
    configuration adds, where others map ports or names to it."""
    hosts = {section.host, *hosts_of(x509.load_pem_x509_certificate(certificate.read_bytes()))}
    if section.host in LOOPBACK:
        hosts.update(LOOPBACK)
    ports = {section.rest_port, section.client_port} - {0}
    made = (joined(host, port) for host in hosts for port in ports)
    return frozenset({SOCKET_ADDRESS, *made, *(each.lower() for each in section.addresses)})
