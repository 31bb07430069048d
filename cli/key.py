"""`wattq key`: whose a key is, and the way to the page and back, in a backup under a passphrase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ca.backup import backup_of, key_of
from ca.keys import InvalidKey, SigningKey

app = typer.Typer(
    help="Take a key file to the page, where it is restored from a backup, or a key of the page to a file.\n\n"
    "Exit codes: 0 done, 1 refused, 2 wrong usage or missing files.",
    no_args_is_help=True,
)
Passphrase = Annotated[str, typer.Option(prompt=True, hide_input=True, envvar="WATTQ_PASSPHRASE", help="The backup's.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The file to write, never over another one.")]


@app.command()
def backup(
    key: Annotated[Path, typer.Argument(help="A key file, as `wattq ca` and `wattq cluster` make them.")],
    out: Out,
    passphrase: Annotated[
        str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, envvar="WATTQ_PASSPHRASE")
    ],
    as_json: Json = False,
) -> None:
    """Write a backup that the page restores under "Register": so an operator gets at its key there.

    Example: wattq key backup wattquorum/users/operator1.key -o operator1.json
    """
    try:
        loaded = SigningKey.load(key)
        _write(out, backup_of(loaded, passphrase))
    except (InvalidKey, OSError) as error:
        _refuse("backup", error)
    _tell(out, loaded, "restore it at the page, under Register", as_json)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="A backup that the page saved.")],
    out: Out,
    passphrase: Passphrase,
    as_json: Json = False,
) -> None:
    """Write the key of a backup as a key file, for `wattq` and the SDK.

    Example: wattq key restore wattquorum-key-1f2e3d4c.json -o mine.key
    """
    try:
        key = key_of(backup.read_text(encoding="utf-8"), passphrase)
        if out.exists():
            raise FileExistsError(f"{out} exists; choose another name")
        key.save(out)
    except (InvalidKey, OSError, UnicodeDecodeError) as error:
        _refuse("restore", error)
    _tell(out, key, f"the key of {key.signer}", as_json)


@app.command()
def signer(
    key: Annotated[Path, typer.Argument(help="A private key (PEM).")],
    as_json: Json = False,
) -> None:
    """Print a key's signer: the hash of its public part, by which the chain knows its holder.

    Example: wattq key signer anna.key
    """
    try:
        found = SigningKey.load(key).signer
    except (InvalidKey, OSError) as error:
        _refuse("signer", error)
    typer.echo(json.dumps({"signer": found}) if as_json else found)


def _tell(out: Path, key: SigningKey, said: str, as_json: bool) -> None:
    typer.echo(json.dumps({"file": str(out), "signer": key.signer}) if as_json else f"{out}: {said}")


def _write(path: Path, text: str) -> None:
    """Only for its owner, and never over a file."""
    with path.open("x", encoding="utf-8") as file:
        path.chmod(0o600)
        file.write(text)


def _refuse(command: str, error: Exception) -> NoReturn:
    typer.echo(f"wattq key {command}: {error}", err=True)
    raise typer.Exit(2 if isinstance(error, FileNotFoundError) else 1) from None
