"""What a failure is told with: the shrunk plan, the transcript, the diagram and the line that replays it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from ca.signatures import remembering
from cli.main import app
from pbft.messages import BatchBody, Commit, Message, Prepare, PrePrepare, Proposal
from sim.campaign import Campaign
from sim.catalogue import ADVERSARIES, plan_of
from sim.diagram import diagram
from sim.plan import Fault, Liar, Plan, Weather, decode_plan, encode_plan
from sim.run import Verdict, run_plan
from sim.setting import stage_of
from sim.shrink import shrink
from sim.transcript import told, transcript
from sim.world import World

SILENT = (Liar(2, "silent"), Liar(3, "silent"))
FAILING = Plan(1, "none", liars=SILENT, clients=1, operations=1, chaos_ms=500, calm_ms_max=2_000)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def world() -> World:
    plan = Plan(1, "none", liars=(Liar(0, "equivocate"),), clients=1, operations=2, chaos_ms=800)
    with remembering():
        made = World(plan, stage_of(plan))
        made.arrived = []
        made.play()
    return made


# -------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("name", sorted(ADVERSARIES))
@pytest.mark.parametrize("nodes", [4, 7])
def test_every_adversary_gives_plans_that_travel_as_json_and_depend_on_the_seed_alone(name: str, nodes: int) -> None:
    for seed in range(5):
        plan = plan_of(seed, nodes, name)
        assert decode_plan(encode_plan(plan)) == plan
        assert plan_of(seed, nodes, name) == plan
        assert plan.adversary == name
        assert plan.nodes == nodes


def test_a_plan_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        decode_plan('{"seed": 1, "adversary": "crash", "weather_forecast": 1}')


# ------------------------------------------------------------------------------------------------ shrinking


def failing_when(wanted: Fault) -> Verdict:
    weather = Weather(loss=0.1, slow=0.5)
    faults = tuple(Fault(at_ms, "crash", ((at_ms % 4,),)) for at_ms in range(0, 4_000, 100))
    plan = Plan(1, "made up", weather=weather, faults=(*faults, wanted), operations=9)
    return verdict_on(plan, wanted)


def verdict_on(plan: Plan, wanted: Fault) -> Verdict:
    faults = ("agreement: made up",) if wanted in plan.faults else ()
    return Verdict(plan, faults, "", 0, 0, None)


def test_shrinking_leaves_the_one_fault_that_matters() -> None:
    wanted = Fault(777, "ring", ((0, 1, 2, 3),))
    shrunk = shrink(failing_when(wanted), lambda plan: verdict_on(plan, wanted))
    plan = shrunk.plan
    assert plan.faults == (wanted,)
    assert (plan.clients, plan.operations, plan.weather) == (1, 1, Weather())
    assert shrunk.verdict.faults


def test_shrinking_ends_within_its_bound() -> None:
    wanted = Fault(777, "ring", ((0, 1, 2, 3),))
    shrunk = shrink(failing_when(wanted), lambda plan: verdict_on(plan, wanted), runs_max=5)
    assert shrunk.runs == 5
    assert wanted in shrunk.plan.faults


def test_shrinking_never_changes_one_failure_for_another() -> None:
    def other(plan: Plan) -> Verdict:
        return Verdict(plan, ("termination: made up",), "", 0, 0, None)

    first = failing_when(Fault(777, "join"))
    assert shrink(first, other).plan == first.plan


# ------------------------------------------------------------------------------- transcripts and diagrams


def test_a_transcript_says_who_sent_what_and_what_befell_the_world(world: World) -> None:
    text = transcript(world, 10_000)
    assert "0 (liar) > 1: PRE-PREPARE v0 s1" in text
    assert "-- calm" in text
    assert "STATUS" not in text
    assert "STATUS" in transcript(world, 10_000, chatter=True)


def test_a_transcript_keeps_the_last_messages(world: World) -> None:
    whole, cut = transcript(world, 10_000).splitlines(), transcript(world, 5).splitlines()
    assert cut[0].startswith("(without the first")
    assert cut[-1] == whole[-1]
    assert len([line for line in cut if " > " in line]) == 5


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Prepare(1, 2, bytes(32), 0), "PREPARE v1 s2 null"),
        (Commit(1, 2, b"\xab" * 32, 0), "COMMIT v1 s2 ababab"),
    ],
)
def test_votes_are_told_in_a_few_words(message: Message, words: str) -> None:
    assert told(message) == words


@pytest.mark.parametrize("body", [b"", b"\x07", b"\xff" * 40])
def test_a_body_that_is_no_batch_is_told_like_any_other(body: bytes) -> None:
    """A flood's garbage in a proposal ended the transcript, and the diagram with it."""
    proposal = Proposal(PrePrepare(0, 1, bytes(32), 0), body)
    assert told(proposal).endswith(f"with {len(body)} bytes that are no batch")
    assert told(BatchBody(body)) == f"BATCH-BODY of {len(body)} bytes that are no batch"


def test_a_diagram_is_well_formed_and_has_a_column_a_node_and_an_arrow_a_message(world: World) -> None:
    root = ElementTree.fromstring(diagram(world, 0, 700))
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert [text for text in texts if text.startswith("node ")][:4] == ["node 0 (liar)", "node 1", "node 2", "node 3"]
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert any("PRE-PREPARE v0 s1" in title for title in titles)
    assert len(titles) == len(list(root.iter(f"{SVG}polygon")))
    assert not any("STATUS" in title for title in titles)


# --------------------------------------------------------------------------------------------- the command


def test_replay_shows_a_violation_and_ends_with_one(tmp_path: Path) -> None:
    plan, drawing = tmp_path / "plan.json", tmp_path / "exchange.svg"
    plan.write_text(encode_plan(FAILING), encoding="utf-8")
    result = CliRunner().invoke(app, ["sim", "replay", str(plan), "--transcript", "--svg", str(drawing)])
    assert result.exit_code == 1
    assert "VIOLATION termination" in result.output
    assert ElementTree.parse(drawing).getroot().tag == f"{SVG}svg"


def test_run_gives_a_summary_and_ends_well_when_everything_holds() -> None:
    result = CliRunner().invoke(app, ["sim", "run", "--seeds", "1..2", "--adversary", "crash", "-j", "1", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert summary["rows"]["crash"]["seeds"] == 2
    assert summary["failures"] == []


def test_run_shrinks_what_fails_and_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.sim.work", played_here)
    result = CliRunner().invoke(app, ["sim", "run", "--seeds", "5", "--adversary", "crash", "-j", "1"])
    assert result.exit_code == 1, result.output
    assert "VIOLATION termination" in result.output
    assert "shrunk in" in result.output
    assert "again:  wattq sim replay 5 --nodes 4 --adversary crash --transcript" in result.output
    shrunk = result.output.partition("shrunk: wattq sim replay '")[2].partition("'")[0]
    assert len(decode_plan(shrunk).liars) == 2


def played_here(campaign: Campaign, jobs: int) -> Iterator[Verdict]:
    verdict = run_plan(Plan(5, "crash", liars=SILENT, clients=2, operations=2, chaos_ms=500, calm_ms_max=2_000))
    campaign.add(verdict)
    yield verdict


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--seeds", "3..1"],
        ["run", "--seeds", "x"],
        ["run", "--nodes", "3"],
        ["run", "--adversary", "nobody"],
        ["replay", "/no/such/plan"],
        ["replay", '{"seed": 1}'],
        ["replay", "3", "--svg", "/no/such/place/x.svg"],
        ["replay", "3", "--from-ms", "300", "--to-ms", "100"],
        ["golden", "--check", "/no/such/file"],
        ["golden", "--write", "/no/such/place/golden.json"],
        ["run", "--resume", "/no/such/place/state.json"],
    ],
)
def test_bad_arguments_end_with_two(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["sim", *arguments]).exit_code == 2
