"""The command's own surface: version, help, completion, and how wrong usage ends."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli.main import COMMANDS, GROUPS, app

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


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["no-such-command"]).exit_code == 2
