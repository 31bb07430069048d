"""Registers to integers: word orders, marks of missing values, scaling, planning."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.errors import WrongDevice
from meter.profile import Register, RegisterType, WordOrder
from meter.registers import decode, decode_scale_factor, encode, plan_requests, scaled


def register(kind: RegisterType, multiplier: int = 1, divisor: int = 1) -> Register:
    return Register(address=0, type=kind, multiplier=multiplier, divisor=divisor)


@pytest.mark.parametrize(
    ("kind", "words", "order", "value"),
    [
        ("float32", [0x4366, 0x0000], "big", 230.0),  # IEEE 754: 0x43660000
        ("int32", [0x0001, 0x0002], "big", 0x0001_0002),
        ("int32", [0x0001, 0x0002], "little", 0x0002_0001),
        ("int32", [0xFFFE, 0xFFFF], "little", -2),
        ("uint32", [0x8000, 0x0000], "big", 1 << 31),
        ("int64", [0, 0, 1, 0], "big", 1 << 16),
        ("int16", [0xFFFF], "big", -1),
    ],
)
def test_bytes_as_manuals_give_them(kind: RegisterType, words: list[int], order: WordOrder, value: float) -> None:
    assert decode(words, register(kind), order, sunspec=False) == value
    assert encode(value, register(kind), order) == words


@pytest.mark.parametrize(
    ("kind", "words"),
    [("int16", [0x8000]), ("uint16", [0xFFFF]), ("int32", [0x8000, 0]), ("uint32", [0xFFFF, 0xFFFF])],
)
def test_sunspec_marks(kind: RegisterType, words: list[int]) -> None:
    assert decode(words, register(kind), "big", sunspec=True) is None
    assert decode(words, register(kind), "big", sunspec=False) is not None


@pytest.mark.parametrize("words", [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]])
def test_a_float_that_is_no_number(words: list[int]) -> None:
    assert decode(words, register("float32"), "big", sunspec=False) is None


def test_an_unimplemented_acc32_is_no_energy() -> None:
    assert decode([0, 0], register("acc32"), "big", sunspec=True) == 0


def test_scale_factors() -> None:
    assert [decode_scale_factor(word, 1) for word in (0, 3, 0xFFFF, 0xFFF6)] == [0, 3, -1, -10]
    for word in (0x8000, 11, 0xFFF5):
        with pytest.raises(WrongDevice):
            decode_scale_factor(word, 1)


def test_scaling() -> None:
    assert scaled(1234, register("int32", multiplier=100)) == 123_400
    assert scaled(1239, register("int32", divisor=10)) == 123
    assert scaled(5, register("acc32"), 3) == 5_000
    assert scaled(5_999, register("acc32"), -3) == 5
    assert scaled(1.2345678, register("float32", multiplier=1000)) == 1235


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 4)), min_size=1, max_size=8), st.integers(4, 125))
def test_requests_cover_what_is_wanted_and_no_more_than_allowed(spans: list[tuple[int, int]], most: int) -> None:
    requests = plan_requests(spans, most)
    assert all(1 <= count <= most for _, count in requests)
    assert all(any(a <= address and address + n <= a + count for a, count in requests) for address, n in spans)
    assert len(requests) <= len(set(spans))


def test_neighbours_are_read_together() -> None:
    assert plan_requests([(0x4A, 2), (0x34, 2), (0x48, 2)], 60) == [(0x34, 24)]
    assert plan_requests([(0x28, 2), (0x34, 2), (0x4E, 2)], 11) == [(0x28, 2), (0x34, 2), (0x4E, 2)]
