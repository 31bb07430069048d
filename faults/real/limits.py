"""What a lab does to a running process by its limits: few files more than are open, little memory more than it uses."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

PAGE_BYTES = resource.getpagesize()
CAN_LIMIT = hasattr(resource, "prlimit")
"""Whether another process's limits can be set: on Linux."""


class Limits:
    """Of one process. ``lift`` gives back what it had; of a process that is gone nothing is left to give."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before: dict[int, tuple[int, int]] = {}

    def files(self, spare: int) -> None:
        """So many more than are open."""
        with contextlib.suppress(OSError):
            self._put(resource.RLIMIT_NOFILE, len(list(Path(f"/proc/{self._pid}/fd").iterdir())) + spare)

    def memory(self, spare_mb: int) -> None:
        """So many MB more than its addresses take."""
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{self._pid}/statm").read_text(encoding="ascii").split()[0])
            self._put(resource.RLIMIT_AS, pages * PAGE_BYTES + (spare_mb << 20))

    def lift(self) -> None:
        for which, before in self._before.items():
            with contextlib.suppress(OSError):
                resource.prlimit(self._pid, which, before)
        self._before.clear()

    def _put(self, which: int, most: int) -> None:
        """The soft limit alone, which whoever set it may raise again."""
        soft, hard = resource.prlimit(self._pid, which)
        self._before.setdefault(which, (soft, hard))
        resource.prlimit(self._pid, which, (most, hard))
