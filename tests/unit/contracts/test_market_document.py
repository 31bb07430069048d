"""docs/MARKET.md says what the code does: each function, argument, role, code, parameter, and the worked example."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from contract_market import DEPOSIT, Market

from contracts.catalog import shipped_sources
from contracts.language import Function, check
from contracts.parameters import MARKET_PARAMETERS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "MARKET.md").read_text(encoding="utf-8")
FUNCTIONS = [
    pytest.param(contract, function, id=f"{contract}.{function.name}")
    for contract, source in shipped_sources().items()
    for function in check(source).functions.values()
    if function.marker in ("export", "view")
]

CALLED = [
    pytest.param(node, id=f"{contract}.{node.name}")
    for contract, source in shipped_sources().items()
    for node in ast.parse(source).body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
]
"""Whatever is called from outside a contract: by transactions, other contracts, views, deadlines."""

STATES = sorted(
    {
        state
        for pair in re.findall(
            r'"status"(?:: |\] = )"(\w+)"|(?:end_order|remove_order|end_listing|end_offer|shelve)\([^"\n]*"([a-z]+)"',
            "".join(shipped_sources()[name] for name in ("market", "offers", "auction", "settlement")),
        )
        for state in pair
        if state
    }
)


def section(contract: str) -> str:
    return TEXT.split(f"### {contract}\n")[1].split("\n#")[0]


@pytest.mark.parametrize(("contract", "function"), FUNCTIONS)
def test_every_function_is_described_with_its_arguments_and_roles(contract: str, function: Function) -> None:
    lines = [line for line in section(contract).splitlines() if f"`{function.name}`" in line]
    assert lines
    line = lines[0]
    for name in function.parameters:
        assert f"`{name}`" in line
    if function.marker == "export":
        roles = line.split("|")[3]
        assert all(role == "*" or role in roles for role in function.names)


@pytest.mark.parametrize("contract", sorted(shipped_sources()))
def test_every_function_that_is_described_exists(contract: str) -> None:
    functions = check(shipped_sources()[contract]).functions
    described = re.findall(r"^\| `(\w+)` \|", section(contract), re.MULTILINE)
    assert described == [name for name, function in functions.items() if function.marker == "export"]


@pytest.mark.parametrize("contract", sorted(shipped_sources()))
def test_every_error_code_is_described(contract: str) -> None:
    codes = set(re.findall(r'(?:require|fail)\(.*?"([A-Z][A-Z_]+)"', shipped_sources()[contract]))
    assert codes
    assert {code for code in codes if f"`{code}`" not in TEXT} == set()


def test_every_parameter_is_described_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \| \d+ \|", TEXT, re.MULTILINE))
    assert rows == {name: str(value) for name, value in MARKET_PARAMETERS.items()}


@pytest.mark.parametrize(("name", "most"), re.findall(r"^\| `(\w+)` \| \d+ \| (\d+) \|", TEXT, re.MULTILINE))
def test_every_parameters_bound_is_the_contracts(market: Market, name: str, most: str) -> None:
    market.ok("governance", "set_parameter", {"name": name, "value": int(most)}, "op1", "op2")
    beyond = {"name": name, "value": int(most) + 1}
    assert market.code("governance", "set_parameter", beyond, "op1", "op2") == "PARAMETER_INVALID"


@pytest.mark.parametrize("function", CALLED)
def test_what_can_be_called_states_its_units_errors_and_source(function: ast.FunctionDef) -> None:
    said = " ".join((ast.get_docstring(function) or "").split())
    source = re.search(r'Source: market rules, ("[^"]+"(?:, "[^"]+")*)', said)
    assert source is not None
    rules = re.findall(
        r"^\| ([A-Z][a-z ]+) \|", TEXT.split("## Sources of the rules")[1].split("\n## ")[0], re.MULTILINE
    )
    assert set(re.findall(r'"([^"]+)"', source[1])) <= set(rules)
    names = {argument.arg for argument in function.args.args}
    if names & {"price", "amount", "paid", "fee", "grid_fee", "imbalance_price"}:
        assert "micro-currency" in said
    if re.search(r"\b(?:require|fail)\(", ast.unparse(function)):
        assert "Errors: " in said


@pytest.mark.parametrize("status", STATES)
def test_every_state_is_in_the_picture(status: str) -> None:
    assert re.search(rf"\b{status}\b", TEXT.split("```")[1])


def test_the_worked_example_is_what_happens(market: Market) -> None:
    listing = market.offer(energy_wh=9_000, lot_wh=1_000)
    held = [(market.held("sol"), market.held("bea"), market.held("bob"))]

    def note() -> None:
        held.append((market.held("sol"), market.held("bea"), market.held("bob")))

    trades = []
    for who, energy_wh in (("bea", 5_000), ("bob", 4_000)):
        trades.append(market.take(listing, energy_wh, who))
        note()
    market.to_end()
    market.read(export_wh=8_000)
    note()
    for trade, who in zip(trades, ("bea", "bob"), strict=True):
        market.ok("settlement", "confirm", {"trade": trade}, "sol")
        market.ok("settlement", "confirm", {"trade": trade}, who)
        note()
    rows = re.findall(
        r"^\| [^|]+ \|([ \d,]+)\|([ \d,]+)\|([ \d,]+)\|$", TEXT.split("## A worked example")[1], re.MULTILINE
    )
    written = [tuple(int(cell.replace(",", "").strip() or 0) for cell in row) for row in rows]
    assert written == held
    gains = [sum(market.account(who)) - DEPOSIT for who in ("bea", "bob", "sol")]
    assert [*gains, market.account("balancing")[0]] == [-1_000_000, -600_000, 1_184_000, 416_000]
    assert all(f"{abs(amount):,}" in TEXT for amount in gains)
