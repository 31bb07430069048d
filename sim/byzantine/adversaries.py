"""The adversaries by name: which behaviours f liars show, alone and composed, and what else goes wrong meanwhile.

Crashes and partitions of honest replicas come on top in half of the plans: more than f may then fail to answer for
a while, which must cost no more than time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from pbft.quorum import faulty_max
from sim.adversaries import crash, partition, reconfigure, weather_of
from sim.behaviour import BehaviourMaker, register_behaviour
from sim.byzantine.collusion import AgreeWithAll, Collude
from sim.byzantine.deceivers import DateBack, HideRequests, LateCommit
from sim.byzantine.memory import Forget
from sim.byzantine.outcomes import (
    Boast,
    ForgeCheckpoints,
    ForgeChunks,
    LieAboutOutcomes,
    LieInTransfer,
    LieToClients,
    UselessManifests,
)
from sim.byzantine.primaries import BelowBase, FarAhead, FillPipeline, RepeatRequests
from sim.byzantine.proposals import AskAgain, AskTwice, Censor, SlowPrimary, TwoProposals, WrongDigest
from sim.byzantine.traffic import Flood
from sim.byzantine.views import (
    FarViews,
    ForgeCertificates,
    ForgePSets,
    ForgetPrepared,
    SplitCommit,
    StaleViewChange,
    ViewStorm,
    WrongNewView,
)
from sim.byzantine.votes import (
    Impersonate,
    Mute,
    Replay,
    ReuseSignatures,
    Silent,
    VoteAhead,
    VoteTwice,
    Withhold,
)
from sim.plan import Execution, Fault, Liar, Plan, Weather, chance_of, register_adversary

LIES: dict[str, BehaviourMaker] = {
    "equivocate": TwoProposals,
    "wrong-digest": WrongDigest,
    "slow-primary": SlowPrimary,
    "censor": Censor,
    "below-base": BelowBase,
    "far-ahead": FarAhead,
    "fill-pipeline": FillPipeline,
    "repeat-requests": RepeatRequests,
    "hide-requests": HideRequests,
    "late-commit": LateCommit,
    "date-back": DateBack,
    "vote-twice": VoteTwice,
    "vote-ahead": VoteAhead,
    "withhold": Withhold,
    "replay": Replay,
    "reuse-signatures": ReuseSignatures,
    "impersonate": Impersonate,
    "mute": Mute,
    "silent": Silent,
    "forged-p-set": ForgePSets,
    "stale-view-change": StaleViewChange,
    "forged-view-change": ForgeCertificates,
    "forgotten-p-set": ForgetPrepared,
    "wrong-new-view": WrongNewView,
    "view-storm": ViewStorm,
    "far-views": FarViews,
    "split-commit": SplitCommit,
    "lying-outcomes": LieAboutOutcomes,
    "wrong-checkpoint": ForgeCheckpoints,
    "lying-replies": LieToClients,
    "lying-transfer": LieInTransfer,
    "useless-manifests": UselessManifests,
    "boast": Boast,
    "flood": Flood,
    "amnesia": Forget,
    "collude": Collude,
}
"""Behaviours by name. Each is an adversary of that name too: all f liars show it."""
LIES_IN_SERVING = ("lying-transfer", "wrong-checkpoint", "useless-manifests", "boast")
COMPOSED_MAX = 4
"""Behaviours that one liar of the adversary ``liars`` has at most."""
TOO_MANY = "-too-many"
"""Ends the name of an adversary with f + 1 liars, which must be seen to break something."""
_CRASH_EVERY_MS = 1_200
DEAF = 0.6
SELDOM = 0.3
WIDE = {"checkpoint_interval_blocks": 64, "window_blocks": 128}
"""A window as wide as a real network's."""


def lying(behaviour: str, more: int, seed: int, nodes: int) -> Plan:
    """f (and ``more``) liars of one behaviour, with replica 0, the first primary, among them."""
    name = behaviour + (TOO_MANY if more else "")
    chance = chance_of(seed, name)
    count = faulty_max(nodes) + more
    liars = [0, *chance.sample(range(1, nodes), count - 1)]
    plan = _plan(seed, name, nodes, chance, tuple(Liar(node, behaviour) for node in liars))
    return _SETTINGS[behaviour](plan, chance) if behaviour in _SETTINGS else plan


def _with_laggard(plan: Plan, chance: random.Random) -> Plan:
    """A liar leads view 1, which begins while an honest replica lacks what the others have executed."""
    replace = msgspec.structs.replace
    shifted = tuple(replace(liar, node=(liar.node + 1) % plan.nodes) for liar in plan.liars)
    lying = {liar.node for liar in shifted}
    laggard = chance.choice([node for node in range(1, plan.nodes) if node not in lying])
    cut_ms = chance.randrange(400, 900)
    crash_ms = cut_ms + chance.randrange(300, 900)
    faults = (
        Fault(cut_ms, "cut", tuple((other, laggard) for other in range(plan.nodes) if other != laggard)),
        Fault(crash_ms, "crash", ((0,),)),
        Fault(crash_ms + chance.randrange(400, 1_200), "join"),
        Fault(crash_ms + chance.randrange(1_500, 3_000), "start", ((0,),)),
    )
    return msgspec.structs.replace(plan, liars=shifted, faults=faults)


def _with_fair_weather(plan: Plan, chance: random.Random) -> Plan:
    """Nothing but the liars keeps a client waiting; the window is wide."""
    weather = Weather(delay_ms_max=chance.choice([5, 20]))
    return msgspec.structs.replace(plan, weather=weather, faults=(), genesis=WIDE, operations=chance.choice([12, 30]))


def _with_many_clients(plan: Plan, chance: random.Random) -> Plan:
    """Likewise, and there is always somebody else to be served."""
    return msgspec.structs.replace(_with_fair_weather(plan, chance), clients=5, operations=20)


def _with_slow_execution(plan: Plan, chance: random.Random) -> Plan:
    """Likewise, and blocks may wait for execution all the time."""
    slow = Execution(transaction_ms=chance.choice([0, 20, 20]))
    return msgspec.structs.replace(_with_fair_weather(plan, chance), execution=slow)


def _with_many_checkpoints(plan: Plan, chance: random.Random) -> Plan:
    """Whoever lost its ledger needs a snapshot of which there have been many."""
    options = {"block_idle_ms_max": 100, "snapshot_gap_blocks": chance.choice([8, 24])}
    return msgspec.structs.replace(plan, options=options)


def _with_one_deaf(plan: Plan, chance: random.Random) -> Plan:
    """An honest replica hears nothing of the first primary for a while, and complains: alone, or with a liar's word."""
    deaf = chance.choice([node for node in range(plan.nodes) if node not in plan.byzantine])
    primary = next(node for node in range(plan.nodes) if node not in plan.byzantine and node != deaf)
    at_ms = chance.randrange(300, 2_000)
    cuts = (Fault(at_ms, "cut", ((primary, deaf),)), Fault(at_ms + chance.randrange(1_000, 3_000), "join"))
    return msgspec.structs.replace(plan, faults=cuts) if chance.random() < DEAF else plan


_SETTINGS: dict[str, Callable[[Plan, random.Random], Plan]] = {
    "below-base": _with_laggard,
    "far-ahead": _with_fair_weather,
    "fill-pipeline": _with_slow_execution,
    "repeat-requests": _with_slow_execution,
    "hide-requests": _with_many_clients,
    "late-commit": _with_fair_weather,
    "date-back": _with_fair_weather,
    "far-views": _with_one_deaf,
    "useless-manifests": _with_many_checkpoints,
}
"""Where a lie alone can do harm."""


def liars(seed: int, nodes: int) -> Plan:
    """f liars, each with behaviours of its own, several at once."""
    chance = chance_of(seed, "liars")
    found = [
        Liar(node, behaviour)
        for node in chance.sample(range(nodes), faulty_max(nodes))
        for behaviour in chance.sample(sorted(LIES), chance.randint(2, COMPOSED_MAX))
    ]
    return _plan(seed, "liars", nodes, chance, tuple(found))


def traitors(seed: int, nodes: int) -> Plan:
    """Validators come and go while f of the first ones lie; at times who leads changes by rotation or by order too, or
    an honest node loses its ledger while an epoch ends."""
    chance = chance_of(seed, "traitors")
    plan = reconfigure(seed, nodes)
    chosen = chance.sample(range(nodes), faulty_max(nodes))
    found = tuple(Liar(node, chance.choice(sorted(LIES))) for node in chosen)
    faults = list(_without_returns(plan))
    options = dict(plan.options)
    if chance.random() < SELDOM:
        options["rotation_blocks"] = chance.choice([3, 6])
    if chance.random() < SELDOM:
        faults += _hand_overs(nodes, chance)
    if chance.random() < SELDOM:
        faults += _loss_at_epoch_end(faults, [node for node in range(nodes) if node not in chosen], chance)
    faults.sort(key=lambda fault: fault.at_ms)
    return msgspec.structs.replace(plan, adversary="traitors", liars=found, faults=tuple(faults), options=options)


def _hand_overs(nodes: int, chance: random.Random) -> list[Fault]:
    times = chance.sample(range(500, Plan(0, "").chaos_ms, 250), 3)
    return [Fault(at_ms, "hand_over", ((chance.randrange(nodes),),), chance.randrange(nodes)) for at_ms in times]


def _loss_at_epoch_end(faults: Sequence[Fault], honest: Sequence[int], chance: random.Random) -> list[Fault]:
    """Soon after a change of validators was asked for, which takes effect a window later."""
    asked_ms = chance.choice([fault.at_ms for fault in faults if fault.kind == "validators"])
    place, at_ms = chance.choice(honest), asked_ms + chance.randrange(200, 1_800)
    return [Fault(at_ms, "lose_ledger", ((place,),)), Fault(at_ms + chance.randrange(50, 600), "start", ((place,),))]


def _without_returns(plan: Plan) -> tuple[Fault, ...]:
    """The plan's timeline without changes that bring back who has left: a process that has ended is a fault more."""
    members, left = set(range(plan.nodes)), set[int]()
    kept = []
    for fault in plan.faults:
        if fault.kind == "validators":
            if left & set(fault.groups[0]):
                continue
            left |= members - set(fault.groups[0])
            members = set(fault.groups[0])
        kept.append(fault)
    return tuple(kept)


def _plan(seed: int, name: str, nodes: int, chance: random.Random, liars: tuple[Liar, ...]) -> Plan:
    faults = _faults(seed, nodes, chance, liars)
    return Plan(seed, name, nodes, liars=liars, weather=weather_of(chance), faults=faults)


def _faults(seed: int, nodes: int, chance: random.Random, liars: tuple[Liar, ...]) -> tuple[Fault, ...]:
    """Crashes of the liar if it forgets, an honest replica without its ledger if the liar serves lies; otherwise
    crashes of anybody, partitions, or nothing."""
    if any(liar.behaviour in LIES_IN_SERVING for liar in liars):
        honest = chance.choice([node for node in range(nodes) if node not in {liar.node for liar in liars}])
        at_ms = chance.randrange(1_000, 4_000)
        return Fault(at_ms, "lose_ledger", ((honest,),)), Fault(at_ms + 100, "start", ((honest,),))
    forgetful = [liar.node for liar in liars if liar.behaviour == "amnesia"]
    if forgetful:
        times = range(_CRASH_EVERY_MS, Plan(0, "").chaos_ms, _CRASH_EVERY_MS)
        ends = ((at_ms, "crash") for at_ms in times), ((at_ms + 100, "start") for at_ms in times)
        faults = [Fault(at_ms, kind, ((node,),)) for part in ends for at_ms, kind in part for node in forgetful]
        return tuple(sorted(faults, key=lambda fault: fault.at_ms))
    maker = chance.choice([None, None, crash, partition])
    return maker(seed, nodes).faults if maker is not None else ()


for _name, _maker in LIES.items():
    register_behaviour(_name, _maker)
    register_adversary(_name, partial(lying, _name, 0))
    register_adversary(_name + TOO_MANY, partial(lying, _name, 1), mixed=False)
BY_NAME_ALONE: dict[str, BehaviourMaker] = {
    "ask-twice": AskTwice,
    "ask-again": AskAgain,
    "forged-chunks": ForgeChunks,
    "agree-with-all": AgreeWithAll,
}
"""No adversaries: seeds of "liars" and "mixed" stay what they were."""
for _name, _maker in BY_NAME_ALONE.items():
    register_behaviour(_name, _maker)
register_adversary("liars", liars)
register_adversary("traitors", traitors)
