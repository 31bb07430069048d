"""The lab clock and real time."""

from __future__ import annotations

import time

import pytest

from sdk.clock import Clock


def test_real_time() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= Clock().now_ms() <= time.time_ns() // 1_000_000


def test_lab_clocks_with_the_same_numbers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Clock(1_000_000, 900.0, 5_000)
    other = Clock(1_000_000, 900.0, 5_000)
    monkeypatch.setattr(time, "time_ns", lambda: 5_002 * 1_000_000)
    assert one.now_ms() == other.now_ms() == 1_000_000 + 2 * 900


def test_a_lab_clock_starts_now_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 7_000 * 1_000_000)
    assert Clock(42).now_ms() == 42


async def test_sleep_until_is_accelerated_and_never_early() -> None:
    clock = Clock(0, 10_000.0)
    began = time.monotonic()
    await clock.sleep_until(1_000_000)
    assert clock.now_ms() >= 1_000_000
    assert time.monotonic() - began < 5
    await clock.sleep_until(0)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none(rate: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Clock(0, rate)


def test_real_time_cannot_be_accelerated() -> None:
    with pytest.raises(ValueError, match="lab"):
        Clock(None, 2.0)
    with pytest.raises(ValueError, match="lab"):
        Clock(None, 1.0, 5)
