"""Simulated clients: one operation after another, each through some node, and again through others if need be.

A client believes nothing but a receipt that it verified from genesis on. A refusal proves nothing: it asks elsewhere.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ca.certificates import certificate_facts
from ca.keys import SigningKey
from ledger.envelope import Envelope, envelope_from_text
from ledger.genesis import Genesis
from ledger.receipts import Receipt, ReceiptInvalid, verify_receipt
from pbft.evidence import Evidence, encode_evidence
from pbft.messages import DECODE_ERRORS
from sim import contract
from sim.history import Operation
from sim.market_day import GAS_LIMIT as MARKET_GAS_LIMIT
from sim.market_day import Step, Trader
from sim.setting import name_of

if TYPE_CHECKING:
    from sim.world import World

GAS_LIMIT = 1_000_000
EXPIRES_AT_HEIGHT = 100_000
BARRED_TRIES = 3
"""How often a client whose certificate is revoked asks for something else, of every node."""
RETRY_MS = 1_000
"""How long a client waits for a receipt before it asks another node."""
PAUSE_MS_MAX = 500
"""Between an answer and the next operation."""
CELLS = ("a", "b")
TOTALS = 0.3
"""How often a client of the bank asks for all money, and moves none."""
WORKLOADS: dict[str, tuple[float, float, float, float]] = {
    "mixed": (0.3, 0.5, 0.7, 0.8),
    "registers": (0.4, 0.7, 1.0, 1.0),
    "reads": (0.85, 1.0, 1.0, 1.0),
    "counter": (0.0, 0.0, 0.0, 0.0),
}
"""By name: below which chance a client reads, writes, swaps or adds to a cell; else it adds one to the total."""

decode_receipt = msgspec.msgpack.Decoder(Receipt).decode


def envelope_of(
    genesis: Genesis, key: SigningKey, nonce: int, contract_name: str, function: str, arguments: dict[str, Any],
    co_signers: Sequence[SigningKey] = (), gas_limit: int = GAS_LIMIT,
) -> Envelope:  # fmt: skip
    """A signed call."""
    keys = (key, *co_signers)
    payload = json.dumps(
        {
            "v": 1,
            "chain": genesis.chain_id.hex(),
            "channel": genesis.channel,
            "signers": [key.signer for key in keys],
            "contract": contract_name,
            "function": function,
            "args": arguments,
            "nonce": nonce,
            "expires_at_height": EXPIRES_AT_HEIGHT,
            "gas_limit": gas_limit,
        }
    )
    return envelope_from_text(payload, [(key.public_key, key.sign(payload.encode())) for key in keys])


def serial_of(genesis: Genesis, public_key: bytes) -> str:
    """The serial of the certificate that genesis has of a key."""
    every = (certificate_facts(der, genesis.roots) for der in genesis.users)
    return next(facts.serial for facts in every if facts.public_key == public_key)


def choose(chance: random.Random, workload: str) -> tuple[str, str, dict[str, Any]]:
    """A client's next call: contract, function and arguments."""
    if workload == contract.BANK:
        return contract.BANK, *_choose_at_the_bank(chance)
    return contract.NAME, *_choose(chance, WORKLOADS.get(workload, WORKLOADS["counter"]))


def _choose(chance: random.Random, shares: tuple[float, float, float, float]) -> tuple[str, dict[str, Any]]:
    cell = chance.choice(CELLS)
    kind, (read, write, swap, add) = chance.random(), shares
    if kind < read:
        return "read", {"cell": cell}
    if kind < write:
        return "write", {"cell": cell, "value": chance.randrange(1_000)}
    if kind < swap:
        return "swap", {"cell": cell, "old": chance.choice([0, 1, 2, 3]), "new": chance.randrange(4)}
    if kind < add:
        return "add", {"cell": cell, "amount": 1 + chance.randrange(3)}
    return "add", {"cell": contract.TOTAL, "amount": 1}


def _choose_at_the_bank(chance: random.Random) -> tuple[str, dict[str, Any]]:
    if chance.random() < TOTALS:
        return "total", {}
    source, target = chance.sample(contract.ACCOUNTS, 2)
    return "transfer", {"source": source, "target": target, "amount": 1 + chance.randrange(80)}


class SimClient:
    """Does ``left`` operations in turn. ``history``: what it saw."""

    def __init__(self, world: World, number: int, operations: int, key: SigningKey, chance: random.Random) -> None:
        self.number = number
        self.left = operations
        self.history: list[Operation] = []
        self.barred_from: int | None = None
        """The block as of which our certificate is revoked: nothing that we sign takes effect above it."""
        self.key = key
        self.lies = 0
        """Answers that did not prove what they should."""
        self._world = world
        self._genesis: Genesis = world.genesis
        self._chance = chance
        self._envelope: Envelope | None = None
        self.trader: Trader | None = None
        """What it is on a market day."""
        self._step: Step | None = None
        self._barring: SimClient | None = None
        """As an operator: whose certificate we are about to have revoked."""

    @property
    def idle(self) -> bool:
        """Whether everything that it wanted has been answered."""
        return self.left == 0 and self._envelope is None

    def start(self) -> None:
        self._world.later(1 + self._chance.randrange(PAUSE_MS_MAX), self._next)

    # ----------------------------------------------------------------------------------------- operations

    def _next(self) -> None:
        if self._envelope is not None or not self.left:
            return
        self.left -= 1
        if self.trader is not None:
            self._trade(self.trader)
            return
        contract_name, function, arguments = choose(self._chance, self._world.plan.workload)
        self.invoke(function, arguments, contract_name)

    def _trade(self, trader: Trader) -> None:
        step = self._step = trader.next()
        keys = [trader.keys[name] for name in step.by]
        envelope = envelope_of(
            self._genesis, keys[0], len(self.history), step.contract, step.function, step.arguments, keys[1:],
            MARKET_GAS_LIMIT,
        )  # fmt: skip
        self._pursue(envelope, step.function, step.arguments)

    def invoke(self, function: str, arguments: dict[str, Any], contract_name: str = contract.NAME) -> Envelope:
        """Begin one operation, and pursue it until a receipt proves its end."""
        envelope = envelope_of(self._genesis, self.key, len(self.history), contract_name, function, arguments)
        return self._pursue(envelope, function, arguments)

    def _pursue(self, envelope: Envelope, function: str, arguments: dict[str, Any]) -> Envelope:
        world = self._world
        self._envelope = envelope
        self.history.append(
            Operation(self.number, function, arguments, envelope.tx_id, world.moment(), asked_ms=world.now_ms)
        )
        world.submitted.add(envelope.tx_id)
        world.made.append(envelope)
        self._ask(envelope, self._chance.randrange(len(world.nodes)))
        return envelope

    def propose(self, owners: Sequence[int], first_primary: int) -> None:
        """As an operator: have these be the next validators. Not while the last proposal has no answer."""
        if self._envelope is not None:
            return
        validators = [
            {"name": name_of(owner), "public_key": base64.b64encode(self._world.stage.keys[owner].public_key).decode()}
            for owner in owners
        ]
        self.invoke(
            "set_validators",
            {
                "validators": [{**validator, "address": ""} for validator in validators],
                "first_primary": first_primary,
                "at_height": 0,
            },
            "governance",
        )

    def revoke(self, public_key: bytes, whose: SimClient | None = None) -> None:
        """As an operator: have the certificate of a key that stands in genesis revoked, once our last act has its
        answer. ``whose``: a client, who hears of it."""
        if self._envelope is not None:
            self._world.later(RETRY_MS, partial(self.revoke, public_key, whose))
            return
        self._barring = whose
        serial = serial_of(self._genesis, public_key)
        self.invoke("revoke", {"serial": serial, "reason": "lab"}, "governance")

    def bar(self, height: int) -> None:
        """Our certificate is revoked as of this block: we wait for nothing, and ask for something else in vain."""
        world = self._world
        self.barred_from, self.left, self._envelope = height, 0, None
        for number in range(BARRED_TRIES):
            arguments = {"cell": contract.TOTAL, "amount": 1}
            nonce = len(self.history) + number
            envelope = envelope_of(self._genesis, self.key, nonce, contract.NAME, "add", arguments)
            world.submitted.add(envelope.tx_id)
            for node in world.nodes:
                for delay_ms in world.network.delays_ms():
                    world.later(delay_ms, partial(node.submit, envelope, self))

    def report(self, evidence: Evidence) -> None:
        """As a node: have the accused skipped as a primary. Not while the last report has no answer."""
        if self._envelope is None:
            encoded = base64.b64encode(encode_evidence(evidence)).decode()
            self.invoke("report", {"evidence": encoded}, "governance")

    # -------------------------------------------------------------------------------------------- asking

    def _ask(self, envelope: Envelope, place: int) -> None:
        """Send it to a node; and to the next one, if no proof comes in time: chance could meet one liar each time."""
        world = self._world
        if self._envelope is not envelope:
            return
        node = world.nodes[place % len(world.nodes)]
        for delay_ms in world.network.delays_ms():
            world.later(delay_ms, lambda: node.submit(envelope, self))
        world.later(RETRY_MS, lambda: self._ask(envelope, place + 1))

    def answer(self, tx_id: bytes, data: bytes) -> None:
        """A node's answer: an encoded receipt, which is believed only if it proves itself."""
        waiting = self._envelope
        if waiting is None or waiting.tx_id != tx_id:
            return
        try:
            proven = verify_receipt(decode_receipt(data), self._genesis)
        except (ReceiptInvalid, *DECODE_ERRORS):
            self.lies += 1
            return
        if proven.tx_id != tx_id.hex():
            self.lies += 1
            return
        if not proven.executed:
            return  # ordered again, perhaps, after it had executed elsewhere: its fate stands there
        self._envelope = None
        operation = self.history[-1]
        operation.answered, operation.height = self._world.moment(), proven.height
        operation.waited_ms = self._world.now_ms - operation.asked_ms
        operation.code, operation.value = proven.code, proven.value
        self._world.note_answer(operation)
        if self._barring is not None:
            self._barring.bar(proven.height)
            self._barring = None
        if self.trader is not None and self._step is not None:
            self.trader.learn(self._step, proven.code, proven.value)
            self._step = None
        self._world.later(1 + self._chance.randrange(PAUSE_MS_MAX), self._next)
