"""Recorded blocks of market transactions: what an executor is given, without a network, the same for the same seed.

Each transaction of a block is the next step of another deal. A recording is made by executing it once; signatures are
not looked at by an executor, so there are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.market import Deal, Market, Step
from ca.keys import SigningKey
from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.envelope import Envelope, envelope_from_text
from ledger.execution import OK, BlockExecutor, Executed
from ledger.state import Entry, MemoryState
from ledger.values import Value, decode_value, encode_value

INTERVAL_MS = 900_000
FIRST_INTERVAL = 2_000_000
START_MS = FIRST_INTERVAL * INTERVAL_MS
DELIVERY_AHEAD = 40
BLOCK_MS = 200
DEPOSIT = 10**14
GAS_LIMIT = 200_000
CHAIN = "00" * 32


@dataclass(frozen=True, slots=True)
class Block:
    height: int
    time_ms: int
    envelopes: tuple[Envelope, ...]


@dataclass(slots=True)
class Pair:
    """Two who trade with each other, deal after deal."""

    keys: dict[str, SigningKey]
    market: Market
    deal: Deal | None = None
    answer: Any = None
    nonces: dict[str, int] = field(default_factory=lambda: {"seller": 0, "buyer": 0})

    def step(self) -> Step:
        """The next transaction, given what the one before returned."""
        while True:
            if self.deal is None:
                self.deal, self.answer = self.market.deal(), None
            try:
                return next(self.deal) if self.answer is None else self.deal.send(self.answer)
            except StopIteration:
                self.deal = None

    def envelope(self, step: Step, expires_at_height: int) -> Envelope:
        key = self.keys[step.side]
        payload = {
            "v": 1, "chain": CHAIN, "channel": "main", "signers": [key.signer], "contract": "market",
            "function": step.function, "args": step.args, "nonce": self.nonces[step.side],
            "expires_at_height": expires_at_height, "gas_limit": GAS_LIMIT,
        }  # fmt: skip
        self.nonces[step.side] += 1
        return envelope_from_text(json.dumps(payload), [(key.public_key, b"unsigned")])


def pairs(count: int, seed: int) -> list[Pair]:
    found = []
    for number in range(count):
        keys = {side: SigningKey.from_seed(f"{side}{number}".encode()) for side in ("seller", "buyer")}
        meters = f"m-seller-{number}", f"m-buyer-{number}"
        found.append(Pair(keys, Market(seed + number, meters[:1], meters[1], FIRST_INTERVAL + DELIVERY_AHEAD)))
    return found


def beginning(people: list[Pair]) -> MemoryState:
    """The state before the first block: shipped contracts, parameters, people with meters and money."""
    values: dict[str, Value] = {
        f"governance/contract/{name}": {"source": source, "sha256": "", "version": 1}
        for name, source in shipped_sources().items()
    }
    values |= {f"governance/parameter/{name}": {"value": value} for name, value in MARKET_PARAMETERS.items()}
    for number, pair in enumerate(people):
        for side, key in pair.keys.items():
            meter = f"m-{side}-{number}"
            values[f"registry/user/{key.signer}"] = _user(key.signer, side)
            values[f"credit/account/{key.signer}"] = {
                "type": "account", "signer": key.signer, "available": DEPOSIT, "held": 0,
            }  # fmt: skip
            values[f"registry/meter/{meter}"] = {
                "type": "meter", "meter": meter, "owner": key.signer, "zone": "z", "capacity_w": 10**7,
                "gateway": "gate",
            }  # fmt: skip
    return MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})


def _user(signer: str, role: str) -> dict[str, Value]:
    return {
        "type": "user", "signer": signer, "name": signer, "organisation": "bench", "role": role,
        "serial": f"5e{signer}", "issuer": "bench", "not_before_ms": 0, "not_after_ms": 10**14, "suspended": False,
        "registered_height": 0,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recording:
    """``executed``: what each block came to when it was recorded."""

    people: list[Pair]
    blocks: list[Block]
    executed: list[Executed]

    @property
    def transactions(self) -> int:
        return sum(len(block.envelopes) for block in self.blocks)

    def replay(self, executor: BlockExecutor) -> Iterator[tuple[Block, Executed, MemoryState]]:
        """Execute and commit block after block; each with the state after it."""
        state = beginning(self.people)
        for block in self.blocks:
            executed = executor.execute(state, block.height, block.time_ms, block.envelopes)
            state.apply(executed.changes)
            executor.committed(state)
            yield block, executed, state


def record(blocks: int, transactions: int, seed: int = 1, block_ms: int = BLOCK_MS) -> Recording:
    """``blocks`` of ``transactions`` each; every pair has one under way, so it takes as many pairs."""
    people = pairs(transactions, seed)
    recording = Recording(people, [], [])
    state, executor = beginning(people), BlockExecutor(PythonMachine(), MarketValidator())
    for height in range(1, blocks + 1):
        envelopes = tuple(pair.envelope(pair.step(), blocks + 1) for pair in people)
        block = Block(height, START_MS + height * block_ms, envelopes)
        executed = executor.execute(state, height, block.time_ms, envelopes)
        state.apply(executed.changes)
        for pair, result in zip(people, executed.results[executed.deadlines :], strict=True):
            if result.code == OK:
                pair.answer = decode_value(result.value)
            else:
                pair.deal = None
        recording.blocks.append(block)
        recording.executed.append(executed)
    return recording
