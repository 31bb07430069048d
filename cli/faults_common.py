"""What the commands of `wattq faults` share: targets by name, options, and what to say when a run cannot be."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.failing import fail
from cluster import ClusterError
from faults.real.target import ProcessTarget
from faults.simulated import SimTarget
from faults.target import Target
from sdk.ports import NoFreePorts

COMMAND = "wattq faults"
INTERRUPTED = 130
IMPOSSIBLE = (ClusterError, NoFreePorts, OSError)
"""What keeps real processes from running at all."""


class TargetName(StrEnum):
    """Where scenarios run."""

    SIM = SimTarget.name
    PROCESSES = ProcessTarget.name


Where = Annotated[
    TargetName, typer.Option("--target", help="sim: the simulator. processes: networks of real nodes, on this machine.")
]
Pace = Annotated[
    float,
    typer.Option(min=0.5, max=20, help="processes: a second of a scenario takes so many; more for a slow machine."),
]
Keep = Annotated[
    Path | None, typer.Option(metavar="DIRECTORY", help="processes: leave each run's network here, to look at.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def target_of(where: TargetName, pace: float, keep: Path | None = None) -> Target:
    return SimTarget() if where is TargetName.SIM else ProcessTarget(pace, keep)


def interrupted() -> typer.Exit:
    typer.echo(f"{COMMAND}: interrupted", err=True)
    return typer.Exit(INTERRUPTED)


def must_take(file: Path | None) -> None:
    """A file that cannot be written is told before anything runs, which may take hours; none is made."""
    if file is None:
        return
    try:
        if not file.exists():
            file.touch()
            file.unlink()
        elif file.is_dir() or not os.access(file, os.W_OK):
            fail(COMMAND, f"{file}: nothing can be written there", 2)
    except OSError as error:
        fail(COMMAND, str(error), 2)


def must_hold(directory: Path) -> None:
    """The same of a directory, which may have to be made."""
    there = next(each for each in (directory, *directory.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        fail(COMMAND, f"{there}: nothing can be written there", 2)
