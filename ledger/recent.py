"""What was used last, up to so many bytes of memory: two generations, of which the older one is forgotten as a whole.

An exact order of use would cost each look at an entry a write; here only an entry's first use in a generation does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A cache of one thread. ``weigh`` says what an entry takes in memory, in bytes; ``bytes_max`` bounds their sum,
    but for one entry more."""

    def __init__(self, bytes_max: int, weigh: Callable[[K, V], int]) -> None:
        self._half_bytes = bytes_max // 2
        self._weigh = weigh
        self._young: dict[K, V] = {}
        self._older: dict[K, V] = {}
        self._young_bytes = 0

    def find(self, key: K, missing: V) -> V:
        """What is kept under ``key``, or ``missing``."""
        found = self._young.get(key, missing)
        if found is missing and (found := self._older.get(key, missing)) is not missing:
            self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> None:
        young, weigh = self._young, self._weigh
        if key in young:
            self._young_bytes -= weigh(key, young[key])
        young[key] = value
        self._young_bytes += weigh(key, value)
        if self._young_bytes > self._half_bytes:
            self._older, self._young, self._young_bytes = young, {}, 0

    def drop(self, key: K) -> None:
        self._older.pop(key, None)
        if key in self._young:
            self._young_bytes -= self._weigh(key, self._young.pop(key))
