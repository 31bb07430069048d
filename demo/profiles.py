"""What households take from and feed into the grid, a quarter-hour at a time: BDEW 2025 profiles, or a CSV file.

BDEW's h25, p25 and s25 (households without PV, with PV, with PV and storage; from the package ``demandlib``) are
energy *taken from the grid*. BDEW publishes no profile of what PV households feed in, so it is derived, openly:

- a household's consumption is h25, scaled to its yearly kWh;
- what it takes from the grid is p25 or s25, scaled so that on the same day's dark hours p25 equals h25;
- its PV produces ``PV_YIELD`` times its yearly consumption a year, spread by the sine of the sun's elevation
  (51° N, 10° E, Cooper's declination) and weakened by seeded clouds;
- what it uses itself is consumption minus taking; it feeds in what is produced and not used so;
- a battery first takes from that surplus what p25 takes from the grid on that day and s25 does not, over
  ``BATTERY_EFFICIENCY``.

Each household strays from its expectation by seeded noise. The forecast is the smoothed expectation with a seeded
error of its own, so that forecast and delivery differ as they do in earnest.
"""

from __future__ import annotations

import csv
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

INTERVALS = 96
INTERVAL_S = 900
ZONE = "Europe/Berlin"
LATITUDE_DEG, LONGITUDE_DEG = 51.0, 10.0
YEAR_DAYS = 365
PV_YIELD = 1.3
BATTERY_EFFICIENCY = 0.9
LOAD_NOISE, CLOUD_NOISE, FORECAST_NOISE = 0.25, 0.3, 0.2
NOISE_MEMORY = 0.8
"""Correlation of noise from one quarter-hour to the next."""
FACTOR_MAX = 2.5
SMOOTHING = 2
"""Quarter-hours on either side that a forecast averages over."""
PROFILES = ("h25", "p25", "s25")
REQUIRED_COLUMNS = ("interval", "meter", "import_wh", "export_wh")
FORECAST_COLUMNS = ("forecast_import_wh", "forecast_export_wh")
WH_MAX = 10_000_000

Series = tuple[float, ...]


class ProfilesError(Exception):
    """Profiles that cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Household:
    """A household: its meter, BDEW profile (h25, p25 or s25) and yearly consumption."""

    meter: str
    profile: str
    annual_kwh: int


@dataclass(frozen=True, slots=True)
class DayProfile:
    """96 quarter-hours in Wh from midnight UTC on: what the meter shows, and what was expected."""

    import_wh: tuple[int, ...]
    export_wh: tuple[int, ...]
    forecast_import_wh: tuple[int, ...]
    forecast_export_wh: tuple[int, ...]


def day_profiles(households: Sequence[Household], day: str | date, seed: int) -> dict[str, DayProfile]:
    """Profiles of one UTC day by meter; the same for the same arguments on every machine."""
    chosen = date.fromisoformat(day) if isinstance(day, str) else day
    kinds = {household.profile for household in households}
    if unknown := sorted(kinds - set(PROFILES)):
        raise ProfilesError(f"profile {unknown[0]!r}: unknown; there are {', '.join(PROFILES)}")
    tables = (
        {kind: bdew_day(kind, chosen) for kind in PROFILES} if kinds != {"h25"} else {"h25": bdew_day("h25", chosen)}
    )
    sun = sun_day(chosen)
    return {household.meter: _household_day(household, tables, sun, seed) for household in households}


def bdew_day(kind: str, day: date) -> Series:
    """A BDEW 2025 profile's UTC day in Wh a quarter-hour, for 1 kWh a year."""
    import pandas as pd  # type: ignore[import-untyped]
    from demandlib import bdew

    index = pd.date_range(day.isoformat(), periods=INTERVALS, freq="15min", tz="UTC").tz_convert(ZONE)
    with warnings.catch_warnings():
        # demandlib 0.2.2 calls pandas in ways that pandas 3 deprecates; its numbers are the same.
        warnings.simplefilter("ignore")
        profile = {"h25": bdew.H25, "p25": bdew.P25, "s25": bdew.S25}[kind](index)
    # demandlib gives kW for 1,000,000 kWh a year: kW x 1000 W / 4 quarter-hours / 1,000,000.
    return tuple(float(power_kw) / 4_000 for power_kw in profile)


def sun_elevation_sine(day_of_year: int, hour_utc: float) -> float:
    """Sine of the sun's elevation (Cooper 1969; the equation of time, ±16 minutes, is left out)."""
    declination = math.radians(23.45) * math.sin(2 * math.pi * (284 + day_of_year) / 365)
    hour_angle = math.radians(15 * (hour_utc - 12) + LONGITUDE_DEG)
    latitude = math.radians(LATITUDE_DEG)
    return math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )


def sun_day(day: date) -> Series:
    """Each quarter-hour's share of a year's sunshine; 0 at night."""
    number = min(day.timetuple().tm_yday, YEAR_DAYS)
    year = sum(sum(_shine(other)) for other in range(1, YEAR_DAYS + 1))
    return tuple(shine / year for shine in _shine(number))


def _shine(day_of_year: int) -> Series:
    return tuple(max(0.0, sun_elevation_sine(day_of_year, (index + 0.5) / 4)) for index in range(INTERVALS))


# ------------------------------------------------------------------------------------------------ a household


def _household_day(household: Household, tables: Mapping[str, Series], sun: Series, seed: int) -> DayProfile:
    chance = random.Random(f"{seed}/{household.meter}")
    load, clouds = _noise(chance, LOAD_NOISE), _noise(chance, CLOUD_NOISE)
    clear_share = chance.uniform(0.6, 0.95)
    sunshine = [clear_share * min(1.0, cloud) for cloud in clouds]
    imported, exported = _flows(household, tables, sun, load, sunshine)
    calm = [1.0] * INTERVALS
    expected_import, expected_export = _flows(household, tables, sun, calm, [clear_share * 0.9] * INTERVALS)
    return DayProfile(
        import_wh=_whole(imported),
        export_wh=_whole(exported),
        forecast_import_wh=_forecast(expected_import, chance),
        forecast_export_wh=_forecast(expected_export, chance),
    )


def _flows(
    household: Household, tables: Mapping[str, Series], sun: Series, load: Sequence[float], sunshine: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Import and export in Wh, given factors on consumption and on clear-sky production."""
    annual = household.annual_kwh
    use = [annual * share * factor for share, factor in zip(tables["h25"], load, strict=True)]
    if household.profile == "h25":
        return use, [0.0] * INTERVALS
    taken_share = _dark_ratio(tables["h25"], tables["p25"], sun)
    by_pv = [annual * taken_share * share * factor for share, factor in zip(tables["p25"], load, strict=True)]
    taken = [min(own, total) for own, total in zip(by_pv, use, strict=True)]
    made = [annual * 1_000 * PV_YIELD * share * clear for share, clear in zip(sun, sunshine, strict=True)]
    surplus = [max(0.0, pv - (total - own)) for pv, total, own in zip(made, use, taken, strict=True)]
    if household.profile == "p25":
        return taken, surplus
    by_battery = [annual * taken_share * share * factor for share, factor in zip(tables["s25"], load, strict=True)]
    rest = [min(own, total) for own, total in zip(by_battery, taken, strict=True)]
    return rest, _charged(surplus, (sum(taken) - sum(rest)) / BATTERY_EFFICIENCY)


def _dark_ratio(whole: Series, partial: Series, sun: Series) -> float:
    """What makes ``partial`` equal ``whole`` while the sun is down."""
    dark = [index for index, shine in enumerate(sun) if shine == 0]
    return sum(whole[index] for index in dark) / sum(partial[index] for index in dark)


def _charged(surplus: Sequence[float], battery_wh: float) -> list[float]:
    """The surplus that is left when a battery takes the first ``battery_wh`` of it."""
    left = []
    for energy_wh in surplus:
        stored = min(energy_wh, battery_wh)
        battery_wh -= stored
        left.append(energy_wh - stored)
    return left


def _noise(chance: random.Random, spread: float) -> list[float]:
    """Factors with mean about 1, between 0 and ``FACTOR_MAX``, alike from one quarter-hour to the next."""
    fresh = math.sqrt(1 - NOISE_MEMORY**2)
    level, factors = chance.gauss(0, 1), []
    for _ in range(INTERVALS):
        level = NOISE_MEMORY * level + fresh * chance.gauss(0, 1)
        factors.append(min(FACTOR_MAX, max(0.0, 1 + spread * level)))
    return factors


def _forecast(expected: Sequence[float], chance: random.Random) -> tuple[int, ...]:
    smooth = []
    for index in range(INTERVALS):
        window = expected[max(0, index - SMOOTHING) : index + SMOOTHING + 1]
        smooth.append(sum(window) / len(window))
    return _whole([value * factor for value, factor in zip(smooth, _noise(chance, FORECAST_NOISE), strict=True)])


def _whole(values: Sequence[float]) -> tuple[int, ...]:
    """Whole Wh; what rounding leaves over goes on into the next quarter-hour."""
    whole, carry = [], 0.0
    for value in values:
        carry += value
        whole.append(max(0, round(carry)))
        carry -= whole[-1]
    return tuple(whole)


# ------------------------------------------------------------------------------------------------- a CSV file


def load_profiles(path: Path, meters: Sequence[str], seed: int = 1) -> dict[str, DayProfile]:
    """Real profiles from a CSV file with a header and one row for every meter and quarter-hour.

    Columns: ``interval`` (0 to 95, or an ISO time of one UTC day, its start), ``meter``, ``import_wh``,
    ``export_wh`` (whole Wh), and optionally ``forecast_import_wh`` and ``forecast_export_wh``; without them the
    forecast is the smoothed row with a seeded error. Rows of meters not asked for are passed over.
    Raises ``ProfilesError`` with the line's number.
    """
    rows: dict[str, dict[int, dict[str, int]]] = {meter: {} for meter in meters}
    days: set[date] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            columns = _columns(path, reader.fieldnames)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise ProfilesError(f"{where}: {len(columns)} columns are expected")
                index = _index(where, row["interval"], days)
                values = {name: _wh(where, name, row[name]) for name in columns if name not in ("interval", "meter")}
                if row["meter"] not in rows:
                    continue
                if index in rows[row["meter"]]:
                    raise ProfilesError(f"{where}: interval {index} of meter {row['meter']} is given twice")
                rows[row["meter"]][index] = values
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProfilesError(f"{path}: cannot be read: {error}") from None
    return {meter: _from_rows(path, meter, found, seed) for meter, found in rows.items()}


def _columns(path: Path, names: Sequence[str] | None) -> Sequence[str]:
    found = list(names or ())
    for name in REQUIRED_COLUMNS:
        if name not in found:
            raise ProfilesError(f"{path}:1: column {name} is missing")
    for name in found:
        if name not in REQUIRED_COLUMNS + FORECAST_COLUMNS or found.count(name) > 1:
            raise ProfilesError(f"{path}:1: column {name!r} is unknown or given twice")
    if len(set(found) & set(FORECAST_COLUMNS)) == 1:
        raise ProfilesError(f"{path}:1: {' and '.join(FORECAST_COLUMNS)} are given both or neither")
    return found


def _index(where: str, text: str, days: set[date]) -> int:
    """0 to 95, from an index or an ISO time; all times have to lie on one UTC day."""
    if text.isascii() and text.isdigit():
        index = int(text) if len(text) <= 2 else INTERVALS
        if index >= INTERVALS:
            raise ProfilesError(f"{where}: interval: {text} is not between 0 and {INTERVALS - 1}")
        return index
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ProfilesError(f"{where}: interval: {text!r} is neither a number nor an ISO time") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    days.add(moment.date())
    second = moment.hour * 3600 + moment.minute * 60 + moment.second
    if len(days) > 1 or second % INTERVAL_S or moment.microsecond:
        raise ProfilesError(f"{where}: interval: {text} is not a quarter-hour of the first row's UTC day")
    return second // INTERVAL_S


def _wh(where: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(WH_MAX)) and int(text) <= WH_MAX):
        raise ProfilesError(f"{where}: {name}: {text!r} is not whole Wh between 0 and {WH_MAX}")
    return int(text)


def _from_rows(path: Path, meter: str, rows: Mapping[int, Mapping[str, int]], seed: int) -> DayProfile:
    missing = [index for index in range(INTERVALS) if index not in rows]
    if missing:
        raise ProfilesError(f"{path}: meter {meter} has no row for interval {missing[0]}")
    series = {name: tuple(rows[index][name] for index in range(INTERVALS)) for name in rows[0]}
    chance = random.Random(f"{seed}/{meter}")
    for direction in ("import_wh", "export_wh"):
        if f"forecast_{direction}" not in series:
            series[f"forecast_{direction}"] = _forecast(series[direction], chance)
    return DayProfile(**series)
