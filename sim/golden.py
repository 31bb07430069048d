"""Golden traces: digests that the same plans must give in every process, on every machine and Python.

``python -m sim.golden`` prints them as JSON; ``wattq sim golden --write FILE`` records them anew after a change
that is meant to change what replicas do. Without the command line's libraries, so that any interpreter that has
the core's two can be asked.
"""

from __future__ import annotations

import json
import sys

from sim.plan import encode_plan
from sim.run import run_seed

GOLDEN = (
    (1, 4, "crash"),
    (2, 4, "partition"),
    (3, 4, "swizzle"),
    (4, 4, "disk"),
    (5, 5, "buggify"),
    (6, 7, "crash"),
    (7, 4, "equivocate"),
)
"""(seed, nodes, adversary)."""


def golden() -> dict[str, dict[str, str]]:
    """For each plan: itself, so that a changed expansion is told from a changed play, and the trace's digest."""
    found = {}
    for seed, nodes, adversary in GOLDEN:
        verdict = run_seed(seed, nodes, adversary)
        found[f"{adversary}/{nodes}/{seed}"] = {"plan": encode_plan(verdict.plan), "trace": verdict.trace}
    return found


def main() -> None:
    json.dump(golden(), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
