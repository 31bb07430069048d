"""Counter logic: what is believed, what is held back, what is never counted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meter.counters import CONFIRMATIONS, CounterTrack, Sample, Verdict, energy_max_wh, follow, judge

RATED_W = 10_000
STEP_MS = 60_000


def sample(step: int, import_wh: int, export_wh: int = 0, wrap_wh: int = 0) -> Sample:
    return Sample(at_ms=step * STEP_MS, import_wh=import_wh, export_wh=export_wh, wrap_wh=wrap_wh)


def run(*samples: Sample) -> tuple[CounterTrack, list[Verdict]]:
    track, verdicts = CounterTrack(samples[0]), []
    for one in samples[1:]:
        track, verdict = follow(track, one, RATED_W)
        verdicts.append(verdict)
    return track, verdicts


def test_the_bound_is_rated_power_with_a_quarter_more() -> None:
    assert energy_max_wh(10_000, 3_600_000, 0) == 12_500
    assert energy_max_wh(10_000, 60_000, 100) == 208 + 200


def test_judgements() -> None:
    assert judge(100, 150, 60, 0) == (Verdict.IN_LINE, 50)
    assert judge(100, 161, 60, 0) == (Verdict.IMPLAUSIBLE, 0)
    assert judge(4_294_967_290, 14, 60, 1 << 32) == (Verdict.WRAPPED, 20)
    assert judge(4_294_967_290, 14, 60, 0) == (Verdict.RESET, 0)
    assert judge(1000, 899, 60, 0) == (Verdict.RESET, 0)
    assert judge(1000, 950, 60, 0) == (Verdict.IMPLAUSIBLE, 0)


def test_counters_in_line_add_up() -> None:
    track, verdicts = run(sample(0, 1000, 500), sample(1, 1100, 500), sample(2, 1200, 620))
    assert verdicts == [Verdict.IN_LINE] * 2
    assert (track.import_total_wh, track.export_total_wh) == (200, 120)


def test_a_wrap_is_counted_through() -> None:
    track, verdicts = run(sample(0, 9_950, wrap_wh=10_000), sample(1, 20, wrap_wh=10_000))
    assert verdicts == [Verdict.WRAPPED]
    assert track.import_total_wh == 70


def test_one_bogus_value_is_forgotten() -> None:
    for bogus in (0, 5, 900_000, 1_500_000):
        track, verdicts = run(sample(0, 1_000_000), sample(1, bogus), sample(2, 1_000_100))
        assert verdicts[0] in (Verdict.RESET, Verdict.IMPLAUSIBLE)
        assert verdicts[1] is Verdict.IN_LINE
        assert track.import_total_wh == 100
        assert track.held == 0


def test_a_reset_is_believed_when_it_stays_and_is_never_energy() -> None:
    track, verdicts = run(sample(0, 50_000), sample(1, 10), sample(2, 20), sample(3, 35), sample(4, 45))
    assert verdicts == [Verdict.RESET, Verdict.RESET, Verdict.REBASED, Verdict.IN_LINE]
    # From the first value after the reset on: 10 to 45.
    assert track.import_total_wh == 35


def test_values_out_of_line_that_disagree_are_never_believed() -> None:
    wild = [sample(step, 2_000_000 * step) for step in range(1, 4 * CONFIRMATIONS)]
    track, verdicts = run(sample(0, 1_000), *wild)
    assert Verdict.REBASED not in verdicts
    assert track.import_total_wh == 0


def test_one_counter_out_of_line_spoils_the_whole_sample() -> None:
    track, verdicts = run(sample(0, 1000, 1000), sample(1, 1050, 900_000))
    assert verdicts == [Verdict.IMPLAUSIBLE]
    assert (track.import_total_wh, track.last.import_wh) == (0, 1000)


def test_a_sample_from_the_past_changes_nothing() -> None:
    track, verdicts = run(sample(5, 1000), sample(5, 1001), sample(4, 1002))
    assert verdicts == [Verdict.OLD] * 2
    assert track == CounterTrack(sample(5, 1000))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 3_000_000)), min_size=1, max_size=30))
def test_totals_never_fall_nor_rise_faster_than_the_connection(values: list[tuple[int, int]]) -> None:
    track = CounterTrack(sample(0, 1_000_000, 1_000_000))
    for step, (imported, exported) in enumerate(values, start=1):
        after, _ = follow(track, sample(step, imported, exported), RATED_W)
        assert after.import_total_wh >= track.import_total_wh
        assert after.export_total_wh >= track.export_total_wh
        track = after
    most = energy_max_wh(RATED_W, len(values) * STEP_MS, 1) + 2 * len(values)
    assert track.import_total_wh <= most
    assert track.export_total_wh <= most
