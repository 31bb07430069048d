"""Places for those who wait: bounded in all, for each who asks, and for strangers together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.privacy import Viewer
from sdk.errors import Problem, Refused


class Places:
    """``places_max`` in all, of which strangers have ``strangers_max``; each signer, and each stranger's address, has
    ``each_max``. Whoever finds none is refused with ``code``."""

    def __init__(self, places_max: int, strangers_max: int, each_max: int, code: str = "TOO_MANY_WAITERS") -> None:
        self._code = code
        self._max, self._strangers_max, self._each_max = places_max, strangers_max, each_max
        self._taken: Counter[tuple[bool, str]] = Counter()

    @contextmanager
    def taken(self, viewer: Viewer, message: str) -> Iterator[None]:
        known = bool(viewer.signer)
        who = known, viewer.signer or viewer.origin
        strangers = sum(count for (registered, _), count in self._taken.items() if not registered)
        if (
            self._taken.total() >= self._max
            or self._taken[who] >= self._each_max
            or (not known and strangers >= self._strangers_max)
        ):
            raise Refused(Problem(self._code, message, 503))
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            self._taken += Counter()  # forgets those at zero
