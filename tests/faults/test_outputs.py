"""Shrinking, JUnit, the report and the figures: what a tester takes away."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from ca.signatures import verify
from faults import charts
from faults.expectations import Check
from faults.figures import read_record, record_of, write_record
from faults.junit import junit
from faults.reading import parse_scenario
from faults.report import Chapter, report, shown_run
from faults.scenario import Scenario, Topology
from faults.shelf import library
from faults.shrinking import shrink, smaller_scenarios
from faults.simulated import SimTarget, picture, told
from faults.verdict import Run, Verdict, judge, judge_run
from faults.writing import write_scenario
from pbft.evidence import decode_evidence, verify_evidence
from sim.setting import node_keys

VOID = {"meta"}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return library()["isolated-primary"]


@pytest.fixture(scope="module")
def verdicts(scenario: Scenario) -> list[Verdict]:
    """One that comes as expected, and one that cannot."""
    run = judge_run(scenario, SimTarget().run(scenario, 1))
    unmet = Check("recovers_within_ms", False, "recovered 200 ms <late> & \x07 so on")
    failed = msgspec.structs.replace(run, scenario="strict", seed=2, checks=(*run.checks, unmet))
    strict = msgspec.structs.replace(scenario, name="strict", title="Cannot & must not be")
    return [judge(scenario, [run]), judge(strict, [run, failed])]


def test_junit_has_a_case_a_seed_and_says_what_failed(verdicts: list[Verdict]) -> None:
    root = ElementTree.fromstring(junit(verdicts))
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    failures = root.findall(".//failure")
    assert [failure.get("type") for failure in failures] == ["SAFE LIVE"]
    assert "recovers_within_ms: recovered 200 ms <late> &" in (failures[0].text or "")
    assert [case.get("name") for case in root.iter("testcase")] == ["seed 1", "seed 1", "seed 2"]
    assert root.findall(".//property[@name='rows']")[0].get("value") == "19"


def test_junit_fails_once_for_what_nobody_saw_break() -> None:
    scenario = library()["two-colluders"]
    harmless = msgspec.structs.replace(scenario, topology=Topology())
    run = judge_run(scenario, SimTarget().run(harmless, 1))
    root = ElementTree.fromstring(junit([judge(scenario, [run])]))
    assert root.get("failures") == "1"


class Loads(HTMLParser):
    """What a page would load, and whether its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_file_that_loads_nothing(scenario: Scenario, verdicts: list[Verdict]) -> None:
    shown = SimTarget().run(scenario, 1)
    runs = [msgspec.structs.replace(shown, seed=shown_run(verdict).seed) for verdict in verdicts]
    assert [run.seed for run in runs] == [1, 2], "the one that failed"
    picked = zip(verdicts, runs, strict=True)
    chapters = [Chapter(scenario, verdict, run) for verdict, run in picked]
    page = report(chapters, [picture(scenario, 1), ""], "1.2.3")
    reader = Loads()
    reader.feed(page.partition("<!doctype html>")[2])
    assert reader.loaded == []
    assert reader.open == []
    for text in ("Throughput through the fault", "View over time", "Messages round the fault", "FAILED", "NOT MET"):
        assert text in page
    assert "&lt;late&gt; &amp;" in page


def test_an_accusation_has_what_the_accused_signed_and_a_proof_that_convicts() -> None:
    run = judge_run(library()["double-voter"], SimTarget().run(library()["double-voter"], 1))
    keys = tuple(key.public_key for key in node_keys(4))
    assert {liar.of for liar in run.liars} == {"two_prepares", "two_commits"}
    for liar in run.liars:
        evidence = decode_evidence(base64.b64decode(liar.proof))
        assert verify_evidence(evidence, keys, lambda view: view % 4, verify)
        assert not verify_evidence(evidence, keys[::-1], lambda view: view % 4, verify), "another's keys"
        assert [words.split()[0] for words in liar.said] == [liar.of.removeprefix("two_").removesuffix("s").upper()] * 2


def test_charts_are_drawn_of_a_run_in_which_nothing_happened() -> None:
    shown = SimTarget().run(library()["two-of-four-are-silent"], 1)
    for chart in (charts.throughput(shown), charts.views(shown)):
        assert ElementTree.fromstring(chart).get("role") == "img"


def test_the_pictures_show_the_fault(scenario: Scenario) -> None:
    assert "fault: isolate" in picture(scenario, 1)
    assert "fault: isolate" in told(scenario, 1, 5)


def test_the_record_of_figures_comes_back(verdicts: list[Verdict], tmp_path: Path) -> None:
    write_record(tmp_path / "figures.json", verdicts)
    record = read_record(tmp_path / "figures.json")
    assert record == record_of(verdicts)
    assert record.runs == {"isolated-primary": 1, "strict": 2}


@pytest.mark.row(21)
def test_shrinking_leaves_what_breaks_and_nothing_else() -> None:
    text = write_scenario(library()["counting-through-crashes"]).replace("[expect]", "[expect]\nblocks_min = 1000")
    scenario = parse_scenario(text, "impossible.toml")
    first = judge_run(scenario, SimTarget().run(scenario, 1))
    assert first.broken == {"blocks_min"}
    small = shrink(scenario, first, lambda s: judge_run(s, SimTarget().run(s, 1)))
    assert small.run.broken == {"blocks_min"}
    assert small.scenario.timeline == ()
    assert (small.scenario.workload.clients, small.scenario.workload.operations) == (1, 1)
    assert small.scenario.expect.operations_min == 0
    assert parse_scenario(write_scenario(small.scenario), "small.toml") == small.scenario


def test_shrinking_stops_at_its_bound(scenario: Scenario) -> None:
    broken = judge_run(scenario, msgspec.structs.replace(SimTarget().run(scenario, 1), violations=("kept: no",)))
    tried: list[Scenario] = []

    def never(smaller: Scenario) -> Run:
        tried.append(smaller)
        return msgspec.structs.replace(broken, violations=(), checks=())

    assert shrink(scenario, broken, never, runs_max=3).runs == 3
    assert len(tried) == 3
    assert shrink(scenario, broken, never).scenario == scenario
    assert all(smaller != scenario for smaller in smaller_scenarios(scenario))
