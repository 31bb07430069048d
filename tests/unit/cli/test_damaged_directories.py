"""`wattq ledger` and `wattq verify` on damaged or wrong directories: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from long_chains import make_home
from typer.testing import CliRunner

from cli.main import app

BLOCKS = 12


def rotten_store(data: Path) -> None:
    for path in (data / "state").iterdir():
        path.write_bytes(b"rotten" * 100)


def emptied(data: Path) -> None:
    shutil.rmtree(data / "state")
    (data / "state").mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no store": lambda data: shutil.rmtree(data / "state"),
    "an empty store": emptied,
    "a rotten store": rotten_store,
    "a rotten current": lambda data: (data / "current").write_bytes(b"garbage"),
}
COMMANDS: dict[str, list[str]] = {
    "rollback": ["ledger", "rollback", "HOME/data"],
    "prune": ["ledger", "prune", "HOME", "--below", "5", "--archive", "OUT"],
    "snapshot": ["ledger", "snapshot", "HOME", "--out", "OUT"],
    "import": ["ledger", "import", "HOME", "--into", "OUT", "--genesis", "GENESIS"],
    "export": ["ledger", "export", "HOME", "--out", "OUT"],
    "verify": ["verify", "chain", "HOME", "--genesis", "GENESIS"],
}


def run(home: Path, command: list[str]) -> tuple[int, str]:
    places = {
        "HOME/data": home / "data",
        "HOME": home,
        "OUT": home.parent / "out",
        "GENESIS": home.parent / "genesis.json",
    }
    result = CliRunner().invoke(app, [str(places.get(word, word)) for word in command])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told_in_a_sentence(tmp_path: Path, damage: str, command: str) -> None:
    home = make_home(tmp_path / "node1", BLOCKS)
    DAMAGE[damage](home / "data")
    code, output = run(home, COMMANDS[command])
    needs_no_store = (command in ("export", "verify") and damage == "no store") or command == "export"
    if needs_no_store and damage != "a rotten current":
        assert code == 0, output
    else:
        assert code in (1, 2), output
        assert "wattq" in output or "INVALID" in output


def test_a_prune_without_a_store_makes_none(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node1", BLOCKS)
    shutil.rmtree(home / "data" / "state")
    code, output = run(home, COMMANDS["prune"])
    assert (code, "no commit store" in output, (home / "data" / "state").exists()) == (1, True, False)


def test_importing_into_a_file_is_refused(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node1", BLOCKS)
    (tmp_path / "out").write_text("a file")
    code, output = run(home, COMMANDS["import"])
    assert (code, "is not an empty directory" in output) == (2, True)
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.parametrize("height", ["0", "-5"])
def test_a_chain_is_not_verified_up_to_no_height(tmp_path: Path, height: str) -> None:
    home = make_home(tmp_path / "node1", 2)
    assert run(home, [*COMMANDS["verify"], "--height", height])[0] == 2


def test_a_channels_genesis_file_is_found_in_the_home(tmp_path: Path) -> None:
    made = make_home(tmp_path / "made", BLOCKS)
    home = tmp_path / "network" / "node1"
    channel = home / "channels" / "family"
    channel.mkdir(parents=True)
    shutil.move(made / "data", home / "data" / "channels" / "family")
    shutil.copy(tmp_path / "genesis.json", channel / "genesis.json")
    data = str(home / "data" / "channels" / "family")
    code, output = run(home, ["ledger", "snapshot", data, "--out", "OUT"])
    assert code == 0, output
