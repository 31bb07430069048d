"""What a gateway declares for readings against what they cost, measured on the contract machine."""

from __future__ import annotations

import pytest
from contract_market import Market

from meter.submission import GAS_MAX, gas_limit_of


def cost(readings: int, trades: int) -> int:
    """Gas of a submission of so many readings, each of which settles so many trades."""
    market = Market()
    meters = [f"m-extra{index}" for index in range(readings)]
    for meter in meters:
        market.bind(meter, "sol")
        for _ in range(trades):
            market.take(market.offer("sol", meter=meter, lot_wh=10, energy_wh=10), 10)
    market.to_end()
    told = [market.reading("sol", export_wh=1_000_000, meter=meter) for meter in meters]
    result = market.call("settlement", "submit_readings", {"readings": told}, "gate")
    assert result.code == "OK", result
    return int(result.gas_used)


@pytest.mark.parametrize(("readings", "trades"), [(1, 0), (1, 3), (5, 3), (50, 0)])
def test_a_submission_declares_enough_for_three_trades_a_reading(readings: int, trades: int) -> None:
    assert cost(readings, trades) * 1.2 < gas_limit_of(readings)


def test_no_reading_costs_more_than_may_be_declared() -> None:
    assert cost(1, 40) * 100 / 40 < GAS_MAX
