"""Whom the page has sign a change of an account's keys: those whom the contract asks for."""

from __future__ import annotations

from typing import Any

import pytest
from page_calls import page_calls

pytestmark = pytest.mark.needs("node")


def policy(threshold: int, *keys: str) -> dict[str, Any]:
    return {"keys": list(keys), "threshold": threshold}


def test_whose_key_is_named_for_the_first_time_signs_its_change() -> None:
    """Of three keys, two of whom sign, one new one was not asked: the contract refused the change with
    SIGNATURES_LACKING, after the other had signed."""
    cases = [
        (None, policy(2, "me", "a", "b"), ["a", "b"]),
        (None, policy(1, "me", "a"), ["a"]),
        (None, policy(2, "me", "a"), ["a"]),
        (policy(2, "me", "a", "b"), policy(2, "me", "a", "c"), ["a", "c"]),
        (policy(2, "me", "a", "b"), policy(3, "me", "a", "b"), ["a", "b"]),
        (policy(2, "me", "a", "b"), policy(2, "me", "b"), ["a", "b"]),
        (policy(2, "me", "a", "b"), policy(1, "me", "a", "b"), ["a"]),
        (policy(2, "a", "b"), policy(2, "a", "b", "c"), ["a", "b", "c"]),
        (policy(2, "me", "a"), None, ["a"]),
    ]
    asked = [("acts/account.js", "othersOfChange", [old, new, "me"]) for old, new, _ in cases]
    assert page_calls(asked) == [others for _, _, others in cases]
