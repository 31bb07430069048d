"""A node's address as a client has dialled it: what opens a session names it, so that it is worth nothing elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

SOCKET_ADDRESS = "unix"
"""Of the node's own socket, wherever it lies: only users of the same machine reach it."""
DEFAULT_PORTS = {"http": 80, "https": 443}
ADDRESS_CHARS_MAX = 264


def address_of(endpoint: str) -> str:
    """HOST:PORT of ``http(s)://HOST:PORT`` or ``tls://HOST:PORT``, in small letters; ``unix`` for a Unix socket."""
    if endpoint.startswith("unix:"):
        return SOCKET_ADDRESS
    parts = urlsplit(endpoint)
    return joined(parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0))


def joined(host: str, port: int) -> str:
    """HOST:PORT, as ``address_of`` writes it."""
    return f"[{host}]:{port}".lower() if ":" in host else f"{host}:{port}".lower()
