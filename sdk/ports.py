"""Ports of this machine: whether one is free, and blocks of them that no other process of ours takes meanwhile."""

from __future__ import annotations

import errno
import socket
from types import TracebackType

HOST = "127.0.0.1"
BLOCK_FIRST, BLOCK_LAST, BLOCK_PORTS = 26_600, 32_600, 200
"""Below the ports that systems give out by themselves, so that no outgoing connection sits on one."""


class NoFreePorts(Exception):
    """There is no free block."""


def port_is_free(host: str, port: int) -> bool:
    return not port_fault(host, port)


def port_fault(host: str, port: int) -> str:
    """Why nobody can listen there, and what helps; empty if one can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            return f"host {host} does not resolve on this machine ({error.strerror})"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is in use"
            if error.errno == errno.EADDRNOTAVAIL:
                return f"host {host} is no address of this machine"
            return f"port {port} of {host} cannot be used: {error.strerror}"
    return ""


class PortBlock:
    """Free ports in a row from ``first`` on; nobody else's block until ``close``, or until this process ends."""

    def __init__(self, first: int, guard: socket.socket) -> None:
        self.first = first
        self._guard = guard

    def close(self) -> None:
        """Leave the block to others."""
        self._guard.close()

    def __enter__(self) -> PortBlock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim_ports(count: int) -> PortBlock:
    """The first block that nobody has claimed with ``count`` free ports in front; ``NoFreePorts`` if there is none.

    The block's last port is bound for as long as it is claimed: two who look at once do not find the same one.
    """
    assert count < BLOCK_PORTS
    for first in range(BLOCK_FIRST, BLOCK_LAST, BLOCK_PORTS):
        guard = _guarded(first + BLOCK_PORTS - 1)
        if guard is None:
            continue
        if all(port_is_free(HOST, first + offset) for offset in range(count)):
            return PortBlock(first, guard)
        guard.close()
    raise NoFreePorts(f"no free block of {count} ports between {BLOCK_FIRST} and {BLOCK_LAST}")


def _guarded(port: int) -> socket.socket | None:
    guard = socket.socket()
    try:
        guard.bind((HOST, port))
        guard.listen()
    except OSError:
        guard.close()
        return None
    return guard
