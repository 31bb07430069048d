"""Counter logic: which samples of a meter's energy counters to believe. Pure functions, integers only.

Between two samples a counter may not rise by more than the connection's rated power allows, and may not fall
except by wrapping at the point that its profile names. A sample out of line is held back: one bad value (a bogus
jump, a zero from a rebooting meter) is forgotten when the next is in line again. Only when ``CONFIRMATIONS``
samples agree on the new level is the meter taken as reset or replaced; the difference is never counted as energy.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

CONFIRMATIONS = 3
POWER_MARGIN_PERMILLE = 1_250
"""A meter may show a quarter more than rated power: fuses trip late and clocks jitter."""
SWAP_MS_MAX = 3_600_000
"""How long a meter that was told to be replaced may go on answering before it is taken to have stayed."""
RESET_PERMILLE = 900
"""A counter below 0.9 of what it showed has been reset or replaced."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """Both counters of a meter at ``at_ms`` of the gateway's clock, in Wh; power in W, + is import.

    ``resolution_wh`` and ``wrap_wh`` (0: none known) are those of the device, once its scale factors are known.
    """

    at_ms: int
    import_wh: int
    export_wh: int
    power_w: int | None = None
    resolution_wh: int = 1
    wrap_wh: int = 0


class Verdict(StrEnum):
    """What a sample is, seen from the last one that was believed."""

    IN_LINE = "in line"
    WRAPPED = "wrapped"
    RESET = "reset"
    IMPLAUSIBLE = "implausible"
    OLD = "old"
    REBASED = "rebased"
    UNTIMED = "at a time that the chain's does not bear out"


BELIEVED = frozenset({Verdict.IN_LINE, Verdict.WRAPPED})


class CounterTrack(msgspec.Struct, frozen=True, array_like=True):
    """``last``: the last believed sample. Totals: energy counted since tracking began; they never fall.

    ``first_held`` and ``last_held`` span ``held`` samples out of line that agree with each other. ``replaced``: what
    the meter showed last whose place another one takes, until that is read.
    """

    last: Sample
    import_total_wh: int = 0
    export_total_wh: int = 0
    first_held: Sample | None = None
    last_held: Sample | None = None
    held: int = 0
    replaced: Sample | None = None


def energy_max_wh(rated_power_w: int, elapsed_ms: int, resolution_wh: int) -> int:
    """The most that a counter may rise in ``elapsed_ms``: rated power with its margin, and one step at either end."""
    return rated_power_w * POWER_MARGIN_PERMILLE * elapsed_ms // (1_000 * 3_600_000) + 2 * resolution_wh


def judge(before_wh: int, after_wh: int, most_wh: int, wrap_wh: int) -> tuple[Verdict, int]:
    """What became of one counter, and the energy in Wh that it counted (0 unless believed)."""
    delta = after_wh - before_wh
    if 0 <= delta <= most_wh:
        return Verdict.IN_LINE, delta
    if wrap_wh and delta < 0 and 0 <= delta + wrap_wh <= most_wh:
        return Verdict.WRAPPED, delta + wrap_wh
    if after_wh * 1_000 < before_wh * RESET_PERMILLE:
        return Verdict.RESET, 0
    return Verdict.IMPLAUSIBLE, 0


def compare(before: Sample, after: Sample, rated_power_w: int) -> tuple[Verdict, int, int]:
    """Both counters together: a sample is believed whole or not at all. Returns import and export in Wh."""
    elapsed_ms = after.at_ms - before.at_ms
    if elapsed_ms <= 0:
        return Verdict.OLD, 0, 0
    most_wh = energy_max_wh(rated_power_w, elapsed_ms, max(before.resolution_wh, after.resolution_wh))
    import_verdict, import_wh = judge(before.import_wh, after.import_wh, most_wh, after.wrap_wh)
    export_verdict, export_wh = judge(before.export_wh, after.export_wh, most_wh, after.wrap_wh)
    for verdict in (Verdict.RESET, Verdict.IMPLAUSIBLE, Verdict.WRAPPED):
        if verdict in (import_verdict, export_verdict):
            believed = verdict is Verdict.WRAPPED
            return verdict, import_wh if believed else 0, export_wh if believed else 0
    return Verdict.IN_LINE, import_wh, export_wh


def follow(track: CounterTrack, sample: Sample, rated_power_w: int) -> tuple[CounterTrack, Verdict]:
    """Take in one sample. ``REBASED``: the meter was reset or replaced, and counting goes on from its new level."""
    verdict, import_wh, export_wh = compare(track.last, sample, rated_power_w)
    if verdict is Verdict.OLD:
        return track, verdict
    replaced = track.replaced
    if replaced is not None and _is_of(replaced, track, sample, rated_power_w):
        if sample.at_ms - replaced.at_ms <= SWAP_MS_MAX:
            return track, Verdict.IMPLAUSIBLE
        return _held(track, sample, Verdict.IMPLAUSIBLE, rated_power_w)
    if verdict in BELIEVED:
        return _counted(track, sample, import_wh, export_wh), verdict
    return _held(track, sample, verdict, rated_power_w)


def _is_of(replaced: Sample, track: CounterTrack, sample: Sample, rated_power_w: int) -> bool:
    """Whether it is the meter that answers which was told to be replaced: it goes on from there, and stands nearer to
    that than to where the new one began, from which it may be in line too after a while."""
    goes_on = compare(replaced, sample, rated_power_w)[0] in BELIEVED
    return goes_on and _distance_wh(replaced, sample) < _distance_wh(track.last, sample)


def _distance_wh(one: Sample, other: Sample) -> int:
    return abs(one.import_wh - other.import_wh) + abs(one.export_wh - other.export_wh)


def _counted(track: CounterTrack, sample: Sample, import_wh: int, export_wh: int) -> CounterTrack:
    return CounterTrack(sample, track.import_total_wh + import_wh, track.export_total_wh + export_wh)


def _held(track: CounterTrack, sample: Sample, verdict: Verdict, rated_power_w: int) -> tuple[CounterTrack, Verdict]:
    """Hold a sample back until enough others agree with it."""
    first, held = sample, 1
    if track.first_held is not None and track.last_held is not None:
        agreement, _, _ = compare(track.last_held, sample, rated_power_w)
        if agreement is Verdict.OLD:
            return track, agreement
        if agreement in BELIEVED:
            first, held = track.first_held, track.held + 1
    if held < CONFIRMATIONS:
        return msgspec.structs.replace(track, first_held=first, last_held=sample, held=held), verdict
    # What the new level has counted since it appeared is measured energy; the step onto it is not.
    import_wh = max(0, sample.import_wh - first.import_wh)
    export_wh = max(0, sample.export_wh - first.export_wh)
    return _counted(track, sample, import_wh, export_wh), Verdict.REBASED
