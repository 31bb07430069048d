"""The command `wattq`: one module a command or group of commands, imported when it is asked for."""

from __future__ import annotations

import errno
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import failing

# Single commands, `wattq NAME`: the module in cli/ and its function.
COMMANDS = {
    "demo": ("demo", "demo"),
    "doctor": ("doctor", "doctor"),
    "gateway": ("gateway", "gateway"),
    "init": ("config", "init"),
    "register": ("register", "register"),
    "why": ("why", "why"),
}
# Groups of commands, `wattq NAME COMMAND`: the module in cli/ whose `app` it is.
GROUPS = {
    "bench": "bench",
    "ca": "ca",
    "channel": "channel",
    "cluster": "cluster",
    "config": "config",
    "contract": "contract",
    "evidence": "evidence",
    "faults": "faults",
    "key": "key",
    "lab": "lab",
    "ledger": "ledger",
    "market": "market",
    "meter": "meter",
    "mqtt": "mqtt",
    "node": "node",
    "proposal": "proposal",
    "query": "query",
    "sim": "sim",
    "state": "state",
    "tx": "client",
    "verify": "verify",
}


class Shelf(TyperGroup):
    """All commands by name. Importing every one of them takes a second of processor time, which only help needs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        failing.wants_json.set("--json" in args)
        failing.given.set(tuple(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """What no command has foreseen of the system's own refusals is told as others are."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever reads our output has gone, and is told nothing
            failing.fail("wattq", str(error), 2)
        except UnicodeEncodeError as error:
            failing.fail("wattq", str(error), 2)

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(COMMANDS) + sorted(GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in GROUPS:
            found: Any = typer.main.get_group(import_module(f"cli.{GROUPS[cmd_name]}").app)
        elif cmd_name in COMMANDS:
            module, function = COMMANDS[cmd_name]
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name)(getattr(import_module(f"cli.{module}"), function))
            found = typer.main.get_command(alone)
        else:
            return None
        found.name = cmd_name
        return found


app = typer.Typer(
    name="wattq",
    cls=Shelf,
    help="Wattquorum: a consortium blockchain on which households and companies trade electricity.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wattq {version('wattquorum')}")
        raise typer.Exit


@app.callback()
def wattq(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Wattquorum: a consortium blockchain on which households and companies trade electricity."""


def main() -> None:
    """The entry point that the wheel installs as `wattq`."""
    failing.show_any_bytes()
    app()
