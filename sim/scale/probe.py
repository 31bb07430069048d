"""One measurement: a network under a fixed load, for a while, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean

from sim.scale.network import NS_A_MS
from sim.scale.theory import messages_of_a_decision
from sim.scale.world import ScaleWorld, Setting

WARM_UP_ROUNDS, MEASURED_ROUNDS = 3, 3
"""Unloaded latencies for which a load is warmed up, and then measured at least, whatever that takes."""
WARM_UP_MS_MIN = 250
MEASURED_MS_MIN = 500
GROWTH_SHARE_MAX = 0.05
NOISE_SIGMAS = 2.0
"""A load is carried if the queue, on the mean of either half of the measured time, grows by no more than this share of
what a half submits; arrivals are random, and over long links certificates come in bursts, which a mean evens out."""
DOUBT_MAX = 3.0
DOUBTS_MAX = 2
"""Growth up to so many times the limit may be a transient: the load is watched for as long again, so often at most."""
WAITING_MIN = 200
SETTLE_MS = 1_000
"""After this, all messages of a certified decision are sent."""
LIGHT_TX_PER_S = 4.0
LIGHT_MS = 10_000
LIGHT_STEPS_MAX = 350_000


@dataclass(frozen=True, slots=True)
class Probe:
    """What a network did at one offered load. Latency runs from submission to certificate, at the node of the client.

    Messages and bytes are of the decisions that became certified in the measured time, sent ones, with repetitions.
    """

    offered_tx_per_s: float
    tx_per_s: float
    latency_ms_p50: float
    latency_ms_p99: float
    decisions: int
    tx_per_decision: float
    bytes_per_decision: float
    bytes_per_tx: float
    """Everything on the network, forwarding and status included."""
    messages: tuple[float, float, float, float]
    """Of a decision, on average: pre-prepare, prepare, commit, outcome."""
    exact_decisions: int
    """How many decisions had exactly the theory's messages."""
    busy: dict[str, float]
    growth: float
    """The queue's growth, in units of what is allowed."""
    bounded: bool
    """Whether latency was, and nobody refused."""
    steps: int

    @property
    def carried(self) -> bool:
        return self.bounded and self.growth <= 1.0


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of the sorted ``values`` do not exceed; 0 of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a load is watched, in virtual time and in steps of cores."""

    duration_ms: int
    latency_ms_max: float
    steps_max: int


def probe(setting: Setting, nodes: int, tx_per_s: float, effort: Effort, unloaded_ms: float) -> Probe:
    """Load a fresh network; ends early where the load is plainly too much, or after ``steps_max`` steps of cores."""
    world = ScaleWorld(setting, nodes)
    world.load(tx_per_s)
    waiting_max = WAITING_MIN + int(1.5 * tx_per_s * effort.latency_ms_max / 1_000)
    warm_up_ms = max(WARM_UP_MS_MIN, int(WARM_UP_ROUNDS * unloaded_ms))
    measured_ms = max(MEASURED_MS_MIN, int(MEASURED_ROUNDS * unloaded_ms))
    if world.run(warm_up_ms + measured_ms, None, waiting_max):
        world.run(warm_up_ms + effort.duration_ms, effort.steps_max, waiting_max)
    begin = min(warm_up_ms * NS_A_MS, world.clock.now // 2)
    found = evaluate(world, tx_per_s, begin, world.clock.now, effort.latency_ms_max)
    for _ in range(DOUBTS_MAX):
        if not found.bounded or not 1.0 < found.growth <= DOUBT_MAX:
            break
        begin = world.clock.now
        world.run(begin // NS_A_MS + measured_ms, None, waiting_max)
        found = evaluate(world, tx_per_s, begin, world.clock.now, effort.latency_ms_max)
    return found if world.tally.waiting <= waiting_max else replace(found, bounded=False)


def light(setting: Setting, nodes: int) -> Probe:
    """A load so light that nothing queues, without status exchange: the decisions that the theory counts."""
    quiet = replace(setting, status_interval_ms=10 * LIGHT_MS)
    world = ScaleWorld(quiet, nodes)
    world.load(LIGHT_TX_PER_S)
    world.run(LIGHT_MS, LIGHT_STEPS_MAX)
    return evaluate(world, LIGHT_TX_PER_S, 0, world.clock.now - SETTLE_MS * NS_A_MS, float("inf"))


def evaluate(world: ScaleWorld, offered: float, begin: int, end: int, latency_ms_max: float) -> Probe:
    """The figures of the time between ``begin`` and ``end``."""
    tally, nodes = world.tally, len(world.nodes)
    samples = list(tally.samples.values())
    done = [s for s in samples if s.certified_at is not None and begin <= s.certified_at < end]
    submitted = sum(1 for s in samples if begin <= s.submitted_at < end)
    waits = sorted((s.certified_at - s.submitted_at) / NS_A_MS for s in done if s.certified_at is not None)
    decisions = [d for d in tally.decisions.values() if d.certified_at is not None and begin <= d.certified_at < end]
    count = max(1, len(decisions))
    transactions = sum(d.transactions for d in decisions)
    everything = sum(d.bytes for d in tally.decisions.values()) + sum(tally.other_bytes.values())
    p99 = percentile(waits, 0.99)
    allowed = max(1.0, GROWTH_SHARE_MAX * submitted / 2 + NOISE_SIGMAS * sqrt(submitted / 2))
    return Probe(
        offered_tx_per_s=offered,
        tx_per_s=len(done) / max(1, end - begin) * 1_000 * NS_A_MS,
        latency_ms_p50=percentile(waits, 0.5),
        latency_ms_p99=p99,
        decisions=len(decisions),
        tx_per_decision=transactions / count,
        bytes_per_decision=sum(d.bytes for d in decisions) / count,
        bytes_per_tx=everything / max(1, sum(d.transactions for d in tally.decisions.values())),
        messages=_mean_messages([d.messages for d in decisions]),
        exact_decisions=sum(1 for d in decisions if d.messages == messages_of_a_decision(nodes)),
        busy=world.busy(),
        growth=growth(world, begin, end) / allowed,
        bounded=bool(done) and p99 <= latency_ms_max and not tally.refused,
        steps=tally.steps,
    )


def growth(world: ScaleWorld, begin: int, end: int) -> float:
    """How many more transactions wait in the second half of the time than in the first, on their means."""
    middle = (begin + end) // 2
    first = [waiting for at, waiting in world.waiting if begin <= at < middle]
    second = [waiting for at, waiting in world.waiting if middle <= at <= end]
    return fmean(second) - fmean(first) if first and second else 0.0


def _mean_messages(counts: list[tuple[int, int, int, int]]) -> tuple[float, float, float, float]:
    total = max(1, len(counts))
    first, second, third, fourth = (sum(count[phase] for count in counts) / total for phase in range(4))
    return first, second, third, fourth
