"""A CA, a holder's key and its certificate, made anew for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from ca.authority import Authority, Issued
from ca.certificates import Role, create_request
from ca.keys import SigningKey


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.init(tmp_path / "ca", "Grid North")


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def request_der(key: SigningKey) -> bytes:
    return create_request(key, "alice", "Alice's house", Role.SELLER)


@pytest.fixture
def issued(authority: Authority, request_der: bytes) -> Issued:
    return authority.issue(request_der, "alice", "Alice's house", Role.SELLER)
