"""What holds for every test: those that start processes run one at a time, beside the others, what they start ends with
them however they end, and tools may be missing.

`@pytest.mark.needs("mosquitto")` marks a test that needs a program outside Python. Where the program is
missing the test is not run and the last lines say how to get it; with CI=true or STRICT=1 the run fails.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from cli.tools import TOOLS, apt_command
from sdk.process import LEASH_VARIABLE

SERIAL_MARKERS = ("cluster", "e2e")
SERIAL_DIRECTORIES = ("tests/cluster/", "tests/e2e/")
TURN = Path(__file__).resolve().parents[1] / ".pytest_cache" / "turn"
"""Whoever holds this file's lock runs a test that starts processes."""
NOT_RUN = "not run: needs "


LEASH = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Nodes and CAs that are started from here on, by whomever, end when this process does: one killed by a timeout
    cannot end them."""
    config.stash[LEASH] = pipe = Path(tempfile.mkdtemp(prefix="wattq-tests-")) / "leash"
    os.mkfifo(pipe, 0o600)
    os.open(pipe, os.O_RDWR)  # never closed
    os.environ[LEASH_VARIABLE] = str(pipe)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[LEASH].parent)


def is_strict() -> bool:
    return os.environ.get("CI", "").lower() in {"true", "1"} or os.environ.get("STRICT", "") == "1"


def is_serial(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in SERIAL_MARKERS)


def _rank(item: pytest.Item) -> int:
    """First the directories that start processes, since these mostly wait: one worker runs them, and the other what
    computes. Others that wait for their turn come last: they would have the other worker wait too."""
    return 0 if item.nodeid.startswith(SERIAL_DIRECTORIES) else 2 if is_serial(item) else 1


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist is not typed
    """All of cluster/ and e2e/ in one worker, so that a network that tests share is started once; others one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return "serial" if nodeid.startswith(SERIAL_DIRECTORIES) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def missing_tools(item: pytest.Item) -> list[str]:
    """The tools that the test's marks name and this machine lacks."""
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    return [name for name in names if TOOLS[name].path() is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)
    for item in items:
        if missing := missing_tools(item):
            item.add_marker(pytest.mark.skip(reason=NOT_RUN + " ".join(missing)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for our turn, before the test's time begins to count."""
    if not is_serial(item):
        return (yield)
    TURN.parent.mkdir(exist_ok=True)
    with TURN.open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return (yield)


def tools_not_found(reports: Iterable[pytest.TestReport]) -> dict[str, set[str]]:
    """Test ids that were not run for lack of tools, with the tools' names."""
    lacking: dict[str, set[str]] = {}
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if NOT_RUN in reason:
            lacking[report.nodeid] = set(reason.rpartition(NOT_RUN)[2].split())
    return lacking


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turns tests that were not run into a failed run where everything is expected to be there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not is_strict():
        return
    if session.exitstatus == pytest.ExitCode.OK and tools_not_found(reporter.stats.get("skipped", [])):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Lists the tests that were not run after everything else, just above pytest's closing line."""
    yield
    lacking = tools_not_found(terminalreporter.stats.get("skipped", []))
    if not lacking:
        return
    terminalreporter.section("NOT RUN for lack of a tool", yellow=True)
    for nodeid in sorted(lacking):
        terminalreporter.write_line(nodeid)
    terminalreporter.write_line("They run after:  " + apt_command(set().union(*lacking.values())))
