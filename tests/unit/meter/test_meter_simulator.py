"""Simulated meters: exact energy, continuous counters, faults, plans, and the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.meter import app
from meter.curves import load_curves
from meter.errors import ProfileError
from meter.intervals import INTERVAL_MS
from meter.profile import load_profile
from meter.simulation import MeterServer, Plan, PlannedMeter, servers_of
from meter.simulator import Fault, SimulatedMeter
from meter.strict import load_json
from sdk.clock import Clock

FIRST = 1_000
WH = [100, 0, 250]


def meter(*faults: Fault, seed: int = 1, repeat: bool = False) -> SimulatedMeter:
    return SimulatedMeter(
        "M", 1, load_profile("sdm630"), FIRST, WH, [0, 40, 0], seed=seed, start_wh=(1_000, 500), faults=faults,
        repeat=repeat,
    )  # fmt: skip


def at(interval: float) -> int:
    return int((FIRST + interval) * INTERVAL_MS)


def test_boundaries_show_exactly_what_the_profile_says() -> None:
    played = [meter().counters(at(index)) for index in (-5, 0, 1, 2, 3, 50)]
    assert played == [(1000, 500), (1000, 500), (1100, 500), (1100, 540), (1350, 540), (1350, 540)]


@settings(deadline=None)
@given(st.lists(st.floats(-1, 4), min_size=2, max_size=20))
def test_counters_never_fall_and_never_jump(moments: list[float]) -> None:
    shown = [meter().counters(at(moment))[0] for moment in sorted(moments)]
    assert shown == sorted(shown)
    steps_ms = [at(moment) for moment in sorted(moments)]
    for before, after in zip(range(len(shown)), range(1, len(shown)), strict=False):
        most = 250 * 1.3 * (steps_ms[after] - steps_ms[before]) / INTERVAL_MS
        assert shown[after] - shown[before] <= most + 1e-6


def test_a_repeated_profile_goes_on() -> None:
    assert meter(repeat=True).counters(at(3 + 1)) == (1000 + 350 + 100, 500 + 40)


def test_seeds_change_the_curve_but_not_the_energy() -> None:
    one, other = meter(seed=1), meter(seed=2)
    assert one.counters(at(0.5)) != other.counters(at(0.5))
    assert one.counters(at(1)) == other.counters(at(1))
    assert meter(seed=1).counters(at(0.5)) == one.counters(at(0.5))


def test_power_is_the_counters_slope() -> None:
    assert meter().power_w(at(2.5)) == pytest.approx(1_000, rel=0.4)
    assert meter().power_w(at(1.5)) == pytest.approx(-160, rel=0.4)
    assert meter().power_w(at(9)) == 0


def test_faults() -> None:
    broken = meter(Fault("silence", at(0), at(1)), Fault("jump", at(1), at(1.5), 9_000), Fault("reset", at(2)))
    assert (broken.is_silent(at(0.5)), broken.is_silent(at(1))) == (True, False)
    assert broken.counters(at(1))[0] == 1100 + 9_000
    assert broken.counters(at(1.5))[0] == 1100
    assert broken.counters(at(2)) == (0, 0)
    assert broken.counters(at(3)) == (250, 0)


def test_a_counter_wraps_where_its_profile_says() -> None:
    wrapping = SimulatedMeter("M", 1, load_profile("sunspec203"), FIRST, [10], [0], start_wh=((1 << 32) - 5, 0))
    model = 40_000 + 4 + 66
    assert wrapping.registers(at(0))[model + 46] == [0xFFFF, 0xFFFB]
    assert wrapping.registers(at(1))[model + 46] == [0, 5]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    planned = {"serial": "M", "port": 0, "profile": "em24", "import_wh": WH, "export_wh": WH}
    path.write_text(json.dumps({"first_interval": FIRST, "meters": [planned]}))
    return path


def test_a_plan_is_read_strictly(plan: Path) -> None:
    assert load_json(plan, Plan).meters[0] == PlannedMeter(
        serial="M", port=0, profile="em24", import_wh=tuple(WH), export_wh=tuple(WH)
    )
    text = plan.read_text()
    for old, new, key in (
        ('"port"', '"porto"', "meters[0].porto: unknown key"),
        ('"first_interval": 1000', '"first_interval": 1.5', "first_interval"),
        ("{", "[", "not JSON"),
    ):
        plan.write_text(text.replace(old, new, 1))
        with pytest.raises(ProfileError) as caught:
            load_json(plan, Plan)
        assert str(caught.value).startswith(str(plan))
        assert key in str(caught.value)


def test_meters_of_a_port_share_a_server() -> None:
    planned = [PlannedMeter(serial=f"M{i}", port=p, unit=u, import_wh=(1,), export_wh=(1,)) for i, p, u in
               ((1, 5020, 1), (2, 5020, 2), (3, 5021, 1))]  # fmt: skip
    servers = servers_of(Plan(first_interval=0, meters=tuple(planned)))
    assert [server.describe() for server in servers] == [
        "M1 (unit 1, sdm630), M2 (unit 2, sdm630)",
        "M3 (unit 1, sdm630)",
    ]
    with pytest.raises(ValueError, match="unit 1 is taken"):
        servers_of(Plan(first_interval=0, meters=(planned[0], planned[0])))


async def test_a_taken_port_is_an_error() -> None:
    async with MeterServer([meter()], Clock()) as server:
        with pytest.raises(OSError, match="cannot listen"):
            await MeterServer([meter()], Clock(), port=server.port).start()


def test_the_commands(plan: Path) -> None:
    """`wattq meter simulate` serves, `wattq meter read` reads it, SIGTERM ends it with exit code 0."""
    command = [sys.executable, "-W", "error", "-c", "from cli.meter import app; app()", "simulate", "--plan", str(plan)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = process.stdout.readline().split(" serves ")[0].rpartition(":")[2]
        result = CliRunner().invoke(app, ["read", f"127.0.0.1:{port}:1:em24", "--json"])
        values: dict[str, Any] = json.loads(result.output)
        absent = CliRunner().invoke(app, ["read", f"127.0.0.1:{port}:2:em24", "--timeout", "0.1"])
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert values["import_wh"] >= 1_000_000
    assert values["import_wh"] % 100 == 0
    assert (absent.exit_code, "No response" in absent.output) == (1, True)
    assert (process.returncode, errors) == (0, "")
    refused = CliRunner().invoke(app, ["read", f"127.0.0.1:{port}:1:em24"])
    assert (refused.exit_code, "cannot be connected" in refused.output) == (1, True)


def test_wrong_words_stale_and_wrap() -> None:
    swapped = meter(Fault("words", at(0), at(1)))
    good, bad = swapped.registers(at(1))[0x48], swapped.registers(at(0))[0x48]
    assert good == [0x3F8C, 0xCCCD]  # 1.1 kWh
    assert bad == [0x0000, 0x3F80]  # 1.0 kWh, low word first
    stale = meter(Fault("stale", at(0.5), at(2)))
    assert stale.counters(at(1.9)) == stale.counters(at(0.5))
    assert stale.power_w(at(1.9)) == pytest.approx(stale.power_w(at(0.5)), rel=0.05)
    assert stale.counters(at(3)) == (1350, 540)
    wrapping = SimulatedMeter(
        "M", 1, load_profile("sunspec203"), FIRST, WH, [0, 40, 0], faults=[Fault("wrap", at(1))]
    )  # fmt: skip
    model = 40_000 + 4 + 66
    assert wrapping.registers(at(0))[model + 46] == [0xFFFF, 0x10000 - 100]
    assert wrapping.registers(at(3))[model + 46] == [0, 250]
    with pytest.raises(ValueError, match="does not say where"):
        meter(Fault("wrap", at(1)))


def test_curves_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("meter,interval,import_wh,export_wh\nA,2,20,0\nA,1,10,1\nB,7,5,6\n")
    assert load_curves(path) == {"A": ((10, 20), (1, 0)), "B": ((5,), (6,))}
    path.write_text("import_wh,export_wh\n3,4\n")
    assert load_curves(path) == {"meter": ((3,), (4,))}
    for text, why in (
        ("import_wh\n1\n", "no column export_wh"),
        ("import_wh,export_wh\n", "no rows"),
        ("import_wh,export_wh\n-1,0\n", "line 2: import_wh: '-1'"),
        ("import_wh,export_wh\n1,10000001\n", "line 2: export_wh"),
        ("import_wh,export_wh\n1\n", "line 2: export_wh"),
        ("interval,import_wh,export_wh\n1,1,1\n1,1,1\n", "there twice"),
        ("interval,import_wh,export_wh\n1,1,1\n3,1,1\n", "is missing"),
    ):
        path.write_text(text)
        with pytest.raises(ProfileError, match=why):
            load_curves(path)


def test_the_command_plays_a_file_with_faults(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("meter,import_wh,export_wh\nA,0,0\nB,0,0\n")
    call = "import sys; from cli.meter import app; sys.argv[0] = 'meter'; app()"
    options = ["simulate", "--csv", str(path), "--port", "0", "--profile", "em340", "--fault", "silence@0"]
    command = [sys.executable, "-W", "error", "-c", call, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        port = line.split(" serves ")[0].rpartition(":")[2]
        silent = CliRunner().invoke(app, ["read", f"127.0.0.1:{port}:2:em340", "--timeout", "0.1"])
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert "A (unit 1, em340), B (unit 2, em340)" in line
    assert (silent.exit_code, "No response" in silent.output) == (1, True)
    for fault in ("silence", "boom@1", "jump@x", "jump@1:-3"):
        refused = CliRunner().invoke(app, ["simulate", "--csv", str(path), "--fault", fault])
        assert (refused.exit_code, f"fault '{fault}'" in refused.output) == (2, True), refused.output
