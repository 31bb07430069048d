"""Who may read what: parties their own, operator and regulator all, strangers only the market."""

from __future__ import annotations

from typing import Any

import pytest

from api.privacy import PARTY_FIELDS, STRANGER, Viewer, may_call_view, may_read, may_read_transaction

ALICE, BOB = "a" * 64, "b" * 64
KEYS = [f"credit/account/{ALICE}", f"registry/user/{ALICE}", "market/trade/1", "system/nonce/x", "governance/root/x"]


@pytest.mark.parametrize("role", ["operator", "regulator"])
@pytest.mark.parametrize("key", KEYS)
def test_operator_and_regulator_read_everything(role: str, key: str) -> None:
    assert may_read(Viewer(BOB, role), key, {"owner": ALICE})
    assert may_read_transaction(Viewer(BOB, role), (ALICE,), {}, None)


@pytest.mark.parametrize("role", ["", "seller", "buyer", "gateway", "Operator", "node"])
def test_other_roles_read_only_their_own(role: str) -> None:
    viewer = Viewer(ALICE, role)
    assert may_read(viewer, f"credit/account/{ALICE}", None)
    assert may_read(viewer, "market/trade/1", {"seller": BOB, "buyer": ALICE})
    assert not may_read(viewer, f"credit/account/{BOB}", {"owner": BOB})
    assert not may_read(viewer, "market/trade/1", {"seller": BOB, "buyer": BOB})
    assert not may_read(viewer, "market/trade/1", None)


@pytest.mark.parametrize("field", PARTY_FIELDS)
def test_each_party_field_opens_a_document_to_whom_it_names(field: str) -> None:
    assert may_read(Viewer(ALICE), "market/x", {field: ALICE})
    assert not may_read(Viewer(BOB), "market/x", {field: ALICE})


@pytest.mark.parametrize(
    ("viewer", "function", "args", "may"),
    [
        (Viewer(ALICE, "seller"), "statement", {"party": ALICE}, True),
        (Viewer(ALICE, "seller"), "statement", {"party": BOB}, False),
        (Viewer(ALICE, "seller"), "statement", {}, False),
        (Viewer(ALICE, "seller"), "other", {"party": ALICE}, False),
        (Viewer(ALICE, "regulator"), "other", {"party": BOB}, True),
        (STRANGER, "statement", {"party": ""}, False),
    ],
)
def test_a_party_asks_for_its_own_statement(viewer: Viewer, function: str, args: dict[str, Any], may: bool) -> None:
    assert may_call_view(viewer, "settlement", function, args) is may


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [None, {}, {"owner": ""}, "", {"owner": ALICE}], ids=repr)
def test_a_stranger_reads_no_document(key: str, value: Any) -> None:
    """Not even one that names nobody, or lies under an empty name."""
    assert not may_read(STRANGER, key, value)
    assert not may_read(STRANGER, "market/trade/", value)


@pytest.mark.parametrize(
    "key", ["governance/parameter/grid_price", "governance/epoch", "market/offer/0000000005/0000000120/1"]
)
def test_parameters_validators_and_listings_without_names_are_public(key: str) -> None:
    assert may_read(STRANGER, key, {"value": 1})


@pytest.mark.parametrize("key", [f"x/{ALICE}/y", f"x/{ALICE[:-1]}", f"x/{ALICE}x", f"x/y{ALICE}"])
def test_a_key_is_ones_own_only_if_it_ends_in_ones_signer(key: str) -> None:
    assert not may_read(Viewer(ALICE), key, {})


@pytest.mark.parametrize(
    ("args", "value", "seen"),
    [
        ({}, None, False),
        ({"buyer": ALICE}, None, True),
        ({"deep": [{"x": [ALICE]}]}, None, True),
        ({}, {"trade": {"seller": ALICE}}, True),
        ({}, [[ALICE]], True),
        ({"text": f"for {ALICE}"}, None, False),
        ({ALICE: 1}, None, False),
    ],
)
def test_a_transaction_is_open_to_whom_it_names(args: Any, value: Any, seen: bool) -> None:
    assert may_read_transaction(Viewer(ALICE, "seller"), (BOB,), args, value) is seen
    assert not may_read_transaction(STRANGER, (BOB,), args, value)


def test_a_transaction_is_open_to_each_of_its_signers() -> None:
    assert may_read_transaction(Viewer(ALICE), (BOB, ALICE), {}, None)
    assert not may_read_transaction(STRANGER, ("",), {"to": ""}, "")


def test_anybody_asks_what_names_nobody() -> None:
    assert may_call_view(STRANGER, "auction", "result", {"product": "valley", "interval": 5})
    assert may_call_view(STRANGER, "market", "grid_fee", {"from_zone": "a", "to_zone": "b", "interval": 5})
    assert not may_call_view(STRANGER, "auction", "grid_fee", {})
