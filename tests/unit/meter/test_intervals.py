"""Interval readings: telescoping sums, qualities, gaps, resets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meter.counters import Sample, Verdict
from meter.intervals import (
    GAP_INTERVALS_MAX,
    GRACE_MS,
    INTERVAL_MS,
    MeterState,
    Quality,
    Reading,
    advance,
    begin,
    expire,
)

RATED_W = 20_000
FIRST = 2_000_000
MINUTE_MS = 60_000


def at(interval: float) -> int:
    """Milliseconds at ``interval`` intervals after the first."""
    return int((FIRST + interval) * INTERVAL_MS)


def play(state: MeterState, *samples: tuple[float, int, int]) -> tuple[MeterState, list[Reading]]:
    readings: list[Reading] = []
    for interval, imported, exported in samples:
        state, closed, _ = advance(state, Sample(at(interval), imported, exported), RATED_W)
        readings += closed
    return state, readings


def test_a_reading_is_the_difference_between_two_boundaries() -> None:
    state = begin("M", Sample(at(0), 1000, 500))
    state, readings = play(state, (0.5, 1100, 500), (1.0, 1200, 510), (1.5, 1300, 530), (2.0, 1500, 570))
    assert readings == [
        Reading("M", FIRST, 0, 0, 200, 10, Quality.GOOD),
        Reading("M", FIRST + 1, 0, 1, 300, 60, Quality.GOOD),
    ]
    assert (state.open, state.sequence) == (FIRST + 2, 2)


def test_boundaries_are_interpolated() -> None:
    state = begin("M", Sample(at(0), 0, 0))
    _, readings = play(state, (0.8, 320, 0), (1.2, 480, 0), (2.2, 880, 0))
    assert [reading.import_wh for reading in readings] == [400, 400]
    assert [reading.quality for reading in readings] == [Quality.GOOD] * 2


def test_an_interval_whose_start_was_not_seen_gets_no_reading() -> None:
    state = begin("M", Sample(at(0.5), 1000, 0))
    state, readings = play(state, (1.0, 1100, 0), (2.0, 1350, 0))
    assert [(reading.interval, reading.import_wh) for reading in readings] == [(FIRST + 1, 250)]


def test_coarse_counters_carry_their_remainder() -> None:
    """A counter of 100 Wh steps under a steady 130 Wh an interval: nothing is lost over ten intervals."""
    state = begin("M", Sample(at(0), 0, 0, resolution_wh=100))
    readings: list[Reading] = []
    for step in range(1, 101):
        shown = 13 * step // 100 * 100
        state, closed, verdict = advance(state, Sample(at(step / 10), shown, 0, resolution_wh=100), RATED_W)
        assert verdict is Verdict.IN_LINE
        readings += closed
    assert len(readings) == 10
    assert sum(reading.import_wh for reading in readings) == 1300


def test_a_gap_over_a_boundary_is_estimated_on_both_sides() -> None:
    state = begin("M", Sample(at(0), 0, 0))
    _, readings = play(state, (0.5, 100, 0), (1.7, 340, 0), (2.1, 420, 0), (3.0, 600, 0), (4.0, 800, 0))
    assert [reading.quality for reading in readings] == [
        Quality.ESTIMATED,
        Quality.ESTIMATED,
        Quality.GOOD,
        Quality.GOOD,
    ]
    assert [reading.import_wh for reading in readings] == [200, 200, 200, 200]


def test_stale_then_missing_then_suspect_and_nothing_lost() -> None:
    state = begin("M", Sample(at(0), 0, 0))
    state, _ = play(state, (0.5, 100, 0))
    state, readings = expire(state, at(1) + GRACE_MS - 1)
    assert readings == []
    state, readings = expire(state, at(3) + GRACE_MS)
    assert [(r.interval - FIRST, r.import_wh, r.quality) for r in readings] == [
        (0, 100, Quality.STALE),
        (1, 0, Quality.MISSING),
        (2, 0, Quality.MISSING),
    ]
    state, more = play(state, (4.5, 900, 0), (5.0, 1000, 0), (6.0, 1200, 0))
    assert [(r.interval - FIRST, r.import_wh, r.quality) for r in more] == [
        (3, 700, Quality.SUSPECT),
        (4, 200, Quality.ESTIMATED),
        (5, 200, Quality.GOOD),
    ]
    assert sum(reading.import_wh for reading in readings + more) == 1200
    assert [reading.sequence for reading in readings + more] == list(range(6))


def test_a_long_outage_is_bounded() -> None:
    state = begin("M", Sample(at(0), 0, 0))
    state, readings = expire(state, at(10_000))
    assert len(readings) == GAP_INTERVALS_MAX
    assert {reading.quality for reading in readings} == {Quality.MISSING}
    state, readings = play(state, (10_000, 5_000, 0))
    assert readings[0].quality is Quality.SUSPECT
    assert sum(reading.import_wh for reading in readings) == 5_000


def test_a_reset_raises_the_epoch_and_is_suspect() -> None:
    state = begin("M", Sample(at(0), 50_000, 0))
    samples = [(0.2, 50_050, 0), (0.4, 5, 0), (0.6, 25, 0), (0.8, 45, 0), (1.0, 65, 0), (2.0, 165, 0)]
    state, readings = play(state, *samples)
    assert [(r.epoch, r.import_wh, r.quality) for r in readings] == [
        (1, 50 + 60, Quality.SUSPECT),
        (1, 100, Quality.GOOD),
    ]


def test_a_bogus_value_does_not_spoil_the_interval() -> None:
    state = begin("M", Sample(at(0), 50_000, 0))
    _, readings = play(state, (0.4, 50_100, 0), (0.6, 0, 0), (0.8, 50_200, 0), (1.0, 50_250, 0))
    assert [(r.epoch, r.import_wh, r.quality) for r in readings] == [(0, 250, Quality.GOOD)]


def test_a_sample_after_a_long_outage_makes_readings_for_the_last_day_only() -> None:
    """One from 1970 made a reading for each quarter-hour since then."""
    state = begin("M", Sample(0, 0, 0))
    state, readings, _ = advance(state, Sample(at(0), 1_000, 0), RATED_W)
    assert len(readings) == GAP_INTERVALS_MAX
    assert readings[0].quality is Quality.SUSPECT
    assert sum(reading.import_wh for reading in readings) == 1_000
    assert state.open == at(0) // INTERVAL_MS


def test_the_clock_offset_is_carried() -> None:
    state = begin("M", Sample(at(0), 0, 0))
    _, readings, _ = advance(state, Sample(at(1), 10, 0), RATED_W, clock_offset_ms=-37)
    assert readings[0].clock_offset_ms == -37


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 300), st.integers(0, 300), st.booleans()), max_size=60))
def test_readings_add_up_to_the_counters_whatever_happens(steps: list[tuple[int, int, int, bool]]) -> None:
    """Samples at any spacing, with and without expiry before them: intervals are consecutive, sums telescope."""
    now, imported, exported = at(0), 0, 0
    state = begin("M", Sample(now, 0, 0))
    readings: list[Reading] = []
    for minutes, more_import, more_export, absent in steps:
        now += minutes * MINUTE_MS
        if absent:
            state, closed = expire(state, now)
            readings += closed
            now += MINUTE_MS
        imported, exported = imported + more_import, exported + more_export
        state, closed, verdict = advance(state, Sample(now, imported, exported), 1_000_000)
        assert verdict is Verdict.IN_LINE
        readings += closed
    assert [reading.interval for reading in readings] == list(range(FIRST, FIRST + len(readings)))
    assert [reading.sequence for reading in readings] == list(range(len(readings)))
    assert all(reading.import_wh >= 0 and reading.export_wh >= 0 for reading in readings)
    assert sum(reading.import_wh for reading in readings) == state.base_import_wh <= imported
    assert sum(reading.export_wh for reading in readings) == state.base_export_wh <= exported
