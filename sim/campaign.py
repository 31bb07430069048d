"""Many seeds, in several processes, resumable: what ran, what it came to, and what failed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import msgspec

from sim.plan import MIXED, Plan
from sim.run import Verdict, run_seed
from sim.worker import begin, born_deaf

FAILURES_KEPT_MAX = 100
NODES_MIN, NODES_MAX = 4, 31
AHEAD = 16
"""How many seeds a process is given ahead."""

_Item: TypeAlias = tuple[tuple[int, ...], str, int]
"""(numbers of nodes, adversary, seed)."""
_Done: TypeAlias = tuple[Verdict, int]
"""A verdict, and the processor time that it took in ms."""


class Row(msgspec.Struct):
    """What an adversary's seeds came to."""

    seeds: int = 0
    blocks: int = 0
    views: int = 0
    violations: int = 0
    settled_ms_max: int = 0
    """The longest that anything took to settle after the last fault."""
    messages: int = 0
    """That arrived."""
    view_changes: int = 0
    transfers: int = 0
    """Snapshots that nodes took the place of their ledgers."""
    befallen: int = 0
    """Faults of the timelines, and power cuts."""


class Failure(msgspec.Struct, frozen=True):
    plan: Plan
    faults: tuple[str, ...]
    replay: str = ""
    """The line that plays the seed again."""


class Campaign(msgspec.Struct):
    """Seeds ``first`` .. ``last``, the numbers of nodes in turn; ``following`` is the next seed to be run."""

    first: int
    last: int
    nodes: tuple[int, ...] = (4,)
    adversary: str = MIXED
    following: int = -1
    rows: dict[str, Row] = {}
    failures: list[Failure] = []
    failed: int = 0
    cpu_ms: int = 0
    """Processor time of all seeds."""

    def __post_init__(self) -> None:
        self.following = max(self.following, self.first)

    @property
    def total(self) -> int:
        return self.last - self.first + 1

    @property
    def done(self) -> int:
        return self.following - self.first

    def add(self, verdict: Verdict, cpu_ms: int = 0) -> None:
        """Take in the verdict on the seed ``following``, which took so much processor time."""
        self.cpu_ms += cpu_ms
        row = self.rows.setdefault(verdict.plan.adversary, Row())
        row.seeds += 1
        row.blocks += verdict.height
        row.views += verdict.view
        row.settled_ms_max = max(row.settled_ms_max, verdict.settled_ms or 0)
        row.messages += verdict.messages
        row.view_changes += verdict.view_changes
        row.transfers += verdict.transfers
        row.befallen += verdict.befallen
        if verdict.faults:
            row.violations += 1
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT_MAX:
                self.failures.append(Failure(verdict.plan, verdict.faults, replay_line(verdict.plan)))
        self.following += 1


def replay_line(plan: Plan) -> str:
    """The command that plays a seed's own plan again."""
    return f"wattq sim replay {plan.seed} --nodes {plan.nodes} --adversary {plan.adversary} --transcript"


def load(path: Path, wanted: Campaign) -> Campaign:
    """The campaign in a state file, or ``wanted`` where there is none; ``ValueError`` if it is another one."""
    if not path.exists():
        return wanted
    found = msgspec.json.decode(path.read_bytes(), type=Campaign)
    if (found.first, found.nodes, found.adversary) != (wanted.first, wanted.nodes, wanted.adversary):
        raise ValueError(f"{path} belongs to other seeds, nodes or adversary")
    found.last = wanted.last
    return found


def save(path: Path, campaign: Campaign) -> None:
    """Replace the state file at once."""
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(msgspec.json.encode(campaign))
    os.replace(draft, path)


def work(campaign: Campaign, jobs: int) -> Iterator[Verdict]:
    """Run what is left, and take each verdict in, in order of seeds. One job runs in this very process."""
    items = ((campaign.nodes, campaign.adversary, seed) for seed in range(campaign.following, campaign.last + 1))
    for verdict, cpu_ms in map(_run, items) if jobs == 1 else _run_all(items, jobs):
        campaign.add(verdict, cpu_ms)
        yield verdict


def _run_all(items: Iterator[_Item], jobs: int) -> Iterator[_Done]:
    """In processes, few seeds ahead of what is taken in: an interrupt is then answered soon."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=begin) as pool:
        running: deque[Future[_Done]] = deque()
        try:
            for item in items:
                with born_deaf():  # a worker starts when there is work for it
                    running.append(pool.submit(_run, item))
                if len(running) >= jobs * AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run(item: _Item) -> _Done:
    nodes, adversary, seed = item
    before_ns = time.process_time_ns()
    verdict = run_seed(seed, nodes[seed % len(nodes)], adversary)
    return verdict, (time.process_time_ns() - before_ns) // 1_000_000


def run_resumably(path: Path, wanted: Campaign, jobs: int, tell: Callable[[Campaign], None]) -> Campaign:
    """Go on where the state file says, saving as it goes; ``tell`` is called after each seed."""
    campaign = load(path, wanted)
    try:
        for number, _ in enumerate(work(campaign, jobs)):
            tell(campaign)
            if number % (jobs * AHEAD) == 0:
                save(path, campaign)
    finally:
        save(path, campaign)
    return campaign


def parse_seeds(text: str) -> tuple[int, int]:
    """ "A..B", or one seed; ``ValueError`` for anything else."""
    first, dots, last = text.partition("..")
    bounds = (first, last if dots else first)
    if not all(bound.isdecimal() for bound in bounds) or int(bounds[1]) < int(bounds[0]):
        raise ValueError(f"no seeds: {text!r}")
    return int(bounds[0]), int(bounds[1])


def parse_nodes(text: str) -> tuple[int, ...]:
    """ "4,5,7"; ``ValueError`` for anything else."""
    parts = text.split(",")
    if not all(part.isdecimal() and NODES_MIN <= int(part) <= NODES_MAX for part in parts):
        raise ValueError(f"no numbers of nodes: {text!r}")
    return tuple(map(int, parts))
