"""`wattq contract`: what an author is told, by text, JSON and exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli.contract
from cli.main import app
from contracts.catalog import shipped_sources
from contracts.fixtures import START_MS
from contracts.parameters import MARKET_PARAMETERS
from contracts.profile import ProfilingMachine
from contracts.testing import Chain

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "contracts"
TARIFFS = EXAMPLES / "tariffs.py"
BAD = "def run():\n    x = 1 ** 2\n    try:\n        y = 1\n    except ValueError:\n        pass\n"


def wattq(*words: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["contract", *map(str, words)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def told(*words: object, code: int = 0) -> Any:
    return json.loads(wattq(*words, "--json", code=code).stdout)


def test_check_says_what_a_contract_is() -> None:
    said = wattq("check", TARIFFS).stdout
    assert "@export(seller, prosumer) publish(prices, days)" in said
    facts = told("check", TARIFFS)
    assert facts["faults"] == []
    assert facts["bytes"] == len(TARIFFS.read_text())
    assert [entry["kind"] for entry in facts["entries"]] == ["export", "export", "deadline", "view"]


def test_check_names_every_fault_with_its_place_and_shows_the_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(BAD)
    said = wattq("check", bad, code=1).stderr
    assert f"{bad}:2:9: the operator pow is not part of the language\n        x = 1 ** 2\n            ^\n" in said
    assert f"{bad}:3:5: try is not part of the language" in said
    assert [(fault["line"], fault["column"]) for fault in told("check", bad, code=1)["faults"]] == [(2, 9), (3, 5)]


@pytest.mark.parametrize("name", ["Bad-Name.py", "a" * 33 + ".py", "system.py", "1st.py"])
def test_check_knows_that_nobody_can_deploy_such_a_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("@view\ndef one():\n    return 1\n")
    assert "the file's name is the contract's" in wattq("check", tmp_path / name, code=1).stderr


def test_check_explains_what_is_no_python(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def run():\n    return (1\n")
    (fault,) = told("check", bad, code=1)["faults"]
    assert fault["line"] == 2
    assert fault["sentence"].startswith("this is not Python: ")


def test_a_file_that_is_not_there_is_unusable(tmp_path: Path) -> None:
    for command in ("check", "test", "gas"):
        wattq(command, tmp_path / "none.py", code=2)


def test_test_runs_the_tests_beside_the_contract() -> None:
    assert told("test", TARIFFS) == {"file": str(TARIFFS), "passed": 10, "failed": 0}


def test_failed_tests_are_told(tmp_path: Path) -> None:
    contract = tmp_path / "one.py"
    contract.write_text('@export("*")\ndef run():\n    return 1\n')
    tests = tmp_path / "checks.py"
    tests.write_text('def test_two(chain):\n    assert chain.submit("one.run", {}, "a").value == 2\n')
    found = told("test", contract, "--tests", tests, code=1)
    assert (found["passed"], found["failed"]) == (0, 1)


def test_a_contract_without_tests_says_so(tmp_path: Path) -> None:
    contract = tmp_path / "one.py"
    contract.write_text('@export("*")\ndef run():\n    return 1\n')
    assert "there are no tests" in wattq("test", contract, code=2).stderr


def test_without_pytest_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.contract, "find_spec", lambda name: None)
    assert "pip install 'wattquorum[contracts]'" in wattq("test", TARIFFS, code=2).stderr


def test_a_shipped_contract_s_name_is_taken(tmp_path: Path) -> None:
    market = tmp_path / "market.py"
    market.write_text('@export("*")\ndef run():\n    return 1\n')
    assert "shipped" in wattq("test", market, code=2).stderr


def test_gas_of_one_call_by_line(tmp_path: Path) -> None:
    contract = tmp_path / "one.py"
    contract.write_text(
        '@export("*")\ndef run(n: int):\n    x = 0\n    for i in range(n):\n        x += i\n'
        '    put("x", x)\n    return x\n'
    )
    found = told("gas", contract, "--call", "run", "--args", '{"n": 10}', "--signer", "ann:buyer")
    assert (found["code"], found["value"]) == ("OK", 45)
    by_line = {row["line"]: row for row in found["lines"]}
    assert by_line[5]["runs"] == 10
    assert by_line[6]["gas"] > 200
    chain = Chain({"one": contract.read_text()}, {})
    assert (
        found["gas"] == sum(row["gas"] for row in found["lines"]) == chain.call("one", "run", {"n": 10}, ["a"]).gas_used
    )
    assert "x += i" in wattq("gas", contract, "--call", "run", "--args", '{"n": 10}').stdout


def test_gas_of_the_tests_by_line() -> None:
    found = told("gas", TARIFFS, "--all")
    assert found["gas"] == sum(row["gas"] for row in found["lines"])
    assert {row["contract"] for row in found["lines"]} == {"registry", "tariffs"}
    assert "% of" not in wattq("gas", TARIFFS).stdout


@pytest.mark.parametrize("words", [("--args", "["), ("--args", "[]")])
def test_arguments_that_are_no_object_are_unusable(words: tuple[str, ...]) -> None:
    wattq("gas", TARIFFS, "--call", "publish", *words, code=2)


@pytest.mark.parametrize("gas", [300, 1_000, 2_000_000])
def test_lines_add_up_to_the_gas_of_every_call_however_it_ends(gas: int) -> None:
    machine = ProfilingMachine()
    sources = {**shipped_sources(), "tariffs": TARIFFS.read_text()}
    chain = Chain(sources, MARKET_PARAMETERS, START_MS, machine=machine)
    plain = Chain(sources, MARKET_PARAMETERS, START_MS)
    spent = 0
    for args in ({"prices": [1] * 24, "days": 1}, {"prices": [1] * 24, "days": 0}, {"prices": ["a"] * 24, "days": 1}):
        result = chain.call("tariffs", "publish", args, ["sol"], gas)
        assert result.gas_used == plain.call("tariffs", "publish", args, ["sol"], gas).gas_used
        spent += result.gas_used
    assert sum(found.gas for found in machine.lines.values()) == spent
