"""docs/FAULTS.md teaches what there is: every key of a scenario, and files that run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from faults import scenario as scenarios
from faults.reading import parse_scenario
from faults.scenario import Expect, Kind, Message, Scenario, Topology, Tuning, Weather, Wire, Workload
from faults.simulated import SimTarget
from faults.verdict import judge, judge_run

MANUAL = (Path(__file__).resolve().parents[2] / "docs" / "FAULTS.md").read_text("utf-8")
LESSON = MANUAL.partition("## A scenario from nothing")[2].partition("## What a file may say")[0]


@pytest.mark.parametrize(
    "table", [Scenario, Topology, Tuning, Weather, Wire, Workload, Expect, scenarios.Disks, scenarios.Services]
)
def test_every_key_is_explained(table: type[msgspec.Struct]) -> None:
    headings = {"topology", "workload", "timeline", "expect"}
    names = [field.name for field in msgspec.structs.fields(table)]
    assert [name for name in names if name not in headings and f"`{name}" not in MANUAL] == []


def test_every_fault_and_every_message_is_explained() -> None:
    assert [name for name in (*get_args(Kind), *get_args(Message)) if f"`{name}`" not in MANUAL] == []


def test_the_lesson_leads_to_a_scenario_that_comes_as_it_says() -> None:
    text = "\n".join(re.findall(r"```toml\n(.*?)```", LESSON, re.DOTALL))
    scenario = parse_scenario(text, "the lesson")
    target = SimTarget()
    assert judge(scenario, [judge_run(scenario, target.run(scenario, seed)) for seed in scenario.seeds]).unmet == []
    stricter = parse_scenario(text.replace("within_ms = 2400", "within_ms = 100"), "the lesson")
    assert [check.key for check in judge_run(stricter, target.run(stricter, 1)).unmet] == ["view_change"]
