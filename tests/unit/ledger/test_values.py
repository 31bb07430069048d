"""Values of the state: one encoding each, and fresh copies back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import DEPTH_MAX, INTEGER_BITS_MAX, ValueInvalid, decode_value, encode_value

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**255), 2**255) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@given(VALUES)
def test_a_value_comes_back_and_has_one_encoding(value: Any) -> None:
    data = encode_value(value)
    assert decode_value(data) == value
    assert encode_value(decode_value(data)) == data


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert encode_value(dict(reversed(value.items()))) == encode_value(value)


@pytest.mark.parametrize("edge", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**INTEGER_BITS_MAX - 1])
def test_integers_of_any_allowed_size(edge: int) -> None:
    assert decode_value(encode_value(edge)) == edge


@pytest.mark.parametrize(
    "value",
    [1.0, b"x", {1, 2}, (1, 2), {1: 2}, 2**INTEGER_BITS_MAX, nested(DEPTH_MAX + 1), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_value(value: Any) -> None:
    with pytest.raises(ValueInvalid):
        encode_value(value)


def test_values_are_nested_at_most_so_deep() -> None:
    assert decode_value(encode_value(nested(DEPTH_MAX))) == nested(DEPTH_MAX)


def test_true_is_not_one() -> None:
    assert encode_value(True) != encode_value(1)
