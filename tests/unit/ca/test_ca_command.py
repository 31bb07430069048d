"""`wattq ca`: from a new CA to a revoked certificate, and how each kind of refusal ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from ca.authority import Authority
from ca.keys import SigningKey
from cli.ca import app

COMMANDS = ("init", "key", "request", "issue", "enrol", "list", "show", "revoke", "code")


def run(*arguments: object, code: int = 0) -> str:
    """Runs `wattq ca ...`, expects the exit code, and gives what it printed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A CA in `ca`, and alice's key and request beside it."""
    run("init", tmp_path / "ca", "--organisation", "Grid North")
    run("key", tmp_path / "a.key")
    names = ("--name", "alice", "--organisation", "house", "--role", "seller")
    run("request", "--key", tmp_path / "a.key", *names, "--out", tmp_path / "a.csr")
    return tmp_path


def issue(home: Path) -> str:
    """The serial of a certificate issued to alice."""
    told = run("issue", home / "a.csr", "--out", home / "a.crt", "-d", home / "ca", "--json")
    serial: str = json.loads(told)["serial"]
    return serial


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    assert f"wattq ca {command}" in " ".join(run(command, "--help").split())


def test_issue_list_show_revoke(home: Path) -> None:
    serial = issue(home)
    certificate = x509.load_pem_x509_certificate((home / "a.crt").read_bytes())
    assert f"{certificate.serial_number:x}" == serial
    assert [entry["serial"] for entry in json.loads(run("list", "-d", home / "ca", "--json"))] == [serial]
    shown = json.loads(run("show", serial, "-d", home / "ca", "--json"))
    assert (shown["name"], shown["role"], shown["revoked"]) == ("alice", "seller", False)
    assert shown["signer"] == SigningKey.load(home / "a.key").signer
    run("revoke", serial, "--reason", "key lost", "-d", home / "ca")
    assert json.loads(run("show", serial, "-d", home / "ca", "--json"))["revoked"] is True


def test_a_code_is_traded_once(home: Path) -> None:
    told = run("code", "--role", "seller", "--name", "alice", "-d", home / "ca", "--json")
    code = json.loads(told)["code"]
    arguments = ("enrol", home / "a.csr", "--code", code, "-d", home / "ca", "--out")
    run(*arguments, home / "a.crt")
    run(*arguments, home / "b.crt", code=1)
    assert len(Authority.open(home / "ca").issued()) == 1


def test_refusals_end_with_1(home: Path) -> None:
    serial = issue(home)
    run("init", home / "ca", "--organisation", "Grid North", code=1)
    run("show", "00", "-d", home / "ca", code=1)
    run("revoke", "00", "--reason", "r", "-d", home / "ca", code=1)
    run("revoke", serial, "--reason", "r", "-d", home / "ca")
    run("revoke", serial, "--reason", "r", "-d", home / "ca", code=1)


def test_missing_files_and_wrong_usage_end_with_2(home: Path) -> None:
    out = ("--out", home / "new", "-d", home / "ca")
    run("issue", home / "missing.csr", *out, code=2)
    run("issue", home / "a.csr", "--out", home / "new", "-d", home / "missing", code=2)
    run("list", "-d", home / "missing", code=2)
    run("request", "--key", home / "missing", "--name", "n", "--role", "seller", "--out", home / "new", code=2)
    run("code", "--role", "emperor", "-d", home / "ca", code=2)
    run("key", home / "a.key", code=1)
    assert not (home / "new").exists()
