"""What the contract sandbox costs: the same recorded market blocks, here and in a worker, run by run in turns.

    python -m bench.sandbox [--blocks 20] [--transactions 100] [--rounds 9] [--mode worker] > figures.json

Admission, execution and the validation module are in it; signatures, the network and the disk are not. The ratio is the
median of neighbouring runs', since a machine drifts; wanted is ``RATIO_MIN`` at least. Beside it stands the ratio by
processor time, node's and worker's together: the second core of a calm machine, or its lack, is not in that.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench.blocks import Recording, record
from contracts.machine import PythonMachine
from contracts.sandbox.bubblewrap import wrapped
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process
from contracts.validation import MarketValidator
from ledger.execution import BlockExecutor, Call, Machine
from ledger.state import Entry, MemoryState, TransactionView
from ledger.values import encode_value

RATIO_MIN = 0.75
GC_THRESHOLD = 50_000
"""A node's, and a worker's."""
WARM_ROUNDS = 2
STARTS = 5
ROUND_TRIPS = 500
LEAST = '@export("*")\ndef run():\n    return 1\n'
MODES: dict[str, Callable[[], Process]] = {"worker": Process, "bubblewrap": lambda: Process(wrapped)}


@dataclass(frozen=True, slots=True)
class Run:
    """One replay: seconds by the clock, and of processors."""

    elapsed_s: float
    cpu_s: float


class Workers:
    """Starts workers, and adds up their processor time."""

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self.all: list[Process] = []

    def __call__(self) -> Process:
        self.all.append(self._start())
        return self.all[-1]

    def cpu_s(self) -> float:
        ticks = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for process in self.all:
            with open(f"/proc/{process.pid}/stat") as stat:
                user, system = stat.read().rpartition(")")[2].split()[11:13]
            total += (int(user) + int(system)) / ticks
        return total


def replay(recording: Recording, machine: Machine, workers: Workers) -> Run:
    executor = BlockExecutor(machine, MarketValidator())
    before = time.process_time() + workers.cpu_s()
    began = time.perf_counter()
    for (_, executed, _), recorded in zip(recording.replay(executor), recording.executed, strict=True):
        assert executed == recorded, "a sandbox changes no result"
    elapsed_s = time.perf_counter() - began
    return Run(elapsed_s, time.process_time() + workers.cpu_s() - before)


def compare(recording: Recording, start: Callable[[], Process], rounds: int) -> dict[str, Any]:
    """Both in turns, the first one changing; the first rounds warm caches and do not count."""
    workers = Workers(start)
    here, there = PythonMachine(), WorkerMachine(workers)
    runs: dict[str, list[Run]] = {"in_process": [], "worker": []}
    with closing(there):
        for number in range(WARM_ROUNDS + rounds):
            pair: list[tuple[str, Machine]] = [("in_process", here), ("worker", there)]
            for name, machine in pair if number % 2 else reversed(pair):
                runs[name].append(replay(recording, machine, workers))
    counted = {name: each[WARM_ROUNDS:] for name, each in runs.items()}
    pairs = list(zip(counted["in_process"], counted["worker"], strict=True))
    return {
        **{
            f"{name}_tx_per_s": round(statistics.median(recording.transactions / run.elapsed_s for run in each))
            for name, each in counted.items()
        },
        "ratio": round(statistics.median(one.elapsed_s / other.elapsed_s for one, other in pairs), 3),
        "ratio_by_cpu": round(statistics.median(one.cpu_s / other.cpu_s for one, other in pairs), 3),
        "ratios": [round(one.elapsed_s / other.elapsed_s, 3) for one, other in pairs],
        "ratio_min": RATIO_MIN,
    }


def starts_ms(start: Callable[[], Process]) -> list[float]:
    """How long it takes until a worker is ready."""
    found = []
    for _ in range(STARTS):
        began = time.perf_counter()
        process = start()
        found.append(round((time.perf_counter() - began) * 1_000, 1))
        process.end()
    return found


def round_trip_us(machine: Machine) -> float:
    """The least call in a block of its own, its one page of state included."""
    contract = {"source": LEAST, "sha256": "", "version": 1}
    state = MemoryState({"governance/contract/least": Entry(0, 0, encode_value(contract))})
    times = []
    for height in range(ROUND_TRIPS):
        call = Call("least", "run", {}, ("somebody",), "", 10_000, 1, height, 0, "transaction")
        began = time.perf_counter()
        machine.run(call, TransactionView(state))
        times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the contract sandbox costs.")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--transactions", type=int, default=100, help="in each block")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mode", choices=MODES, default="worker")
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    start, load = MODES[options.mode], os.getloadavg()
    recording = record(options.blocks, options.transactions)
    figures: dict[str, Any] = {
        "mode": options.mode,
        "blocks": options.blocks,
        "block_transactions": options.transactions,
    }
    figures |= compare(recording, start, options.rounds)
    with closing(WorkerMachine(start)) as there:
        figures["call_us"] = {"in_process": round_trip_us(PythonMachine()), "worker": round_trip_us(there)}
    figures["start_ms"] = starts_ms(start)
    figures["load_average"] = [load, os.getloadavg()]
    figures["python"] = sys.version.split()[0]
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
