"""What a network may begin with: every contract compiles, every parameter is within governance's bounds."""

from __future__ import annotations

import pytest
from contract_market import Market

from contracts.catalog import shipped_sources
from contracts.deployment import DeploymentInvalid, check_deployment, greatest, parameter_fault
from contracts.parameters import MARKET_PARAMETERS


def test_what_is_shipped_is_good() -> None:
    check_deployment(shipped_sources(), MARKET_PARAMETERS)


@pytest.mark.parametrize("line", ["import os", "def f(:", "x = open('y')"])
def test_a_contract_that_does_not_compile_is_named_with_its_line(line: str) -> None:
    sources = {**shipped_sources(), "market": f'"""A contract."""\n\n{line}\n'}
    with pytest.raises(DeploymentInvalid, match=r"^contract market: line 3: "):
        check_deployment(sources, MARKET_PARAMETERS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gate_closure_s", -1),
        ("gate_closure_s", 10**20),
        ("fee_permille", 1_001),
        ("imbalance_price", 1_000_000_001),
        ("metering_deadline_s", 31_622_401),
    ],
)
def test_a_parameter_out_of_bounds_is_named(name: str, value: int) -> None:
    with pytest.raises(DeploymentInvalid, match=f"^parameter {name}: {value} is not between 0 and {greatest(name)}"):
        check_deployment({}, {**MARKET_PARAMETERS, name: value})


@pytest.mark.parametrize("name", list(MARKET_PARAMETERS))
def test_the_bound_is_the_one_that_governance_applies(market: Market, name: str) -> None:
    most = greatest(name)
    assert parameter_fault(name, most) == ""
    market.ok("governance", "set_parameter", {"name": name, "value": most}, "op1", "op2")
    beyond = {"name": name, "value": most + 1}
    assert market.code("governance", "set_parameter", beyond, "op1", "op2") == "PARAMETER_INVALID"
