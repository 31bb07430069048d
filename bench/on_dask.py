"""Runs of a sweep on a Dask cluster (https://distributed.dask.org): the same options and seeds, on other machines.

Needs the extra ``dask``. Each run is a process of its own on a worker's machine: workers are daemons as a rule, and
may have no children. A machine makes one run at a time, however many workers and threads it lends.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from distributed import Client, LocalCluster, as_completed

from bench.options import BenchOptions
from bench.sweep import RUN_S, Done

POINT = (sys.executable, "-m", "bench.point")
LOCK = "wattq-bench.lock"
SLACK_S = 600.0
"""Beyond what a run takes as a rule: then it is ended, and does not count."""


def measure_here(options_json: bytes) -> bytes:
    """On a worker: the line that ``bench.point`` answers; ``RuntimeError`` with its last words where there is none."""
    options = msgspec.json.decode(options_json, type=BenchOptions)
    with Path(tempfile.gettempdir(), LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = subprocess.run(
            POINT,
            input=options_json,
            capture_output=True,
            check=False,
            timeout=RUN_S + options.warm_up_s + options.measure_s + SLACK_S,
        )
    if told.returncode:
        raise RuntimeError(told.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "it ended with nothing")
    return told.stdout


async def sweep_on_dask(runs: Sequence[BenchOptions], address: str = "") -> AsyncIterator[Done]:
    """Each run as it ends, in whichever order. ``address``: of the cluster's scheduler; none: one worker in this
    process. Raises ``OSError`` where there is no scheduler."""
    async with AsyncExitStack() as stack:
        scheduler: Any = address or await stack.enter_async_context(_own_cluster())
        client = await stack.enter_async_context(Client(scheduler, asynchronous=True, set_as_default=False))
        asked = {client.submit(measure_here, msgspec.json.encode(options), pure=False): options for options in runs}
        async for future in as_completed(asked, loop=client.loop):
            try:
                told = msgspec.json.decode(await future)
            except Exception as error:  # whatever a worker, its machine or the way there came to
                told = {"problem": f"{type(error).__name__}: {error}"}
            yield Done(asked[future], told.get("figures"), told.get("problem", ""))


def _own_cluster() -> LocalCluster:
    return LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", asynchronous=True
    )
