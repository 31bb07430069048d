"""The measurement of commit stores runs, measures each store that is installed, and says the machine's load."""

from __future__ import annotations

from pathlib import Path

from bench.commit_stores import cases, run


def test_each_installed_store_is_measured_synced_and_not_and_leaves_nothing(tmp_path: Path) -> None:
    figures = run(0.01, tmp_path, repeats=1)
    assert [(case["store"], case["synced"]) for case in figures["cases"]] == cases()
    assert {("sqlite", True), ("sqlite", False)} <= set(cases())
    assert all(case["batches_per_s"] > 0 and len(case["runs"]) == 1 for case in figures["cases"])
    assert len(figures["load_average_before"]) == len(figures["load_average_after"]) == 3
    assert not list(tmp_path.iterdir())
