"""What commands that make a network deploy: the shipped contracts and their parameters."""

from __future__ import annotations

from cluster import ContractSet
from contracts.catalog import shipped_sources
from contracts.parameters import MARKET_PARAMETERS


def shipped_contracts() -> ContractSet:
    """Sources and parameters of the market."""
    return ContractSet(shipped_sources(), MARKET_PARAMETERS)
