"""Which sandbox contracts run in: what ``sandbox.mode`` asks for, and what this machine has.

``auto`` takes a worker on Linux, with the walls that can be had, and else this process. A mode that is named is had as
it is described or not at all; only the switch of the user is left out without root.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from contracts.machine import PythonMachine
from contracts.sandbox import bubblewrap
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process, WorkerFailed
from ledger.execution import Machine

AUTO, IN_PROCESS, WORKER, BUBBLEWRAP = "auto", "in-process", "worker", "bubblewrap"
PLACES = {
    IN_PROCESS: "the node's process",
    WORKER: "a worker process",
    BUBBLEWRAP: "a worker process in bubblewrap",
}


class SandboxUnavailable(Exception):
    """The mode that is asked for cannot be had here; the message says why."""


class Sandbox:
    """``mode``: what contracts run in. ``missing``: a sentence for each wall that it lacks. ``str`` tells all of it.

    It holds the worker that showed what can be had, until the first machine takes it or it is closed.
    """

    def __init__(self, mode: str, missing: tuple[str, ...], start: Callable[[], Process] | None = None) -> None:
        self.mode, self.missing = mode, missing
        self._start = start
        self._first: Process | None = None

    @classmethod
    def tried(cls, mode: str, start: Callable[[], Process]) -> Sandbox:
        """A worker is started to see what it has; ``SandboxUnavailable`` if it cannot be."""
        try:
            first = start()
        except WorkerFailed as error:
            raise SandboxUnavailable(f"a worker cannot be started: {error}") from None
        sandbox = cls(mode, tuple(first.hello.missing), start)
        sandbox._first = first
        return sandbox

    @property
    def seccomp(self) -> bool:
        return self._first is not None and self._first.hello.seccomp

    def machine(self, on_replaced: Callable[[], None] = lambda: None) -> Machine:
        """A machine of its own; each ledger has one. ``on_replaced``: called, on any thread, when a worker failed."""
        if self._start is None:
            return PythonMachine()
        first, self._first = self._first, None
        return WorkerMachine(self._start, first, on_replaced=on_replaced)

    def close(self) -> None:
        if self._first is not None:
            self._first.end()
            self._first = None

    @property
    def place(self) -> str:
        return PLACES[self.mode]

    def __str__(self) -> str:
        return "; ".join((f"contracts run in {self.place}", *self.missing))


def choose(mode: str) -> Sandbox:
    """What ``mode`` comes to on this machine, tried out. Raises ``SandboxUnavailable``."""
    if mode == AUTO:
        return _auto()
    try:
        return _named(mode)
    except SandboxUnavailable as error:
        raise SandboxUnavailable(f"sandbox.mode is {mode}: {error}") from None


def _auto() -> Sandbox:
    if sys.platform != "linux":
        return Sandbox(IN_PROCESS, (f"workers are for Linux, this is {sys.platform}",))
    try:
        return Sandbox.tried(WORKER, Process)
    except SandboxUnavailable as error:
        return Sandbox(IN_PROCESS, (str(error),))


def _named(mode: str) -> Sandbox:
    if mode == IN_PROCESS:
        return Sandbox(IN_PROCESS, ())
    if mode == BUBBLEWRAP:
        if bubblewrap.found() is None:
            raise SandboxUnavailable("there is no program bwrap on PATH")
        return Sandbox.tried(BUBBLEWRAP, lambda: Process(bubblewrap.wrapped))
    sandbox = Sandbox.tried(WORKER, Process)
    if not sandbox.seccomp:
        sandbox.close()
        raise SandboxUnavailable(sandbox.missing[-1])
    return sandbox
