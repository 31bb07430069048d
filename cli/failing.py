"""How a command of `wattq` ends that failed: a sentence for the person, a code for the program."""

from __future__ import annotations

import codecs
import json
import re
import sys
from contextvars import ContextVar
from typing import Any, NoReturn

import typer

wants_json: ContextVar[bool] = ContextVar("wants_json", default=False)
"""Whether the command line has ``--json``."""
CODED = re.compile(r"([A-Z][A-Z0-9_]+): ")
"""How a node's refusal begins."""
CODES = {1: "FAILED", 2: "ARGUMENTS_INVALID", 3: "NO_QUORUM", 4: "WAITING"}
"""By exit code, for what is no node's refusal."""


NO_TEXT = "surrogates not allowed"
"""What Python says of bytes in a word of the command line that are not UTF-8, where they had to be text."""
given: ContextVar[tuple[str, ...]] = ContextVar("given", default=())
"""The words of the command line."""


def show_any_bytes() -> None:
    """Have names that are not UTF-8 printed as the bytes they are, and what the terminal cannot show as ``?``."""

    def shown(error: UnicodeError) -> tuple[str | bytes, int]:
        try:
            return codecs.lookup_error("surrogateescape")(error)
        except UnicodeEncodeError:
            return codecs.lookup_error("replace")(error)

    codecs.register_error("wattq", shown)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # tests put other streams there
        reconfigure(errors="wattq")


def _sentence(message: str) -> str:
    if NO_TEXT not in message:
        return message
    words = [ascii(word) for word in given.get() if not _is_text(word)]
    return f"{', '.join(words) or 'what was given'}: not UTF-8, so it can be neither signed nor sent; give it as UTF-8"


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def fail(command: str, message: str, exit_code: int, **facts: Any) -> NoReturn:
    """Say why on standard error, and with ``--json`` as ``{"error": {code, message, …facts}}`` on standard output."""
    message = _sentence(message)
    typer.echo(f"{command}: {message}", err=True)
    if wants_json.get():
        coded = CODED.match(message)
        code = coded[1] if coded else CODES[exit_code]
        typer.echo(json.dumps({"error": {"code": code, "message": message, **facts}}))
    raise typer.Exit(exit_code)
