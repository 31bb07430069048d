"""What the demo plays and what it tells on the way."""

from __future__ import annotations

from pathlib import Path

from demo.journal import Journal
from demo.progress import Scene, progress_line
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


def test_a_line_of_progress(tmp_path: Path) -> None:
    scene = Scene(("node1", "node2"), phase="trading", interval=41)
    scene.see_trades([{"id": "a", "energy_wh": 1_500, "delivered_wh": 1_000, "amount": 250_000, "status": "settled"}])
    journal = Journal(tmp_path / "journal.jsonl", acknowledged={"t": 1})
    journal.refusals["SELF_TRADE"] = 2
    assert progress_line(scene, journal) == (
        "10:15 UTC  trading: 0 of 2 nodes, height 0, 1 trades, 1.50 kWh contracted, 1.00 kWh delivered, 0.25 paid; "
        "1 transactions certified, 2 refused"
    )
