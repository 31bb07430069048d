"""A worker process as its node sees it: started, asked, and ended when it fails or does not answer in time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from contracts.sandbox.protocol import (
    ANSWER_BYTES_MAX,
    HEADER_BYTES,
    Answer,
    Fault,
    Hello,
    Miss,
    Outcomes,
    Page,
    Run,
    decode_answer,
    frame,
)

START_S_MAX = 30.0
"""A start takes about a fifth of a second on a calm machine."""
PAGE_S_MAX = 0.01
"""Waited for a worker in all, for each page of state that it got: some hundred times what it takes."""
READ_BYTES = 1 << 16
LEAST_S = 0.001
"""Waited when a time has run out: a timeout of 0 would mean something else."""
MEMORY_BYTES_MAX = 1 << 30
"""Address space of a worker. A call's allocations are bound by its gas, its cache by ``pages.BYTES_MAX``."""
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from contracts.sandbox.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)

Given = TypeVar("Given")
Got = TypeVar("Got")
Wrap = Callable[[Sequence[str]], Sequence[str]]
"""What to start instead of a command, to the same effect."""


class WorkerFailed(Exception):
    """A worker died, did not answer in time, or answered what no worker of ours answers. Never a call's fault."""


def command(descriptor: int, memory_bytes_max: int) -> list[str]:
    """How a worker is started: this interpreter, our modules' places, and nothing from the environment."""
    places = [os.path.abspath(place) for place in sys.path]
    options = ["-I", "-S", "-B", "-W", "ignore"]
    return [sys.executable, *options, "-c", BOOT, json.dumps(places), str(descriptor), str(memory_bytes_max)]


class Patience:
    """How long a worker is waited for."""

    def __init__(self, silence_s_max: float) -> None:
        """So long until it says something, and so long in all."""
        self._silence_s_max = self._left_s = silence_s_max

    @property
    def next_s(self) -> float:
        """The timeout of what is waited for next."""
        return max(LEAST_S, min(self._silence_s_max, self._left_s))

    def spend(self, seconds: float) -> None:
        self._left_s -= seconds

    def grow(self, seconds: float) -> None:
        """It may take so much longer in all."""
        self._left_s += seconds


class Process:
    """Starting it blocks until the worker is ready, or raises ``WorkerFailed``."""

    def __init__(self, wrap: Wrap = list, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._socket, theirs = socket.socketpair()
        self._read = bytearray()
        """What came and was not asked for yet."""
        try:
            self._popen = subprocess.Popen(
                wrap(command(theirs.fileno(), memory_bytes_max)),
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self._socket.close()
            raise WorkerFailed(f"it cannot be started: {error}") from None
        finally:
            theirs.close()
        try:
            hello = self._receive(Patience(START_S_MAX))
            if not isinstance(hello, Hello):
                raise WorkerFailed("it did not begin with a greeting")
        except BaseException:
            self.end()
            raise
        self.hello = hello

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ask(self, run: Run, page: Callable[[Miss], Page], seconds_max: float) -> Iterator[Outcomes]:
        """Outcomes, part by part as the worker comes to them, which goes on meanwhile; one for each call in all. To be
        heard to the end before it is asked again. ``page`` says what the worker misses.

        ``WorkerFailed`` if it says nothing for so long, or so long in all beside ``PAGE_S_MAX`` a page. What the node
        takes, to find a page or to look at a part, does not count.
        """
        patience = Patience(seconds_max)
        self._send(run, patience)
        left = len(run.calls)
        while left:
            answer = self._receive(patience)
            if isinstance(answer, Miss):
                patience.grow(PAGE_S_MAX)
                self._send(page(answer), patience)
            elif isinstance(answer, Fault):
                raise WorkerFailed(answer.reason)
            elif isinstance(answer, Outcomes) and 0 < len(answer.outcomes) <= left:
                left -= len(answer.outcomes)
                yield answer
            else:
                raise WorkerFailed("it answered something else than it was asked")

    def end(self) -> None:
        """Kill it and wait until it is gone."""
        self._socket.close()
        self._popen.kill()
        self._popen.wait()

    # ------------------------------------------------------------------------------------------- inside

    def _send(self, message: Run | Page, patience: Patience) -> None:
        left = memoryview(frame(message))
        while left:
            left = left[self._waiting(patience, self._socket.send, left, "it took nothing in time") :]

    def _receive(self, patience: Patience) -> Answer:
        size = int.from_bytes(self._exactly(HEADER_BYTES, patience), "big")
        if size > ANSWER_BYTES_MAX:
            raise WorkerFailed(f"a frame of {size} bytes")
        try:
            return decode_answer(self._exactly(size, patience))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise WorkerFailed(f"no answer: {error}") from None

    def _exactly(self, size: int, patience: Patience) -> bytearray:
        data = self._read
        while len(data) < size:
            part = self._waiting(patience, self._socket.recv, READ_BYTES, "it did not answer in time")
            if not part:
                raise WorkerFailed(self._death("it closed its socket"))
            data += part
        self._read = data[size:]
        del data[size:]
        return data

    def _waiting(self, patience: Patience, do: Callable[[Given], Got], given: Given, otherwise: str) -> Got:
        """What the socket does as soon as it can."""
        began = time.monotonic()
        try:
            self._socket.settimeout(patience.next_s)
            got = do(given)
        except TimeoutError:
            raise WorkerFailed(otherwise) from None
        except OSError as error:
            raise WorkerFailed(self._death(str(error))) from None
        patience.spend(time.monotonic() - began)
        return got

    def _death(self, otherwise: str) -> str:
        """How it ended, if it is ending."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"it ended with {self._popen.wait(1.0)}"
        return otherwise
