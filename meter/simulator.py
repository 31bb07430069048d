"""Simulated meters: what a device would hold in its registers at a moment.

A simulated meter's counters are a function of the clock: it plays a profile of quarter-hours in Wh, rising
continuously within each along a seeded curve, and computes its registers when they are read. So it costs nothing
between polls, and servers in several processes agree. Faults are windows of the clock's time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import msgspec

from meter.intervals import INTERVAL_MS
from meter.profile import DeviceProfile, Register
from meter.registers import encode
from meter.sunspec import COMMON_LENGTH, COMMON_MODEL, END, MARK, NAMEPLATE

BEND_MAX = 0.3
"""How far power within an interval strays from the interval's mean at either end."""
POWER_NOISE = 0.01
START_WH_MIN, START_WH_MAX = 1_000_000, 9_000_000


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong from ``from_ms`` until before ``until_ms`` of the clock's time.

    silence: no answer. jump: ``energy_wh`` more on the import counter. words: every value's words in the wrong order.
    stale: registers that no longer change. reset: both counters start from 0 at ``from_ms``, for good. wrap: both
    counters pass their end at ``from_ms``, and count on from 0; for profiles that name that end.
    """

    kind: Literal["silence", "jump", "reset", "words", "stale", "wrap"]
    from_ms: int
    until_ms: int = 1 << 62
    energy_wh: int = 0

    def covers(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.until_ms


class SimulatedMeter:
    """A meter that plays ``import_wh`` and ``export_wh``, one value an interval, from ``first_interval`` on.

    Before the first and after the last it stands still, or with ``repeat`` it begins again. ``start_wh``: what
    both counters show at first (None: seeded). Its energy is exact; its power carries seeded noise.
    """

    def __init__(
        self,
        serial: str,
        unit: int,
        profile: DeviceProfile,
        first_interval: int,
        import_wh: Sequence[int],
        export_wh: Sequence[int],
        *,
        seed: int = 0,
        start_wh: tuple[int, int] | None = None,
        faults: Sequence[Fault] = (),
        repeat: bool = False,
    ) -> None:
        if len(import_wh) != len(export_wh) or not import_wh:
            raise ValueError(f"meter {serial}: as many import as export intervals, at least one")
        if profile.counter_wrap is None and any(fault.kind == "wrap" for fault in faults):
            raise ValueError(f"meter {serial}: profile {profile.name} does not say where its counters wrap")
        self.serial = serial
        self.unit = unit
        self.profile = profile
        self.faults = list(faults)
        self._first_ms = first_interval * INTERVAL_MS
        self._sums = (list(accumulate(import_wh, initial=0)), list(accumulate(export_wh, initial=0)))
        self._repeat = repeat
        # String seeds are hashed with SHA-512: the same in every process, whatever its hash seed.
        chance = random.Random(f"{seed}/{serial}")
        self._bends = [chance.uniform(-BEND_MAX, BEND_MAX) for _ in import_wh]
        seeded = (chance.randint(START_WH_MIN, START_WH_MAX), chance.randint(START_WH_MIN, START_WH_MAX))
        self._start_wh = seeded if start_wh is None else start_wh
        self._chance = chance

    def counters(self, at_ms: int) -> tuple[float, float]:
        """Import and export in Wh as the device shows them at ``at_ms``, faults included."""
        at_ms = self._held(at_ms)
        played = self._played(at_ms)
        shown = [start + energy for start, energy in zip(self._start_wh, played, strict=True)]
        for fault in self.faults:
            if fault.kind == "wrap":
                before = self._played(fault.from_ms)
                shown = [self._wrap_wh + now - then for now, then in zip(played, before, strict=True)]
            if fault.kind == "reset" and fault.covers(at_ms):
                before = self._played(fault.from_ms)
                shown = [now - then for now, then in zip(played, before, strict=True)]
        shown[0] += sum(fault.energy_wh for fault in self.faults if fault.kind == "jump" and fault.covers(at_ms))
        return shown[0], shown[1]

    def power_w(self, at_ms: int) -> float:
        """Mean power over the last second of the curve, + is import, with noise."""
        at_ms = self._held(at_ms)
        before, now = self._played(at_ms - 1000), self._played(at_ms)
        watts = ((now[0] - before[0]) - (now[1] - before[1])) * 3600
        return watts * (1 + self._chance.uniform(-POWER_NOISE, POWER_NOISE))

    def is_silent(self, at_ms: int) -> bool:
        return self._suffers("silence", at_ms)

    def _suffers(self, kind: str, at_ms: int) -> bool:
        return any(fault.kind == kind and fault.covers(at_ms) for fault in self.faults)

    def _held(self, at_ms: int) -> int:
        """The moment that a stale device still shows."""
        return min((f.from_ms for f in self.faults if f.kind == "stale" and f.covers(at_ms)), default=at_ms)

    @property
    def _wrap_wh(self) -> int:
        counter = self.profile.import_wh or self.profile.export_wh
        assert counter is not None
        return (self.profile.counter_wrap or 0) * counter.multiplier // counter.divisor

    def _played(self, at_ms: int) -> tuple[float, float]:
        """Energy played since the first interval's start, in Wh."""
        count = len(self._bends)
        index, part_ms = divmod(at_ms - self._first_ms, INTERVAL_MS)
        if index < 0:
            return 0.0, 0.0
        rounds, index = divmod(index, count) if self._repeat else (0, index)
        if index >= count:
            return float(self._sums[0][-1]), float(self._sums[1][-1])
        part = part_ms / INTERVAL_MS
        part += self._bends[index] * part * (1 - part)
        imported, exported = (
            rounds * sums[-1] + sums[index] + (sums[index + 1] - sums[index]) * part for sums in self._sums
        )
        return imported, exported

    # ------------------------------------------------------------------------------------------- registers

    def registers(self, at_ms: int) -> dict[int, list[int]]:
        """What the device holds at ``at_ms``: first address to registers, as its profile lays them out."""
        imported, exported = self.counters(at_ms)
        profile = self.profile
        base = _sunspec_model_address(profile)
        content = _sunspec_frame(profile, self.serial)
        values = ((profile.power_w, self.power_w(at_ms)), (profile.import_wh, imported), (profile.export_wh, exported))
        swapped = self._suffers("words", at_ms)
        for register, value in values:
            if register is not None:
                words = encode(self._raw(register, value), register, profile.word_order)
                content[base + register.address] = words[::-1] if swapped else words
                if register.scale_factor is not None:
                    content[base + register.scale_factor] = [0]
        return content

    def _raw(self, register: Register, value: float) -> int | float:
        """W or Wh as the device counts them; a counter starts again where its profile says."""
        raw = value * register.divisor / register.multiplier * (-1 if register.negated else 1)
        if register.type == "float32":
            return raw
        wrap = self.profile.counter_wrap
        return int(raw) % wrap if wrap and register is not self.profile.power_w else int(raw)


def _sunspec_model_address(profile: DeviceProfile) -> int:
    """Where the profile's model begins: after the mark and the common model; 0 without SunSpec."""
    return profile.sunspec.bases[0] + len(MARK) + 2 + COMMON_LENGTH if profile.sunspec else 0


def _sunspec_frame(profile: DeviceProfile, serial: str) -> dict[int, list[int]]:
    """Mark, common model, the profile's model's head, and the end."""
    if profile.sunspec is None:
        return {}
    base, model, length = profile.sunspec.bases[0], _sunspec_model_address(profile), profile.sunspec.length
    content = {
        base: list(MARK),
        base + len(MARK): [COMMON_MODEL, COMMON_LENGTH],
        model: [profile.sunspec.models[0], length],
        model + 2 + length: [END, 0],
    }
    for name, text in {"manufacturer": "Wattquorum", "model": profile.name, "serial": serial}.items():
        first, registers = NAMEPLATE[name]
        data = text.encode()[: 2 * registers].ljust(2 * registers, b"\0")
        words = [int.from_bytes(data[place : place + 2], "big") for place in range(0, len(data), 2)]
        content[base + len(MARK) + first] = words
    return content
