"""The bench measures a real network: verified transactions that trade, nothing refused, against its own limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.attack import AttackOptions, run_attacks
from bench.caliper import read_caliper
from bench.flood import FLOODS, FloodOptions, run_floods
from bench.kinds import Kind
from bench.load import PHASES
from bench.open_loop import Arrivals
from bench.options import BenchOptions
from bench.rounds import run_rounds
from bench.run import run_bench
from cli.contracts import shipped_contracts

ROUNDS = """
[test]
workers = { number = 2 }
[[test.rounds]]
label = "create"
txNumber = 21
rateControl = { type = "fixed-rate", opts = { tps = 10 } }
workload = { module = "create-asset.js", arguments = { byteSize = 8000 } }
[[test.rounds]]
label = "ask"
txNumber = 7
rateControl = { type = "fixed-load", opts = { transactionLoad = 2 } }
workload = { module = "get-asset.js", arguments = { byteSize = 1000, assets = 5 } }
"""
pytestmark = pytest.mark.cluster


async def test_a_short_bench() -> None:
    options = BenchOptions(clients=2, outstanding=8, warm_up_s=0.5, measure_s=2.0)
    said: list[str] = []
    figures = await run_bench(options, shipped_contracts(), said.append)
    assert figures["committed_tx_per_s"] > 0
    assert 0 < figures["trades_per_s"] < figures["committed_tx_per_s"]
    assert (figures["refused"], figures["failed"]) == (0, 0)
    before, after = figures["signature_limit_before_tx_per_s"], figures["signature_limit_after_tx_per_s"]
    assert figures["signature_limit_tx_per_s"] == pytest.approx((before + after) / 2, abs=0.2)
    ratio = figures["committed_tx_per_s"] / figures["signature_limit_tx_per_s"]
    assert figures["ratio_to_signature_limit"] == pytest.approx(ratio, abs=1e-3)
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert 0 < figures["path_floor_ms"] < figures["latency_ms"]["p50"]
    floors = figures["latency_ms"]["p50"] / figures["path_floor_ms"]
    assert figures["p50_to_path_floor"] == pytest.approx(floors, rel=0.05)
    assert tuple(figures["phases_ms"]) == PHASES
    assert len(said) == 2


@pytest.mark.full
async def test_a_short_bench_at_a_rate() -> None:
    options = BenchOptions(outstanding=16, warm_up_s=1.0, measure_s=3.0, rate_tx_per_s=10.0, arrivals=Arrivals.POISSON)
    figures = await run_bench(options, shipped_contracts(), lambda text: None)
    assert (figures["refused"], figures["failed"], figures["unfinished"]) == (0, 0, 0)
    assert figures["committed_tx_per_s"] > 0
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"] <= figures["latency_ms"]["max"]
    assert figures["send_lag_ms"]["p50"] >= 0
    assert len(figures["by_second"]) == 3


@pytest.mark.full
async def test_a_short_trading_day() -> None:
    options = BenchOptions(outstanding=8, warm_up_s=6.0, measure_s=3.0, workload=Kind.DAY)
    figures = await run_bench(options, shipped_contracts(), lambda text: None)
    assert (figures["refused"], figures["failed"]) == (0, 0)
    assert {"market.place_order", "settlement.submit_readings", "settlement.confirm_many"} <= set(
        figures["verified_by_function"]
    )


@pytest.mark.full
@pytest.mark.parametrize("workload", [Kind.ASSET_UPDATE, Kind.ASSET_QUERY, Kind.TRANSFER])
async def test_a_short_bench_of_one_thing_alone(workload: Kind) -> None:
    options = BenchOptions(outstanding=8, warm_up_s=0.5, measure_s=2.0, workload=workload, value_bytes=8_000)
    figures = await run_bench(options, shipped_contracts(), lambda text: None)
    assert figures["committed_tx_per_s"] > 0
    assert (figures["refused"], figures["failed"]) == (0, 0)
    assert len(figures["verified_by_function"]) == 1


@pytest.mark.full
async def test_short_rounds_of_a_workload_file(tmp_path: Path) -> None:
    path = tmp_path / "workload.toml"
    path.write_text(ROUNDS)
    figures = await run_rounds(read_caliper(path), BenchOptions(), shipped_contracts(), lambda text: None)
    create, ask = figures["rounds"]
    assert (create["succ"], create["fail"], create["verified_by_function"]) == (21, 0, {"assets.create": 21})
    assert (ask["succ"], ask["fail"]) == (7, 0)
    assert 0 < ask["min_latency_s"] <= ask["avg_latency_s"] <= ask["max_latency_s"]


@pytest.mark.full
async def test_a_short_bench_of_floods() -> None:
    options = FloodOptions(
        outstanding=4, calm_s=2.0, flood_s=2.0, only=("observer: fetches", "validator: forged votes")
    )
    figures = await run_floods(options, shipped_contracts(), lambda text: None)
    assert [flood["flood"] for flood in figures["floods"]] == ["observer: fetches", "validator: forged votes"]
    for flood in figures["floods"]:
        assert flood["flooder"]["messages"] > 0
        calm, flooded = flood["calm"]["tx_per_s"], flood["flooded"]["tx_per_s"]
        assert calm == 0 or flood["ratio"] == pytest.approx(flooded / calm, abs=1e-3)
        assert flood["rejects"], "the nodes noticed"
    assert figures["failed"] == 0


@pytest.mark.full
@pytest.mark.row(12)
async def test_a_short_bench_of_attacks() -> None:
    options = AttackOptions(outstanding=4, calm_s=2.0, attack_s=4.0, only=("slow primary", "flooding client"))
    figures = await run_attacks(options, shipped_contracts(), lambda text: None)
    slow, flooded = figures["attacks"]
    assert (slow["attack"], flooded["attack"]) == ("slow primary", "flooding client")
    assert slow["attacked"]["tx_per_s"] < slow["calm"]["tx_per_s"]
    assert slow["throughput_share"] == pytest.approx(slow["attacked"]["tx_per_s"] / slow["calm"]["tx_per_s"], abs=1e-3)
    assert slow["longest_silence_ms"][1] > 0
    assert flooded["flooder_messages"] > 0
    assert sum(figures["tx_by_second"]) >= slow["calm"]["transactions"] + flooded["attacked"]["transactions"]
    assert figures["failed"] == 0


def test_floods_are_chosen_by_a_part_of_their_names() -> None:
    assert FloodOptions().chosen == list(FLOODS)
    assert {flood.by for flood in FloodOptions(only=("observer",)).chosen} == {"observer"}
    assert FloodOptions(only=("nothing",)).chosen == []
