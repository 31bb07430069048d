"""One run: n nodes, their network, and clients that submit at a fixed mean rate whatever becomes of it (open loop)."""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass

from pbft.config import ReplicaConfig
from pbft.messages import Message, Scope, encode_frame
from sim.scale.clock import Clock
from sim.scale.costs import Costs
from sim.scale.network import NS_A_MS, NS_A_S, Card, Profile
from sim.scale.node import ScaleNode, Step, take_step
from sim.scale.shared import CLIENT_BYTES, Shared
from sim.scale.tally import Tally
from sim.scale.work import BULK, MessageWork, Work

LENGTH_BYTES = 4
"""The transport's length before each frame."""
TIMEOUT_MS = 600_000
"""The nodes' patience: so much that overload shows as latency, not as view changes."""
CLIENTS = 1_000
SLICE_MS = 10
"""How often a run notes how many transactions wait, and looks whether it has become hopeless."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a study share."""

    profile: Profile
    costs: Costs
    seed: int = 1
    tx_bytes: int = 700
    mbit_per_s: int = 1_000
    status_interval_ms: int = 500
    batch_transactions_max: int = 500


class ScaleWorld:
    """n real cores under one virtual clock."""

    def __init__(self, setting: Setting, nodes: int, step: Step = take_step) -> None:
        self.setting = setting
        self.tally = Tally()
        self.clock = Clock()
        self._chance = random.Random(f"{setting.seed}/{nodes}")
        self._work = Work(setting.costs, nodes)
        self._shared = Shared()
        self._delays = setting.profile.delays_ns(nodes, self._chance)
        self._cards_out = [Card(setting.mbit_per_s) for _ in range(nodes)]
        self._filler = self._chance.randbytes(setting.tx_bytes)
        self._submitted = 0
        self.waiting: list[tuple[int, int]] = []
        """How many transactions waited at which moments."""
        self.nodes = [
            ScaleNode(config, self._work, self.clock, self._shared, self.tally, self._emit, step)
            for config in configs(setting, nodes)
        ]
        for node in self.nodes:
            node.card_in = Card(setting.mbit_per_s)
            node.start()

    # ------------------------------------------------------------------------------------------- network

    def _emit(self, sender: int, to: int | None, message: Message, when: int) -> MessageWork:
        """One arrival event a receiver; the message object and its length are shared."""
        size = len(encode_frame(0, message)) + LENGTH_BYTES
        work = self._work.of(message, size)
        count = len(self.nodes)
        receivers = [(sender + step) % count for step in range(1, count)] if to is None else [to]
        self.tally.sent(message, size, len(receivers))
        delays, nodes, at = self._delays[sender], self.nodes, self.clock.at
        departures = self._cards_out[sender].pass_through(
            when + work.encode, size, isinstance(message, BULK), len(receivers)
        )
        for receiver, leaves in zip(receivers, departures, strict=True):
            at(leaves + delays[receiver], nodes[receiver].arrive, sender, message, size, work)
        return work

    # ------------------------------------------------------------------------------------------- clients

    def load(self, tx_per_s: float) -> None:
        """Clients submit from now on, at random moments, each to a random node."""
        self._mean_gap_ns = NS_A_S / tx_per_s
        self.clock.at(self.clock.now + self._gap(), self._client)

    def _gap(self) -> int:
        return int(self._chance.expovariate(1.0) * self._mean_gap_ns)

    def _client(self) -> None:
        self.submit(self._chance.randrange(len(self.nodes)))
        self.clock.at(self.clock.now + self._gap(), self._client)

    def submit(self, node: int) -> None:
        """One transaction of some client, handed to ``node``."""
        self._submitted += 1
        client = (self._submitted % CLIENTS).to_bytes(CLIENT_BYTES, "big")
        head = client + self._submitted.to_bytes(8, "big")
        request = self._shared.request(head + self._filler[len(head) :])
        self.tally.submitted(request.tx_id, self.clock.now, node)
        self.nodes[node].submit(request)

    # ------------------------------------------------------------------------------------------- running

    def run(self, until_ms: int, steps_max: int | None = None, waiting_max: int | None = None) -> bool:
        """Run up to ``until_ms``; False if it ended before: too much work, or too many transactions waiting.

        The collector rests meanwhile: a run makes no cycles, and a fifth of the time went into looking for them.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._run(until_ms, steps_max, waiting_max)
        finally:
            if collecting:
                gc.enable()

    def _run(self, until_ms: int, steps_max: int | None, waiting_max: int | None) -> bool:
        while self.clock.now < until_ms * NS_A_MS:
            self.clock.run_until(min(self.clock.now + SLICE_MS * NS_A_MS, until_ms * NS_A_MS))
            self.waiting.append((self.clock.now, self.tally.waiting))
            if steps_max is not None and self.tally.steps > steps_max:
                return False
            if waiting_max is not None and self.tally.waiting > waiting_max:
                return False
        return True

    def busy(self) -> dict[str, float]:
        """How much of the time each resource of the busiest node was in use."""
        now = max(1, self.clock.now)
        cards = [card.busy_ns for card in self._cards_out]
        cards += [node.card_in.busy_ns for node in self.nodes if node.card_in is not None]
        busiest = {
            "python": max(node.main_busy_ns for node in self.nodes),
            "verify": max(node.verify_busy_ns for node in self.nodes),
            "network": max(cards),
        }
        # What is queued at the end is booked already.
        return {name: min(1.0, busy / now) for name, busy in busiest.items()}


def configs(setting: Setting, nodes: int) -> list[ReplicaConfig]:
    """Production's settings, but for patience; the slow-primary measurement is off, as nobody is slow."""
    validators = tuple(b"\x04" + index.to_bytes(64, "big") for index in range(nodes))
    return [
        ReplicaConfig(
            scope=Scope(bytes(32), "main", 0),
            validators=validators,
            index=index,
            batch_transactions_max=setting.batch_transactions_max,
            status_interval_ms=setting.status_interval_ms,
            request_timeout_ms=TIMEOUT_MS,
            view_change_timeout_ms=TIMEOUT_MS,
            view_change_timeout_ms_max=TIMEOUT_MS,
            primary_share_percent_min=0,
        )
        for index in range(nodes)
    ]
