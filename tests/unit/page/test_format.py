"""Numbers, times and days as the page shows them; days of 92, 96 and 100 intervals in the person's zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from page_calls import page_calls

from sdk.gas import GAS_LIMITS, gas_limit_of

pytestmark = pytest.mark.needs("node")

FORMAT = "lib/format.js"
INTERVAL_S = 900
DAYS = [
    ("Asia/Shanghai", "2026-03-29", 96),
    ("Europe/Berlin", "2026-03-29", 92),
    ("Europe/Berlin", "2026-10-25", 100),
    ("Europe/Berlin", "2026-07-01", 96),
    ("America/New_York", "2026-03-08", 92),
    ("Australia/Lord_Howe", "2026-04-05", 98),
    ("Africa/Cairo", "2026-04-24", 92),  # there is no midnight
    ("Asia/Kathmandu", "2026-05-05", 96),  # 05:45 ahead
    ("Pacific/Kiritimati", "2026-05-05", 96),
    ("Pacific/Pago_Pago", "2026-05-05", 96),
]
AMOUNTS = {
    "1": 1_000_000, "0.125": 125_000, "0,5": 500_000, " 12.3456 ": 12_345_600, "0.000001": 1, "0.0000001": None,
    "": None, "-1": None, "1e3": None, "1.2.3": None, "1234567890": None, "abc": None,
}  # fmt: skip
QUANTITIES: list[tuple[str, list[Any], str]] = [
    ("money", [1_234_567], "1.234567"),
    ("money", ["1500000"], "1.50"),
    ("money", [1, 2], "0.000001"),
    ("price", [98_000], "0.0980"),
    ("energy", [250], "250 Wh"),
    ("energy", [12_500], "12.5 kWh"),
    ("power", [5_000], "5,000 W"),
    ("short", ["0123456789abcdef0123456789abcdef"], "01234567…cdef"),
]


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "en_GB.UTF-8")


def intervals_by_calendar(day: date, zone: str) -> list[int]:
    """As the standard library counts them: every quarter of an hour whose local date it is."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("UTC")) - timedelta(hours=16)
    moments = (start + timedelta(minutes=15 * step) for step in range(4 * 60))
    return [int(m.timestamp()) // INTERVAL_S for m in moments if m.astimezone(ZoneInfo(zone)).date() == day]


def test_a_day_has_the_intervals_that_the_zone_gives_it() -> None:
    calls = [call for zone, day, _ in DAYS for call in ((FORMAT, "setZone", [zone]), (FORMAT, "intervalsOfDay", [day]))]
    for (zone, day, count), found in zip(DAYS, page_calls(calls)[1::2], strict=True):
        assert len(found) == count, (zone, day)
        assert found == intervals_by_calendar(date.fromisoformat(day), zone), (zone, day)


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    day = intervals_by_calendar(date(2026, 10, 25), "Europe/Berlin")
    labels = page_calls([(FORMAT, "setZone", ["Europe/Berlin"]), *((FORMAT, "intervalLabel", [each]) for each in day)])
    assert len(set(labels[1:])) == 100
    assert labels[9:14:4] == ["02:00–02:15 GMT+2", "02:00–02:15 GMT+1"]
    assert labels[1] == "00:00–00:15"


def test_an_interval_with_its_day_is_written_as_each_language_does() -> None:
    """In Chinese no comma of another script stands between them, at which a title would break in two."""
    calls: list[tuple[str, str, list[Any]]] = [(FORMAT, "setZone", ["UTC"])]
    for language in ("en", "zh"):
        calls += [("lib/i18n.js", "setLanguage", [language]), (FORMAT, "intervalLabel", [1_974_600, True])]
    told = page_calls(calls)
    assert told[2::2] == ["Sat, 25 Apr 2026, 18:00–18:15", "2026年4月25日周六 18:00–18:15"]


def test_days_follow_each_other_over_months_and_years() -> None:
    asked: list[list[Any]] = [["2026-02-28"], ["2024-02-28"], ["2026-01-01", -1], ["2026-10-25", 7]]
    told = page_calls([(FORMAT, "dayAfter", each) for each in asked])
    assert told == ["2026-03-01", "2024-02-29", "2025-12-31", "2026-11-01"]


def test_amounts_are_read_exactly_or_not_at_all() -> None:
    assert page_calls([(FORMAT, "parseMoney", [text]) for text in AMOUNTS]) == list(AMOUNTS.values())


def test_quantities_have_their_units() -> None:
    told = page_calls([(FORMAT, name, args) for name, args, _ in QUANTITIES])
    assert told == [text for _, _, text in QUANTITIES]


def test_the_page_declares_the_gas_that_the_sdk_declares() -> None:
    calls = [*GAS_LIMITS, ("registry", "register"), ("settlement", "sign"), ("no", "such")]
    assert page_calls([("lib/gas.js", "gasLimitOf", list(call)) for call in calls]) == [gas_limit_of(*c) for c in calls]


@pytest.mark.parametrize(
    ("start", "end", "marks"),
    [
        (186_150, 311_850, [200_000, 220_000, 240_000, 260_000, 280_000, 300_000]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (95, 105, [96, 98, 100, 102, 104]),
        (99_999, 100_001, [99_999, 100_000, 100_001]),
    ],
)
def test_axes_are_marked_with_round_prices(start: int, end: int, marks: list[int]) -> None:
    """The depth of a book was marked 0.18615, 0.204107, 0.222064 and so on."""
    (found,) = page_calls([("lib/charts.js", "roundMarks", [{"from": start, "to": end, "ticks": 8}])])
    assert found == marks
