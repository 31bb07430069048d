"""`wattq faults`: what a tester types, what comes out, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from faults.figures import read_record
from faults.observation import Observation
from faults.reading import read_scenario
from faults.scenario import Scenario
from faults.simulated import SimTarget

IMPOSSIBLE = """
name = "impossible"
title = "Nobody commits a thousand blocks in five seconds"
covers = [21]
seeds = [1]
[workload]
clients = 1
operations = 2
[expect]
blocks_min = 1000
"""


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, ["faults", *words], env={"COLUMNS": "160"})


@pytest.fixture
def impossible(tmp_path: Path) -> Path:
    path = tmp_path / "impossible.toml"
    path.write_text(IMPOSSIBLE)
    return path


def test_a_run_gives_one_line_a_scenario_and_the_sum() -> None:
    done = invoke("run", "double-voter", "two-colluders", "--seeds", "1", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert "double-voter" in done.stdout
    assert "SAFE   LIVE" in done.stdout
    assert "node 2 lied: two_commits, two_prepares" in done.stdout
    assert "must break: seen in 1 of 1 runs" in done.stdout
    assert "2 scenarios, 2 runs, all as expected" in done.stdout


def test_nothing_is_said_of_the_time_that_nobody_took_to_recover() -> None:
    done = invoke("run", "two-colluders", "--seeds", "1", "--jobs", "1")
    assert "0 operations acknowledged, 0 lost\n" in done.stdout
    assert "recovered in" not in done.stdout


def test_what_does_not_come_as_expected_ends_with_1(impossible: Path, tmp_path: Path) -> None:
    done = invoke("run", str(impossible), "--jobs", "1", "--junit", str(tmp_path / "junit.xml"))
    assert done.exit_code == 1
    assert "FAIL impossible, seed 1: blocks_min: " in done.stdout
    assert f"wattq faults replay {impossible} --seed 1 --transcript" in done.stdout
    assert ElementTree.fromstring((tmp_path / "junit.xml").read_bytes()).get("failures") == "1"


def test_json_has_figures_and_verdicts(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = invoke("run", "double-voter", "--seeds", "1", "--jobs", "1", "--json", "--sim", "--figures", str(figures))
    found = json.loads(done.stdout)
    assert found["figures"]["lost"] == 0
    assert found["verdicts"][0]["runs"][0]["safe"] is True
    assert found["verdicts"][0]["as_expected"] is True
    assert json.loads(figures.read_text())["scenarios"]["double-voter"]["runs"] == 1


def test_figures_are_kept_scenario_by_scenario_and_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    words = ("double-voter", "storm-of-views", "--seeds", "2", "--jobs", "1", "--figures", str(figures))
    begun: list[int] = []

    def interrupt_the_last(target: SimTarget, scenario: Scenario, seed: int) -> Observation:
        if len(begun) == 3:
            raise KeyboardInterrupt
        begun.append(seed)
        return play(target, scenario, seed)

    play = SimTarget.run
    with monkeypatch.context() as patch:
        patch.setattr(SimTarget, "run", interrupt_the_last)
        assert invoke("run", *words).exit_code == 130
    assert list(read_record(figures).scenarios) == ["double-voter"]
    done = invoke("run", *words, "--resume")
    assert "1 scenarios, 2 runs, all as expected" in done.stdout
    assert read_record(figures).figures.runs == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "name scenarios or files, or say --all"),
        (("run", "double-voter", "--all"), "name scenarios or files, or say --all"),
        (("run", "double-voter", "double-voter"), "two scenarios are named double-voter"),
        (("run", "nobody-knows-it"), "neither a scenario of the library nor a file"),
        (("run", "nowhere.toml"), "No such file"),
        (("replay", "duoble-voter"), "did you mean double-voter"),
        (("new", "Not Small"), "name: expected `str` matching regex"),
        (("shrink", "double-voter"), "everything holds, so there is nothing to shrink"),
        (("run", "double-voter", "--seeds", "1", "--jobs", "1", "--junit", "/nowhere/x.xml"), "No such file"),
        (("run", "double-voter", "--seeds", "1", "--jobs", "1", "--figures", "/nowhere/x"), "No such file"),
        (
            ("run", "double-voter", "--figures", "pyproject.toml"),
            "pyproject.toml: no figures to add to: ",
        ),
        (("run", "double-voter", "--resume"), "--resume goes on with the file of --figures"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(words: tuple[str, ...], said: str) -> None:
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.fixture
def never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*about: object) -> Observation:
        raise AssertionError(about)

    monkeypatch.setattr(SimTarget, "run", run)


@pytest.mark.usefixtures("never_runs")
@pytest.mark.parametrize(
    "words",
    [
        ("run", "double-voter", "--jobs", "1", "--junit"),
        ("report", "double-voter", "--jobs", "1", "--out"),
        ("replay", "double-voter", "--svg"),
        ("shrink", "two-colluders", "--out"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_runs(words: tuple[str, ...], tmp_path: Path) -> None:
    """Some run for hours, and the verdict would be lost with the file."""
    for place in (tmp_path / "nowhere" / "file", tmp_path):
        done = invoke(*words, str(place))
        assert (done.exit_code, done.stdout) == (2, ""), done.exception
        assert str(place) in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("never_runs")
def test_a_directory_that_cannot_be_made_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = invoke("fuzz", "--target", "sim", "--runs", "1", "--out", str(tmp_path / "file" / "below" / "found"))
    assert (done.exit_code, done.stdout) == (2, ""), done.exception
    assert f"{tmp_path / 'file'}: nothing can be written there" in done.stderr


def test_a_bad_file_is_told_before_anything_runs(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(IMPOSSIBLE.replace("operations", "operation"))
    liar = tmp_path / "liar.toml"
    liar.write_text(IMPOSSIBLE + "[[topology.byzantine]]\nnode = 1\nbehaviour = 'fibs'\n")
    done = invoke("run", "double-voter", str(bad))
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{bad}:8: workload: object contains unknown field `operation`; allowed: kind, clients, ope" in done.stderr
    said = f"{liar}:13: topology.byzantine[0].behaviour: there is no 'fibs'"
    assert said in invoke("run", "double-voter", str(liar)).stderr
    assert said in invoke("replay", str(liar)).stderr


def test_a_file_that_is_named_without_its_ending_is_pointed_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("new", "mine").exit_code == 0
    assert "did you mean mine.toml?" in invoke("run", "mine").stderr


def test_the_list_is_of_a_row_or_of_all() -> None:
    every, some = (json.loads(invoke("list", "--json", *words).stdout) for words in ((), ("--row", "17")))
    assert len(every) > len(some) > 0
    assert all(17 in scenario["covers"] for scenario in some)
    assert "(must break)" in invoke("list", "--row", "21").stdout


def test_a_new_scenario_runs_as_it_is_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert invoke("new", "mine", "--out", str(path)).exit_code == 0
    assert read_scenario(path).name == "mine"
    assert invoke("run", str(path), "--jobs", "1").exit_code == 0
    again = invoke("new", "mine", "--out", str(path), "--json")
    assert again.exit_code == 2
    assert "File exists" in again.stderr


def test_a_replay_tells_everything(tmp_path: Path) -> None:
    drawn = tmp_path / "fault.svg"
    done = invoke("replay", "isolated-primary", "--seed", "2", "--transcript", "--lines", "5", "--svg", str(drawn))
    assert done.exit_code == 0, done.output
    for text in ("fault: isolate", "isolated-primary, seed 2: SAFE LIVE", "met     view_change", "as expected"):
        assert text in done.stdout
    assert "fault: isolate" in drawn.read_text()
    found = json.loads(invoke("replay", "isolated-primary", "--seed", "2", "--json").stdout)
    assert found["run"]["trace"] == found["observation"]["trace"]
    assert "BROKEN  agreement" in invoke("replay", "two-colluders").stdout


def test_shrinking_writes_a_scenario_that_still_fails(impossible: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.toml"
    done = invoke("shrink", str(impossible), "--out", str(small))
    assert done.exit_code == 0, done.output
    assert "still broken: blocks_min" in done.stdout
    assert read_scenario(small).workload.operations == 1
    assert json.loads(invoke("shrink", str(impossible), "--json").stdout)["broken"] == ["blocks_min"]


def test_the_report_is_written(impossible: Path, tmp_path: Path) -> None:
    page = tmp_path / "faults.html"
    done = invoke("report", "isolated-primary", str(impossible), "--seeds", "1", "--jobs", "1", "--out", str(page))
    assert done.exit_code == 1
    assert "1 of 2 scenarios failed" in page.read_text()
    assert json.loads(invoke("report", "double-voter", "--seeds", "1", "--out", str(page), "--json").stdout) == {
        "file": str(page),
        "as_expected": True,
    }
