"""The typed calls are the shipped contracts' own functions, no more and no fewer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sdk.calling import Call, View
from sdk.calls import market, registry

ROOT = Path(__file__).resolve().parents[3]


def test_a_call_carries_its_contract_function_and_arguments() -> None:
    made = market.take_listing(listing="7", meter="M-1", energy_wh=300, price_max=9)
    assert made == Call("market", "take_listing", {"listing": "7", "meter": "M-1", "energy_wh": 300, "price_max": 9})
    assert registry.get_arbiter() == View("registry", "get_arbiter", {})
    assert "NOT_ENOUGH_LEFT" in (market.take_listing.__doc__ or "")


def test_the_calls_are_what_the_contracts_offer() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "calls.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
