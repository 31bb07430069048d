"""What a transaction's parts cost, counted in verifications of a signature: a machine-independent guard.

    python -m bench.guard [--rounds 5] > figures.json

Every node verifies each client's signature, so that one verification is the floor of a transaction on any machine; what
each part takes as a multiple of it says how far from the signature limit the node is. Parts and floor are measured in
turns, in the thread's own processor time, and the least of the rounds counts: other work on the machine slows both.

``TIMES_MAX`` is what CI allows, about twice what was seen: it catches what doubles a part, not what adds a tenth.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable
from typing import Any

from bench.blocks import Recording, record
from bench.vm import GC_THRESHOLD, PRICE, Book
from ca.keys import SigningKey
from ca.signatures import verify
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.envelope import parse_payload
from ledger.execution import BlockExecutor

VERIFICATIONS = 300
ORDERS = 500
PLACEMENTS = 300
BLOCKS, TRANSACTIONS = 3, 60
TIMES_MAX = {"parse": 0.5, "placement": 3.5, "validation": 4.0, "execution": 8.0}
"""By part of a transaction, how many verifications' time it may take."""


def measure(rounds: int) -> dict[str, Any]:
    """Microseconds of a verification and of each part of a transaction, the least of ``rounds``, and their ratios."""
    parts = {"verify": verifying(), "parse": parsing(), **placing(), "execution": executing()}
    least: dict[str, float] = {}
    for _ in range(rounds):
        for name, once in parts.items():
            gc.collect()
            took = once()
            least[name] = min(took, least.get(name, took))
    floor = least["verify"]
    return {
        "us": {name: round(took * 1e6, 1) for name, took in least.items()},
        "times": {name: round(took / floor, 2) for name, took in least.items() if name != "verify"},
        "times_max": TIMES_MAX,
    }


def exceeded(figures: dict[str, Any]) -> list[str]:
    """The parts that took more than they may."""
    return [name for name, most in figures["times_max"].items() if figures["times"][name] > most]


def _timed(work: Callable[[], object], count: int) -> float:
    began = time.thread_time()
    work()
    return (time.thread_time() - began) / count


def verifying() -> Callable[[], float]:
    key = SigningKey.from_seed(b"guard")
    messages = [number.to_bytes(400, "big") for number in range(VERIFICATIONS)]
    pairs = [(key.sign(message), message) for message in messages]
    public = key.public_key
    return lambda: _timed(lambda: [verify(public, signature, message) for signature, message in pairs], VERIFICATIONS)


def _recording() -> Recording:
    return record(BLOCKS, TRANSACTIONS)


def parsing() -> Callable[[], float]:
    """A payload's text to its checked form."""
    texts = [envelope.payload_bytes for block in _recording().blocks for envelope in block.envelopes]
    return lambda: _timed(lambda: [parse_payload(text) for text in texts], len(texts))


def placing() -> dict[str, Callable[[], float]]:
    """An order into a book, half of which trade: the machine's part, and the validation module's."""
    book = Book()
    book.fill(ORDERS)

    def turns(part: str) -> float:
        book.reset()
        for number in range(PLACEMENTS // 2):
            book.place("ask", ORDERS + number, PRICE + number % ORDERS)
            book.place("bid", number, PRICE + ORDERS)
        return float(getattr(book, part)) / book.placed

    return {"placement": lambda: turns("machine_s"), "validation": lambda: turns("validation_s")}


def executing() -> Callable[[], float]:
    """A transaction of recorded market blocks: admission, execution and the validation module."""
    recording, machine = _recording(), PythonMachine()

    def replay() -> None:
        executor = BlockExecutor(machine, MarketValidator())
        for (_, executed, _), recorded in zip(recording.replay(executor), recording.executed, strict=True):
            assert executed == recorded

    replay()
    return lambda: _timed(replay, recording.transactions)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a transaction's parts in verifications of a signature.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    figures = {"load_average": round(os.getloadavg()[0], 1), **measure(options.rounds)}
    print(json.dumps(figures, indent=1))
    raise SystemExit(1 if exceeded(figures) else 0)


if __name__ == "__main__":
    main()
