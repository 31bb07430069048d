"""Backups of keys under a passphrase: the page's files and ours are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from page_calls import page_calls
from typer.testing import CliRunner

from ca import backup
from ca.backup import backup_of, key_of
from ca.keys import InvalidKey, SigningKey
from cli.main import app

PASSPHRASE = "correct horse battery staple"
KEY = SigningKey.from_seed(b"backed up")


@pytest.fixture(scope="module")
def text() -> str:
    return backup_of(KEY, PASSPHRASE)


def test_a_backup_brings_the_key_back(text: str) -> None:
    restored = key_of(text, PASSPHRASE)
    assert restored.private.private_numbers() == KEY.private.private_numbers()
    assert PASSPHRASE not in text


@pytest.mark.needs("node")
def test_the_page_restores_it(text: str) -> None:
    (found,) = page_calls([("lib/keys.js", "keys.restore", [text, PASSPHRASE])])
    assert found["signer"] == KEY.signer


def damaged(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"signer": "0" * 64}, {"data": "AAAA"}, {"data": "%"}, {"kdf": {}}, {"format": "another"}, {"cipher": None},
        {"signer": 7}, {"kdf": {"salt": "AAAA", "iterations": 10**12}}, {"kdf": {"salt": "AAAA", "iterations": "many"}},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_damaged_is_refused(text: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidKey):
        key_of(damaged(text, **changes), PASSPHRASE)


@pytest.mark.parametrize("given", ["", "{}", "[]", "null", "\x00"])
def test_what_is_no_backup_is_refused(given: str) -> None:
    with pytest.raises(InvalidKey, match="no backup"):
        key_of(given, PASSPHRASE)


def test_a_wrong_passphrase_opens_nothing(text: str) -> None:
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        key_of(text, PASSPHRASE + " ")
    with pytest.raises(InvalidKey, match="at least"):
        backup_of(KEY, "short")


def test_the_command_takes_a_key_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTQ_PASSPHRASE", PASSPHRASE)
    KEY.save(tmp_path / "a.key")
    run = CliRunner().invoke
    assert run(app, ["key", "backup", str(tmp_path / "a.key"), "-o", str(tmp_path / "a.json")]).exit_code == 0
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600
    done = run(app, ["key", "restore", str(tmp_path / "a.json"), "-o", str(tmp_path / "b.key")])
    assert (done.exit_code, KEY.signer in done.output) == (0, True)
    assert SigningKey.load(tmp_path / "b.key").signer == KEY.signer
    assert run(app, ["key", "backup", str(tmp_path / "a.key"), "-o", str(tmp_path / "a.json")]).exit_code == 1
    assert run(app, ["key", "restore", str(tmp_path / "none"), "-o", str(tmp_path / "c.key")]).exit_code == 2
    monkeypatch.setenv("WATTQ_PASSPHRASE", "another passphrase")
    refused = run(app, ["key", "restore", str(tmp_path / "a.json"), "-o", str(tmp_path / "c.key")])
    assert (refused.exit_code, (tmp_path / "c.key").exists()) == (1, False)


def test_no_file_keeps_anybody_waiting_for_long(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def stretched(passphrase: str, salt: bytes, iterations: int) -> bytes:
        asked.append(iterations)
        return bytes(backup.KEY_BYTES)

    monkeypatch.setattr(backup, "_stretched", stretched)
    kdf = {**json.loads(text)["kdf"], "iterations": backup.ITERATIONS_MAX + 1}
    with pytest.raises(InvalidKey):
        key_of(damaged(text, kdf=kdf), PASSPHRASE)
    assert asked == []
