"""With ``--json`` a program is told why a command failed: a code on standard output, beside a person's sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from ledgers import ALICE, GENESIS
from typer.testing import CliRunner

from ca.authority import Authority
from cli import failing
from cli.failing import CODED
from cli.main import app
from ledger.genesis import write_genesis
from sdk import enrolment
from sdk.admission import AdmissionWaiting

NOWHERE = "http://127.0.0.1:1"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    ALICE.save(tmp_path / "alice.key")
    (tmp_path / "connection.toml").write_text(f'nodes = ["{NOWHERE}"]\nkey = "alice.key"\n')
    (tmp_path / "empty.json").touch()
    return tmp_path


def told(home: Path, *words: str) -> tuple[int, dict[str, str], str]:
    command = [word.replace("HOME", str(home)) for word in words]
    result = CliRunner().invoke(app, command)
    return result.exit_code, json.loads(result.stdout)["error"], result.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        ("market -c HOME/connection.toml account --json", 3, "NO_QUORUM"),
        ("market -c HOME/none.toml account --json", 2, "ARGUMENTS_INVALID"),
        ("verify receipt HOME/empty.json --genesis HOME/genesis.json --json", 2, "ARGUMENTS_INVALID"),
        (f"tx submit nothing {{}} --key HOME/alice.key --genesis HOME/genesis.json --node {NOWHERE} --json", 2,
         "ARGUMENTS_INVALID"),
        (f"query find {{}} --key HOME/alice.key --genesis HOME/genesis.json --node {NOWHERE} --json", 3, "NO_QUORUM"),
    ],
)  # fmt: skip
def test_a_program_learns_why_a_command_failed(home: Path, words: str, exit_code: int, code: str) -> None:
    """There was nothing at all on standard output."""
    found, error, sentence = told(home, *words.split())
    assert (found, error["code"]) == (exit_code, code)
    assert error["message"] in sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("market -c HOME/none.toml account --json", "there is no file HOME/none.toml. A connection file has `nodes`"),
        ("tx submit a.b {} --key HOME/alice.key --genesis HOME/none.json --json",
         "there is no genesis file HOME/none.json; the network's lies in its directory"),
        ("tx submit a.b {} --key HOME/none.key --genesis HOME/genesis.json --json",
         "there is no key file HOME/none.key"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there_is_told_without_a_number_of_the_system(home: Path, words: str, sentence: str) -> None:
    """It was told as [Errno 2], and nothing about what to do."""
    _, error, _ = told(home, *words.split())
    assert error["message"].startswith(sentence.replace("HOME", str(home)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("ca serve -d HOME/ca --node nonsense --genesis HOME/genesis.json", "an endpoint starts with http://"),
        ("ca serve -d HOME/ca --port 1 --node tls://x --genesis HOME/genesis.json", "HOST:PORT"),
        ("init HOME/none/cluster.toml --json", "No such file or directory"),
        ("mqtt list LONG --json", "File name too long"),
        ("ca list -d LONG --json", "File name too long"),
        ("ca key LONG --json", "File name too long"),
    ],
)
def test_what_no_command_can_use_is_told_in_a_sentence(home: Path, words: str, sentence: str) -> None:
    """It ended in a stack trace."""
    Authority.init(home / "ca", "Grid North")
    command = words.replace("HOME", str(home)).replace("LONG", "x" * 300).split()
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.stderr
    if "--json" in command:
        assert json.loads(result.stdout)["error"]["code"] == "ARGUMENTS_INVALID"


def test_words_that_are_not_utf_8_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """It was told in Python's words, about a position in something that nobody had seen."""
    failing.given.set(("tx", "submit", "a.b\udce9", "{}"))
    with pytest.raises(UnicodeEncodeError) as caught:
        "a.b\udce9".encode()
    with pytest.raises(typer.Exit) as ended:
        failing.fail("wattq tx", str(caught.value), 2)
    failing.given.set(())
    sentence = "wattq tx: 'a.b\\udce9': not UTF-8, so it can be neither signed nor sent; give it as UTF-8\n"
    assert (ended.value.exit_code, capsys.readouterr().err) == (2, sentence)


def test_a_file_whose_name_is_not_utf_8_is_a_file(tmp_path: Path) -> None:
    """Where standard output is strict, as in most locales, its name ended the command in a stack trace."""
    command = [sys.executable, "-m", "cli", "init", os.fsdecode(b"caf\xe9.toml")]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"caf\xe9.toml written; ")
    assert list(os.listdir(os.fsencode(tmp_path))) == [b"caf\xe9.toml"]


def test_who_waits_for_an_operator_is_told_the_registration(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number was in an English sentence only."""

    async def waits(*_: object) -> None:
        raise AdmissionWaiting("0a1b")

    monkeypatch.setattr(enrolment, "reach", waits)
    words = f"register --key HOME/new.key --name n --organisation o --genesis HOME/genesis.json --node {NOWHERE} --json"
    code, error, _ = told(home, *words.split())
    assert (code, error["code"], error["registration"]) == (4, "WAITING", "0a1b")


def test_a_refusal_keeps_the_code_of_the_node(home: Path) -> None:
    coded = CODED.match("INSUFFICIENT_FUNDS: There is not enough.")
    assert coded is not None
    assert coded[1] == "INSUFFICIENT_FUNDS"
    assert CODED.match("no quorum of answers: x") is None


def test_without_json_standard_output_stays_empty(home: Path) -> None:
    result = CliRunner().invoke(app, ["market", "-c", str(home / "none.toml"), "account"])
    assert (result.exit_code, result.stdout) == (2, "")
