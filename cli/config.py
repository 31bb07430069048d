"""`wattq init` and `wattq config check`: a commented configuration, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.checks import check_configuration
from cli.cluster import SAMPLE
from contracts.parameters import MARKET_PARAMETERS
from sdk.configuration import ConfigurationError, load

app = typer.Typer(help="Look at configurations.\n\nExit codes: 0 good, 2 unusable.", no_args_is_help=True)


def init(
    file: Annotated[Path, typer.Argument(help="Where the configuration goes.")] = Path("cluster.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a commented cluster.toml.

    Example: wattq init cluster.toml

    Exit codes: 0 written, 2 the file exists.
    """
    if file.exists():
        typer.echo(f"wattq init: {file} exists already", err=True)
        raise typer.Exit(2)
    file.write_text(SAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"file": str(file)}))
    else:
        typer.echo(f"{file} written; start it with: wattq cluster up --config {file}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration.")] = Path("cluster.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a configuration and print every value in force.

    Example: wattq config check cluster.toml
    """
    try:
        configuration = load(file)
        check_configuration(configuration, str(file))
    except ConfigurationError as error:
        typer.echo(f"wattq config check: {error}", err=True)
        raise typer.Exit(2) from None
    values = msgspec.to_builtins(configuration)
    values["market"] = {**MARKET_PARAMETERS, **configuration.market}
    if as_json:
        typer.echo(json.dumps(values))
        return
    for section, content in values.items():
        for key, value in content.items():
            typer.echo(f"{section}.{key} = {json.dumps(value)}")
