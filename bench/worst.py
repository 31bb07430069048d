"""What a unit of gas takes at most, by operation, and the block that is made of the worst.

    python -m bench.worst [--blocks 3] [--only NAME ...] > figures.json

An operation is repeated until a transaction's gas is used up; the least of three runs counts, in the thread's own
processor time. The same with a five-hundredth of a block's gas: whoever cannot pay for an operation should not get it
begun for nothing. Then whole blocks are executed, each full of one of the slowest: transactions up to `block_gas_max`,
deadlines up to `DEADLINE_GAS_PER_BLOCK_MAX`, and as many migrations as may begin at once. A block has to be done within
a quarter of the request timer. The same blocks go through a contract worker, which knows nothing of the state before:
there the node's thread, which looks at what the worker tells, and the worker count by themselves, and the time by the
clock, in which both are at work. Blocks of reads are among them whatever they take in process. Arguments as large as a
payload may have them are measured likewise, given to a function that does nothing, and as a block of such transactions.
What governance alone may ask, reading a source to be deployed, is not among them.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import time
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bench.operations import ARGUMENTS, KEPT, READS, WORST
from bench.sandbox import Workers
from bench.vm import GAS_LIMIT, GC_THRESHOLD, NOW_MS, market_state, signer_of
from ca.keys import SigningKey
from contracts.machine import PythonMachine
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process
from contracts.validation import MarketValidator
from ledger.envelope import Envelope, Payload
from ledger.execution import (
    DEADLINE_GAS_MAX,
    DEADLINE_GAS_PER_BLOCK_MAX,
    DEADLINE_PREFIX,
    BlockExecutor,
    Call,
)
from ledger.state import Entry, MemoryState, Overlay, TransactionView
from ledger.upgrades import CONTRACT_PREFIX, SOURCE_PREFIX, UPGRADE_PREFIX, UPGRADES_MAX
from ledger.values import Value, encode_value
from sdk.configuration import Limits, Timers

BLOCK_MS_MAX = Timers().request_timeout_ms // 4
ROWS, LONG_ROWS = 1_000, 64
LONG_CHARS = 65_000
VALIDATORS_MAX = 128
"""The ledger's."""
RUNS = 3
GAS_LEFT = 100_000
"""More than one more of what is kept costs."""
POOR_GAS = Limits().block_gas_max // Limits().batch_transactions_max
"""What each of as many transactions as a block may have can declare."""


@dataclass(frozen=True, slots=True)
class Block:
    """What is committed before it, and its transactions."""

    state: MemoryState
    envelopes: list[Envelope]


def source_of(name: str) -> str:
    """A contract that does one operation until its gas is used up, in a transaction, a deadline or a migration."""
    before, body = WORST[name]
    work = f"    big = BIG\n    {before}\n    while True:\n        {body}\n"
    head = f"BIG = {(1 << 252) - 19}\n\n\ndef helper():\n    pass\n\n\n"
    marked = (("@export('*')", "run"), ("@deadline", "late"), ("", "migrate"))
    return head + "\n\n".join(f"{marker}\ndef {function}():\n{work}" for marker, function in marked)


def base_state() -> MemoryState:
    state = market_state()
    for number in range(ROWS):
        state.apply({f"worst/row/{number:05d}": Entry(0, 0, encode_value({"n": number}))})
    state.apply({f"worst/long/{number:05d}": Entry(0, 0, encode_value(number)) for number in range(2)})
    long = Entry(0, 0, encode_value("x" * LONG_CHARS))
    state.apply({f"worst/long/{number:05d}": long for number in range(LONG_ROWS, 2 * LONG_ROWS)})
    state.apply({"worst/wide": Entry(0, 0, encode_value("\u0416" * 16_000))})
    state.apply(_epochs())
    other = "@view\ndef nothing():\n    return None\n\n\n@view\ndef same(t: list):\n    return t\n"
    state.apply({CONTRACT_PREFIX + "other": _contract(other)})
    return state


def _epochs() -> dict[str, Entry | None]:
    """A network's epoch and limits, and what may be the next one, of few validators and of as many as there can be."""
    boundary = 30
    values: dict[str, Value] = {
        "governance/limits": {"checkpoint_interval_blocks": 10, "window_blocks": 20},
        "governance/epoch": _epoch(0, 1, 4),
    }
    for validators in (4, VALIDATORS_MAX):
        pending = {"boundary": boundary, "epoch": _epoch(1, boundary + 1, validators)}
        values[f"worst/epoch{validators}"] = pending
    return {key: Entry(0, 0, encode_value(value)) for key, value in values.items()}


def _epoch(number: int, first_height: int, validators: int) -> Value:
    keys = [SigningKey.from_seed(f"validator {index}".encode()).public_key for index in range(validators)]
    named = [
        {"name": f"node{index}", "public_key": base64.b64encode(key).decode(), "address": "node:7000"}
        for index, key in enumerate(keys)
    ]
    return {"number": number, "first_height": first_height, "validators": named, "first_primary": 0, "skipped": []}


def worst(gas: int) -> dict[str, float]:
    """Nanoseconds of processor time a unit of gas of a call with so much, by operation, the slowest first."""
    found: dict[str, float] = {}
    state, machine = base_state(), PythonMachine()
    for name in WORST:
        state.apply({CONTRACT_PREFIX + "worst": _contract(source_of(name))})
        call = Call("worst", "run", {}, (signer_of("seller", 1),), "", gas, NOW_MS, 1, 0, "transaction")
        took = []
        for _ in range(RUNS):
            view = TransactionView(Overlay(state))
            began = time.thread_time()
            result = machine.run(call, view)
            took.append(time.thread_time() - began)
            assert result.code in ("OUT_OF_GAS", "TOO_LARGE"), (name, result.code)
        found[name] = round(min(took) * 1e9 / result.gas_used, 1)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def block_of(name: str) -> Block:
    """A full block of one operation."""
    source = source_of(name)
    digest = sha256(source.encode()).hexdigest()
    state = base_state()
    changes: dict[str, Any] = {CONTRACT_PREFIX + "worst": _contract(source), SOURCE_PREFIX + digest: _contract(source)}
    for number in range(UPGRADES_MAX):
        pending = {"at_height": 1, "sha256": digest, "version": 2}
        changes |= {
            f"{CONTRACT_PREFIX}new{number:02d}": _contract("@view\ndef nothing():\n    return None\n"),
            f"{UPGRADE_PREFIX}new{number:02d}": Entry(0, 0, encode_value(pending)),
        }
    for number in range(DEADLINE_GAS_PER_BLOCK_MAX // DEADLINE_GAS_MAX):
        late = {"contract": "worst", "function": "late", "args": []}
        changes[f"{DEADLINE_PREFIX}{NOW_MS:015d}/{0:012d}/{number:05d}/000"] = Entry(0, 0, encode_value(late))
    state.apply(changes)
    count = Limits().block_gas_max // GAS_LIMIT
    return Block(state, [_envelope(number, "run", {}, GAS_LIMIT) for number in range(count)])


def kept() -> dict[str, float]:
    """Nanoseconds of processor time a unit of gas of calls that store or tell much and end well, executed and
    validated, the slowest first."""
    found = {}
    for name, (before, body) in KEPT.items():
        # As many events as may be told; gas is left for the end of the call.
        turns = 250 if body.startswith("emit") else 10**6
        loop = f"    n = 0\n    while gas_left() > {GAS_LEFT} and n < {turns}:\n        {body}\n        n += 1\n"
        state = base_state()
        state.apply({CONTRACT_PREFIX + "worst": _contract(f"@export('*')\ndef run():\n    {before}\n{loop}")})
        took, gas, codes = _executed(Block(state, [_envelope(0, "run", {}, GAS_LIMIT)]))
        assert codes == ["OK"], (name, codes)
        found[name] = round(took * 1e9 / gas, 1)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def arguments(gas: int) -> dict[str, float]:
    """Nanoseconds of processor time a unit of gas that a call with so much pays for arguments, the slowest first."""
    state, machine = arguments_state(), PythonMachine()
    found = {}
    for name, given in ARGUMENTS.items():
        call = Call("worst", "given", {"t": given}, (signer_of("seller", 1),), "", gas, NOW_MS, 1, 0, "transaction")
        took, used = [], 0
        for _ in range(RUNS):
            began = time.thread_time()
            result = machine.run(call, TransactionView(Overlay(state)))
            took.append(time.thread_time() - began)
            assert result.code in ("OK", "OUT_OF_GAS"), (name, result.code)
            used = result.gas_used
        found[name] = round(min(took) * 1e9 / used, 1)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def arguments_state() -> MemoryState:
    state = market_state()
    state.apply({CONTRACT_PREFIX + "worst": _contract("@export('*')\ndef given(t: list):\n    pass\n")})
    return state


def block_of_arguments(name: str) -> Block:
    """As many calls with such arguments as a block's bytes allow, each with the gas that is left for it."""
    given = {"t": ARGUMENTS[name]}
    count = Limits().batch_bytes_max // len(json.dumps(given, separators=(",", ":")))
    gas = min(GAS_LIMIT, Limits().block_gas_max // count)
    return Block(arguments_state(), [_envelope(number, "given", given, gas) for number in range(count)])


def figures_of(block: Block) -> dict[str, int]:
    """Milliseconds of processor time in process and, by the clock and of each, through a worker; the gas."""
    seconds, gas, codes = _executed(block)
    there = _in_worker(block, codes)
    return {"ms": round(seconds * 1e3), "gas": gas, **{name: round(value * 1e3) for name, value in there.items()}}


def _executed(block: Block) -> tuple[float, int, list[str]]:
    """The least seconds of some executions, the gas, and the results' codes."""
    executor = BlockExecutor(PythonMachine(), MarketValidator())
    took: list[float] = []
    gas, codes = 0, [""]
    for _ in range(RUNS):
        began = time.thread_time()
        results = executor.execute(block.state, 1, NOW_MS, block.envelopes).results
        took.append(time.thread_time() - began)
        gas, codes = sum(result.gas_used for result in results), [result.code for result in results]
    return min(took), gas, codes


def _in_worker(block: Block, codes: list[str]) -> dict[str, float]:
    """The least seconds of some executions through a worker, to which the state is new each time."""
    workers = Workers(Process)
    runs: list[tuple[float, float, float]] = []
    with closing(WorkerMachine(workers)) as machine:
        executor = BlockExecutor(machine, MarketValidator())
        for _ in range(1 + RUNS):  # in the first one the worker starts
            worker_s, node_s, began = workers.cpu_s(), time.thread_time(), time.perf_counter()
            results = executor.execute(block.state, 1, NOW_MS, block.envelopes).results
            elapsed_s, node_s = time.perf_counter() - began, time.thread_time() - node_s
            runs.append((elapsed_s, node_s, workers.cpu_s() - worker_s))
            assert [result.code for result in results] == codes, "a worker changes no result"
        assert len(workers.all) == 1, "no worker failed"
    elapsed, node, worker = (min(values) for values in zip(*runs[1:], strict=True))
    return {"through_worker_ms": elapsed, "node_ms": node, "worker_ms": worker}


def _envelope(number: int, function: str, args: dict[str, Any], gas: int) -> Envelope:
    payload = Payload("", "main", (signer_of("seller", number),), "worst", function, args, 0, 100, gas)
    return Envelope(b"", b"", number.to_bytes(32, "big"), b"", payload, ())


def _contract(source: str) -> Entry:
    return Entry(0, 0, encode_value({"source": source, "sha256": "", "version": 1}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the worst that a unit of gas buys, and the worst block.")
    parser.add_argument("--blocks", type=int, default=3, help="of so many of the slowest operations")
    parser.add_argument("--only", choices=WORST, nargs="+", metavar="NAME", help="blocks of these operations alone")
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    load = os.getloadavg()[0]
    if options.only:
        blocks = {name: figures_of(block_of(name)) for name in options.only}
        print(json.dumps({"load_average": round(load, 1), "blocks": blocks}, indent=1))
        return
    slowest = worst(GAS_LIMIT)
    names = dict.fromkeys([*list(slowest)[: options.blocks], *READS])
    blocks = {name: figures_of(block_of(name)) for name in names}
    given = arguments(GAS_LIMIT)
    blocks_of_arguments = {name: figures_of(block_of_arguments(name)) for name in list(given)[: options.blocks]}
    figures = {
        "load_average": round(load, 1),
        "block_ms_max": BLOCK_MS_MAX,
        "blocks": blocks,
        "blocks_of_arguments": blocks_of_arguments,
        "ns_per_gas": slowest,
        "ns_per_gas_of_the_poor": worst(POOR_GAS),
        "ns_per_gas_of_what_is_kept": kept(),
        "ns_per_gas_of_arguments": given,
        "ns_per_gas_of_arguments_of_the_poor": arguments(POOR_GAS),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
