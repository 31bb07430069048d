"""What a bench under attack makes of receipts' times, and the picture of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from bench.attack import ATTACKS, AttackOptions, _by_second, _networks, _one_after_another, _silence_ms, _Stage
from bench.attack_plot import draw
from bench.load import LoadResult
from bench.samples import Sample
from cli import bench_run as command
from cli.main import app

ATTACK = {
    "attack": "slow primary",
    "calm": {"transactions": 100, "tx_per_s": 50.0, "latency_ms": {"p50": 20.0, "p99": 40.0}},
    "attacked": {"transactions": 40, "tx_per_s": 20.0, "latency_ms": {"p50": None, "p99": None}},
    "throughput_share": 0.4,
    "longest_silence_ms": [30, 1_200],
    "views": ["0.0", "0.1"],
}
FIGURES = {
    "attacks": [ATTACK],
    "tx_by_second": [50, 50, 20, 20],
    "began_at_s": [2.0],
    "ended_at_s": [4.0],
    "failed": 0,
    "cores": 2,
    "load_average": [1.0, 1.0, 1.0],
}


def test_receipts_are_counted_by_the_second_and_their_longest_gap_is_told() -> None:
    ended = [[10.1, 10.9, 12.5], [10.2, 13.9]]
    results = [LoadResult(samples=[Sample(at_s - 0.1, at_s) for at_s in moments]) for moments in ended]
    assert _by_second(results, 10.0, 13.0) == [3, 0, 1, 0]
    assert _silence_ms(results, 10.0, 13.0) == 1_600
    assert _silence_ms(results, 20.0, 21.5) == 1_500, "from its begin to its end"


def test_attacks_are_chosen_by_a_part_of_their_names() -> None:
    assert AttackOptions().chosen == list(ATTACKS)
    assert AttackOptions(only=("primary",)).chosen == ["crashed primary", "slow primary"]


def test_a_crash_has_a_network_of_its_own_and_the_times_of_both_make_one_axis() -> None:
    assert _networks(list(ATTACKS)) == [["crashed primary"], ["slow primary", "flooding client", "flooding replica"]]
    assert _networks(["slow primary"]) == [["slow primary"]]
    first = _Stage([{"attack": "a"}], [5, 5, 0], [1.0], [3.0], 0, 1)
    second = _Stage([{"attack": "b"}], [7, 7], [0.5], [1.5], 2, 0)
    assert _one_after_another([first, second]) == {
        "attacks": [{"attack": "a"}, {"attack": "b"}], "tx_by_second": [5, 5, 0, 7, 7], "began_at_s": [1.0, 3.5],
        "ended_at_s": [3.0, 4.5], "failed": 2, "refused": 1,
    }  # fmt: skip


def test_the_picture_is_the_same_again_and_names_every_attack(tmp_path: Path) -> None:
    draw(FIGURES, tmp_path / "a.svg")
    draw(FIGURES, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "slow primary" in text


def test_the_command_tells_shares_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(*_: object) -> dict[str, object]:
        return FIGURES

    monkeypatch.setattr(command, "run_attacks", measured)
    result = CliRunner().invoke(app, ["bench", "run", "--attacks", "--plot", str(tmp_path / "a.svg")])
    assert result.exit_code == 0
    assert "slow primary" in result.stdout
    assert "40%" in result.stdout
    assert (tmp_path / "a.svg").exists()
