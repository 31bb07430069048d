"""`wattq doctor` tells what is there, names what is missing, and its exit code says whether it matters."""

from __future__ import annotations

import json
import socket
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import doctor
from cli.doctor import Level
from cli.main import app
from contracts.sandbox import bubblewrap
from contracts.sandbox.choice import Sandbox


def configuration(first_port: int) -> str:
    """Four nodes on consecutive ports from `first_port`."""
    section = "[node.node{0}]\npeer_port = {1}\nrest_port = {2}\nclient_port = {3}\n"
    return "".join(section.format(n, *range(first_port + 3 * n, first_port + 3 * n + 3)) for n in range(4))


def test_this_machine_is_fit() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    findings = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {"Python", "cryptography", "SQLite", "TLS 1.3", "open files"} <= {f["subject"] for f in findings}


def test_the_table_shows_every_finding() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert all(subject in result.stdout for subject in ("Python", "rocksdict", "mosquitto"))


@pytest.mark.parametrize(
    ("running", "level"),
    [((3, 10), Level.FAIL), ((3, 11), Level.OK), ((3, 13), Level.OK), ((3, 14), Level.NOTE)],
)
def test_python_versions(running: tuple[int, int], level: Level) -> None:
    assert doctor.python_finding(running).level is level


@pytest.mark.parametrize(
    ("path", "may", "level", "said"),
    [
        (None, True, Level.NOTE, "no tc"),
        ("/sbin/tc", False, Level.NOTE, "without CAP_NET_ADMIN"),
        ("/sbin/tc", True, Level.OK, "by nobody here"),
    ],
)
def test_whether_the_kernel_could_break_links_is_said(
    path: str | None, may: bool, level: Level, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: path)  # type: ignore[attr-defined]
    monkeypatch.setattr(doctor, "_may_administer_networks", lambda: may)
    finding = doctor.netem_finding()
    assert finding.level is level
    assert said in finding.found


@pytest.mark.parametrize(("package", "exit_code"), [("cryptography", 1), ("uvloop", 0)])
def test_a_missing_package_fails_only_if_it_is_needed(
    package: str, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == package:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == exit_code
    (finding,) = [f for f in json.loads(result.stdout) if f["subject"] == package]
    assert finding["found"] == "not installed"


def test_a_port_in_use_is_named_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port: int = taken.getsockname()[1]
        first = port if port < 65_000 else port - 11  # node3's last port then
        file.write_text(configuration(first))
        findings = list(doctor.port_findings(file))
    assert any(str(port) in finding.found and finding.subject.startswith("node.node") for finding in findings)


def test_a_bad_configuration_is_a_failure_that_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text("[limits]\nno_such_key = 1\n")
    result = CliRunner().invoke(app, ["doctor", "--json", "--config", str(file)])
    assert result.exit_code == 1
    assert "no_such_key" in result.stdout


def sandbox_of(tmp_path: Path, mode: str) -> doctor.Finding:
    file = tmp_path / "cluster.toml"
    file.write_text(configuration(20_000) + f'[sandbox]\nmode = "{mode}"\n')
    return doctor.sandbox_finding(file)


def test_the_contract_sandbox_that_a_configuration_asks_for_is_tried_out(tmp_path: Path) -> None:
    assert sandbox_of(tmp_path, "in-process") == doctor.Finding("contract sandbox", Level.OK, "the node's process")


def test_a_sandbox_without_all_its_walls_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("no switch of user: the worker was not started by root",)
    monkeypatch.setattr(doctor, "choose", lambda mode: Sandbox("worker", missing))
    assert doctor.sandbox_finding(None) == doctor.Finding("contract sandbox", Level.NOTE, "a worker process", *missing)


def test_a_sandbox_that_fell_back_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "choose", lambda mode: Sandbox("in-process", ("workers are for Linux",)))
    assert doctor.sandbox_finding(None).level is Level.NOTE


def test_a_sandbox_that_is_demanded_and_cannot_be_had_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "found", lambda: None)
    finding = sandbox_of(tmp_path, "bubblewrap")
    assert finding.level is Level.FAIL
    assert finding.found == "sandbox.mode is bubblewrap: there is no program bwrap on PATH"
