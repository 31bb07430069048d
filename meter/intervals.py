"""From counter samples to one reading per quarter-hour. Pure functions, integers only.

Interval k is [k x 900 s, (k + 1) x 900 s) of UTC. A counter's value at a boundary is interpolated once, between the
believed samples on either side, and is the end of one interval and the start of the next: the readings of a meter
add up to what its counters counted, whatever their resolution, and what one reading leaves over the next one holds.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from meter.counters import BELIEVED, CounterTrack, Sample, Verdict, follow

INTERVAL_MS = 900_000
GOOD_DISTANCE_MS_MAX = INTERVAL_MS // 4
"""A boundary farther than this from the nearest sample is estimated, not measured."""
GRACE_MS = 2 * INTERVAL_MS
"""An interval without a sample after its end is closed without one after this long."""
GAP_INTERVALS_MAX = 96
"""After a longer outage only the last of these get readings."""


class Quality(StrEnum):
    """How a reading came about, from best to worst.

    good: a sample lies close to either end. estimated: none lies close to an end, the split is interpolated.
    stale: no sample after the end; what was counted until the last one, the rest follows in the next reading.
    missing: no sample at all; 0 Wh, the energy follows. suspect: it holds the energy of intervals that were missing,
    or the meter was reset or replaced in it; never billed as it is.
    """

    GOOD = "good"
    ESTIMATED = "estimated"
    STALE = "stale"
    MISSING = "missing"
    SUSPECT = "suspect"


_RANK = {quality: rank for rank, quality in enumerate(Quality)}


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """One meter's energy in one interval. ``interval``: UTC seconds // 900.

    ``epoch`` begins with the second since 1970 in which a gateway first saw the meter, and rises when that is reset or
    replaced; ``sequence`` rises by one with every reading of the meter.
    ``clock_offset_ms``: how far block time was ahead of the gateway's clock when last compared.
    """

    meter: str
    interval: int
    epoch: int
    sequence: int
    import_wh: int
    export_wh: int
    quality: Quality
    clock_offset_ms: int = 0


class MeterState(msgspec.Struct, frozen=True, array_like=True):
    """All that has to survive a restart: counters, the open interval and the totals at its start.

    ``sequence`` is the next reading's. ``partial``: the open interval's start was not seen, it gets no reading.
    """

    meter: str
    track: CounterTrack
    open: int
    base_import_wh: int = 0
    base_export_wh: int = 0
    epoch: int = 0
    sequence: int = 0
    quality: Quality = Quality.GOOD
    partial: bool = False


def begin(meter: str, sample: Sample, epoch: int = 0) -> MeterState:
    """A meter seen for the first time; its first reading is of the first interval that is seen from its start."""
    return MeterState(
        meter=meter,
        track=CounterTrack(sample),
        open=sample.at_ms // INTERVAL_MS,
        epoch=epoch,
        partial=sample.at_ms % INTERVAL_MS != 0,
    )


def advance(
    state: MeterState, sample: Sample, rated_power_w: int, clock_offset_ms: int = 0
) -> tuple[MeterState, list[Reading], Verdict]:
    """Take in a sample, and close every interval that ended by its time."""
    track, verdict = follow(state.track, sample, rated_power_w)
    before, state = state.track, msgspec.structs.replace(state, track=track)
    if verdict not in BELIEVED and verdict is not Verdict.REBASED:
        return state, [], verdict
    rebased = verdict is Verdict.REBASED
    if rebased:
        state = msgspec.structs.replace(state, epoch=state.epoch + 1, quality=Quality.SUSPECT)
    state = _after_gap(state, sample.at_ms // INTERVAL_MS - 1)
    readings: list[Reading] = []
    while (end_ms := (state.open + 1) * INTERVAL_MS) <= sample.at_ms:
        import_wh, export_wh = _totals_at(before, track, end_ms)
        # The next interval starts on this boundary, and is no better known than it.
        quality = Quality.SUSPECT if rebased else _boundary_quality(before.last.at_ms, end_ms, sample.at_ms)
        state = _close(state, import_wh, export_wh, _worse(state.quality, quality), quality, clock_offset_ms, readings)
    return state, readings, verdict


def expire(state: MeterState, now_ms: int, clock_offset_ms: int = 0) -> tuple[MeterState, list[Reading]]:
    """Close the intervals whose grace has passed without a sample after their end."""
    readings: list[Reading] = []
    newest = (now_ms - GRACE_MS) // INTERVAL_MS - 1
    state = _after_gap(state, newest)
    while state.open <= newest:
        seen = state.track.last.at_ms > state.open * INTERVAL_MS
        quality = Quality.STALE if seen else Quality.MISSING
        following = Quality.ESTIMATED if seen else Quality.SUSPECT
        if seen:
            quality = _worse(state.quality, quality)
            totals = (state.track.import_total_wh, state.track.export_total_wh)
        else:
            totals = (state.base_import_wh, state.base_export_wh)
        state = _close(state, *totals, quality, following, clock_offset_ms, readings)
    return state, readings


def _after_gap(state: MeterState, newest: int) -> MeterState:
    """Without the oldest of too many intervals up to ``newest``; their energy goes into the first that is left."""
    if newest - state.open < GAP_INTERVALS_MAX:
        return state
    return msgspec.structs.replace(state, open=newest - GAP_INTERVALS_MAX + 1, quality=Quality.SUSPECT)


def _close(
    state: MeterState,
    import_total_wh: int,
    export_total_wh: int,
    quality: Quality,
    following: Quality,
    clock_offset_ms: int,
    readings: list[Reading],
) -> MeterState:
    """Close the open interval at the given totals; the next one starts with quality ``following``."""
    if not state.partial:
        readings.append(
            Reading(
                meter=state.meter,
                interval=state.open,
                epoch=state.epoch,
                sequence=state.sequence,
                import_wh=import_total_wh - state.base_import_wh,
                export_wh=export_total_wh - state.base_export_wh,
                quality=quality,
                clock_offset_ms=clock_offset_ms,
            )
        )
    return msgspec.structs.replace(
        state,
        open=state.open + 1,
        base_import_wh=import_total_wh,
        base_export_wh=export_total_wh,
        sequence=state.sequence if state.partial else state.sequence + 1,
        quality=following,
        # Until a sample shows where the counters stood, no interval has a known start.
        partial=state.partial and quality is Quality.MISSING,
    )


def _totals_at(before: CounterTrack, after: CounterTrack, at_ms: int) -> tuple[int, int]:
    """Both totals at ``at_ms``, on the line between two believed samples, rounded down."""
    span_ms = after.last.at_ms - before.last.at_ms
    part_ms = max(0, at_ms - before.last.at_ms)
    return (
        before.import_total_wh + (after.import_total_wh - before.import_total_wh) * part_ms // span_ms,
        before.export_total_wh + (after.export_total_wh - before.export_total_wh) * part_ms // span_ms,
    )


def _boundary_quality(before_ms: int, boundary_ms: int, after_ms: int) -> Quality:
    nearest_ms = min(abs(boundary_ms - before_ms), abs(after_ms - boundary_ms))
    return Quality.GOOD if nearest_ms <= GOOD_DISTANCE_MS_MAX else Quality.ESTIMATED


def _worse(one: Quality, other: Quality) -> Quality:
    return max(one, other, key=_RANK.__getitem__)
