"""The study of scale: counts by the theory, the same bytes for the same seed, and figures that move as they must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.sim_scale import scale
from sim.scale.costs import Costs, CostsFault
from sim.scale.network import Card, lan, wan
from sim.scale.plots import panels
from sim.scale.probe import Effort, Probe, light, probe
from sim.scale.run import run_study
from sim.scale.search import Row, saturation
from sim.scale.table import to_csv
from sim.scale.theory import Counts, messages_of_a_decision
from sim.scale.world import ScaleWorld, Setting

QUICK = Effort(duration_ms=300, latency_ms_max=500, steps_max=10_000)
UNLOADED_MS = 10.0


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(lan(), Costs.reference())


@pytest.fixture(scope="module")
def at_seven(setting: Setting) -> Probe:
    return light(setting, 7)


def test_the_formula_by_hand() -> None:
    assert messages_of_a_decision(4) == Counts(3, 9, 12, 12)
    assert messages_of_a_decision(7).total == 3 * 7 * 6
    assert messages_of_a_decision(100).total == 29_700


def test_every_decision_of_four_sends_exactly_the_theory(setting: Setting) -> None:
    found = light(setting, 4)
    assert found.decisions == found.exact_decisions > 10
    assert found.messages == messages_of_a_decision(4)


def test_every_decision_of_seven_sends_exactly_the_theory(at_seven: Probe) -> None:
    assert at_seven.decisions == at_seven.exact_decisions > 10
    assert at_seven.messages == messages_of_a_decision(7)


def test_a_message_sent_twice_is_not_the_theory_any_more(setting: Setting) -> None:
    world = ScaleWorld(replace(setting, status_interval_ms=20, profile=wan()), 4)
    world.submit(1)
    world.run(1_500)
    first = world.tally.decisions[1].messages
    assert first.total > messages_of_a_decision(4).total


@pytest.mark.parametrize("profile", [lan(), wan()], ids=["lan", "wan"])
def test_a_wide_network_is_slower_and_nothing_is_lost(setting: Setting, profile: object, at_seven: Probe) -> None:
    world = ScaleWorld(replace(setting, profile=profile, status_interval_ms=2_000), 7)  # type: ignore[arg-type]
    for node in range(7):
        world.submit(node)
    world.run(4_000)
    assert world.tally.waiting == 0
    waits = [s.certified_at - s.submitted_at for s in world.tally.samples.values() if s.certified_at is not None]
    assert len(waits) == 7
    assert (min(waits) > 100 * 1_000_000) == (profile == wan())


def test_all_replicas_agree(setting: Setting) -> None:
    world = ScaleWorld(setting, 7)
    world.load(300)
    world.run(300)
    certificates = [node.replica.core.outcomes.newest for node in world.nodes]
    heights = [c.statement.height for c in certificates if c is not None]
    assert len(heights) == 7
    assert min(heights) > 5
    by_height = {c.statement.height: c.statement for c in certificates if c is not None}
    assert all(by_height[c.statement.height] == c.statement for c in certificates if c is not None)


def test_throughput_falls_with_the_number_of_replicas(setting: Setting) -> None:
    narrow = replace(setting, mbit_per_s=20)
    few, _ = saturation(narrow, 4, QUICK, UNLOADED_MS, lambda text: None)
    many, _ = saturation(narrow, 10, QUICK, UNLOADED_MS, lambda text: None)
    assert few.carried
    assert many.carried
    assert many.tx_per_s < 0.7 * few.tx_per_s


def test_more_than_the_network_can_carry_is_called_overload(setting: Setting) -> None:
    found = probe(replace(setting, mbit_per_s=10), 4, 5_000, QUICK, UNLOADED_MS)
    assert not found.carried
    assert probe(setting, 4, 200, QUICK, UNLOADED_MS).carried


def test_a_queue_that_grows_is_overload_even_while_latency_is_short(setting: Setting) -> None:
    patient = replace(QUICK, latency_ms_max=1e6)
    found = probe(replace(setting, mbit_per_s=10), 4, 700, patient, UNLOADED_MS)
    assert found.latency_ms_p99 < 1_000
    assert not found.carried


def test_the_same_seed_and_costs_give_the_same_bytes(setting: Setting) -> None:
    def once(seed: int) -> str:
        changed = replace(setting, seed=seed)
        return to_csv(changed, list(run_study(changed, [4, 7], QUICK, 100.0, 1, lambda n, text: None)))

    first = once(1)
    assert first == once(1)
    assert first != once(2)


def test_slower_signatures_cost_latency(setting: Setting, at_seven: Probe) -> None:
    slow = Setting(lan(), _with_verify(setting.costs, 20 * setting.costs.verify_us))
    assert light(slow, 7).latency_ms_p50 > 1.2 * at_seven.latency_ms_p50


def _with_verify(costs: Costs, verify_us: float) -> Costs:
    values = {name: getattr(costs, name) for name in Costs.__struct_fields__}
    return Costs(**{**values, "verify_us": verify_us})


def test_votes_overtake_bulk_on_a_card() -> None:
    card = Card(mbit_per_s=8)
    assert list(card.pass_through(0, 1_000, bulk=True)) == [1_000_000]
    assert list(card.pass_through(0, 50, bulk=False, copies=2)) == [50_000, 100_000]
    assert list(card.pass_through(0, 100, bulk=True)) == [1_200_000]


def test_the_matrix_is_square_and_about_symmetric() -> None:
    profile = wan()
    count = len(profile.regions)
    assert all(len(row) == count for row in profile.rtt_ms)
    assert len(profile.rtt_ms) == count
    for a in range(count):
        for b in range(a):
            assert profile.rtt_ms[a][b] == pytest.approx(profile.rtt_ms[b][a], rel=0.05)
            assert profile.rtt_ms[a][b] > max(profile.rtt_ms[a][a], profile.rtt_ms[b][b])


def test_a_costs_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text('{"machine": 3}')
    with pytest.raises(CostsFault, match=r"costs\.json"):
        Costs.load(path)
    path.write_bytes(Costs.reference().to_json())
    assert Costs.load(path) == Costs.reference()


def test_the_pictures_show_all_sizes(setting: Setting, at_seven: Probe) -> None:
    rows = [Row(n, at_seven, at_seven, at_seven, 1) for n in (7, 13)]
    assert all(len(line.values) == 2 for panel in panels(rows) for line in panel.lines)


def test_the_command_writes_its_four_files(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(scale)
    reference = Path(__file__).parents[2] / "sim" / "scale" / "reference.json"
    words = f"--nodes 4 --tx-per-s 50 --duration-s 1 --jobs 1 --json --costs {reference} --out {tmp_path}"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"scale.csv", "scale.png", "scale.html", "costs.json"}
    bad = CliRunner().invoke(app, ["--nodes", "4,three"])
    assert bad.exit_code == 2
