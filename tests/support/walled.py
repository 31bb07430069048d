"""Workers for tests: started as nodes do, and known to the test, so that it can harm them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from contracts.sandbox.process import Process
from contracts.sandbox.seccomp import SeccompUnavailable, architecture


def seccomp_missing() -> str:
    """Why no filter can be had on this machine, or ''."""
    try:
        architecture()
    except SeccompUnavailable as error:
        return str(error)
    return ""


needs_seccomp = pytest.mark.skipif(bool(seccomp_missing()), reason=seccomp_missing() or "seccomp is there")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")


class Workers:
    """Starts workers and remembers them. ``before``: what is done with each new one, by its number."""

    def __init__(self, start: Callable[[], Process] = Process) -> None:
        self._start = start
        self.all: list[Process] = []
        self.before: Callable[[int, Process], None] = lambda number, process: None

    def __call__(self) -> Process:
        process = self._start()
        self.all.append(process)
        self.before(len(self.all), process)
        return process
