"""Workload files in Caliper's shape: what is read and refused, how fast rounds go, and the table that comes out."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.caliper import BadCaliperFile, Benchmark, Round, Share, read_caliper
from bench.kinds import Kind
from bench.load import LoadResult
from bench.options import BenchOptions
from bench.pace import FixedLoad, FixedRate, LinearRate, MaximumRate, OpenPace, due_times
from bench.rounds import round_figures
from bench.samples import Sample
from cli import bench_run as command
from cli.main import app

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples" / "workloads").iterdir())
PUBLISHED = """
test:
  name: create-asset-size-ramp
  description: a benchmark
  workers: {type: local, number: 5}
  rounds:
    - label: create-asset-100
      description: what it does
      chaincodeID: fixed-asset
      txDuration: 300
      rateControl: {type: fixed-load, opts: {transactionLoad: 12, startingTps: 1}}
      workload:
        module: benchmarks/api/fabric/workloads/create-asset.js
        arguments: {chaincodeID: fixed-asset, byteSize: 1000}
    - label: get-asset-evaluate-100
      txNumber: 7
      rateControl: {type: fixed-rate, opts: {tps: 350}}
      workload:
        module: benchmarks/api/fabric/workloads/get-asset.js
        arguments: {noSetup: true, assets: 50, byteSize: 8000, consensus: false}
monitors: {resource: [{module: prometheus, options: {url: "http://localhost:9090"}}]}
"""


def read(tmp_path: Path, text: str, name: str = "workload.yaml") -> Benchmark:
    path = tmp_path / name
    path.write_text(text)
    return read_caliper(path)


def a_round(tmp_path: Path, control: str, load: str = "txDuration: 10", module: str = "transfer") -> Round:
    text = f"test: {{rounds: [{{label: one, {load}, rateControl: {control}, workload: {{module: {module}}}}}]}}"
    return read(tmp_path, text).rounds[0]


# ------------------------------------------------------------------------------------------------ reading


def test_a_published_file_is_read_as_it_is(tmp_path: Path) -> None:
    test = read(tmp_path, PUBLISHED)
    create, get = test.rounds
    assert test.workers.number == 5
    assert (create.kind, create.txDuration, create.workload.arguments.byteSize) == (Kind.ASSET_CREATE, 300, 1_000)
    assert (get.kind, get.txNumber, get.workload.arguments.assets) == (Kind.ASSET_QUERY, 7, 50)


def test_with_consensus_a_reading_is_a_transaction(tmp_path: Path) -> None:
    assert read(tmp_path, PUBLISHED.replace("consensus: false", "consensus: true")).rounds[1].kind is Kind.ASSET_READ


def test_toml_has_the_same_shape(tmp_path: Path) -> None:
    text = """
    [[test.rounds]]
    label = "one"
    txNumber = 5
    rateControl = { type = "linear-rate", opts = { startingTps = 1, finishingTps = 9 } }
    workload = { module = "book" }
    """
    (found,) = read(tmp_path, text, "workload.toml").rounds
    assert (found.kind, found.rateControl.pace(Share(0, 2))) == (Kind.BOOK, LinearRate(0.5, 4.5))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_measured(path: Path) -> None:
    assert read_caliper(path).rounds


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("txDuration: 300", "txDurations: 300", r"unknown field `txDurations` - at `\$.test.rounds\[0\]`"),
        ("tps: 350", "rate: 350", r"unknown field `rate` - at `\$.test.rounds\[1\].rateControl.opts`"),
        ("fixed-rate", "composite-rate", r"'composite-rate' - at `\$.test.rounds\[1\].rateControl.type`"),
        ("byteSize: 8000", "byteSize: 64000", r"<= 31000 - at `\$.test.rounds\[1\].workload.arguments.byteSize`"),
        ("get-asset.js", "burn-asset.js", r"rounds\[1\] \(get-asset-evaluate-100\).workload.module: no workload"),
        ("get-asset.js", "day.js", "no workload"),
        ("txNumber: 7", "txNumber: 7, txDuration: 8".replace(", ", "\n      "), "either txNumber or txDuration"),
        ("txNumber: 7", "description: none", "either txNumber or txDuration"),
        ("number: 5", "number: 50", r"<= 16 - at `\$.test.workers.number`"),
        ("test:", "test: [", "workload.yaml"),
        ("test:", "? {}\ntest:", "workload.yaml"),
    ],
)
def test_what_is_not_known_is_told_with_its_place(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(BadCaliperFile, match=why) as told:
        read(tmp_path, PUBLISHED.replace(old, new, 1))
    assert str(told.value).startswith(str(tmp_path / "workload.yaml"))


@pytest.mark.parametrize(("name", "text"), [("deep.toml", "a = " + "[" * 20_000), ("deep.yaml", "[" * 20_000)])
def test_a_file_nested_too_deep_is_told(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadCaliperFile, match=name):
        read_caliper(tmp_path / name)


def test_a_file_that_is_none_is_told() -> None:
    with pytest.raises(BadCaliperFile, match="No such file"):
        read_caliper(Path("absent.yaml"))


# --------------------------------------------------------------------------------------------------- paces


def test_clients_share_what_a_round_asks_for(tmp_path: Path) -> None:
    load = a_round(tmp_path, "{type: fixed-load, opts: {transactionLoad: 12}}")
    assert [load.rateControl.pace(share) for share in Share.all(5)] == [FixedLoad(n) for n in (3, 3, 2, 2, 2)]
    rate = a_round(tmp_path, "{type: fixed-rate, opts: {tps: 10}}")
    assert rate.rateControl.pace(Share(1, 4)) == FixedRate(2.5)
    fastest = a_round(tmp_path, "{type: maximum-rate, opts: {tps: 4, step: 2, sampleInterval: 3}}")
    assert fastest.rateControl.pace(Share(1, 2)) == MaximumRate(2.0, 1.0, 3.0)
    assert sum(share.of(7) for share in Share.all(3)) == 7


def test_no_more_clients_than_have_something_to_do(tmp_path: Path) -> None:
    assert a_round(tmp_path, "{type: fixed-load, opts: {transactionLoad: 3}}").clients(5) == 3
    assert a_round(tmp_path, "{type: fixed-rate}", "txNumber: 2").clients(5) == 2
    assert a_round(tmp_path, "{type: fixed-rate}").clients(5) == 5


def moments(pace: OpenPace, until_s: float = 110.0, number: int | None = None, ended: int = 0) -> list[float]:
    return list(due_times(pace, 100.0, until_s, number, lambda: ended))


def test_a_fixed_rate_ends_by_time_or_number() -> None:
    assert moments(FixedRate(2.0)) == [100.0 + n / 2 for n in range(20)]
    assert moments(FixedRate(2.0), number=3) == [100.0, 100.5, 101.0]


def test_a_linear_rate_goes_from_one_distance_to_the_other() -> None:
    by_number = moments(LinearRate(1.0, 10.0), until_s=10_000.0, number=100)
    gaps = [later - earlier for earlier, later in pairwise(by_number)]
    assert gaps[0] == pytest.approx(1.0)
    assert gaps[-1] == pytest.approx(0.1, abs=0.02)
    assert gaps == sorted(gaps, reverse=True)
    gaps = [later - earlier for earlier, later in pairwise(moments(LinearRate(10.0, 1.0)))]
    assert gaps[0] == pytest.approx(0.1)
    assert gaps[-1] == pytest.approx(1.0, abs=0.2)


def followed(pace: MaximumRate, able_tps: float, until_s: float) -> list[float]:
    """The due moments where the system ends ``able_tps`` at most, of what has come."""
    made, done = [100.0], [(100.0, 0.0)]

    def ended() -> int:
        at_s, before = done[-1]
        done.append((made[-1], min(len(made), before + able_tps * (made[-1] - at_s))))
        return int(done[-1][1])

    for at_s in due_times(pace, 100.0, until_s, None, ended):
        made.append(at_s)  # noqa: PERF402  # `ended` looks at it meanwhile
    return made[1:]


def test_a_maximum_rate_rises_while_more_is_ended_and_goes_back_where_it_is_not() -> None:
    made = followed(MaximumRate(10.0, 10.0, 1.0), able_tps=50.0, until_s=140.0)
    by_second = [sum(100.0 + n <= at_s < 101.0 + n for at_s in made) for n in range(40)]
    assert by_second[0] in (10, 11)
    assert by_second[:5] == sorted(by_second[:5]), by_second
    assert 50 <= max(by_second) <= 90, by_second
    assert by_second[-1] < max(by_second), by_second


def test_a_maximum_rate_goes_on_as_it_began_until_something_has_ended() -> None:
    assert moments(MaximumRate(2.0, 2.0, 1.0)) == moments(FixedRate(2.0))


# ----------------------------------------------------------------------------------------------- the table


def a_result(begun: int, samples: list[Sample], first_s: float, last_s: float, refused: int = 0) -> LoadResult:
    return LoadResult(samples, refused=refused, begun=begun, first_begun_s=first_s, last_begun_s=last_s)


def test_a_row_of_the_table_is_as_caliper_has_it(tmp_path: Path) -> None:
    one = a_result(3, [Sample(10.0, 10.5), Sample(11.0, 12.0), Sample(12.0, 30.0, verified=False)], 10.0, 12.0)
    other = a_result(2, [Sample(10.5, 15.0)], 10.5, 14.0, refused=1)
    figures = round_figures(a_round(tmp_path, "{type: fixed-rate}"), [one, other, LoadResult()])
    assert {name: figures[name] for name in command.COLUMNS.values()} == {
        "succ": 3, "fail": 2, "send_rate_tps": 1.2, "max_latency_s": 4.5, "min_latency_s": 0.5, "avg_latency_s": 2.0,
        "throughput_tps": 0.6,
    }  # fmt: skip


def test_a_round_in_which_nothing_succeeded_has_no_latencies(tmp_path: Path) -> None:
    figures = round_figures(a_round(tmp_path, "{type: fixed-rate}"), [a_result(1, [], 10.0, 10.0)])
    assert (figures["succ"], figures["fail"], figures["max_latency_s"], figures["send_rate_tps"]) == (0, 1, None, 1.0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Benchmark, BenchOptions]]:
    """Nothing is measured; what would be."""
    runs: list[tuple[Benchmark, BenchOptions]] = []

    async def measure(test: Benchmark, options: BenchOptions, *_: object) -> dict[str, Any]:
        runs.append((test, options))
        row = {"label": "one", **dict.fromkeys(command.COLUMNS.values(), 1_234.5), "max_latency_s": None}
        return {"rounds": [row], "failed": 0, "load_average": [1.0], "cores": 2}

    monkeypatch.setattr(command, "run_rounds", measure)
    return runs


def test_the_command_prints_calipers_table_or_json(
    tmp_path: Path, measured: list[tuple[Benchmark, BenchOptions]]
) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(PUBLISHED)
    told = CliRunner().invoke(app, ["bench", "run", "--workload", str(path), "--nodes", "7"])
    assert told.exit_code == 0
    title, row = told.stdout.splitlines()[:2]
    assert " ".join(title.split()) == " ".join(["Name", *command.COLUMNS])
    assert row.split() == ["one", "1,234.5", "1,234.5", "1,234.5", "-", "1,234.5", "1,234.5", "1,234.5"]
    told = CliRunner().invoke(app, ["bench", "run", "--workload", str(path), "--json"])
    assert json.loads(told.stdout)["rounds"][0]["label"] == "one"
    assert [options.nodes for _, options in measured] == [7, 4]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--workload", "transfers"], "one of mixed, transfer"),
        (["--workload", "absent.toml"], "No such file"),
        (["--workload", "{}", "--rate", "5"], "rates of its own"),
        (["--workload", "{}", "--attacks"], "loads of their own"),
    ],
)
def test_the_command_says_what_cannot_be(tmp_path: Path, arguments: list[str], why: str) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(PUBLISHED)
    told = CliRunner().invoke(app, ["bench", "run", *(each.replace("{}", str(path)) for each in arguments)])
    assert told.exit_code == 2
    assert why in told.stderr
