"""`wattq state` on a stopped node's embedded database: what differs is named, and made anew, on every channel."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from governed import GENESIS
from long_chains import make_home
from network import configuration_text
from typer.testing import CliRunner

from api.statedb import EMBEDDED_FILE
from cli.main import app
from ledger.genesis import write_genesis

BLOCKS = 6


@pytest.fixture(params=["", "north"], ids=["main", "another channel"])
def words(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command's end for a stopped node with a few blocks, and no documents yet."""
    network, channel = tmp_path / "net", str(request.param)
    network.mkdir()
    (network / "cluster.toml").write_text(configuration_text(4))
    made = make_home(tmp_path / "made" / "node", BLOCKS)
    write_genesis(network / "genesis.json", GENESIS)
    home = network / "node1"
    if channel:
        (home / "channels" / channel).mkdir(parents=True)
        write_genesis(home / "channels" / channel / "genesis.json", GENESIS)
    shutil.copytree(made / "data", data_of(tmp_path, channel))
    return ["node1", "--directory", str(network), "--json", *(["--channel", channel] if channel else [])]


def data_of(place: Path, channel: str) -> Path:
    data = place / "net" / "node1" / "data"
    return data / "channels" / channel if channel else data


def run(command: str, words: list[str]) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["state", command, *words])
    return result.exit_code, json.loads(result.stdout)


def test_it_is_made_anew_and_what_is_changed_by_hand_is_named(words: list[str], tmp_path: Path) -> None:
    code, told = run("verify", words)
    assert (code, told["drifted"], told["behind"] > 10) == (0, {}, True), "it is empty: yet to be given everything"
    code, told = run("rebuild", words)
    assert (code, told["rebuilt"], told["height"]) == (0, True, BLOCKS)
    assert told["documents"] > 10
    assert run("verify", words)[0] == 0

    file = data_of(tmp_path, words[-1] if "--channel" in words else "") / EMBEDDED_FILE
    with closing(sqlite3.connect(file)) as hand:
        key, _ = hand.execute("SELECT key, v FROM documents WHERE key LIKE 'credit/account/%' LIMIT 1").fetchone()
        hand.execute("UPDATE documents SET v = json_set(v, '$.available', 1) WHERE key = ?", (key,))
        hand.execute("DELETE FROM documents WHERE key = 'credit/total'")
        hand.commit()
    code, told = run("verify", words)
    assert (code, told["drifted"]) == (1, {key: "changed", "credit/total": "missing"})
    assert run("rebuild", words)[0] == 0
    assert run("verify", words)[0] == 0


def test_what_is_not_there_is_said(words: list[str]) -> None:
    for changed in (["node9", *words[1:]], [*words, "--channel", "none"]):
        result = CliRunner().invoke(app, ["state", "verify", *changed])
        assert result.exit_code == 2
        assert "wattq state: " in result.output


def test_a_damaged_file_is_said_and_rebuilt(words: list[str], tmp_path: Path) -> None:
    assert run("rebuild", words)[0] == 0
    file = data_of(tmp_path, words[-1] if "--channel" in words else "") / EMBEDDED_FILE
    with file.open("r+b") as content:
        content.write(b"\xa5" * 100)
    code, told = run("verify", words)
    assert (code, told["matches"], "wattq state rebuild" in told["damaged"]) == (1, False, True)
    code, told = run("rebuild", words)
    assert (code, told["rebuilt"]) == (0, True)
    assert run("verify", words)[0] == 0


@pytest.mark.parametrize("command", ["verify", "rebuild"])
@pytest.mark.parametrize("damage", ["no store", "a rotten store", "a rotten current"])
def test_a_damaged_commit_store_is_told_in_a_sentence_and_none_is_made(
    words: list[str], tmp_path: Path, command: str, damage: str
) -> None:
    data = data_of(tmp_path, words[-1] if "--channel" in words else "")
    if damage == "no store":
        shutil.rmtree(data / "state")
    elif damage == "a rotten store":
        for path in (data / "state").iterdir():
            path.write_bytes(b"rotten" * 100)
    else:
        (data / "current").write_bytes(b"garbage")
    result = CliRunner().invoke(app, ["state", command, *words])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), repr(result.exception)
    assert "wattq state: the data are damaged" in result.output
    assert (data / "state").exists() == (damage != "no store")
