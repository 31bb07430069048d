"""`wattq faults`: the fault-injection lab."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

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
    must_take,
    target_of,
)
from cli.faults_fuzz import fuzz
from cli.faults_telling import tell, tell_run
from faults.figures import OtherTarget, add_to_record, begin_record, keep_in_record
from faults.junit import junit
from faults.lines import line_of
from faults.observation import Observation
from faults.reading import SUFFIX, BadScenario, parse_scenario
from faults.real.target import PACE
from faults.report import Chapter, report, shown_run
from faults.running import Task, draw, in_processes, observe, run_all, tasks_of
from faults.scenario import Scenario
from faults.shelf import find, library, template
from faults.shrinking import shrink as shrink_scenario
from faults.simulated import SimTarget, picture, told
from faults.target import Target, Unfit, fitting
from faults.verdict import Run, Verdict, judge, judge_run
from faults.writing import write_scenario

app = typer.Typer(
    help="Break the network on purpose, and judge what comes of it.\n\n"
    "Scenarios run in the simulator, or on networks of real processes.\n\n"
    "Exit codes: 0 everything came as expected, 1 something did not, 2 bad arguments or a bad scenario, "
    "130 interrupted.",
    no_args_is_help=True,
)


LINES = 60

Wanted = Annotated[list[str] | None, typer.Argument(metavar="[NAME|FILE]...", help="Of the library, or TOML files.")]
Every = Annotated[bool, typer.Option("--all", help="The whole library.")]
Seeds = Annotated[int | None, typer.Option(min=1, max=10_000, help="Runs of each scenario, instead of its own seeds.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, max=64, help="Runs side by side; 2 in the simulator, else 1.")
]
Sim = Annotated[bool, typer.Option("--sim", help="The same as --target sim, which is the default.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Which seed; the scenario's first unless given.")]


app.command()(fuzz)


@app.callback()
def lab() -> None:
    """Break the network on purpose, and judge what comes of it."""


@app.command()
def run(
    wanted: Wanted = None,
    every: Every = False,
    seeds: Seeds = None,
    jobs: Jobs = None,
    where: Where = TargetName.SIM,
    sim: Sim = False,
    pace: Pace = PACE,
    keep: Keep = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML for CI.")] = None,
    figures_file: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="FILE",
            help="Keep the figures that docs/RELIABILITY.md has: those of each scenario as soon as it has run.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave out those scenarios whose figures the --figures file has already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run scenarios and give one verdict each: SAFE or UNSAFE, LIVE or STALLED, who lied, and every expectation.

    Example: wattq faults run --all --junit faults.xml

    Example: wattq faults run isolated-primary bit-rot --target processes
    """
    target = _target(where, sim, pace, keep)
    every_one = _fit(_scenarios(wanted, every), target) if every else _scenarios(wanted, every)
    must_take(junit_file)
    known = _known(figures_file, target, resume)
    scenarios = [scenario for scenario in every_one if not (resume and scenario.name in known)]
    tasks = _tasks(scenarios, seeds, target, wanted)
    jobs = jobs or target.jobs
    try:
        with _progress(as_json) as progress:
            bar = progress.add_task("runs", total=len(tasks), failed="")
            verdicts = run_all(
                tasks,
                jobs,
                lambda done: progress.update(bar, advance=1, failed=_failing(done)),
                lambda verdict: _record(figures_file, verdict),
            )
    except KeyboardInterrupt:
        raise interrupted() from None
    except IMPOSSIBLE as error:
        fail(COMMAND, str(error), 1)
    if junit_file is not None:
        _write(junit_file, junit(verdicts))
    if figures_file is not None and every:
        keep_in_record(figures_file, [scenario.name for scenario in every_one])
    tell(verdicts, _called(every_one, wanted), as_json)
    if not all(verdict.as_expected for verdict in verdicts):
        raise typer.Exit(1)


@app.command("list")
def list_scenarios(
    row: Annotated[int | None, typer.Option(min=1, max=21, help="Only those of this row of the table.")] = None,
    where: Annotated[TargetName | None, typer.Option("--target", help="Only those that run there.")] = None,
    as_json: AsJson = False,
) -> None:
    """The library: what each scenario does, and which rows of docs/RELIABILITY.md it covers.

    Example: wattq faults list --row 19 --target processes
    """
    known = library() if where is None else fitting(library(), target_of(where, PACE))
    found = [scenario for scenario in known.values() if row is None or row in scenario.covers]
    if as_json:
        typer.echo(json.dumps([_about(scenario) for scenario in found]))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("scenario", "rows", "what goes wrong"):
        table.add_column(title, no_wrap=title != "what goes wrong")
    for scenario in found:
        must_break = " [magenta](must break)[/]" if scenario.expect.outcome == "breaks" else ""
        table.add_row(scenario.name, ", ".join(map(str, scenario.covers)), escape(scenario.title) + must_break)
    Console().print(table)
    typer.echo(f"{len(found)} scenarios")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the scenario: small letters, digits and hyphens.")],
    out: Annotated[Path | None, typer.Option(help="The file; NAME.toml unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented scenario that runs as it is, to be changed.

    Example: wattq faults new my-partition
    """
    path = out or Path(name + SUFFIX)
    text = template().replace("NAME", name)
    try:
        parse_scenario(text, str(path))
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except (BadScenario, OSError) as error:
        fail(COMMAND, str(error), 2)
    if as_json:
        typer.echo(json.dumps({"file": str(path)}))
    else:
        typer.echo(f"{path}\nrun it: wattq faults run {path}")


@app.command()
def replay(
    wanted: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Of the library, or a TOML file.")],
    seed: Seed = None,
    transcript: Annotated[bool, typer.Option("--transcript", help="Print who sent what to whom.")] = False,
    lines: Annotated[int, typer.Option(min=1, help="How much of the transcript, from its end.")] = LINES,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the messages round the first fault.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run one seed of one scenario again, exactly as before, and tell everything about it.

    Example: wattq faults replay isolated-primary --seed 2 --transcript --svg fault.svg
    """
    scenario, task = _one(wanted, seed)
    must_take(svg)
    observation = observe(task)
    verdict = judge(scenario, [judge_run(scenario, observation)])
    if svg is not None:
        _write(svg, picture(scenario, task[2]))
    if as_json:
        typer.echo(json.dumps({"run": _tree(verdict.runs[0]), "observation": msgspec.to_builtins(observation)}))
    else:
        if transcript:
            typer.echo(told(scenario, task[2], lines))
        tell_run(verdict)
    if not verdict.as_expected:
        raise typer.Exit(1)


@app.command()
def shrink(
    wanted: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Of the library, or a TOML file.")],
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the small scenario here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Drop from a scenario that breaks something whatever that does not need.

    Example: wattq faults shrink two-colluders --seed 1 --out small.toml
    """
    scenario, (target, _, chosen) = _one(wanted, seed)
    must_take(out)
    scenario = msgspec.structs.replace(scenario, seeds=(chosen,))

    def play(smaller: Scenario) -> Run:
        return judge_run(smaller, observe((target, smaller, chosen)))

    first = play(scenario)
    if not first.broken:
        fail(COMMAND, f"{scenario.name}, seed {chosen}: everything holds, so there is nothing to shrink", 2)
    try:
        with _progress(as_json) as progress:
            bar = progress.add_task("runs", total=None, failed="")

            def counted(smaller: Scenario) -> Run:
                progress.update(bar, advance=1)
                return play(smaller)

            small = shrink_scenario(scenario, first, counted)
    except KeyboardInterrupt:
        raise interrupted() from None
    text = write_scenario(small.scenario)
    if out is not None:
        _write(out, text)
    broken = sorted(small.run.broken)
    if as_json:
        typer.echo(json.dumps({"scenario": text, "runs": small.runs, "broken": broken}))
    else:
        typer.echo(f"# after {small.runs} runs, still broken: {', '.join(broken)}\n{text}", nl=False)


@app.command("report")
def write_report(
    wanted: Wanted = None,
    every: Every = False,
    seeds: Seeds = None,
    jobs: Jobs = None,
    where: Where = TargetName.SIM,
    sim: Sim = False,
    pace: Pace = PACE,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The HTML file.")] = Path("faults.html"),
    as_json: AsJson = False,
) -> None:
    """Run scenarios and write one HTML file: verdicts, throughput, views, and the messages round each fault.

    Example: wattq faults report isolated-primary two-colluders --out faults.html
    """
    target = _target(where, sim, pace)
    scenarios = _fit(_scenarios(wanted, every), target) if every else _scenarios(wanted, every)
    tasks = _tasks(scenarios, seeds, target, wanted)
    must_take(out)
    jobs, drawing = jobs or target.jobs, isinstance(target, SimTarget)
    observations: dict[str, list[Observation]] = {}
    try:
        with _progress(as_json) as progress:
            bar = progress.add_task("runs", total=len(tasks) + drawing * len(scenarios), failed="")
            for (_, scenario, _), observation in in_processes(observe, tasks, jobs):
                observations.setdefault(scenario.name, []).append(observation)
                progress.update(bar, advance=1)
            chapters = [_chapter(scenario, observations[scenario.name]) for scenario in scenarios]
            shown: list[Task] = [(target, chapter.scenario, chapter.shown.seed) for chapter in chapters]
            pictures = [] if drawing else [""] * len(shown)  # what real nodes say to each other, nobody records
            for _, drawn in in_processes(draw, shown if drawing else [], jobs):
                pictures.append(drawn)
                progress.update(bar, advance=1)
    except KeyboardInterrupt:
        raise interrupted() from None
    except IMPOSSIBLE as error:
        fail(COMMAND, str(error), 1)
    _write(out, report(chapters, pictures, version("wattquorum")))
    verdicts = [chapter.verdict for chapter in chapters]
    if as_json:
        typer.echo(json.dumps({"file": str(out), "as_expected": all(verdict.as_expected for verdict in verdicts)}))
    else:
        tell(verdicts, _called(scenarios, wanted), as_json=False)
        typer.echo(out)
    if not all(verdict.as_expected for verdict in verdicts):
        raise typer.Exit(1)


# ----------------------------------------------------------------------------------------------------- inside


def _scenarios(wanted: Sequence[str] | None, every: bool) -> list[Scenario]:
    if bool(wanted) == every:
        fail(COMMAND, "name scenarios or files, or say --all", 2)
    try:
        found = find(wanted or ())
    except BadScenario as error:
        fail(COMMAND, str(error), 2)
    names = [scenario.name for scenario in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        fail(COMMAND, f"two scenarios are named {twice[0]}", 2)
    return found


def _known(figures_file: Path | None, target: Target, resume: bool) -> Collection[str]:
    """The scenarios whose figures the file has. What is wrong with it is told before anything runs."""
    if figures_file is None:
        if resume:
            fail(COMMAND, "--resume goes on with the file of --figures", 2)
        return ()
    try:
        return begin_record(figures_file, target.name).scenarios
    except (OtherTarget, OSError, msgspec.MsgspecError) as error:
        fail(COMMAND, f"{figures_file}: no figures to add to: {error}", 2)


def _record(figures_file: Path | None, verdict: Verdict) -> None:
    if figures_file is not None:
        add_to_record(figures_file, verdict)


def _called(scenarios: Sequence[Scenario], wanted: Sequence[str] | None) -> dict[str, str]:
    """A scenario's name -> what it was asked for by."""
    return dict(zip([scenario.name for scenario in scenarios], wanted, strict=True)) if wanted else {}


def _target(where: TargetName, sim: bool, pace: float, keep: Path | None = None) -> Target:
    if where is TargetName.PROCESSES and sim:
        fail(COMMAND, "--sim and --target processes exclude each other", 2)
    return target_of(where, pace, keep)


def _fit(scenarios: Sequence[Scenario], target: Target) -> list[Scenario]:
    """Those of all scenarios that the target can run; how many it cannot is told."""
    found = list(fitting({scenario.name: scenario for scenario in scenarios}, target).values())
    if left_out := len(scenarios) - len(found):
        typer.echo(f"{COMMAND}: {left_out} scenarios are for another target than {target.name}", err=True)
    return found


def _tasks(
    scenarios: Sequence[Scenario], seeds: int | None, target: Target, wanted: Sequence[str] | None
) -> list[Task]:
    try:
        return tasks_of(scenarios, seeds, target)
    except Unfit as error:
        fail(COMMAND, _located(str(error), wanted or ()), 2)


def _located(said: str, wanted: Sequence[str]) -> str:
    """A sentence on a scenario's key, with file and line where the scenario came from a file."""
    name, _, about = said.partition(": ")
    for file in (Path(each) for each in wanted if each.endswith(SUFFIX)):
        text = file.read_text("utf-8")
        if parse_scenario(text, str(file)).name == name:
            line = line_of(text, about.partition(":")[0])
            return f"{file}{f':{line}' if line else ''}: {about}"
    return said


def _one(wanted: str, seed: int | None) -> tuple[Scenario, Task]:
    (scenario,) = _scenarios([wanted], every=False)
    target = SimTarget()
    _tasks([scenario], None, target, [wanted])
    return scenario, (target, scenario, scenario.seeds[0] if seed is None else seed)


def _chapter(scenario: Scenario, observations: Sequence[Observation]) -> Chapter:
    verdict = judge(scenario, [judge_run(scenario, observation) for observation in observations])
    seed = shown_run(verdict).seed
    shown = next(observation for observation in observations if observation.seed == seed)
    return Chapter(scenario, verdict, shown)


def _progress(quiet: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    return Progress(*columns, transient=True, disable=quiet, console=Console(file=sys.stderr))


def _failing(done: Run) -> str:
    return f"{done.scenario}: {done.unmet[0].key}" if done.unmet else ""


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(COMMAND, str(error), 2)


def _about(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "covers": list(scenario.covers),
        "outcome": scenario.expect.outcome,
        "seeds": list(scenario.seeds),
        "about": scenario.about,
    }


def _tree(run: Run) -> dict[str, Any]:
    tree: dict[str, Any] = msgspec.to_builtins(run)
    return tree
