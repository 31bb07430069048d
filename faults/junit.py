"""Verdicts as JUnit XML, which continuous integration shows: a suite a scenario, a case a seed.

In the shape of the Jenkins xUnit plugin's schema (``junit-10.xsd``), which others read too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from faults.verdict import Run, Verdict

_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Sequence[Verdict]) -> str:
    """The whole document. What is to be seen to break fails as one case, if no seed shows it."""
    cases = sum(len(verdict.runs) for verdict in verdicts)
    failures = sum(len(_failures(verdict)) for verdict in verdicts)
    root = ElementTree.Element("testsuites", {"name": "wattq faults"} | _counts(cases, failures))
    for verdict in verdicts:
        failed = _failures(verdict)
        counts = _counts(len(verdict.runs), len(failed))
        suite = ElementTree.SubElement(root, "testsuite", {"name": verdict.scenario} | counts)
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("title", verdict.title), ("rows", ",".join(map(str, verdict.covers)))):
            ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
        for run in verdict.runs:
            _case(suite, run, failed.get(run.seed, []))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _counts(cases: int, failures: int) -> dict[str, str]:
    """A run that could not be ends the command, so that no case is an error."""
    return {"tests": str(cases), "failures": str(failures), "errors": "0"}


def _failures(verdict: Verdict) -> dict[int, list[str]]:
    """Seed -> sentences."""
    found: dict[int, list[str]] = {}
    for seed, check in verdict.unmet:
        found.setdefault(seed, []).append(f"{check.key}: {check.said}")
    return found


def _case(suite: ElementTree.Element, run: Run, failed: list[str]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"faults.{run.scenario}", name=f"seed {run.seed}")
    if failed:
        failure = ElementTree.SubElement(case, "failure", message=_clean(failed[0]), type=run.words)
        failure.text = _clean("\n".join(failed))
    lied = "; ".join(f"node {liar.node} lied: {liar.of}, held by {liar.holders}" for liar in run.liars)
    told = f"{run.words}; recovered after {run.recovered_ms} ms; {lied or 'nobody is convicted of a lie'}"
    ElementTree.SubElement(case, "system-out").text = _clean(told)


def _clean(text: str) -> str:
    """Without characters that XML cannot hold."""
    return _NO_XML.sub("", text)
