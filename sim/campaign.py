"""Many seeds, in several processes, resumable: what ran, what it came to, and what failed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import msgspec

from sim.plan import MIXED, Plan
from sim.run import Verdict, run_seed

FAILURES_KEPT_MAX = 100
NODES_MIN, NODES_MAX = 4, 31
AHEAD = 16
"""How many seeds a process is given ahead."""


class Row(msgspec.Struct):
    """What an adversary's seeds came to."""

    seeds: int = 0
    blocks: int = 0
    views: int = 0
    violations: int = 0
    settled_ms_max: int = 0
    """The longest that anything took to settle after the last fault."""


class Failure(msgspec.Struct, frozen=True):
    plan: Plan
    faults: tuple[str, ...]


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

    def __post_init__(self) -> None:
        self.following = max(self.following, self.first)

    @property
    def total(self) -> int:
        return self.last - self.first + 1

    @property
    def done(self) -> int:
        return self.following - self.first

    def add(self, verdict: Verdict) -> None:
        """Take in the verdict on the seed ``following``."""
        row = self.rows.setdefault(verdict.plan.adversary, Row())
        row.seeds += 1
        row.blocks += verdict.height
        row.views += verdict.view
        row.settled_ms_max = max(row.settled_ms_max, verdict.settled_ms or 0)
        if verdict.faults:
            row.violations += 1
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT_MAX:
                self.failures.append(Failure(verdict.plan, verdict.faults))
        self.following += 1


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
    seeds = iter(range(campaign.following, campaign.last + 1))
    if jobs == 1:
        for seed in seeds:
            verdict = _run((campaign.nodes, campaign.adversary, seed))
            campaign.add(verdict)
            yield verdict
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            # Few at a time: an interrupt is then answered soon.
            while batch := list(islice(seeds, jobs * AHEAD)):
                for verdict in pool.map(_run, [(campaign.nodes, campaign.adversary, seed) for seed in batch]):
                    campaign.add(verdict)
                    yield verdict
        finally:
            pool.shutdown(cancel_futures=True)


def _run(item: tuple[tuple[int, ...], str, int]) -> Verdict:
    nodes, adversary, seed = item
    return run_seed(seed, nodes[seed % len(nodes)], adversary)


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
