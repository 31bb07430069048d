"""What the demo plays and what it tells on the way."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from demo.journal import Journal
from demo.progress import Progress, Scene, progress_line
from demo.run import profiles_of
from demo.setting import PARTICIPANTS, Options

DAY = "2027-06-21"


def test_the_seed_decides_the_forecasts_of_given_profiles(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    rows = [f"{index},{person.meter},{10 * index},{index}" for person in PARTICIPANTS for index in range(96)]
    file.write_text("\n".join(["interval,meter,import_wh,export_wh", *rows]) + "\n", "utf-8")
    first, again, other = (profiles_of(Options(tmp_path, profiles=file, seed=seed), DAY) for seed in (1, 1, 2))
    meter = PARTICIPANTS[0].meter
    assert first == again
    assert first[meter].import_wh == other[meter].import_wh
    assert first[meter].forecast_import_wh != other[meter].forecast_import_wh


@pytest.mark.parametrize("width", [80, 120])
def test_the_display_cuts_nothing(tmp_path: Path, width: int) -> None:
    scene = Scene(("node1", "node2"), phase="trading", interval=41, statuses=(None, None))
    for number in range(999):
        trade = {"id": str(number), "energy_wh": 150_000, "delivered_wh": 100_000, "amount": 10**9, "status": "settled"}
        scene.see_trades([trade])
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(
        Progress(scene, Journal(tmp_path / "journal.jsonl"))
    )
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert "999 trades, 149850.00 kWh contracted, 99900.00 kWh delivered, 999000.00 paid" in lines
    assert "0 transactions certified, 0 refused" in lines
    assert max(map(len, lines)) <= width


def test_a_line_of_progress(tmp_path: Path) -> None:
    scene = Scene(("node1", "node2"), phase="trading", interval=41)
    scene.see_trades([{"id": "a", "energy_wh": 1_500, "delivered_wh": 1_000, "amount": 250_000, "status": "settled"}])
    journal = Journal(tmp_path / "journal.jsonl", acknowledged={"t": 1})
    journal.refusals["SELF_TRADE"] = 2
    assert progress_line(scene, journal) == (
        "10:15 UTC  trading: 0 of 2 nodes, height 0, 1 trades, 1.50 kWh contracted, 1.00 kWh delivered, 0.25 paid; "
        "1 transactions certified, 2 refused"
    )
