"""Tests of the contract of `wattq bench`. Run them with: wattq contract test examples/contracts/assets.py"""

from __future__ import annotations

import pytest

from contracts.testing import Chain


@pytest.fixture
def shelf(chain: Chain) -> Chain:
    """Two who may sign, and an asset of the first."""
    chain.user("sol", "seller")
    chain.user("bea", "buyer")
    assert chain.submit("assets.create", {"asset": "a", "value": "x" * 100}, "sol").code == "OK"
    return chain


def test_what_is_created_is_read_and_updated(shelf: Chain) -> None:
    assert shelf.submit("assets.read", {"asset": "a"}, "bea").value == "x" * 100
    assert shelf.submit("assets.update", {"asset": "a", "value": "y" * 32_000}, "sol").code == "OK"
    assert shelf.view("assets", "look", {"asset": "a"}).value == "y" * 32_000


def test_an_asset_is_its_owner_s_and_there_once(shelf: Chain) -> None:
    assert shelf.submit("assets.update", {"asset": "a", "value": ""}, "bea").code == "NOT_YOURS"
    assert shelf.submit("assets.create", {"asset": "a", "value": ""}, "bea").code == "ASSET_EXISTS"
    assert shelf.submit("assets.read", {"asset": "b"}, "bea").code == "NOT_FOUND"


def test_names_and_values_are_checked(shelf: Chain) -> None:
    for name in ("", "a/b", "n" * 65):
        assert shelf.submit("assets.create", {"asset": name, "value": ""}, "sol").code == "NAME_INVALID"
    assert shelf.submit("assets.create", {"asset": "b", "value": "x" * 32_001}, "sol").code == "VALUE_INVALID"


def test_nothing_is_nothing(shelf: Chain) -> None:
    assert shelf.submit("assets.nothing", {}, "bea").value is None
    assert shelf.view("assets", "look_at_nothing", {}).value is None
