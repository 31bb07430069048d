"""A ledger grown to any height, one new key a block: what a block costs, and what memory and disk it takes on the way.

    .venv/bin/python tests/support/growing.py DIRECTORY --blocks 1000000

DIRECTORY becomes a network of four nodes, prepared as any other, and the ledger is its first node's: chain files that
are synced block by block, RocksDB, state tree, indexes, certificates of q signed outcomes, and the embedded state
database with its projector. Left out are links, votes and the write-ahead log, whose size the window bounds whatever
the height; contracts run in process. Run again, it goes on where it was. Rows are appended to ``growth.jsonl``.

It is filled as a quiet network fills its ledger, mostly with empty blocks: of ``FILL_BLOCKS`` the last one has
a transaction, which leaves as many new keys, and a certificate, which covers those below it. What counts is measured
between that, with certified blocks of one transaction and one new key each.

Cost is processor time. Other work on a machine moves that by a half, so each row compares: a second ledger that was
just begun takes turns with the long one, and the ratio of both counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from network import free_ports

from api.statedb import open_state_database
from ca.keys import SigningKey
from cluster import ContractSet, node_home, prepare
from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.envelope import Envelope, envelope_from_text
from ledger.execution import OK
from ledger.genesis import load_genesis
from ledger.ledger import CommittedBlock, Ledger
from ledger.statedb.projector import Projector
from ledger.storage import disk_storage
from node import GC_THRESHOLD
from pbft.disk import DiskFiles
from pbft.messages import (
    NULL_DIGEST,
    Batch,
    ExecutionCertificate,
    Scope,
    Statement,
    batch_digest,
    encode_batch,
    statement_bytes,
)
from pbft.quorum import quorum
from sdk.configuration import Configuration, load, parse

NODES = 4
NODE = "node1"
FIRST_ROW, ROW_EVERY = 1_000, 10_000
"""The heights with a row: these, and every so many blocks."""
BESIDE_BLOCKS = 1_200
"""How high the ledger is that the long one is compared with."""
TURNS, LAST_TURNS, TURN_BLOCKS = 2, 20, 50
"""Turns of both ledgers in a row's comparison, and in the last one's."""
FILL_BLOCKS = 100
"""Fewer than nodes may have without a certificate (``limits.window_blocks``), so that growth that is killed leaves what
nodes can go on from; and no more keys than one transaction has gas for."""
CAUGHT_UP_S_MAX = 60.0
GAS_LIMIT = 2_000_000
BLOCK_MS = 1
"""Between the times of two blocks: slower than they are made, so that a node started later finds none ahead of it."""
NOTES = '''"""Notes, one under each number."""


@export("operator")
def note(first: int, count: int, text: str):
    """Keep so many notes from a number on."""
    for number in range(count):
        put("note/" + pad(first + number, 12), {"text": text})
'''
TEXT = "as seen on the day"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of processor time that blocks took: of the thread that executes, and of the whole process, without what
    signed their transactions and outcomes."""

    blocks: int
    thread_s: float
    process_s: float

    def thread_us(self) -> float:
        return self.thread_s / self.blocks * 1e6

    def process_us(self) -> float:
        return self.process_s / self.blocks * 1e6


class Growing:
    """One ledger and its state database in the data directory ``data``, with all keys that make its blocks."""

    def __init__(self, directory: Path, data: Path) -> None:
        configuration = load(directory / "cluster.toml")
        self.genesis = load_genesis(directory / "genesis.json")
        self._operator = SigningKey.load(directory / "users" / "operator1.key")
        self._validators = [_node_key(directory, configuration, each.name) for each in self.genesis.validators]
        with ExitStack() as opened:
            storage = disk_storage(data, DiskFiles(data))
            self.ledger = Ledger(
                storage, self.genesis, PythonMachine(), MarketValidator(), configuration.limits.history_blocks
            )
            opened.callback(self.ledger.close)
            database = open_state_database(configuration, NODE, data, self.genesis)
            opened.callback(database.close)
            lag_max = configuration.state.lag_max
            self._projector = Projector(database, self.ledger.snapshot, *lag_max, self.ledger.mark)
            self.ledger.on_commit.append(self._offer)
            self._projector.start()
            opened.callback(self._projector.stop)
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def _offer(self, block: CommittedBlock) -> None:
        self._projector.offer(block.height, block.changes)

    def fill(self, blocks: int) -> Cost:
        """So many blocks more, nearly all of them empty, and as many keys; the state database with them."""
        return self._grow(blocks, FILL_BLOCKS)

    def grow(self, blocks: int) -> Cost:
        """So many blocks more with a transaction and a new key each."""
        return self._grow(blocks, 1)

    def _grow(self, blocks: int, keys: int) -> Cost:
        """Of ``keys`` blocks the last one leaves as many; ``blocks`` is a multiple of that."""
        process_s, thread_s, apart_s = time.process_time(), 0.0, 0.0
        for number in range(1, blocks + 1):
            took_s, aside_s = self._block(0 if number % keys else keys)
            thread_s, apart_s = thread_s + took_s, apart_s + aside_s
            if number % keys == 0:
                self._catch_up()
        return Cost(blocks, thread_s, time.process_time() - process_s - apart_s)

    def _catch_up(self) -> None:
        assert self._projector.wait_for(self.ledger.height, CAUGHT_UP_S_MAX), "the state database keeps up"

    def _block(self, keys: int) -> tuple[float, float]:
        """One block more, empty or with so many keys: the thread's seconds for it, and those of signing."""
        began_s, ledger, height = time.thread_time(), self.ledger, self.ledger.height + 1
        envelopes = self._transactions(height, keys)
        signed_s = time.thread_time()
        digest, body = self._batch(height, envelopes)
        if body:
            ledger.check_body(body)
        ran = ledger.execute(height, digest, body, 0, 0)
        executed_s = time.thread_time()
        assert all(result.code == OK for result in ran.executed.results), ran.executed.results
        certificates = [self._certificate(ran.statement)] if keys else []
        certified_s = time.thread_time()
        ledger.certify(certificates)
        ended_s = time.thread_time()
        apart_s = signed_s - began_s + certified_s - executed_s
        return ended_s - began_s - apart_s, apart_s

    def _batch(self, height: int, envelopes: Sequence[Envelope]) -> tuple[bytes, bytes]:
        if not envelopes:
            return NULL_DIGEST, b""
        channel, time_ms = self.genesis.channel, self.genesis.time_ms + height * BLOCK_MS
        body = encode_batch(Batch(channel, time_ms, tuple(item.raw for item in envelopes)))
        return batch_digest(channel, time_ms, b"".join(item.hash for item in envelopes)), body

    def _transactions(self, height: int, keys: int) -> list[Envelope]:
        """The note of each of the last ``keys`` heights."""
        return [self._transaction(height, height - keys + 1, keys)] if keys else []

    def _transaction(self, height: int, first: int, count: int) -> Envelope:
        payload = {
            "v": 1,
            "chain": self.genesis.chain_id.hex(),
            "channel": self.genesis.channel,
            "signers": [self._operator.signer],
            "contract": "notes",
            "function": "note",
            "args": {"first": first, "count": count, "text": TEXT},
            "nonce": first,
            "expires_at_height": height + 1_000,
            "gas_limit": GAS_LIMIT,
        }
        text = json.dumps(payload)
        return envelope_from_text(text, [(self._operator.public_key, self._operator.sign(text.encode()))])

    def _certificate(self, statement: Statement) -> ExecutionCertificate:
        signed = statement_bytes(Scope(self.genesis.chain_id, self.genesis.channel, 0), statement)
        signers = range(quorum(len(self._validators)))
        signatures = tuple((each, self._validators[each].sign(signed)) for each in signers)
        return ExecutionCertificate(0, statement, signatures)


def _node_key(directory: Path, configuration: Configuration, name: str) -> SigningKey:
    return SigningKey.load(node_home(directory, name, configuration.section(name)) / "node.key")


# ---------------------------------------------------------------------------------------------------- a run


def make_network(directory: Path) -> None:
    """Prepare the network, if it is not there yet."""
    lines = ["[network]", 'name = "growth"']
    ports = free_ports(2 * NODES)
    for node in range(NODES):
        lines += [f"[node.node{node + 1}]", f"peer_port = {ports[2 * node]}", f"rest_port = {ports[2 * node + 1]}"]
        lines += ["client_port = 0"]
    text = "\n".join(lines) + "\n"
    contracts = ContractSet({**shipped_sources(), "notes": NOTES}, MARKET_PARAMETERS)
    prepare(directory, parse(text, "growth"), text, contracts)


def data_of(directory: Path) -> Path:
    return directory / NODE / "data"


def run(directory: Path, blocks: int) -> None:
    """Grow to ``blocks``, a row at each height that has one, and a longer comparison at the end."""
    make_network(directory)
    beside_data = directory / "beside"
    shutil.rmtree(beside_data, ignore_errors=True)
    with closing(Growing(directory, beside_data)) as beside, closing(Growing(directory, data_of(directory))) as long:
        beside.fill(BESIDE_BLOCKS)
        while (height := long.ledger.height) < blocks:
            began_s = time.monotonic()
            filled = long.fill(_to_fill(height, blocks))
            filled_s = time.monotonic() - began_s
            turns = TURNS if long.ledger.height < blocks else LAST_TURNS
            _note(directory, row(directory, long, filled, filled_s, compare(beside, long, turns)))
    shutil.rmtree(beside_data)


def _to_fill(height: int, blocks: int) -> int:
    """As many as lead to the next row's height, or just past it."""
    following = FIRST_ROW if height < FIRST_ROW else (height // ROW_EVERY + 1) * ROW_EVERY
    return -((height - min(following, blocks)) // FILL_BLOCKS) * FILL_BLOCKS


def compare(beside: Growing, long: Growing, turns: int) -> list[tuple[Cost, Cost]]:
    """What blocks of either cost, turn by turn."""
    return [(beside.grow(TURN_BLOCKS), long.grow(TURN_BLOCKS)) for _ in range(turns)]


def row(
    directory: Path, long: Growing, filled: Cost, filled_s: float, turns: Sequence[tuple[Cost, Cost]]
) -> dict[str, Any]:
    data = data_of(directory)
    return {
        "height": long.ledger.height,
        "block_us": round(median(cost.thread_us() for _, cost in turns), 1),
        "beside_us": round(median(cost.thread_us() for cost, _ in turns), 1),
        "ratios": [round(cost.thread_us() / short.thread_us(), 3) for short, cost in turns],
        "filling_thread_us": round(filled.thread_us(), 1),
        "filling_process_us": round(filled.process_us(), 1),
        "filled_per_s": round(filled.blocks / filled_s, 1),
        "resident_mib": round(resident_bytes(os.getpid()) / (1 << 20), 1),
        "chain_bytes": size_of(data / "chain"),
        "store_bytes": size_of(data / "state"),
        "documents_bytes": sum(file.stat().st_size for file in data.glob("documents.sqlite*")),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _note(directory: Path, figures: dict[str, Any]) -> None:
    line = json.dumps(figures)
    print(line, flush=True)
    with (directory / "growth.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def size_of(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir() if file.is_file())


def resident_bytes(pid: int) -> int:
    """What a process has in memory now; Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description="Grow a ledger, and say what its blocks cost.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    run(options.directory, options.blocks)


if __name__ == "__main__":
    main()
