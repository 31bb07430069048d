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
from faults.figures import OtherTarget, add_to_record, begin_record, figures_of, keep_in_record, read_record
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
    unmet = Check("recovers_within_ms", False, "recovered 200 ms <late> & \x07\udc80\uffff so on")
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


SCHEMA = {
    "testsuites": ((), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": ((), set(), {"property"}),
    "property": (("name", "value"), set(), set()),
    "testcase": (
        ("name",),
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ((), {"type", "message"}, set()),
    "system-out": ((), set(), set()),
}
"""The part of the Jenkins xUnit plugin's ``junit-10.xsd`` that is used: an element's attributes, those that it must
have and those that it may, and its children."""


def test_junit_keeps_to_a_published_schema(verdicts: list[Verdict]) -> None:
    for element in ElementTree.fromstring(junit(verdicts).encode()).iter():
        required, optional, children = SCHEMA[element.tag]
        assert set(required) <= set(element.attrib) <= set(required) | optional, element.tag
        assert {child.tag for child in element} <= children, element.tag


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


def test_a_chart_of_ten_nodes_names_all_of_them_within_its_width() -> None:
    shown = SimTarget().run(library()["ten-with-three-silent"], 1)
    chart = ElementTree.fromstring(charts.views(shown))
    names = {text.text or "": float(text.get("x", "0")) for text in chart.iter("text")}
    for node in range(10):
        name = f"node {node}{' (liar)' if node in shown.liars else ''}"
        assert names[name] + 6 * len(name) <= charts.WIDTH_PX
    paths = [path.get("d", "") for path in chart.iter("path")]
    lines = [float(path.split()[1].partition("H")[0]) for path in paths if "H" in path]
    assert min(lines) > charts.TOP_PX + charts.LABEL_PX - 1, "below the label of where faults end"


def test_a_picture_of_a_run_without_a_fault_begins_with_its_first_message() -> None:
    assert "COMPLAINT about v0" in picture(library()["ten-with-three-silent"], 1)


def test_the_pictures_show_the_fault(scenario: Scenario) -> None:
    assert "fault: isolate" in picture(scenario, 1)
    assert "fault: isolate" in told(scenario, 1, 5)


def test_the_record_of_figures_comes_back(verdicts: list[Verdict], tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert begin_record(path, "sim").scenarios == {}
    for verdict in verdicts:
        add_to_record(path, verdict)
    record = begin_record(path, "sim")
    assert record.figures == figures_of(verdicts)
    assert {name: each.runs for name, each in record.scenarios.items()} == {"isolated-primary": 1, "strict": 2}


def test_scenarios_that_are_run_anew_take_their_place_in_the_record(verdicts: list[Verdict], tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    isolated, strict = verdicts
    once = msgspec.structs.replace(strict, runs=strict.runs[:1])
    begin_record(path, "sim")
    for verdict in (strict, isolated, once):
        add_to_record(path, verdict)
    assert read_record(path).figures == figures_of([isolated, once])
    keep_in_record(path, ["isolated-primary", "not-run-yet"])
    assert read_record(path).figures == figures_of([isolated])
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]
    with pytest.raises(OtherTarget, match="figures of sim, not of processes"):
        begin_record(path, "processes")


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


def test_shrinking_does_not_slip_from_a_view_that_began_late_to_one_that_never_began() -> None:
    text = """
name = "late"
title = "A backup lies about outcomes while the primary dies and another node is cut off"
covers = [11]
[[topology.byzantine]]
node = 2
behaviour = "lying-outcomes"
[workload]
kind = "bank"
[[timeline]]
name = "death"
fault = "crash"
when = { height = 5 }
nodes = ["primary"]
for_ms = 1500
[expect]
view_change = { after = "death", within_ms = 900 }
"""
    scenario = parse_scenario(text, "late.toml")
    first = judge_run(scenario, SimTarget().run(scenario, 1))
    small = shrink(scenario, first, lambda s: judge_run(s, SimTarget().run(s, 1)))
    assert [check.said.startswith("a view began") for check in small.run.unmet] == [True]


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
