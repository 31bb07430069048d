"""What a signed replacement of a meter does to its state.

With it the energy up to the swap is known, and the interval is billed (estimated); without it a new level of the
counters is taken for a reset, whose interval is suspect. So the order comes before the new meter is connected.
"""

from __future__ import annotations

import msgspec

from meter.counters import BELIEVED, CounterTrack, Sample, Verdict
from meter.intervals import MeterState, Quality, Reading, advance
from sdk.errors import Problem, Refused
from sdk.replacement import Replacement

AHEAD_MS_MAX = 10_000
"""How far the order's time may be ahead of the gateway's, in real time."""


def replaced(
    state: MeterState, order: Replacement, rated_power_w: int, now_ms: int, rate: float = 1.0, clock_offset_ms: int = 0
) -> tuple[MeterState, list[Reading]]:
    """The state after the swap, and the readings that it closes. ``Refused`` if it does not fit what was measured; an
    order that was carried out before changes nothing."""
    start = Sample(order.time_ms, order.new_import_wh, order.new_export_wh)
    if order.epoch == state.epoch and state.track.last.at_ms >= order.time_ms:
        return state, []
    if order.epoch != state.epoch + 1:
        raise _refused("EPOCH_NOT_NEXT", f"The meter's epoch is {state.epoch}: the replacement's is one above it.")
    if order.time_ms > now_ms + AHEAD_MS_MAX * rate:
        raise _refused("TIME_INVALID", "The replacement's time has not come yet. Check your clock.")
    last = state.track.last
    final = msgspec.structs.replace(
        last, at_ms=order.time_ms, import_wh=order.old_import_wh, export_wh=order.old_export_wh
    )
    closed, readings, verdict = advance(_without_held(state), final, rated_power_w, clock_offset_ms)
    if verdict is Verdict.OLD:
        raise _refused("TIME_INVALID", f"The old meter was read after that time, at {last.at_ms} ms.")
    if verdict not in BELIEVED:
        shown = f"{last.import_wh} Wh and {last.export_wh} Wh"
        raise _refused(
            "IMPLAUSIBLE", f"The old meter's last counters do not follow on {shown}, which it showed before."
        )
    track = closed.track
    swapped = CounterTrack(start, track.import_total_wh, track.export_total_wh, replaced=final)
    quality = closed.quality if closed.quality is Quality.SUSPECT else Quality.ESTIMATED
    return msgspec.structs.replace(closed, track=swapped, epoch=order.epoch, quality=quality), readings


def _without_held(state: MeterState) -> MeterState:
    """The new meter may have been seen already: its first samples were held back."""
    held = {"first_held": None, "last_held": None, "held": 0}
    return msgspec.structs.replace(state, track=msgspec.structs.replace(state.track, **held))


def _refused(code: str, message: str) -> Refused:
    return Refused(Problem(code, message, 422))
