"""Scenario files: what they mean, and what a bad one is told: the file, the key, and what is allowed there."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from faults.reading import FILE_BYTES_MAX, BadScenario, parse_scenario, read_scenario
from faults.real.timeline import STRIKES
from faults.scenario import ARGUMENTS, LIVENESS, WIRED, Kind, Message, Property, Scenario
from faults.shelf import find, library, template
from faults.writing import write_scenario
from sim.checkers import CHECKERS
from sim.faults import KINDS
from sim.watch import MESSAGES

HEAD = 'name = "x"\ntitle = "X"\ncovers = [1]\n'


def test_three_lines_are_a_scenario() -> None:
    scenario = parse_scenario(HEAD, "x.toml")
    assert (scenario.name, scenario.topology.nodes, scenario.expect.outcome) == ("x", 4, "holds")


def test_operators_may_order_that_the_first_node_leads() -> None:
    """Regression: its number, 0, was taken for none."""
    scenario = parse_scenario(HEAD + "[[timeline]]\nfault = 'hand_over'\nat_ms = 1\nto = 0", "x.toml")
    assert scenario.timeline[0].to == 0


BAD = [
    ("", "missing required field `name`; allowed: name, title, covers"),
    ("name = 3", "name: expected `str`, got `int`"),
    ("name = ", "not TOML"),
    (HEAD + "sceeds = [1]", "unknown field `sceeds`; allowed: name, title, covers, about, topology"),
    (HEAD.replace("[1]", "[22]"), "covers[0]: expected `int` <= 21"),
    (HEAD.replace("[1]", "[]"), "covers: expected `array` of length >= 1"),
    (HEAD.replace('"x"', '"Not Small"'), "name: expected `str` matching regex"),
    (HEAD + "[topology]\nnodes = 3", "topology.nodes: expected `int` >= 4"),
    (
        HEAD + "[topology.weather]\nlos = 0.1",
        "topology.weather: object contains unknown field `los`; allowed: delay_ms,",
    ),
    (HEAD + "[topology.weather]\nloss = 1.5", "topology.weather.loss: expected `float` <= 1.0"),
    (HEAD + "[topology.weather]\ndelay_ms = [9, 2]", "topology.weather: delay_ms is [from, to]"),
    (
        HEAD + "[[topology.byzantine]]\nnode = 9\nbehaviour = 'mute'",
        "topology: node 9 is no validator; those are 0 to 3",
    ),
    (HEAD + "[workload]\nkind = 'shop'", "workload.kind: invalid enum value 'shop'; allowed: "),
    (
        HEAD + "[[timeline]]\nfault = 'explode'\nat_ms = 1",
        "timeline[0].fault: invalid enum value 'explode'; allowed: ",
    ),
    (HEAD + "[[timeline]]\nfault = 'crash'\nnodes = [0]", "timeline[0]: a fault has either at_ms or when"),
    (HEAD + "[[timeline]]\nfault = 'crash'\nat_ms = 1", "timeline[0]: crash needs nodes"),
    (HEAD + "[[timeline]]\nfault = 'join'\nat_ms = 1\nnodes = [1]", "join has no nodes; it takes nothing but a time"),
    (
        HEAD + "[[timeline]]\nfault = 'crash'\nat_ms = 1\nnodes = [4]",
        "timeline[0]: there is no node 4; nodes are 0 to 3",
    ),
    (HEAD + "[[timeline]]\nfault = 'crash'\nat_ms = 1\nnodes = ['first']", "allowed: primary"),
    (
        HEAD + "[[timeline]]\nfault = 'crash'\nat_ms = 5000\nnodes = [1]",
        "timeline[0].at_ms: 5000 is not before faults_end",
    ),
    (
        HEAD + "[[timeline]]\nfault = 'crash'\nwhen = {}\nnodes = [1]",
        "timeline[0].when: when takes one of height, view",
    ),
    (HEAD + "[[timeline]]\nfault = 'crash'\nwhen = { height = 2, copies = 2 }\nnodes = [1]", "go with sent"),
    (HEAD + "[[timeline]]\nfault = 'begin_anew'\nat_ms = 1\nnodes = [1]", "only a Byzantine node begins anew"),
    (HEAD + "[expect]\noutcome = 'breaks'", "expect: breaks lists properties"),
    (HEAD + "[expect]\nbreaks = ['agreement']", "expect: breaks lists properties"),
    (HEAD + "[expect]\nalarm = 'fire'", "expect.alarm: invalid enum value 'fire'; allowed: amnesia, diverged"),
    (
        HEAD + "[expect]\ncommits = [{ after = 'cut', to_ms = 9 }]",
        "expect.commits: no fault of the timeline is named 'cut'",
    ),
    (HEAD + "[expect]\ncommits = [{ from_ms = 9, to_ms = 9 }]", "expect.commits[0]: to_ms is after from_ms"),
    (HEAD + "[expect]\naccused = [{ node = 7 }]", "expect.accused: node 7 is no validator"),
    (HEAD + "[topology]\npartitions_of_views = [[0, 1]]", "topology.partitions_of_views[0]: one group for each of"),
    (HEAD + "[topology]\nclocks_ms = [0, 0, 0, 0, 0]", "topology.clocks_ms: more clocks than the 4 nodes"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_a_bad_file_is_told_the_key_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(BadScenario) as caught:
        parse_scenario(text, "bad.toml")
    assert str(caught.value).startswith("bad.toml:")
    assert said in str(caught.value)


LINES = [
    ("name = ", 1),
    ('name = "x"\ntitle = 3', 2),
    (HEAD + "sceeds = [1]", 4),
    (HEAD + "\n[topologie]\nnodes = 4", 5),
    (HEAD + "[topology]\nobservers = 0\nnodes = 3", 6),
    (HEAD + "[topology]\nbyzantine = [{ node = 9, behaviour = 'mute' }]", 4),
    (HEAD + "[[topology.byzantine]]\nnode = 9\nbehaviour = 'mute'", 4),
    (HEAD + "[[topology.byzantine]]\nnode = 1\nbehaviour = 'mute'\n[[topology.byzantine]]\nnod = 1", 8),
    (HEAD + 'about = """\nnodes = 1\n[topology]\n"""\n[topology]\nnodes = 1', 9),
    (HEAD + "[[timeline]]\nfault = 'join'\nat_ms = 1\n[[timeline]]\nfault = 'join'\nat_ms = 9000", 9),
    (HEAD + "[[timeline]]\nfault = 'join'\nat_ms = 1\n[[timeline]]\nfault = 'crash'\nat_ms = 1", 7),
    (HEAD + "[[timeline]]\nfault = 'join'\n[timeline.when]\nheigth = 1", 7),
    (HEAD + "[expect]\noutcome = 'breaks'", 4),
]


@pytest.mark.parametrize(("text", "line"), LINES)
def test_a_bad_file_is_told_the_line(text: str, line: int) -> None:
    with pytest.raises(BadScenario, match=rf"^bad\.toml:{line}: "):
        parse_scenario(text, "bad.toml")


def test_what_is_missing_has_no_line() -> None:
    with pytest.raises(BadScenario, match=r"^bad\.toml: object missing required field `name`"):
        parse_scenario("", "bad.toml")


def test_a_file_that_is_not_there_or_is_no_scenario_by_its_size(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="No such file"):
        read_scenario(tmp_path / "none.toml")
    large = tmp_path / "large.toml"
    large.write_text("#" * (FILE_BYTES_MAX + 1))
    with pytest.raises(BadScenario, match="more than"):
        read_scenario(large)
    large.write_bytes(b"\xff\xfe")
    with pytest.raises(BadScenario, match="decode"):
        read_scenario(large)


def test_a_name_that_nobody_knows_has_its_neighbours_told() -> None:
    with pytest.raises(BadScenario, match="did you mean isolated-primary"):
        find(["isolated-primry"])
    with pytest.raises(BadScenario, match="wattq faults list shows all"):
        find(["zzz"])


def test_files_and_names_are_found_in_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD)
    assert [scenario.name for scenario in find(["slow-primary", str(path)])] == ["slow-primary", "x"]
    assert len(find([])) == len(library())


@pytest.mark.parametrize("name", sorted(library()))
def test_what_is_written_reads_back_as_the_same(name: str) -> None:
    scenario = library()[name]
    assert parse_scenario(write_scenario(scenario), name) == scenario


def test_the_template_is_a_scenario() -> None:
    scenario: Scenario = parse_scenario(template().replace("NAME", "mine"), "mine.toml")
    assert scenario.name == "mine"
    assert scenario.timeline


REAL_ONLY = {"roll_back", "pause", "full_disk", "fsync_fails", "drift", "expire", "few_files", "little_memory", *WIRED}


def test_every_kind_of_fault_says_what_it_takes_and_every_target_knows_it() -> None:
    assert set(ARGUMENTS) == set(get_args(Kind)) == set(STRIKES)
    assert set(STRIKES) - set(KINDS) == REAL_ONLY
    assert set(get_args(Message)) == set(MESSAGES)


def test_every_property_of_the_checkers_can_be_named() -> None:
    checkers = {checker.__name__.replace("_", " ") for checker in CHECKERS}
    assert checkers | {"storm", "assertion", "error"} == set(get_args(Property))
    assert checkers & LIVENESS == {"termination", "censorship"}
