"""Device profiles: the shipped ones, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from meter.errors import ProfileError
from meter.profile import load_profile, shipped_profiles
from meter.units import parse_address, parse_unit, units_of
from sdk.configuration import MeterSection

GOOD = """
name = "mine"
description = "a meter"
source = "its manual"
function_code = 4
word_order = "big"
registers_max = 20
poll_interval_ms_min = 100
resolution_wh = 1
[power_w]
address = 0
type = "int32"
[import_wh]
address = 2
type = "uint32"
"""


def test_shipped_profiles_load_and_bear_their_files_names() -> None:
    assert {"em24", "iem3000", "sdm120", "sdm630", "sunspec203"} <= set(shipped_profiles())
    for name in shipped_profiles():
        assert load_profile(name).name == name


def test_sdm630_as_its_manual_says() -> None:
    profile = load_profile("sdm630")
    assert (profile.function_code, profile.word_order) == (4, "big")
    assert [r.address for r in profile.registers] == [0x34, 0x48, 0x4A]


def test_a_profile_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load_profile(str(path)).export_wh is None


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('name = "mine"', 'name = "mine"\nbaud = 9600', "baud: unknown key"),
        ("address = 2", "address = 2\nscale = 3", "import_wh.scale: unknown key"),
        ("address = 2", "address = 2\nscale_factor = 3", "import_wh.scale_factor"),
        ("address = 2", "address = 70000", "import_wh.address"),
        ("function_code = 4", "function_code = 6", "function_code"),
        ('type = "uint32"', 'type = "uint16"', "import_wh.type"),
        ("registers_max = 20", "registers_max = 1", "registers_max"),
        ('word_order = "big"', 'word_order = "middle"', "word_order"),
        ("function_code = 4\n", "", "function_code"),
        ("function_code = 4", "function_code = ", "not TOML"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    assert str(caught.value).startswith(str(path))
    assert key in str(caught.value)


def test_unknown_and_missing_profiles(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="sdm630"):
        load_profile("sdm999")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(str(tmp_path / "none.toml"))


def test_addresses() -> None:
    assert parse_address("127.0.0.1:502") == ("127.0.0.1", 502)
    assert parse_address("[::1]:502") == ("::1", 502)
    for text in ("", "host", "host:", ":502", "host:0", "host:65536", "host:5o2"):
        with pytest.raises(ProfileError):
            parse_address(text)


def test_a_unit_from_the_command_line() -> None:
    unit = parse_unit("10.0.0.5:502:7:em24", "MTR-1")
    assert (unit.host, unit.port, unit.unit, unit.profile.name) == ("10.0.0.5", 502, 7, "em24")
    for text in ("10.0.0.5:502", "10.0.0.5:502:7", "10.0.0.5:502:256:em24", "10.0.0.5:502:7:none"):
        with pytest.raises(ProfileError):
            parse_unit(text)


def test_units_that_clash() -> None:
    one = MeterSection(serial="A", address="h:502", unit=1)
    with pytest.raises(ProfileError, match="A: given twice"):
        units_of([one, MeterSection(serial="A", address="h:502", unit=2)])
    with pytest.raises(ProfileError, match="B: h:502 unit 1"):
        units_of([one, MeterSection(serial="B", address="h:502", unit=1)])
    with pytest.raises(ProfileError, match="meter B"):
        units_of([MeterSection(serial="B", address="h", unit=1)])
    assert [unit.serial for unit in units_of([one])] == ["A"]
