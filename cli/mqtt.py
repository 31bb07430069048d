"""`wattq mqtt`: who may connect to a node's embedded MQTT broker, and which sensors a dashboard would find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer

from meter.broker.users import USERS_MAX, UserEntry, UsersFile, load_users, sealed, users_text
from meter.errors import ProfileError
from meter.strict import parse_toml

PASSWORD_CHARS_MIN = 8

app = typer.Typer(
    help="The users of a node's embedded MQTT broker, which reads them when it starts; see docs/MQTT.md.\n\n"
    "Exit codes: 0 done, 2 wrong usage or an unusable file.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(help="The users' file, for example node1/mqtt-users.toml")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def user(
    file: File,
    name: Annotated[str, typer.Argument(help="The user's name.")],
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="WATTQ_MQTT_NEW_PASSWORD")
    ],
    party: Annotated[list[str] | None, typer.Option(help="A signer whose trades it may read; may be repeated.")] = None,
    meter: Annotated[list[str] | None, typer.Option(help="A meter that it may read; may be repeated.")] = None,
    feeds: Annotated[bool, typer.Option(help="It may publish samples of those meters.")] = False,
    as_json: Json = False,
) -> None:
    """Add a user, or give one a new password and new rights. The password is asked for, and kept as a hash.

    Example: wattq mqtt user node1/mqtt-users.toml home --party 3f…9a --meter MTR-1003
    """
    try:
        if len(password) < PASSWORD_CHARS_MIN:
            raise ProfileError(f"a password has at least {PASSWORD_CHARS_MIN} characters")
        entry = UserEntry(password=sealed(password), parties=tuple(party or ()), meters=tuple(meter or ()), feeds=feeds)
        users = {**load_users(file), name: entry}
        if len(users) > USERS_MAX:
            raise ProfileError(f"{file}: at most {USERS_MAX} users")
        text = users_text(users)
        parse_toml(text, UsersFile, str(file))  # what was given on the command line is checked as a file's is
    except ProfileError as error:
        _fail("user", error)
    _write(file, text)
    _tell(name, "may connect once the node has started again", as_json)


@app.command()
def remove(file: File, name: Annotated[str, typer.Argument(help="The user's name.")], as_json: Json = False) -> None:
    """Remove a user.

    Example: wattq mqtt remove node1/mqtt-users.toml home
    """
    try:
        users = load_users(file)
        if name not in users:
            raise ProfileError(f"{file}: there is no user {name}")
    except ProfileError as error:
        _fail("remove", error)
    _write(file, users_text({known: entry for known, entry in users.items() if known != name}))
    _tell(name, "is removed, and may not connect once the node has started again", as_json)


@app.command(name="list")
def list_users(file: File, as_json: Json = False) -> None:
    """The users and their rights, without passwords.

    Example: wattq mqtt list node1/mqtt-users.toml
    """
    try:
        users = load_users(file)
    except ProfileError as error:
        _fail("list", error)
    rows = {name: msgspec.to_builtins(entry) for name, entry in sorted(users.items())}
    for row in rows.values():
        del row["password"]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for name, row in rows.items():
        rights = [*(f"party {party}" for party in row["parties"]), *(f"meter {meter}" for meter in row["meters"])]
        typer.echo(f"{name}: {', '.join(rights) or 'public topics'}{'; feeds' if row['feeds'] else ''}")


def _tell(name: str, what: str, as_json: bool) -> None:
    typer.echo(json.dumps({"user": name}) if as_json else f"{name} {what}")


def _write(file: Path, text: str) -> None:
    """Replace the file, readable for its owner alone."""
    aside = file.with_name(file.name + ".new")
    aside.touch(mode=0o600)
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)


def _fail(command: str, error: ProfileError) -> NoReturn:
    typer.echo(f"wattq mqtt {command}: {error}", err=True)
    raise typer.Exit(2)
