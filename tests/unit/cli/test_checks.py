"""What `wattq config check`, `wattq cluster up` and `wattq demo` refuse before anything starts, and what they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledgers import GENESIS
from typer.testing import CliRunner

from cli.main import app
from ledger.genesis import write_genesis

SAMPLE = Path(__file__).parents[3] / "cluster.toml"
METER = '[[node.node2.meter]]\nserial = "m"\naddress = "{address}"\nprofile = "{profile}"\n'


def write(place: Path, market: str = "", meter: str = "") -> Path:
    text = SAMPLE.read_text("utf-8").replace("[node.node1]", f"{market}\n[node.node1]") + meter
    file = place / "c.toml"
    file.write_text(text.replace("gate_closure_s = 300", "") if market else text, "utf-8")
    return file


def refusals(place: Path, file: Path) -> list[str]:
    """What both commands say; neither may have begun anything."""
    commands = (["config", "check", str(file)], ["cluster", "up", "-c", str(file), "-d", str(place / "net")])
    said = []
    for command in commands:
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2, result.output
        said.append(result.stderr)
    assert not (place / "net").exists()
    return said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gate_closure_s = -1", "market.gate_closure_s: -1 is not between 0 and 31622400"),
        ("gate_closure_s = 100000000000000000000", "market.gate_closure_s: 100000000000000000000 is not between"),
        ("fee_permille = 1001", "market.fee_permille: 1001 is not between 0 and 1000"),
        ("imbalance_price = 1000000001", "market.imbalance_price: 1000000001 is not between 0 and 1000000000"),
        ("colour = 1", "market.colour: unknown key; there are confirmation_deadline_s, "),
    ],
)
def test_a_market_parameter_is_named_by_its_key(tmp_path: Path, line: str, expected: str) -> None:
    for said in refusals(tmp_path, write(tmp_path, market=line)):
        assert f"c.toml: {expected}" in said


@pytest.mark.parametrize(
    ("address", "profile", "expected"),
    [
        ("10.0.0.1", "sdm630", "node.node2.meter[0].address: address '10.0.0.1': not HOST:PORT"),
        ("10.0.0.1:0", "sdm630", "node.node2.meter[0].address: address"),
        ("10.0.0.1:502", "sdm999", "node.node2.meter[0].profile: profile 'sdm999': unknown; there are em24, "),
    ],
)
def test_a_meter_is_named_by_its_key(tmp_path: Path, address: str, profile: str, expected: str) -> None:
    for said in refusals(tmp_path, write(tmp_path, meter=METER.format(address=address, profile=profile))):
        assert f"c.toml: {expected}" in said


def test_a_meter_given_twice_is_named(tmp_path: Path) -> None:
    twice = 2 * METER.format(address="10.0.0.1:502", profile="sdm630")
    for said in refusals(tmp_path, write(tmp_path, meter=twice)):
        assert "c.toml: node.node2: meter m: given twice" in said


def test_good_meters_and_parameters_pass(tmp_path: Path) -> None:
    meter = METER.format(address="10.0.0.1:502", profile="own.toml")
    file = write(tmp_path, market="fee_permille = 0\ngate_closure_s = 60", meter=meter)
    assert CliRunner().invoke(app, ["config", "check", str(file)]).exit_code == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--meter", "10.0.0.1:502:1:sdm999"], "profile 'sdm999': unknown; there are em24, "),
        (["--meter", "10.0.0.1:1:sdm630"], "HOST:PORT:UNIT:PROFILE"),
        (["--kill-primary-at", "3", "--intervals", "4"], "the intervals played are 46 to 49"),
    ],
)
def test_the_demo_refuses_an_option_that_it_names(tmp_path: Path, options: list[str], expected: str) -> None:
    directory = tmp_path / "demo"
    arguments = ["demo", "-d", str(directory), *options]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "400", "NO_COLOR": "1"})
    assert result.exit_code == 2
    assert options[0] in result.stderr
    assert expected in result.stderr
    assert not directory.exists()


def test_the_demo_names_file_line_and_column_of_bad_profiles(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("interval,meter,import_wh,export_wh\n0,MTR-1001,many,1\n", "utf-8")
    result = CliRunner().invoke(app, ["demo", "-d", str(tmp_path / "demo"), "--profiles", str(file)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"wattq demo: {file}:2: import_wh: 'many' is not whole Wh")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key, genesis = str(tmp_path / "a.key"), tmp_path / "genesis.json"
    assert CliRunner().invoke(app, ["ca", "key", key]).exit_code == 0
    write_genesis(genesis, GENESIS)
    (tmp_path / "a.key").chmod(0o644)
    names = ["--name", "a", "--organisation", "o", "--role", "seller"]
    for command in (
        ["tx", "submit", "box.put", "{}", "-k", key, "-g", str(genesis)],
        ["ca", "request", "--key", key, *names],
    ):
        result = CliRunner().invoke(app, command)
        assert (result.exit_code, f"chmod 600 {key}" in result.stderr) == (2, True), result.output
