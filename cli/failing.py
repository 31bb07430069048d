"""How a command of `wattq` ends that failed: a sentence for the person, a code for the program."""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import Any, NoReturn

import typer

wants_json: ContextVar[bool] = ContextVar("wants_json", default=False)
"""Whether the command line has ``--json``."""
CODED = re.compile(r"([A-Z][A-Z0-9_]+): ")
"""How a node's refusal begins."""
CODES = {1: "FAILED", 2: "ARGUMENTS_INVALID", 3: "NO_QUORUM", 4: "WAITING"}
"""By exit code, for what is no node's refusal."""


def fail(command: str, message: str, exit_code: int, **facts: Any) -> NoReturn:
    """Say why on standard error, and with ``--json`` as ``{"error": {code, message, …facts}}`` on standard output."""
    typer.echo(f"{command}: {message}", err=True)
    if wants_json.get():
        coded = CODED.match(message)
        code = coded[1] if coded else CODES[exit_code]
        typer.echo(json.dumps({"error": {"code": code, "message": message, **facts}}))
    raise typer.Exit(exit_code)
