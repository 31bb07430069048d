"""Day profiles: from BDEW 2025 tables and from CSV files."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from demo.profiles import (
    INTERVALS,
    DayProfile,
    Household,
    ProfilesError,
    bdew_day,
    day_profiles,
    load_profiles,
    sun_day,
    sun_elevation_sine,
)

JUNE, DECEMBER = "2027-06-21", "2027-12-21"
HOUSEHOLDS = [Household("H", "h25", 4_000), Household("P", "p25", 4_000), Household("S", "s25", 4_000)]


@pytest.fixture(scope="module")
def june() -> dict[str, DayProfile]:
    return day_profiles(HOUSEHOLDS, JUNE, 1)


def test_every_series_is_96_whole_numbers(june: dict[str, DayProfile]) -> None:
    assert list(june) == ["H", "P", "S"]
    for profile in june.values():
        for series in (
            profile.import_wh, profile.export_wh, profile.forecast_import_wh, profile.forecast_export_wh,
        ):  # fmt: skip
            assert len(series) == INTERVALS
            assert all(type(value) is int and value >= 0 for value in series)


def test_a_bdew_profile_is_what_bdew_published() -> None:
    """p25, a Saturday in January, 00:00 local: 36.049 kWh of 1,000,000, times the dynamisation of day 2."""
    day = 2
    factor = -3.92e-10 * day**4 + 3.2e-7 * day**3 - 7.02e-5 * day**2 + 0.0021 * day + 1.24
    # 00:00 in Berlin is 23:00 UTC of the day before.
    assert bdew_day("p25", date(2027, 1, 1))[92] == pytest.approx(36.049 * factor / 1_000)


def test_consumption_is_of_the_right_size(june: dict[str, DayProfile]) -> None:
    assert 5_000 < sum(june["H"].import_wh) < 14_000
    assert sum(june["P"].import_wh) < sum(june["H"].import_wh)
    assert sum(june["S"].import_wh) < sum(june["P"].import_wh)


def test_export_is_the_suns(june: dict[str, DayProfile]) -> None:
    winter = day_profiles(HOUSEHOLDS, DECEMBER, 1)
    assert sum(june["H"].export_wh) == 0
    assert sum(june["P"].export_wh) > 3 * sum(winter["P"].export_wh)
    stored = day_profiles([Household("P", "s25", 4_000)], JUNE, 1)["P"]
    assert sum(stored.export_wh) < sum(june["P"].export_wh)
    dark = [index for index, shine in enumerate(sun_day(date.fromisoformat(JUNE))) if shine == 0]
    assert len(dark) > 20
    assert all(june[meter].export_wh[index] == 0 for meter in ("P", "S") for index in dark)


def test_the_sun() -> None:
    assert sun_elevation_sine(172, 12 - 10 / 15) == pytest.approx(0.887, abs=0.002)  # 62.5 degrees at 51° N
    assert sum(sum(sun_day(date(2027, 1, 1).replace(month=month))) for month in (1, 7)) < 0.01
    assert sun_elevation_sine(172, 0) < 0


def test_the_forecast_is_not_the_delivery(june: dict[str, DayProfile]) -> None:
    for profile in june.values():
        assert profile.forecast_import_wh != profile.import_wh
        assert 0.5 < sum(profile.forecast_import_wh) / sum(profile.import_wh) < 2
    assert 0.4 < sum(june["P"].forecast_export_wh) / sum(june["P"].export_wh) < 2.5


def test_households_differ_and_seeds_decide(june: dict[str, DayProfile]) -> None:
    assert day_profiles(HOUSEHOLDS, date(2027, 6, 21), 1) == june
    assert day_profiles(HOUSEHOLDS, JUNE, 2)["H"] != june["H"]
    twins = day_profiles([Household("A", "h25", 4_000), Household("B", "h25", 4_000)], JUNE, 1)
    assert twins["A"] != twins["B"]
    assert june["H"] == day_profiles(HOUSEHOLDS[:1], JUNE, 1)["H"]


def test_hash_seeds_do_not_matter(june: dict[str, DayProfile]) -> None:
    code = (
        "from demo.profiles import Household, day_profiles\n"
        f"print(day_profiles([Household('P', 'p25', 4000)], '{JUNE}', 1)['P'].export_wh)"
    )
    environment = {"PYTHONHASHSEED": "12345", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(june["P"].export_wh)


def test_unknown_profiles() -> None:
    with pytest.raises(ProfilesError, match="g25"):
        day_profiles([Household("H", "g25", 1)], JUNE, 1)


# ------------------------------------------------------------------------------------------------- CSV


def rows(meter: str = "M", count: int = INTERVALS) -> list[str]:
    return [f"{index},{meter},{10 * index},{index}" for index in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profiles.csv"


def write(path: Path, lines: list[str], header: str = "interval,meter,import_wh,export_wh") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_csv_file(path: Path) -> None:
    loaded = load_profiles(write(path, rows() + rows("other", 3)), ["M"])
    assert list(loaded) == ["M"]
    assert loaded["M"].import_wh == tuple(10 * index for index in range(INTERVALS))
    assert loaded["M"].forecast_import_wh != loaded["M"].import_wh


def test_iso_times_and_forecasts(path: Path) -> None:
    lines = [
        f"{'2027-06-21T' if index % 2 else '2027-06-21 '}{index // 4:02}:{index % 4 * 15:02}:00+00:00,M,1,2,3,{index}"
        for index in range(INTERVALS)
    ]
    header = "interval,meter,import_wh,export_wh,forecast_import_wh,forecast_export_wh"
    loaded = load_profiles(write(path, lines, header), ["M"])["M"]
    assert (loaded.forecast_import_wh, loaded.forecast_export_wh) == ((3,) * INTERVALS, tuple(range(INTERVALS)))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("96,M,1,1", "interval"),
        ("-1,M,1,1", "interval"),
        ("5,M,1,1", "given twice"),
        ("5,M,1", "4 columns"),
        ("5,M,1,1,1", "4 columns"),
        ("5,M,1.5,1", "import_wh"),
        ("5,M,1,-1", "export_wh"),
        ("5,M,1,99999999", "export_wh"),
        ("5,M,,1", "import_wh"),
        ("noon,M,1,1", "neither"),
        ("2027-06-21T00:07:00Z,M,1,1", "quarter-hour"),
    ],
)
def test_a_bad_row_is_named_by_its_line(path: Path, line: str, why: str) -> None:
    lines = rows()
    lines.insert(40, line)
    with pytest.raises(ProfilesError, match=f"profiles.csv:42: .*{why}"):
        load_profiles(write(path, lines), ["M"])


def test_two_days_in_one_file(path: Path) -> None:
    lines = ["2027-06-21T00:00:00Z,M,1,1", "2027-06-22T00:15:00Z,M,1,1"]
    with pytest.raises(ProfilesError, match=r":3: .*first row's UTC day"):
        load_profiles(write(path, lines), ["M"])


def test_what_is_missing(path: Path) -> None:
    with pytest.raises(ProfilesError, match="no row for interval 95"):
        load_profiles(write(path, rows(count=95)), ["M"])
    with pytest.raises(ProfilesError, match="meter X has no row"):
        load_profiles(write(path, rows()), ["X"])
    with pytest.raises(ProfilesError, match="column export_wh is missing"):
        load_profiles(write(path, [], "interval,meter,import_wh"), ["M"])
    with pytest.raises(ProfilesError, match="'colour' is unknown"):
        load_profiles(write(path, [], "interval,meter,import_wh,export_wh,colour"), ["M"])
    with pytest.raises(ProfilesError, match="cannot be read"):
        load_profiles(path.with_name("none.csv"), ["M"])
