"""What a process that plays seeds for another one does first."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread
from types import FrameType

YOUNG_MAX = 50_000
"""Objects made before the collector looks for cycles: a world's objects live until its end, or die by themselves."""


@contextmanager
def born_deaf() -> Iterator[None]:
    """Processes that start meanwhile hear no interrupt from their first line on; ours comes as soon as this ends.

    What another thread hears is told to the main thread whatever that one blocks: so the handler waits as well. To be
    called in the main thread.
    """
    heard: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if heard and callable(handler):
        handler(*heard[0])


def begin() -> None:
    """End with the parent, however that ends; leave interrupts to it, and collect seldom."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
