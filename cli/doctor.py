"""`wattq doctor`: looks at the machine and says what is missing, what for, and what helps."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.statedb import couchdb_access
from cli.tools import TOOLS
from contracts.sandbox.choice import AUTO, IN_PROCESS, SandboxUnavailable, choose
from ledger.statedb.couchdb import probe
from ledger.statedb.documents import StateDatabaseAway, StateDatabaseUnusable
from sdk.configuration import ConfigurationError, load
from sdk.ports import port_fault

PYTHON_MIN = (3, 11)
PYTHON_TESTED_MAX = (3, 13)
SQLITE_MIN = (3, 38, 0)  # the first with JSON built in
CAP_NET_ADMIN = 12  # its number, in include/uapi/linux/capability.h
OPEN_FILES_MIN = 1024  # ten nodes' peers and clients on one machine, with room to spare
PACKAGES_REQUIRED = (
    "aiohttp", "aiomqtt", "cryptography", "msgspec", "prometheus-client", "pymodbus", "rich", "typer",
)  # fmt: skip
PACKAGES_OPTIONAL = {
    "rocksdict": "the commit store falls back to SQLite",
    "uvloop": "nodes run on asyncio's own event loop",
}
PORT_KEYS = ("peer_port", "rest_port", "client_port")


class Level(StrEnum):
    """How bad a finding is: only `FAIL` keeps a network from running."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `help` is empty or says what to do."""

    subject: str
    level: Level
    found: str
    help: str = ""


def python_finding(running: tuple[int, int]) -> Finding:
    found = ".".join(map(str, running))
    if running < PYTHON_MIN:
        return Finding("Python", Level.FAIL, found, "Python 3.11 or newer is needed")
    if running > PYTHON_TESTED_MAX:
        return Finding("Python", Level.NOTE, found, "newer than the versions that are tested")
    return Finding("Python", Level.OK, found)


def package_findings() -> Iterator[Finding]:
    for name in (*PACKAGES_REQUIRED, *PACKAGES_OPTIONAL):
        try:
            yield Finding(name, Level.OK, version(name))
        except PackageNotFoundError:
            if name in PACKAGES_OPTIONAL:
                yield Finding(name, Level.NOTE, "not installed", PACKAGES_OPTIONAL[name])
            else:
                yield Finding(name, Level.FAIL, "not installed", f"pip install {name}")


def library_findings() -> Iterator[Finding]:
    sqlite_level = Level.OK if sqlite3.sqlite_version_info >= SQLITE_MIN else Level.FAIL
    help_text = "" if sqlite_level is Level.OK else "the embedded state database needs SQLite 3.38 or newer"
    yield Finding("SQLite", sqlite_level, sqlite3.sqlite_version, help_text)
    tls = Level.OK if ssl.HAS_TLSv1_3 else Level.FAIL
    yield Finding("TLS 1.3", tls, ssl.OPENSSL_VERSION, "" if ssl.HAS_TLSv1_3 else "nodes speak TLS 1.3 only")


def limit_findings() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES_MIN:
        yield Finding("open files", Level.OK, "unlimited" if soft == resource.RLIM_INFINITY else str(soft))
    else:
        yield Finding("open files", Level.NOTE, str(soft), f"ulimit -n {OPEN_FILES_MIN}")
    yield Finding("user", Level.OK, f"uid {os.geteuid()}")


def sandbox_finding(configuration_file: Path | None) -> Finding:
    """Where contracts would run here, tried out: what the configuration asks for, or else what a node would take."""
    mode = AUTO
    if configuration_file is not None:
        with suppress(ConfigurationError):  # the ports say so
            mode = load(configuration_file).sandbox.mode
    try:
        sandbox = choose(mode)
    except SandboxUnavailable as error:
        return Finding("contract sandbox", Level.FAIL, str(error), "choose another sandbox.mode, or auto")
    sandbox.close()
    weak = bool(sandbox.missing) or (mode == AUTO and sandbox.mode == IN_PROCESS)
    return Finding("contract sandbox", Level.NOTE if weak else Level.OK, sandbox.place, "; ".join(sandbox.missing))


def tool_findings() -> Iterator[Finding]:
    for name, tool in TOOLS.items():
        found = tool.path()
        if found:
            yield Finding(name, Level.OK, found)
        else:
            yield Finding(name, Level.NOTE, "not on PATH", f"only for {tool.use}: sudo apt install {tool.package}")


def netem_finding() -> Finding:
    """Whether the kernel could be had to drop and delay packets. Nothing here does so by itself."""
    path = shutil.which("tc")
    if path is None:
        return Finding("tc netem", Level.NOTE, "no tc on PATH", "only to break links in the kernel, see docs/FAULTS.md")
    if not _may_administer_networks():
        return Finding("tc netem", Level.NOTE, f"{path}, without CAP_NET_ADMIN", "see docs/FAULTS.md; nothing needs it")
    return Finding("tc netem", Level.OK, f"{path}, with CAP_NET_ADMIN; used by nobody here but you")


def _may_administer_networks() -> bool:
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return False
    return any(
        line.startswith("CapEff:") and int(line.split()[1], 16) >> CAP_NET_ADMIN & 1 for line in text.splitlines()
    )


def port_findings(configuration_file: Path) -> Iterator[Finding]:
    """The ports of a configuration: each either free or named with the node and key that want it."""
    try:
        configuration = load(configuration_file)
    except ConfigurationError as error:
        yield Finding("configuration", Level.FAIL, str(error))
        return
    wanted = [
        (f"node.{name}.{key}", section.host, getattr(section, key))
        for name, section in configuration.node.items()
        for key in PORT_KEYS
        if getattr(section, key)
    ]
    faults = [(key, fault) for key, host, port in wanted if (fault := port_fault(host, port))]
    for key, fault in faults:
        yield Finding(key, Level.NOTE, fault, "end what uses it, or change the key or the node's host")
    if not faults:
        yield Finding("ports", Level.OK, f"{len(wanted)} free")


def state_findings(configuration_file: Path) -> Iterator[Finding]:
    """Each node's CouchDB, if the configuration has any: whether it answers, is new enough and lets us in."""
    try:
        configuration = load(configuration_file)
    except ConfigurationError:
        return  # the ports have said so
    if configuration.state.backend == "embedded":
        return
    for name in configuration.node:
        subject = f"CouchDB of {name}"
        try:
            access = couchdb_access(configuration, name, os.environ)
            yield Finding(subject, Level.OK, f"{probe(access)} at {access.url}")
        except StateDatabaseAway as error:
            yield Finding(subject, Level.NOTE, str(error), "start it; until then queries answer STATE_LAGGING")
        except (ConfigurationError, StateDatabaseUnusable) as error:
            yield Finding(subject, Level.FAIL, str(error))


def examine(configuration_file: Path | None) -> list[Finding]:
    """Everything that the doctor looks at."""
    findings = [
        python_finding(sys.version_info[:2]),
        *package_findings(),
        *library_findings(),
        *limit_findings(),
        sandbox_finding(configuration_file),
        *tool_findings(),
        netem_finding(),
    ]
    if configuration_file is not None:
        findings += [*port_findings(configuration_file), *state_findings(configuration_file)]
    return findings


def show(findings: list[Finding]) -> None:
    styles = {Level.OK: "green", Level.NOTE: "yellow", Level.FAIL: "bold red"}
    table = Table("", "Looked at", "Found", "What helps", box=None, header_style="bold")
    for finding in findings:
        mark = f"[{styles[finding.level]}]{finding.level}[/]"
        table.add_row(mark, finding.subject, finding.found, finding.help)
    Console().print(table)


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="Look at the ports and CouchDBs of this configuration too.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at this machine: Python, packages, limits, the contract sandbox, tools, ports.

    Example: wattq doctor --config cluster.toml

    Exit codes: 0 a network can run here, notes do not count; 1 something needed is missing; 2 wrong usage.
    """
    findings = examine(config)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        show(findings)
    raise typer.Exit(any(finding.level is Level.FAIL for finding in findings))
