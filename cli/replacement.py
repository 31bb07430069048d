"""`wattq meter replace`: order a gateway to go on with a new meter, with what the old one showed at its end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import msgspec
import typer

from ca.keys import InvalidKey, SigningKey
from ledger.genesis import GenesisInvalid, load_genesis
from meter.service import TOKEN_VARIABLE
from sdk.replacement import Replacement, order_of

TIMEOUT_S = 10.0


class Mistake(Exception):
    """What was asked for cannot be done; a sentence."""


def replace(
    meter: Annotated[str, typer.Argument(help="The meter's serial on the chain, which stays.")],
    old: Annotated[str, typer.Option(help="What the old meter shows at its end: import,export in Wh.")],
    key: Annotated[Path, typer.Option(help="The gateway's key, or one that its configuration names.")],
    genesis: Annotated[Path, typer.Option(help="The network's genesis file.")],
    door: Annotated[str, typer.Option(help="The gateway's door.")] = "http://127.0.0.1:8650",
    new: Annotated[str, typer.Option(help="What the new meter shows at its beginning.")] = "0,0",
    at: Annotated[int, typer.Option(help="When, in UTC milliseconds; now if left out.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell a gateway that a meter is replaced, before the new one is connected. The order is signed.

    The door's token is taken from WATTQ_GATEWAY_TOKEN. Example: wattq meter replace MTR-1003 --old 5150,0
    --key gateway.key --genesis genesis.json

    Exit codes: 0 carried out, 1 refused or out of reach, 2 wrong usage or an unusable file.
    """
    try:
        (old_import, old_export), (new_import, new_export) = _counters(old), _counters(new)
        chain, signing = load_genesis(genesis).chain_id.hex(), SigningKey.load(key)
        url = _url(door)
    except (Mistake, InvalidKey, GenesisInvalid, OSError) as error:
        typer.echo(f"wattq meter replace: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        order = Replacement(
            chain=chain,
            meter=meter,
            epoch=_epoch(url, meter) + 1,
            time_ms=at or int(time.time() * 1000),
            old_import_wh=old_import,
            old_export_wh=old_export,
            new_import_wh=new_import,
            new_export_wh=new_export,
        )
        told = _call(f"{url}/v1/replacements", msgspec.json.encode(order_of(order, signing)))
    except Mistake as error:
        typer.echo(f"wattq meter replace: {error}", err=True)
        raise typer.Exit(1) from None
    text = f"{told['meter']} was replaced: epoch {told['epoch']} from now on"
    typer.echo(json.dumps({"meter": told["meter"], "epoch": told["epoch"]}) if as_json else text)


def _counters(text: str) -> tuple[int, int]:
    imported, _, exported = text.partition(",")
    if not all(part.isascii() and part.isdigit() for part in (imported, exported)):
        raise Mistake(f"{text!r}: not import,export in Wh")
    return int(imported), int(exported)


def _url(door: str) -> str:
    if urlsplit(door).scheme not in ("http", "https"):
        raise Mistake(f"{door!r}: not http://HOST:PORT")
    return door.rstrip("/")


def _epoch(url: str, meter: str) -> int:
    found = [each["epoch"] for each in _call(f"{url}/v1/meters")["meters"] if each["meter"] == meter]
    if not found:
        raise Mistake(f"this gateway has no meter {meter}")
    return int(found[0])


def _call(url: str, body: bytes | None = None) -> Any:
    token = os.environ.get(TOKEN_VARIABLE, "")
    asked = Request(url, body, {"Authorization": f"Bearer {token}"})
    try:
        with urlopen(asked, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        told = json.load(error)
        raise Mistake(f"{told.get('code')}: {told.get('detail')}") from None
    except (URLError, OSError, ValueError) as error:
        raise Mistake(f"{url} cannot be asked: {error}") from None
