"""docs/CONTRACTS.md says what the code does, and its contract is the file whose tests run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from contract_market import Run
from typer.testing import CliRunner

from cli.main import app
from contracts import compiler, language, session
from contracts.codes import SENTENCES
from contracts.language import BUILTINS, HOST, MARKERS, METHODS, check

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "CONTRACTS.md").read_text(encoding="utf-8")
TUTORIAL = ROOT / "examples" / "contracts" / "tariffs.py"
ROWS = re.findall(r"^\| `(\w+)\((.*?)\)`(?:.*?) \| (.*?) \|", TEXT, re.MULTILINE)
PRICES = {
    "get": session.GET_GAS, "put": session.PUT_GAS, "delete": session.PUT_GAS, "emit": session.EMIT_GAS,
    "call": session.CALL_GAS, "scan": session.SCAN_GAS, "schedule": session.SCHEDULE_GAS,
    "authenticate": session.AUTHENTICATE_GAS, "certificate": session.CERTIFICATE_GAS,
    "accused": session.CERTIFICATE_GAS,
}  # fmt: skip


def test_the_contract_in_the_guide_is_the_file() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code == TUTORIAL.read_text(encoding="utf-8")
    check(code)


def test_the_contract_in_the_guide_passes_its_tests() -> None:
    done = CliRunner().invoke(app, ["contract", "test", str(TUTORIAL)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", sorted(HOST | BUILTINS) + sorted(METHODS) + sorted(SENTENCES))
def test_every_function_method_and_code_is_named(name: str) -> None:
    assert re.search(rf"`{name}\b", TEXT)


def test_nothing_is_described_that_is_not_there() -> None:
    described = {name for name, _, _ in ROWS} - {"user", "submit", "view", "advance", "put", "get"}
    assert described <= set(HOST)
    assert {f"@{marker}" for marker in MARKERS} <= set(re.findall(r"^\| `(@\w+)", TEXT, re.MULTILINE))


@pytest.mark.parametrize(("name", "price"), PRICES.items())
def test_prices_are_those_that_are_charged(name: str, price: int) -> None:
    said = next(gas for function, _, gas in ROWS if function == name)
    assert said.replace(",", "").startswith(str(price))


def test_prices_of_deploying_are_those_that_are_charged() -> None:
    said = next(gas for function, _, gas in ROWS if function == "contract_fault")
    assert said == f"{compiler.BYTE_GAS} a byte, {compiler.NODE_GAS} a node"


def test_bounds_are_those_that_are_kept() -> None:
    limits = (language.NODES_MAX, language.DEPTH_MAX, language.LOOPS_MAX, language.BRACKETS_MAX)
    said = f"64 KiB, {limits[0]:,} nodes, {limits[1]} levels, {limits[2]} nested loops, {limits[3]} open brackets"
    assert said in TEXT
    assert language.SOURCE_BYTES_MAX == session.VALUE_BYTES_MAX == 64 * 1024


def test_a_put_costs_what_the_guide_says(run: Run) -> None:
    one, two = (run(f"put('k', '{'a' * length}')").gas_used for length in (100, 200))
    assert 100 <= two - one <= 100 + 100 // 16 + session.NODE_GAS * 100 // 32 + 8
