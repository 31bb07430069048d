"""The one verdict: SAFE or UNSAFE, LIVE or STALLED, who lied, and whether everything came as the scenario expects.

Made from observations alone, so that it is the same whatever target made them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from faults.expectations import Check, checks_of
from faults.observation import Accusation, Observation
from faults.scenario import LIVENESS, Scenario

OPINIONS = frozenset({"complaints"})
"""Evidence that enough others were dissatisfied, which is no proof of a lie."""


class Run(msgspec.Struct, frozen=True):
    """One seed's verdict. ``recovered_ms``: after the faults' end; None: never."""

    scenario: str
    seed: int
    target: str
    safe: bool
    live: bool
    recovered_ms: int | None
    checks: tuple[Check, ...]
    violations: tuple[str, ...]
    liars: tuple[Accusation, ...]
    """Who is convicted of a lie by signed evidence that honest nodes hold."""
    blocks: int
    asked: int
    acknowledged: int
    lost: int
    faults: int
    view_changes: int
    messages: int
    trace: str

    @property
    def unmet(self) -> list[Check]:
        return [check for check in self.checks if not check.met]

    @property
    def broken(self) -> frozenset[str]:
        """What did not hold or was not met, by name."""
        return frozenset(v.partition(":")[0] for v in self.violations) | {check.key for check in self.unmet}

    @property
    def words(self) -> str:
        """ "SAFE LIVE" and the like."""
        return f"{'SAFE' if self.safe else 'UNSAFE'} {'LIVE' if self.live else 'STALLED'}"


class Verdict(msgspec.Struct, frozen=True):
    """A scenario's, over all its seeds. ``as_expected`` is what an exit code says."""

    scenario: str
    title: str
    covers: tuple[int, ...]
    outcome: str
    breaks: tuple[str, ...]
    as_expected: bool
    runs: tuple[Run, ...]

    @property
    def safe(self) -> bool:
        return all(run.safe for run in self.runs)

    @property
    def live(self) -> bool:
        return all(run.live for run in self.runs)

    @property
    def recovered_ms(self) -> int | None:
        """The longest; None if some run never recovered."""
        times = [run.recovered_ms for run in self.runs if run.recovered_ms is not None]
        return max(times) if len(times) == len(self.runs) and times else None

    @property
    def seen(self) -> int:
        """In how many runs one of ``breaks`` was seen."""
        return sum(bool(_properties(run) & set(self.breaks)) for run in self.runs)

    @property
    def convicted(self) -> dict[int, tuple[str, ...]]:
        """Who lied, and in what ways."""
        found: dict[int, dict[str, None]] = {}
        for run in self.runs:
            for liar in run.liars:
                found.setdefault(liar.node, {})[liar.of] = None
        return {node: tuple(kinds) for node, kinds in sorted(found.items())}

    @property
    def unmet(self) -> list[tuple[int, Check]]:
        """(seed, check) of everything that did not come as expected."""
        found = [(run.seed, check) for run in self.runs for check in run.unmet]
        if self.outcome == "breaks" and not self.seen:
            said = f"none of {len(self.runs)} runs broke {' or '.join(self.breaks)}, as more faults than may be must"
            found.append((self.runs[0].seed, Check("breaks", False, said)))
        return found


def judge_run(scenario: Scenario, observation: Observation) -> Run:
    """One run's verdict."""
    broken = observation.broken
    return Run(
        scenario=scenario.name,
        seed=observation.seed,
        target=observation.target,
        safe=broken <= LIVENESS,
        live=not broken & LIVENESS and observation.settled_ms is not None,
        recovered_ms=observation.settled_ms,
        checks=tuple(checks_of(scenario, observation)),
        violations=observation.violations,
        liars=tuple(accusation for accusation in observation.accusations if accusation.of not in OPINIONS),
        blocks=max((commit.height for commit in observation.commits), default=0),
        asked=len(observation.operations),
        acknowledged=len(observation.acknowledged),
        lost=observation.lost,
        faults=observation.befallen,
        view_changes=observation.view_changes,
        messages=observation.messages,
        trace=observation.trace,
    )


def judge(scenario: Scenario, runs: Sequence[Run]) -> Verdict:
    """The scenario's verdict. One that is to be seen to break must break in one of its runs at least."""
    expect = scenario.expect
    verdict = Verdict(scenario.name, scenario.title, scenario.covers, expect.outcome, expect.breaks, True, tuple(runs))
    return msgspec.structs.replace(verdict, as_expected=not verdict.unmet)


def _properties(run: Run) -> set[str]:
    return {violation.partition(":")[0] for violation in run.violations}
