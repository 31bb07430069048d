"""50,000 seeds with n in {4, 5, 6, 7, 10}: hours of work, resumable. `make soak`.

State is kept in data/soak.json after every few seeds, so that the test goes on where it was interrupted; remove
the file to begin anew. WATTQ_SOAK_SEEDS and WATTQ_SOAK_JOBS change how many seeds and processes. The file also has
the figures: processor time, and for each adversary what its seeds came to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.campaign import Campaign, Row, run_resumably
from sim.plan import Plan
from sim.run import Verdict

STATE = Path(__file__).resolve().parents[2] / "data" / "soak.json"
SEEDS = int(os.environ.get("WATTQ_SOAK_SEEDS", "50000"))
JOBS = int(os.environ.get("WATTQ_SOAK_JOBS", os.cpu_count() or 1))
NODES = (4, 5, 6, 7, 10)
TELL_EVERY_S = 30.0
MS_PER_HOUR = 3_600_000


def teller(say: Callable[[str], None]) -> Callable[[Campaign], None]:
    """Says how far a campaign is, from time to time, and each failure at once."""
    began_s = told_s = time.monotonic()
    began_at, failed = -1, 0

    def tell(campaign: Campaign) -> None:
        nonlocal told_s, began_at, failed
        now_s = time.monotonic()
        if began_at < 0:
            began_at, failed = campaign.done - 1, campaign.failed
        if campaign.failed > failed:
            failed = campaign.failed
            say(f"soak: FAILED {campaign.failures[-1].replay}: {campaign.failures[-1].faults[0]}")
        if now_s >= told_s + TELL_EVERY_S or campaign.done == campaign.total:
            told_s = now_s
            left_s = (now_s - began_s) / (campaign.done - began_at) * (campaign.total - campaign.done)
            say(f"{progress(campaign)}, about {left_s / 60:,.0f} min to go")

    return tell


def progress(campaign: Campaign) -> str:
    share = 100 * campaign.done / campaign.total
    hours = campaign.cpu_ms / MS_PER_HOUR
    return (
        f"soak: {campaign.done:,} of {campaign.total:,} seeds ({share:.1f} %), {campaign.failed} failed,"
        f" {hours:.2f} processor hours"
    )


def figures(name: str, row: Row) -> str:
    return (
        f"{name}: {row.seeds:,} seeds, {row.blocks:,} blocks, {row.messages:,} messages,"
        f" {row.view_changes:,} view changes, {row.transfers:,} state transfers, {row.befallen:,} faults,"
        f" settled within {row.settled_ms_max:,} ms, {row.violations} violations"
    )


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_fifty_thousand_seeds_hold(capfd: pytest.CaptureFixture[str]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    with capfd.disabled():
        campaign = run_resumably(
            STATE, Campaign(0, SEEDS - 1, NODES), JOBS, teller(lambda line: print(line, flush=True))
        )
        print(progress(campaign))
        for name, row in sorted(campaign.rows.items()):
            print(figures(name, row))
    assert campaign.failed == 0, [failure.replay for failure in campaign.failures]


def test_the_soak_says_how_far_it_is_and_what_failed() -> None:
    said: list[str] = []
    campaign = Campaign(0, 1, NODES)
    tell = teller(said.append)
    campaign.add(verdict())
    tell(campaign)
    assert said == []
    campaign.add(verdict("agreement: made up"))
    tell(campaign)
    assert said[0] == "soak: FAILED wattq sim replay 1 --nodes 4 --adversary crash --transcript: agreement: made up"
    assert said[1] == "soak: 2 of 2 seeds (100.0 %), 1 failed, 0.00 processor hours, about 0 min to go"


def verdict(*faults: str) -> Verdict:
    return Verdict(Plan(1, "crash"), faults, "", height=1, view=0, settled_ms=0)
