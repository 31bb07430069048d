"""Sweeps on a Dask cluster: the same runs as here, one at a time a machine, and what becomes of those that fail.

These run only where the extra `dask` is installed; the cluster is one worker in this process, on loopback.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bench.options import BenchError, BenchOptions
from bench.sweep import Done, sweep
from bench.workload import read_workload
from cli import bench_sweep as command
from cli.main import app

SWEEP = "[load]\nseed = 7\nrepeats = 2\n[sweep]\nnodes = [4, 7]\nrate_tx_per_s = [10, 20]"
ECHO = """
import json, sys
options = json.load(sys.stdin)
if options["nodes"] == 7:
    sys.exit("no memory")
print(json.dumps({"figures": options} if options["seed"] == 7 else {"problem": "too busy"}))
"""


@pytest.fixture
def runs(tmp_path: Path) -> list[BenchOptions]:
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    return read_workload(path).runs()


async def told(made: AsyncIterator[Done]) -> dict[str, tuple[object, str]]:
    return {json.dumps(msgspec.to_builtins(done.options)): (done.figures, done.problem) async for done in made}


async def echoed(options: BenchOptions) -> dict[str, object]:
    """What a run on this machine would tell."""
    if options.nodes == 7:
        raise BenchError("RuntimeError: no memory")
    if options.seed != 7:
        raise BenchError("too busy")
    figures: dict[str, object] = json.loads(msgspec.json.encode(options))
    return figures


@pytest.mark.filterwarnings("default")
async def test_the_same_runs_are_made_on_a_cluster_as_here(
    runs: list[BenchOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    on_dask = pytest.importorskip("bench.on_dask")
    monkeypatch.setattr(on_dask, "POINT", (sys.executable, "-c", ECHO))
    here = await told(sweep(runs, echoed))
    async with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        asynchronous=True,
    ) as cluster:
        assert await told(on_dask.sweep_on_dask(runs, cluster.scheduler_address)) == here
    assert await told(on_dask.sweep_on_dask(runs)) == here
    assert len(here) == len(runs) == 8


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    monkeypatch.setitem(sys.modules, "bench.on_dask", None)
    told = CliRunner().invoke(app, ["bench", "sweep", str(path), "--engine", "dask"])
    assert told.exit_code == 2
    assert "wattquorum[dask]" in told.stderr
    told = CliRunner().invoke(app, ["bench", "sweep", str(path), "--engine", "ray"])
    assert told.exit_code == 2
    assert "dask=ADDRESS" in told.stderr


def test_the_command_hands_runs_and_address_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, asked = tmp_path / "sweep.toml", list[tuple[int, str]]()
    path.write_text(SWEEP)

    async def made(runs: list[BenchOptions], address: str) -> AsyncIterator[Done]:
        asked.append((len(runs), address))
        yield Done(runs[0], None, "the worker died")

    module = type(sys)("bench.on_dask")
    monkeypatch.setattr(module, "sweep_on_dask", made, raising=False)
    monkeypatch.setitem(sys.modules, "bench.on_dask", module)
    told = CliRunner().invoke(app, ["bench", "sweep", str(path), "--engine", f"{command.DASK}=tcp://10.0.0.5:8786"])
    assert told.exit_code == 1
    assert "the worker died" in told.stderr
    assert asked == [(8, "tcp://10.0.0.5:8786")]
