"""A pytest plugin for contract authors: the fixture ``chain`` is an in-memory chain with the author's contract.

`wattq contract test FILE` loads it. So does a conftest.py of one's own: ``pytest_plugins = ["contracts.fixtures"]``.
Without `--contract`, tests in ``test_NAME.py`` are of the contract ``NAME.py`` beside them.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.profile import ProfilingMachine
from contracts.testing import Chain

START_MS = 1_800_000_000_000
"""The chain's first block time: a quarter of an hour begins."""
REPORT_OPTION = "--contract-report"
CONTRACT_OPTION = "--contract"
_machine_key = pytest.StashKey[PythonMachine]()
_counts_key = pytest.StashKey[dict[str, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("wattquorum contracts")
    group.addoption(CONTRACT_OPTION, action="append", default=[], metavar="FILE", help="a contract to deploy")
    group.addoption(REPORT_OPTION, metavar="FILE", help="write outcome and gas by line as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """One machine for all tests: it compiles each contract once."""
    profiled = config.getoption(REPORT_OPTION)
    config.stash[_machine_key] = ProfilingMachine() if profiled else PythonMachine()
    config.stash[_counts_key] = {"passed": 0, "failed": 0}


@pytest.fixture
def contract_files(request: pytest.FixtureRequest) -> list[Path]:
    """The contracts under test; a fixture of the same name in one's own tests says others."""
    named = [Path(name) for name in request.config.getoption(CONTRACT_OPTION)]
    beside = request.path.with_name(request.path.name.removeprefix("test_"))
    return named or [beside]


@pytest.fixture
def chain(request: pytest.FixtureRequest, contract_files: list[Path]) -> Chain:
    """A fresh chain: the shipped contracts with their default parameters, and the contracts under test."""
    sources = {path.stem: path.read_text(encoding="ascii") for path in contract_files}
    machine = request.config.stash[_machine_key]
    return Chain({**shipped_sources(), **sources}, MARKET_PARAMETERS, START_MS, machine=machine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count outcomes for the report."""
    report = yield
    counts = item.config.stash[_counts_key]
    if report.failed:
        counts["failed"] += 1
    elif report.when == "call" and report.passed:
        counts["passed"] += 1
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption(REPORT_OPTION)
    machine = session.config.stash[_machine_key]
    if not path or not isinstance(machine, ProfilingMachine):
        return
    rows = [[name, line, found.gas, found.runs] for (name, line), found in sorted(machine.lines.items())]
    counts: dict[str, int] = session.config.stash[_counts_key]
    told = {"passed": counts["passed"], "failed": counts["failed"], "lines": rows}
    Path(path).write_text(json.dumps(told), encoding="utf-8")
