"""One measurement: a network under a fixed load, for a while, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from sim.scale.network import NS_A_MS
from sim.scale.theory import messages_of_a_decision
from sim.scale.world import ScaleWorld, Setting

WARM_UP_SHARE = 0.25
COMPLETED_SHARE_MIN = 0.95
"""A load is carried if at least so much of what was submitted in the measured time was also certified in it."""
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
    carried: bool
    steps: int


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of the sorted ``values`` do not exceed; 0 of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def probe(
    setting: Setting, nodes: int, tx_per_s: float, duration_ms: int, latency_ms_max: float, steps_max: int
) -> Probe:
    """Load a fresh network; ends early where the load is plainly too much, or after ``steps_max`` steps of cores."""
    world = ScaleWorld(setting, nodes)
    world.load(tx_per_s)
    waiting_max = WAITING_MIN + int(1.5 * tx_per_s * latency_ms_max / 1_000)
    world.run(duration_ms, steps_max, waiting_max)
    found = evaluate(world, tx_per_s, world.clock.now, latency_ms_max)
    return found if world.tally.waiting <= waiting_max else _overloaded(found)


def light(setting: Setting, nodes: int) -> Probe:
    """A load so light that nothing queues, without status exchange: the decisions that the theory counts."""
    quiet = Setting(
        setting.profile,
        setting.costs,
        setting.seed,
        setting.tx_bytes,
        setting.mbit_per_s,
        status_interval_ms=10 * LIGHT_MS,
        batch_transactions_max=setting.batch_transactions_max,
    )
    world = ScaleWorld(quiet, nodes)
    world.load(LIGHT_TX_PER_S)
    world.run(LIGHT_MS, LIGHT_STEPS_MAX)
    return evaluate(world, LIGHT_TX_PER_S, world.clock.now - SETTLE_MS * NS_A_MS, latency_ms_max=float("inf"))


def evaluate(world: ScaleWorld, offered: float, end: int, latency_ms_max: float) -> Probe:
    """The figures of the time between the warm-up and ``end``."""
    begin = int(end * WARM_UP_SHARE)
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
        carried=bool(done)
        and len(done) >= COMPLETED_SHARE_MIN * submitted
        and p99 <= latency_ms_max
        and not tally.refused,
        steps=tally.steps,
    )


def _mean_messages(counts: list[tuple[int, int, int, int]]) -> tuple[float, float, float, float]:
    total = max(1, len(counts))
    first, second, third, fourth = (sum(count[phase] for count in counts) / total for phase in range(4))
    return first, second, third, fourth


def _overloaded(found: Probe) -> Probe:
    values = {name: getattr(found, name) for name in Probe.__slots__}
    return Probe(**{**values, "carried": False})
