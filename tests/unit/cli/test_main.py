"""The command's own surface: version, help, completion, and how wrong usage ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli.main import COMMANDS, GROUPS, app

OPERATIONS = (Path(__file__).resolve().parents[3] / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
NO_JSON_OPTION = {"ca serve", "gateway", "meter simulate", "sim golden"}
"""Commands that serve until they are ended have no result to print; what `sim golden` prints is JSON anyway."""


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something."""
    if not hasattr(command, "list_commands"):
        yield words
        return
    for name in command.list_commands(None):
        yield from walk(command.get_command(None, name), (*words, name))


EVERY_COMMAND = list(walk(typer.main.get_command(app)))


def help_of(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def completions(line: str) -> list[str]:
    """What a shell's completion offers at the end of ``line``."""
    environment = {
        "_WATTQ_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    result = CliRunner().invoke(app, [], env=environment, prog_name="wattq")
    assert result.exit_code == 0, result.output
    return result.stdout.split()


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"wattq {version('wattquorum')}\n")


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_everything_has_help(name: str) -> None:
    assert "Usage" in help_of((name,))


def test_the_walk_finds_the_commands() -> None:
    assert {("demo",), ("gateway",), ("cluster", "kill"), ("meter", "simulate"), ("ca", "list")} <= set(EVERY_COMMAND)


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_has_an_example_and_documented_exit_codes(words: tuple[str, ...]) -> None:
    told = help_of(words)
    assert f"Example: wattq {' '.join(words)}" in told
    assert "Exit codes: 0" in told or "Exit codes: 0" in help_of(words[:-1])


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_with_a_result_gives_it_as_json(words: tuple[str, ...]) -> None:
    assert ("--json" in help_of(words)) == (" ".join(words) not in NO_JSON_OPTION)


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_is_completed(words: tuple[str, ...]) -> None:
    for number, word in enumerate(words):
        assert word in completions(" ".join(["wattq", *words[:number], word[:1]]))
    assert "--help" in completions(" ".join(["wattq", *words, "--h"]))


def script_of(shell: str) -> str:
    result = CliRunner().invoke(app, [], env={"_WATTQ_COMPLETE": f"source_{shell}"}, prog_name="wattq")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_bash_completes_as_documented(tmp_path: Path) -> None:
    """In a bash of its own, as the line in docs/OPERATIONS.md sets it up."""
    assert 'eval "$(_WATTQ_COMPLETE=source_bash wattq)"' in OPERATIONS
    script = """
        set -eu
        eval "$(_WATTQ_COMPLETE=source_bash wattq)"
        COMP_WORDS=(wattq market o) COMP_CWORD=2
        _wattq_completion wattq
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "--norc", "-c", script], env={**os.environ, "PATH": path, "HOME": str(tmp_path)}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    assert "order" in told.stdout.split()
    assert "trades" not in told.stdout.split()


@pytest.mark.parametrize(
    ("shell", "environment", "registers"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "wattq market o"}, "compdef _wattq_completion wattq"),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "wattq market o", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "complete --command wattq",
        ),
    ],
)
def test_zsh_and_fish_are_answered_as_their_scripts_ask(
    shell: str, environment: dict[str, str], registers: str
) -> None:
    assert f"_WATTQ_COMPLETE=source_{shell} wattq" in OPERATIONS
    script = script_of(shell)
    assert registers in script
    assert f"_WATTQ_COMPLETE=complete_{shell}" in script
    asked = {"_WATTQ_COMPLETE": f"complete_{shell}", **environment}
    result = CliRunner().invoke(app, [], env=asked, prog_name="wattq")
    assert result.exit_code == 0, result.output
    assert "order" in result.stdout
    assert "trades" not in result.stdout


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["no-such-command"]).exit_code == 2
