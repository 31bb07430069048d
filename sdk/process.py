"""How our processes live and end: which signals end them, whose end is theirs too, where a node's socket lies."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import signal
import stat
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from sdk.configuration import ConfigurationError

TEMPORARY = Path("/tmp")
"""Not TMPDIR, which may differ between a node and who looks for its socket."""
SOCKET_FILE = "node.sock"
SOCKET_PATH_BYTES_MAX = 103
"""Of a Unix socket's path: macOS takes 103 bytes, Linux 107."""
DIRECTORY_MODE = 0o700

LEASH_VARIABLE = "WATTQ_LEASH"
LEASH_ON_STDIN = "stdin"
"""Set by a process that holds the other end of its child's standard input for as long as it lives. Any other value is
the path of a named pipe that whoever is to be outlived by nobody holds open, and that all its descendants follow."""
LEASH_GRACE_S = 15.0


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For ``asyncio.Runner``: uvloop's where a wheel exists, else None, asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask a process to end. A hang-up (the terminal was closed) is one, unless `nohup` ignores it."""
    hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hang_up)


def socket_path(home: Path) -> Path:
    """Where the node with this home has its socket: in it, or, if that path is too long, in a directory of this
    user's under ``/tmp``, by a name that the home alone decides."""
    inside = home.resolve() / SOCKET_FILE
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX:
        return inside
    digest = sha256(os.fsencode(inside)).hexdigest()
    return TEMPORARY / f"wattquorum-{os.getuid()}" / f"{digest[:32]}.sock"


def make_socket_path(home: Path) -> Path:
    """``socket_path``, with its directory made; ``ConfigurationError`` if others could reach into that."""
    path = socket_path(home)
    if path.name == SOCKET_FILE:
        return path
    directory = path.parent
    try:
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error}; it is for sockets of nodes whose paths are long") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(f"{directory} is no directory of this user alone; remove it, or use a shorter path")
    return path


def leashed_environment() -> dict[str, str]:
    """This process's environment, for a child whose standard input is the leash."""
    return {**os.environ, LEASH_VARIABLE: LEASH_ON_STDIN}


def follow_leash() -> None:
    """If whoever started this process holds a leash, end when they do, however they end.

    A thread waits for the end of the pipe, and then asks for an orderly end, as SIGTERM would.
    """
    if leash := os.environ.get(LEASH_VARIABLE):
        end = 0 if leash == LEASH_ON_STDIN else _opened(leash)
        threading.Thread(target=_wait_for_the_end, args=(end,), name="leash", daemon=True).start()


def _opened(leash: str) -> int:
    """The reading end of a named pipe, whether anybody holds the other one still, or not any more."""
    end = os.open(leash, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(end, True)
    return end


def _wait_for_the_end(end: int) -> None:
    while os.read(end, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LEASH_GRACE_S)
    os._exit(1)
