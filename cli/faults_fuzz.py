"""`wattq faults fuzz`: scenarios that chance draws, for as long as is wanted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.failing import fail
from cli.faults_common import (
    COMMAND,
    IMPOSSIBLE,
    AsJson,
    Keep,
    Pace,
    TargetName,
    Where,
    interrupted,
    must_hold,
    target_of,
)
from faults.fuzzing import Finding, found, runs, told
from faults.real.target import PACE
from faults.verdict import Run


def fuzz(
    seed: Annotated[int, typer.Option(min=0, help="The first scenario's; the next ones' follow.")] = 1,
    minutes: Annotated[float, typer.Option(min=0, help="No run begins later.")] = 10.0,
    runs_max: Annotated[int, typer.Option("--runs", min=1, help="So many runs at most.")] = 1_000_000,
    where: Where = TargetName.PROCESSES,
    pace: Pace = PACE,
    keep: Keep = None,
    out: Annotated[Path, typer.Option(metavar="DIRECTORY", help="Where scenarios that broke something go.")] = Path(
        "faults-found"
    ),
    as_json: AsJson = False,
) -> None:
    """Draw topologies, workloads and faults by chance, in which everything must hold, and run them one by one.

    What breaks is written to a file, and tried in the simulator, which repeats it exactly if it shows it at all.

    Example: wattq faults fuzz --seed 7 --minutes 30
    """
    must_hold(out)
    target, done, findings = target_of(where, pace, keep), list[Run](), list[Finding]()
    end_s = time.monotonic() + 60 * minutes
    try:
        for scenario, run in runs(target, seed, lambda count: count < runs_max and time.monotonic() < end_s):
            done.append(run)
            if run.violations:
                findings.append(found(scenario, run, out))
            if not as_json:
                typer.echo(f"{'BROKEN' if run.violations else 'ok    '} seed {run.seed}: {run.words}; {told(scenario)}")
    except KeyboardInterrupt:
        raise interrupted() from None
    except IMPOSSIBLE as error:
        fail(COMMAND, str(error), 1)
    _tell(done, findings, as_json)
    if findings:
        raise typer.Exit(1)


def _tell(done: list[Run], findings: list[Finding], as_json: bool) -> None:
    sums = {
        "runs": len(done),
        "faults": sum(run.faults for run in done),
        "acknowledged": sum(run.acknowledged for run in done),
        "lost": sum(run.lost for run in done),
    }
    if as_json:
        typer.echo(json.dumps({**sums, "found": msgspec.to_builtins(findings)}))
        return
    for finding in findings:
        typer.echo(f"\nseed {finding.seed}, {finding.file}:")
        for violation in finding.violations:
            typer.echo(f"  {violation}")
        replay = f"wattq faults replay {finding.file} --seed {finding.replay} --transcript"
        shown = "the simulator does not show it" if finding.replay is None else f"the simulator shows it: {replay}"
        typer.echo(f"  {shown}")
    typer.echo(
        f"{sums['runs']} runs, {len(findings)} of them broke something: {sums['faults']:,} faults struck, "
        f"{sums['acknowledged']:,} operations acknowledged, {sums['lost']} lost"
    )
