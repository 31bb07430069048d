"""Many seeds: interrupted and gone on with, they come to the same as in one go."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.campaign import Campaign, load, parse_nodes, parse_seeds, run_resumably, save, work
from sim.plan import Plan
from sim.run import Verdict


def verdict(seed: int, *faults: str) -> Verdict:
    return Verdict(Plan(seed, "crash"), faults, "", height=10 + seed, view=1, settled_ms=seed)


def campaign(last: int) -> Campaign:
    return Campaign(3, last, (4, 5), "partition")


def test_an_interrupted_campaign_goes_on_where_it_ended(tmp_path: Path) -> None:
    whole = campaign(10)
    for _ in work(whole, jobs=2):
        pass
    state = tmp_path / "state.json"
    told: list[int] = []

    def interrupt(done: Campaign) -> None:
        told.append(done.following)
        if done.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_resumably(state, campaign(10), 1, interrupt)
    assert load(state, campaign(10)).following == 8
    resumed = run_resumably(state, campaign(10), 1, lambda done: told.append(done.following))
    assert told == [4, 5, 6, 7, 8, 9, 10, 11]
    assert resumed == whole == load(state, campaign(10))
    assert resumed.rows["partition"].seeds == resumed.total == 8


def test_a_campaign_can_be_made_longer_but_not_another(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    save(state, campaign(10))
    assert load(state, campaign(20)).last == 20
    with pytest.raises(ValueError, match="belongs to other seeds"):
        load(state, Campaign(3, 10, (4,), "partition"))


def test_what_fails_is_counted_and_kept() -> None:
    made = Campaign(0, 2)
    made.add(verdict(0))
    made.add(verdict(1, "agreement: made up"))
    made.add(verdict(2))
    row = made.rows["crash"]
    assert (row.seeds, row.violations, row.blocks, row.settled_ms_max) == (3, 1, 33, 2)
    assert (made.failed, made.done) == (1, 3)
    assert [(failure.plan.seed, failure.faults) for failure in made.failures] == [(1, ("agreement: made up",))]


def test_seeds_and_nodes_are_read_from_text() -> None:
    assert parse_seeds("3..17") == (3, 17)
    assert parse_seeds("5") == (5, 5)
    assert parse_nodes("4,7") == (4, 7)
    for text in ("", "a", "3..1", "-1"):
        with pytest.raises(ValueError, match="no seeds"):
            parse_seeds(text)
    for text in ("3", "4,x", "32"):
        with pytest.raises(ValueError, match="no numbers of nodes"):
            parse_nodes(text)
