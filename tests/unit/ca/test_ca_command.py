"""`wattq ca`: from a new CA to a revoked certificate, and how each kind of refusal ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from ca.admission import Admissions
from ca.authority import Authority
from ca.keys import SigningKey
from ca.messages import Application
from cli.ca import app
from cli.governing import Proposal
from cluster import ClusterError

COMMANDS = (
    "init", "key", "request", "issue", "enrol", "list", "show", "revoke", "code", "serve", "waiting", "approve",
    "refuse", "renew", "audit", "subordinate", "intermediate", "install", "accept",
)  # fmt: skip
PASSPHRASE = "correct horse battery"


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


def test_an_encrypted_ca_asks_for_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["init", str(tmp_path / "ca"), "--organisation", "Grid", "--encrypt"]
    made = CliRunner().invoke(app, words, input=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert made.exit_code == 0, made.output
    code = ["code", "--role", "seller", "-d", str(tmp_path / "ca")]
    assert CliRunner().invoke(app, code, input=f"{PASSPHRASE}\n").exit_code == 0
    assert CliRunner().invoke(app, code, input="something else\n").exit_code == 2
    monkeypatch.setenv("WATTQ_CA_PASSPHRASE", PASSPHRASE)
    run(*code)
    monkeypatch.setenv("WATTQ_CA_PASSPHRASE", "")
    run(*code, code=2)
    run("init", tmp_path / "other", "--organisation", "Grid", "--encrypt", code=2)
    monkeypatch.setenv("WATTQ_CA_PASSPHRASE", "short")
    run("init", tmp_path / "other", "--organisation", "Grid", "--encrypt", code=1)
    assert not (tmp_path / "other" / "root.crt").exists()


def test_who_waits_is_decided_about_at_the_directory(home: Path) -> None:
    admissions = Admissions(Authority.open(home / "ca"))
    der = x509.load_pem_x509_csr((home / "a.csr").read_bytes()).public_bytes(Encoding.DER)
    told = admissions.apply(Application(request=der))
    (one,) = json.loads(run("waiting", "-d", home / "ca", "--json"))
    assert (one["registration"], one["name"]) == (told.registration, "alice")
    assert "alice, house" in run("waiting", "-d", home / "ca")
    run("approve", told.registration, "-d", home / "ca", "--attribute", "zone=north", "--days", "9")
    (issued,) = json.loads(run("list", "-d", home / "ca", "--json"))
    assert issued["attributes"] == "zone=north"
    run("approve", told.registration, "-d", home / "ca", code=1)
    run("refuse", told.registration, "--reason", "no", "-d", home / "ca", code=1)
    run("refuse", "0" * 32, "--reason", "no", "-d", home / "ca", code=1)


@pytest.mark.parametrize("attribute", ["zone", "=north", "zone="])
def test_attributes_that_cannot_be_end_the_command(home: Path, attribute: str) -> None:
    words = ("issue", home / "a.csr", "-d", home / "ca", "--attribute", attribute)
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code in (1, 2)
    assert Authority.open(home / "ca").issued() == []


def test_the_audit_log_from_the_command_line(home: Path) -> None:
    issue(home)
    *_, newest = json.loads(run("audit", "-d", home / "ca", "--json"))
    assert newest["hash"] in run("audit", "-d", home / "ca", "--known", newest["hash"])
    run("audit", "-d", home / "ca", "--known", "0" * 64, code=1)
    log = home / "ca" / "audit.jsonl"
    log.write_text(log.read_text().replace("seller", "buyer"))
    issue_again = ("issue", home / "a.csr", "--out", home / "b.crt", "-d", home / "ca")
    run(*issue_again)
    run("audit", "-d", home / "ca", "--known", newest["hash"], code=1)
    run("audit", "-d", home / "missing", code=1)


def test_an_operators_commands_from_afar_need_a_key_and_an_answer(home: Path) -> None:
    run("waiting", "--at", "https://127.0.0.1:1", code=2)
    issue(home)
    who = ("--key", home / "a.key", "--certificate", home / "a.crt")
    run("waiting", "--at", "https://127.0.0.1:1", *who, code=3)
    run("renew", "-k", home / "a.key", "--certificate", home / "missing", "--at", "https://127.0.0.1:1", code=2)
    run("renew", "-k", home / "a.key", "--certificate", home / "a.crt", "--at", "https://127.0.0.1:1", code=3)


def test_a_faulty_policy_keeps_the_service_from_starting(home: Path) -> None:
    (home / "ca" / "policy.toml").write_text("[[rule]]\nthen = 'issue'\n")
    run("serve", "-d", home / "ca", "--port", "0", code=1)


@pytest.mark.parametrize("command", ["revoke", "accept"])
def test_what_is_told_to_the_chain_goes_to_the_nodes_of_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked: list[list[str]] = []

    def note(proposal: Proposal, _: object) -> NoReturn:
        asked.append(list(proposal.nodes))
        raise ClusterError("no network here")

    monkeypatch.setattr(Proposal, "submitted", note)
    monkeypatch.setenv("WATTQ_NODES", "http://one.example http://two.example")
    words = {"revoke": (issue(home), "--reason", "r", "-d", home / "ca"), "accept": (home / "ca" / "root.crt",)}
    run(command, *words[command], "--genesis", home / "genesis.json", code=2)
    assert asked == [["http://one.example", "http://two.example"]]
