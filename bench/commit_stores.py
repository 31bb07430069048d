"""Which store keeps a block's changes fastest: RocksDB, SQLite, LMDB; synced and not (decision 1).

    python -m bench.commit_stores [--seconds 2] [--directory DIR] > figures.json

Each case writes batches of 200 keys, one after another, for a while, into a directory of its own that it removes
afterwards. Cases are interleaved and repeated; figures are medians, in batches a second, with each run's beside them.
What is not installed (``pip install lmdb``) is left out. The machine's load while it ran is in the figures.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.store import open_store, rocksdict

KEYS, VALUE_BYTES = 200, 250
"""Of a batch: about what a block of 40 trades changes."""
REPEATS = 3
LMDB_BYTES_MAX = 8 << 30
"""The map that LMDB reserves, not what it writes."""

Write = Callable[[Mapping[bytes, bytes]], None]
Case = tuple[str, bool]


def batch(number: int) -> dict[bytes, bytes]:
    """Keys spread as the state tree's are; the same for every store."""
    names = (sha256(b"%d/%d" % (number, place)).digest() for place in range(KEYS))
    return {name: name * (VALUE_BYTES // len(name)) for name in names}


def opened(engine: str, synced: bool, directory: Path) -> tuple[Write, Callable[[], None]]:
    """How a batch is written, and what closes the store."""
    if engine == "lmdb":
        return _lmdb(synced, directory)
    store = open_store(directory, engine)
    return lambda changes: store.write(changes, sync=synced), store.close


def _lmdb(synced: bool, directory: Path) -> tuple[Write, Callable[[], None]]:
    environment: Any = importlib.import_module("lmdb").open(str(directory), map_size=LMDB_BYTES_MAX, sync=synced)

    def write(changes: Mapping[bytes, bytes]) -> None:
        with environment.begin(write=True) as transaction:
            for key, value in changes.items():
                transaction.put(key, value)

    return write, environment.close


def measured(case: Case, seconds: float, under: Path) -> float:
    """Batches a second; making them is not counted."""
    with tempfile.TemporaryDirectory(dir=under) as made:
        write, close = opened(*case, Path(made))
        number, writing_s = 0, 0.0
        while writing_s < seconds:
            changes = batch(number)
            began = time.perf_counter()
            write(changes)
            writing_s += time.perf_counter() - began
            number += 1
        close()
    return number / writing_s


def cases() -> list[Case]:
    engines = ["sqlite"]
    engines += ["rocksdb"] if rocksdict is not None else []
    engines += ["lmdb"] if importlib.util.find_spec("lmdb") is not None else []
    return [(engine, synced) for engine in engines for synced in (True, False)]


def run(seconds: float, under: Path, repeats: int = REPEATS) -> dict[str, Any]:
    before = os.getloadavg()
    runs: dict[Case, list[float]] = {case: [] for case in cases()}
    for _ in range(repeats):
        for case, figures in runs.items():
            figures.append(round(measured(case, seconds, under), 1))
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load_average_before": before,
        "load_average_after": os.getloadavg(),
        "keys_per_batch": KEYS,
        "value_bytes": VALUE_BYTES,
        "seconds_per_run": seconds,
        "cases": [
            {"store": engine, "synced": synced, "batches_per_s": statistics.median(figures), "runs": figures}
            for (engine, synced), figures in runs.items()
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=2.0, help="of writing, for each run of each case")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to be measured"
    )
    arguments = parser.parse_args()
    json.dump(run(arguments.seconds, arguments.directory), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
