"""The report: one HTML file with the verdict of every scenario, its expectations, who lied, and a run in pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from faults import charts
from faults.figures import figures_of
from faults.observation import Observation
from faults.scenario import Scenario
from faults.verdict import Run, Verdict
from faults.writing import write_scenario

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2128; margin: 0 auto; max-width: 1020px; padding: 24px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 0; display: inline; }
.lead { color: #57606a; margin: 0 0 18px; }
.figures { display: flex; flex-wrap: wrap; gap: 10px; margin: 0 0 22px; }
.figures div { border: 1px solid #d0d7de; border-radius: 6px; padding: 8px 14px; }
.figures b { display: block; font-size: 20px; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 14px; font-size: 14px; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid #eaeef2; vertical-align: top; }
td:first-child, th:first-child { white-space: nowrap; }
.wide { overflow-x: auto; } .chart svg { min-width: 640px; }
td.number, th.number { text-align: right; }
details.scenario { border: 1px solid #d0d7de; border-radius: 6px; padding: 10px 16px; margin: 0 0 12px; }
details.scenario > summary { cursor: pointer; }
.title { color: #57606a; }
.tag { border-radius: 10px; padding: 1px 9px; font-size: 12px; font-weight: 600; color: white; background: #57606a; }
.good { background: #1a7f37; } .bad { background: #cf222e; } .wanted { background: #8250df; }
pre { background: #f6f8fa; border-radius: 6px; padding: 10px; overflow-x: auto; font-size: 12.5px; }
svg { max-width: 100%; height: auto; font-family: system-ui, sans-serif; }
.picture { overflow-x: auto; border: 1px solid #eaeef2; } .picture svg { max-width: none; }
@media print { details > * { display: block; } }
"""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One scenario: its verdict, and the run that is shown."""

    scenario: Scenario
    verdict: Verdict
    shown: Observation


def shown_run(verdict: Verdict) -> Run:
    """The run of which to show pictures: the first that failed, or else the slowest to recover."""
    failed = {seed for seed, _ in verdict.unmet}
    return max(verdict.runs, key=lambda run: (run.seed in failed, run.recovered_ms or 0, -run.seed))


def report(chapters: Sequence[Chapter], pictures: Sequence[str], version: str) -> str:
    """The whole page; it loads nothing from anywhere. ``pictures``: of each chapter, the messages round its fault as
    SVG, or nothing."""
    verdicts = [chapter.verdict for chapter in chapters]
    failed = sum(not verdict.as_expected for verdict in verdicts)
    title = f"{failed or 'None'} of {len(verdicts)} scenarios failed"
    open_all = len(chapters) == 1
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>Wattquorum fault lab: {title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>',
        "<h1>Fault-injection lab</h1>",
        f'<p class="lead">{title}. Wattquorum {escape(version)}, target {escape(chapters[0].shown.target)}.</p>',
        _figures(verdicts),
        *(
            part
            for chapter, picture in zip(chapters, pictures, strict=True)
            for part in _chapter(chapter, picture, is_open=open_all)
        ),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _figures(verdicts: Sequence[Verdict]) -> str:
    figures = figures_of(verdicts)
    shown = (
        ("runs", figures.runs),
        ("faults that struck", figures.faults),
        ("operations acknowledged", figures.acknowledged),
        ("of these lost", figures.lost),
        ("ms to recover, p50", figures.recovered_ms_p50),
        ("ms to recover, p99", figures.recovered_ms_p99),
    )
    return f'<div class="figures">{"".join(f"<div><b>{value:,}</b>{name}</div>" for name, value in shown)}</div>'


def _chapter(chapter: Chapter, picture: str, *, is_open: bool) -> Iterator[str]:
    scenario, verdict = chapter.scenario, chapter.verdict
    opened = " open" if is_open or not verdict.as_expected else ""
    yield f'<details class="scenario" id="{scenario.name}"{opened}><summary>{_tags(verdict)} <h2>{scenario.name}</h2>'
    yield f'<div class="title">{escape(scenario.title)} · rows {", ".join(map(str, scenario.covers))}</div></summary>'
    if scenario.about:
        yield f"<p>{escape(scenario.about)}</p>"
    yield _runs(verdict)
    yield _expectations(verdict, chapter.shown.seed)
    yield _accused(verdict)
    yield f"<p>Pictures of seed {chapter.shown.seed}; red: a fault lasts.</p>"
    yield from (_chart(draw(chapter.shown)) for draw in (charts.throughput, charts.views))
    if picture:
        where = "round the fault" if scenario.timeline else "at the beginning"
        yield f"<details><summary>Messages {where}</summary>"
        yield f'<div class="picture">{picture}</div></details>'
    yield f"<details><summary>The scenario's file</summary><pre>{escape(write_scenario(scenario))}</pre></details>"
    yield "</details>"


def _tags(verdict: Verdict) -> str:
    result = _tag("as expected" if verdict.as_expected else "FAILED", "good" if verdict.as_expected else "bad")
    must_break = verdict.outcome == "breaks"
    safe = _tag("SAFE", "good") if verdict.safe else _tag("UNSAFE", "wanted" if must_break else "bad")
    live = _tag("LIVE", "good") if verdict.live else _tag("STALLED", "wanted" if must_break else "bad")
    return f"{result} {safe} {live}"


def _tag(text: str, kind: str) -> str:
    return f'<span class="tag {kind}">{text}</span>'


def _chart(svg: str) -> str:
    return f'<div class="wide chart">{svg}</div>'


def _runs(verdict: Verdict) -> str:
    heads = ("seed", "verdict", "recovered", "blocks", "acknowledged", "faults", "view changes", "messages")
    rows = [
        (
            str(run.seed),
            run.words,
            "never" if run.recovered_ms is None else f"{run.recovered_ms:,} ms",
            str(run.blocks),
            f"{run.acknowledged} of {run.asked}",
            str(run.faults),
            str(run.view_changes),
            f"{run.messages:,}",
        )
        for run in verdict.runs
    ]
    return _table(heads, rows, first_number=2)


def _expectations(verdict: Verdict, seed: int) -> str:
    run = next(run for run in verdict.runs if run.seed == seed)
    checks = [*run.checks, *(check for at, check in verdict.unmet if at == seed and check not in run.checks)]
    rows = [("met" if check.met else "NOT MET", check.key, check.said) for check in checks]
    if verdict.outcome == "breaks":
        said = f"seen in {verdict.seen} of {len(verdict.runs)} runs"
        rows.append(("met" if verdict.seen else "NOT MET", f"breaks {', '.join(verdict.breaks)}", said))
        rows += [
            ("seen", violation.partition(":")[0], violation.partition(": ")[2]) for violation in run.violations[:4]
        ]
    return _table((f"seed {seed}", "expectation", ""), rows)


def _accused(verdict: Verdict) -> str:
    if not verdict.convicted:
        return "<p>Nobody is convicted of a lie.</p>"
    said = {(liar.node, liar.of): liar.said for run in reversed(verdict.runs) for liar in run.liars}
    rows = [
        (f"node {node}", kind, "; ".join(said[node, kind]))
        for node, kinds in verdict.convicted.items()
        for kind in kinds
    ]
    return _table(("who lied", "signed evidence", "it signed both"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], first_number: int = 99) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if place >= first_number else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{line("th", heads)}</tr>{body}</table></div>'
