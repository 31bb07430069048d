"""A study: every network size, the largest first, in worker processes or in this one."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from sim.scale.probe import Effort
from sim.scale.search import Row, study
from sim.scale.world import Setting

POLL_S = 0.2

Say = Callable[[int, str], None]
"""``say(n, text)``: what is being done about this network size."""

_told: Any = None
"""In a worker: the queue to the process that shows progress."""


def run_study(
    setting: Setting, sizes: Sequence[int], effort: Effort, tx_per_s: float | None, jobs: int, say: Say
) -> Iterator[Row]:
    """The rows, as they become known."""
    order = sorted(set(sizes), reverse=True)
    if jobs == 1 or len(order) == 1:
        for nodes in order:
            yield study(setting, nodes, effort, tx_per_s, partial(say, nodes))
        return
    context = get_context("spawn")
    told = context.Queue()
    with ProcessPoolExecutor(min(jobs, len(order)), context, initializer=_begin, initargs=(told,)) as pool:
        waiting = {pool.submit(_study, setting, nodes, effort, tx_per_s) for nodes in order}
        while waiting:
            _pass_on(told, say)
            done = {future for future in waiting if future.done()}
            waiting -= done
            yield from (future.result() for future in sorted(done, key=_nodes_of))


def _nodes_of(future: Future[Row]) -> int:
    return future.result().nodes


def _pass_on(told: Any, say: Say) -> None:
    """Show what the workers said, waiting a moment for more."""
    try:
        while True:
            say(*told.get(timeout=POLL_S))
    except queue.Empty:
        return


def _begin(told: Any) -> None:
    global _told
    _told = told
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool whose process is killed would otherwise leave its workers computing for nobody."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _study(setting: Setting, nodes: int, effort: Effort, tx_per_s: float | None) -> Row:
    return study(setting, nodes, effort, tx_per_s, lambda text: _told.put((nodes, text)))
