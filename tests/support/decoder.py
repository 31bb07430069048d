"""A reader of bytes from outside, as the tables of ``decoders`` have them, and what their rows are made with."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Refusals = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Decoder:
    """``read`` takes any bytes; ``samples`` are bytes that it reads without a refusal, or with one, as they come."""

    read: Callable[[bytes], object]
    refusals: Refusals
    samples: Callable[[], Sequence[bytes]]


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """For what is given a text, whoever decoded it."""
    return lambda data: read(data.decode("utf-8", "replace"))


def tree(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    """For what is given a tree of JSON."""

    def tree_of(data: bytes) -> object:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return read(found)

    return tree_of


def dumped(*trees: object) -> list[bytes]:
    return [json.dumps(each).encode() for each in trees]


def deepened(sample: bytes, depth: int = 20_000) -> bytes:
    """A msgpack array with one more item, which a decoder passes over and which is nested too deep for that; what is
    none comes as it is."""
    if not sample or not 0x90 <= sample[0] < 0x9F:
        return sample
    return bytes([sample[0] + 1]) + sample[1:] + b"\x91" * depth + b"\xc0"


def a_place() -> Path:
    """A directory, until the process ends."""
    place = Path(tempfile.mkdtemp(prefix="wattq-decoders-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
