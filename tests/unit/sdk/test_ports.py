"""Blocks of ports: what one process has claimed no other finds free."""

from __future__ import annotations

import socket

import pytest

from sdk import ports
from sdk.ports import BLOCK_PORTS, HOST, NoFreePorts, claim_ports, port_fault, port_is_free


def test_two_that_look_at_the_same_moment_do_not_find_the_same_block() -> None:
    """Found in CI: two benches at once, and each took the other's nodes for its own."""
    with claim_ports(4) as first, claim_ports(4) as second:
        assert second.first >= first.first + BLOCK_PORTS


def test_a_block_that_was_left_is_free_for_others() -> None:
    with claim_ports(4) as block:
        first = block.first
        assert not port_is_free(HOST, first + BLOCK_PORTS - 1)
    assert port_is_free(HOST, first + BLOCK_PORTS - 1)


def test_what_is_wrong_with_a_port_is_told_apart() -> None:
    """A name that does not resolve was told as a port in use."""
    with claim_ports(1) as block:
        assert port_fault(HOST, block.first) == ""
        assert "is in use" in port_fault(HOST, block.first + BLOCK_PORTS - 1)
        assert "host node1.invalid does not resolve" in port_fault("node1.invalid", block.first)
        assert port_fault("203.0.113.1", block.first) == "host 203.0.113.1 is no address of this machine"


def test_a_block_with_a_used_port_is_passed_over() -> None:
    with claim_ports(4) as block, socket.socket() as used:
        # A node of another test may have listened there a moment ago.
        used.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        used.bind((HOST, block.first + 3))
        used.listen()
        block.close()
        with claim_ports(4) as other:
            assert other.first > block.first


def test_where_nothing_is_free_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with claim_ports(1) as block:
        monkeypatch.setattr(ports, "BLOCK_FIRST", block.first)
        monkeypatch.setattr(ports, "BLOCK_LAST", block.first + 1)
        with pytest.raises(NoFreePorts, match="no free block of 3 ports"):
            claim_ports(3)
