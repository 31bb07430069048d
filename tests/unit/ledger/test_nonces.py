"""Nonces: any order, once each, in a window round the highest used one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.authentication import NONCE_PREFIX, NONCE_WINDOW, NonceWindow
from ledger.codes import RefusalCode
from ledger.state import Entry, MemoryState
from ledger.values import encode_value


def used(*nonces: int) -> NonceWindow:
    window = NonceWindow(-1, 0)
    for nonce in nonces:
        assert window.refuses(nonce) is None
        window.use(nonce)
    return window


def stored(window: NonceWindow) -> NonceWindow:
    """The window as the next block reads it."""
    state = MemoryState({NONCE_PREFIX + "alice": Entry(1, 0, encode_value(window.value()))})
    return NonceWindow.read(state, "alice")


class Model:
    """The same rule, remembering everything."""

    def __init__(self) -> None:
        self.used: set[int] = set()

    def refuses(self, nonce: int) -> RefusalCode | None:
        highest = max(self.used, default=-1)
        if not highest - NONCE_WINDOW < nonce <= highest + NONCE_WINDOW:
            return RefusalCode.NONCE_OUT_OF_WINDOW
        return RefusalCode.NONCE_USED if nonce in self.used else None


def test_somebody_new_has_used_none() -> None:
    assert NonceWindow.read(MemoryState(), "alice").highest == -1


@pytest.mark.parametrize(
    ("nonce", "code"),
    [
        (0, RefusalCode.NONCE_OUT_OF_WINDOW),
        (5_000, RefusalCode.NONCE_USED),
        (5_001, None),
        (4_999, None),
        (5_000 - NONCE_WINDOW + 1, None),
        (5_000 - NONCE_WINDOW, RefusalCode.NONCE_OUT_OF_WINDOW),
        (5_000 + NONCE_WINDOW, None),
        (5_000 + NONCE_WINDOW + 1, RefusalCode.NONCE_OUT_OF_WINDOW),
    ],
)
def test_the_window_reaches_as_far_back_as_forward(nonce: int, code: RefusalCode | None) -> None:
    window = NonceWindow(5_000, 1)
    assert window.refuses(nonce) == code
    assert stored(window).refuses(nonce) == code


def test_any_order_once_each() -> None:
    window = used(3, 0, 7, 1)
    assert [window.refuses(nonce) for nonce in (0, 1, 3, 7)] == [RefusalCode.NONCE_USED] * 4
    assert [window.refuses(nonce) for nonce in (2, 4, 5, 6, 8)] == [None] * 5


def test_a_step_of_a_whole_window_forgets_what_lies_behind() -> None:
    window = used(0, NONCE_WINDOW)
    assert window.refuses(0) is RefusalCode.NONCE_OUT_OF_WINDOW
    assert window.refuses(1) is None


def test_the_table_never_grows() -> None:
    window = NonceWindow(-1, 0)
    for nonce in range(0, 10 * NONCE_WINDOW, NONCE_WINDOW // 4):
        window.use(nonce)
    assert window.bits.bit_length() <= NONCE_WINDOW


@given(st.lists(st.integers(-NONCE_WINDOW - 3, NONCE_WINDOW + 3), max_size=60), st.booleans())
def test_the_window_is_the_model(steps: list[int], through_storage: bool) -> None:
    """Each step tries a nonce at that distance from the highest used one."""
    window, model = NonceWindow(-1, 0), Model()
    for step in steps:
        nonce = max(0, window.highest + step)
        assert window.refuses(nonce) == model.refuses(nonce)
        if window.refuses(nonce) is None:
            window.use(nonce)
            model.used.add(nonce)
        if through_storage:
            window = stored(window)
