"""How soon nodes are ready again over a ledger that ``growing.py`` has made.

    .venv/bin/python tests/support/restarting.py DIRECTORY

The first node's data become those of all four, real node processes run on them, and the first one is ended and started
again: as asked, and killed. Ready is what ``/readyz`` says. Before each start the files of the node's data are dropped
from the system's cache. Processor time until then is told too, which other work on a machine changes least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
from growing import NODE, data_of, resident_bytes

from cluster import Cluster

READY_S_MAX = 120.0
LOOK_S = 0.02
BLOCKS_MORE = 3
UTIME, STIME = 11, 12
"""Places in a process's ``stat`` behind its name."""


async def restart(directory: Path) -> dict[str, Any]:
    """The figures by way of ending; each node's of the first start of all. Linux."""
    share_data(directory)
    cluster = Cluster(directory)
    try:
        begun = await asyncio.gather(*(started(cluster, name) for name in cluster.names))
        figures: dict[str, Any] = {"all four": begun}
        for how, number in (("ended", signal.SIGTERM), ("killed", signal.SIGKILL)):
            cluster.kill(NODE, number)
            assert await cluster.wait_gone(NODE), "it ends"
            drop_from_cache(cluster.home(NODE))
            figures[how] = await started(cluster, NODE)
        await goes_on(cluster)
        return figures
    finally:
        await cluster.down()


def share_data(directory: Path) -> None:
    """The other nodes get the first one's data, unless they have some."""
    source = data_of(directory)
    for home in sorted(directory.glob("node*")):
        if not (home / "data").exists():
            shutil.copytree(source, home / "data")


async def started(cluster: Cluster, name: str) -> dict[str, Any]:
    """Start a node; seconds until it was ready, of the clock and of processors, and what it had in memory then."""
    began_s = time.monotonic()
    cluster.start(name)
    async with aiohttp.ClientSession() as session:
        while not (told := await _readiness(session, cluster.rest_url(name))):
            assert time.monotonic() < began_s + READY_S_MAX, f"{name} gets ready"
            await asyncio.sleep(LOOK_S)
    pid = cluster.pid(name)
    assert pid is not None, "a ready node runs"
    return {
        "ready_s": round(time.monotonic() - began_s, 2),
        "processor_s": round(processor_s(pid), 2),
        "resident_mib": round(resident_bytes(pid) / (1 << 20)),
        "height": told["executed_height"],
    }


async def _readiness(session: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
    """What a ready node says; None of any other."""
    try:
        async with session.get(f"{url}/readyz") as answer:
            told: dict[str, Any] = await answer.json()
            return told if answer.status == 200 else None
    except aiohttp.ClientError:
        return None


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / os.sysconf("SC_CLK_TCK")


def drop_from_cache(directory: Path) -> None:
    """Have the next reader find a directory's files on the disk."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def goes_on(cluster: Cluster) -> None:
    """Wait until the network has made some blocks more."""
    status = await cluster.wait_ready(NODE)
    wanted, deadline_s = status.certified_height + BLOCKS_MORE, time.monotonic() + READY_S_MAX
    while (status := await cluster.wait_ready(NODE)).certified_height < wanted:
        assert time.monotonic() < deadline_s, f"blocks go on from {status.executed_height}"
        await asyncio.sleep(LOOK_S)


def main() -> None:
    parser = argparse.ArgumentParser(description="Restart nodes over a grown ledger, and say how soon they are ready.")
    parser.add_argument("directory", type=Path)
    print(json.dumps(asyncio.run(restart(parser.parse_args().directory)), indent=1))


if __name__ == "__main__":
    main()
