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
LEAST_S = 0.001
"""Waited when a time has run out: a timeout of 0 would mean something else."""
MEMORY_BYTES_MAX = 1 << 30
"""Address space of a worker. A call's allocations are bound by its gas, its cache by ``pages.BYTES_MAX``."""
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from contracts.sandbox.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)

Wrap = Callable[[Sequence[str]], Sequence[str]]
"""What to start instead of a command, to the same effect."""


class WorkerFailed(Exception):
    """A worker died, did not answer in time, or answered what no worker of ours answers. Never a call's fault."""


def command(descriptor: int, memory_bytes_max: int) -> list[str]:
    """How a worker is started: this interpreter, our modules' places, and nothing from the environment."""
    places = [os.path.abspath(place) for place in sys.path]
    options = ["-I", "-S", "-B", "-W", "ignore"]
    return [sys.executable, *options, "-c", BOOT, json.dumps(places), str(descriptor), str(memory_bytes_max)]


class Process:
    """Starting it blocks until the worker is ready, or raises ``WorkerFailed``."""

    def __init__(self, wrap: Wrap = list, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._socket, theirs = socket.socketpair()
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
            hello = self._receive(time.monotonic() + START_S_MAX)
            if not isinstance(hello, Hello):
                raise WorkerFailed("it did not begin with a greeting")
        except BaseException:
            self.end()
            raise
        self.hello = hello

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ask(self, run: Run, page: Callable[[str], Page], seconds_max: float) -> Iterator[Outcomes]:
        """Outcomes, part by part as the worker comes to them, which goes on meanwhile; one for each call in all. To be
        heard to the end before it is asked again. ``page`` says what the worker misses.

        ``WorkerFailed`` if they are not there in time.
        """
        until = time.monotonic() + seconds_max
        self._send(run, until)
        left = len(run.calls)
        while left:
            answer = self._receive(until)
            if isinstance(answer, Miss):
                self._send(page(answer.key), until)
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

    def _send(self, message: Run | Page, until: float) -> None:
        data = frame(message)
        try:
            self._socket.settimeout(max(LEAST_S, until - time.monotonic()))
            self._socket.sendall(data)
        except TimeoutError:
            raise WorkerFailed("it took nothing in time") from None
        except OSError as error:
            raise WorkerFailed(self._death(str(error))) from None

    def _receive(self, until: float) -> Answer:
        size = int.from_bytes(self._exactly(HEADER_BYTES, until), "big")
        if size > ANSWER_BYTES_MAX:
            raise WorkerFailed(f"a frame of {size} bytes")
        try:
            return decode_answer(self._exactly(size, until))
        except (msgspec.MsgspecError, ValueError) as error:
            raise WorkerFailed(f"no answer: {error}") from None

    def _exactly(self, size: int, until: float) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                self._socket.settimeout(max(LEAST_S, until - time.monotonic()))
                taken = self._socket.recv_into(view)
            except TimeoutError:
                raise WorkerFailed("it did not answer in time") from None
            except OSError as error:
                raise WorkerFailed(self._death(str(error))) from None
            if not taken:
                raise WorkerFailed(self._death("it closed its socket"))
            view = view[taken:]
        return data

    def _death(self, otherwise: str) -> str:
        """How it ended, if it is ending."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"it ended with {self._popen.wait(1.0)}"
        return otherwise
