"""What a network may begin with: contracts that compile, and market parameters within governance's bounds.

The machine would refuse a bad source only at the first call, and a bad parameter only shows in a settlement. So a
node asks here before it starts, and the commands before they make a network. Both learn here too whether contracts run
on this machine as on others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from contracts.catalog import shipped_sources
from contracts.compiler import Compiler
from contracts.golden import EngineDiffers, check_engine
from contracts.guards import Meter, make_guards
from contracts.host import Host
from contracts.language import ContractInvalid
from contracts.machine import Module, load
from contracts.session import Session
from ledger.values import Value

GOVERNANCE = "governance"
GAS = 1_000_000


class DeploymentInvalid(Exception):
    """Contracts or parameters that a network cannot begin with; the message names contract and line, or parameter."""


def check_deployment(contracts: Mapping[str, str], parameters: Mapping[str, int]) -> None:
    """Run the golden vectors, compile contracts, check parameters; ``DeploymentInvalid`` at the first fault."""
    try:
        check_engine()
    except EngineDiffers as error:
        raise DeploymentInvalid(str(error)) from None
    for name, source in contracts.items():
        try:
            _compile(name, source, Meter())
        except ContractInvalid as error:
            raise DeploymentInvalid(f"contract {name}: {error}") from None
    for name, value in parameters.items():
        if why := parameter_fault(name, value):
            raise DeploymentInvalid(f"parameter {name}: {why}")


def parameter_fault(name: str, value: int) -> str:
    """Why a market parameter may not have this value; empty if it may."""
    most = greatest(name)
    return "" if 0 <= value <= most else f"{value} is not between 0 and {most}"


@cache
def greatest(name: str) -> int:
    """The most that a parameter may be, as the governance contract itself says: there is no second table."""
    meter = Meter()
    module = _compile(GOVERNANCE, shipped_sources()[GOVERNANCE], meter)
    meter.gas[0] = GAS
    return int(module.functions["greatest"](name))


def _compile(name: str, source: str, meter: Meter) -> Module:
    compiled = Compiler().compiled(name, source)
    return load(name, compiled, make_guards(meter), Host(meter, _no_calls).functions_for(name))


def _no_calls(session: Session, contract: str, name: str, args: list[Value]) -> Value:
    raise AssertionError("nothing is called while contracts are only compiled")
