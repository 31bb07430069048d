"""50,000 seeds with n in {4, 5, 6, 7, 10}: hours of work, resumable. `make soak`.

State is kept in data/soak.json after every few seeds, so that the test goes on where it was interrupted; remove
the file to begin anew. WATTQ_SOAK_SEEDS and WATTQ_SOAK_JOBS change how many seeds and processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sim.campaign import Campaign, run_resumably

STATE = Path(__file__).resolve().parents[2] / "data" / "soak.json"
SEEDS = int(os.environ.get("WATTQ_SOAK_SEEDS", "50000"))
JOBS = int(os.environ.get("WATTQ_SOAK_JOBS", os.cpu_count() or 1))
NODES = (4, 5, 6, 7, 10)
TELL_EVERY = 500


def tell(campaign: Campaign) -> None:
    if campaign.done % TELL_EVERY == 0:
        print(f"soak: {campaign.done} of {campaign.total} seeds, {campaign.failed} failed", file=sys.__stderr__)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_fifty_thousand_seeds_hold() -> None:
    STATE.parent.mkdir(exist_ok=True)
    campaign = run_resumably(STATE, Campaign(0, SEEDS - 1, NODES), JOBS, tell)
    for name, row in sorted(campaign.rows.items()):
        print(f"{name}: {row.seeds} seeds, {row.blocks} blocks, settled within {row.settled_ms_max} ms")
    assert campaign.failures == []
