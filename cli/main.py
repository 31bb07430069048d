"""The command `wattq`: one module a command or group of commands, registered in the two lists below."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from cli import (
    bench,
    ca,
    channel,
    client,
    cluster,
    config,
    contract,
    demo,
    doctor,
    evidence,
    gateway,
    key,
    ledger,
    meter,
    node,
    query,
    sim,
    state,
    verify,
    why,
)

app = typer.Typer(
    name="wattq",
    help="Wattquorum: a consortium blockchain on which households and companies trade electricity.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

# Single commands: `wattq NAME`.
COMMANDS: dict[str, Callable[..., None]] = {
    "bench": bench.bench,
    "demo": demo.demo,
    "doctor": doctor.doctor,
    "gateway": gateway.gateway,
    "init": config.init,
    "why": why.why,
}
# Groups of commands: `wattq NAME COMMAND`. Each is the `app` of a module in cli/.
GROUPS: dict[str, typer.Typer] = {
    "ca": ca.app,
    "channel": channel.app,
    "cluster": cluster.app,
    "config": config.app,
    "contract": contract.app,
    "evidence": evidence.app,
    "key": key.app,
    "ledger": ledger.app,
    "meter": meter.app,
    "node": node.app,
    "query": query.app,
    "sim": sim.app,
    "state": state.app,
    "tx": client.app,
    "verify": verify.app,
}

verify.app.command(name="proof")(query.verify_proof)
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


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
    app()
