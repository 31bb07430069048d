"""Frames that the nodes of one world receive: each is decoded by a real gate once, and its message shared.

Messages never change, and what a gate makes of a frame depends on the frame and on what its epoch bounds counts by.
"""

from __future__ import annotations

from typing import TypeAlias

from pbft.config import ReplicaConfig
from pbft.gate import Gate
from pbft.messages import Message, split_frame

FRAMES_KEPT_MAX = 4_096
"""Frames that stay decoded for those who receive them later; the oldest give way, and would be decoded again."""

_Question: TypeAlias = tuple[bytes, int, int]


class Frames:
    """A world's memory of decoded frames."""

    def __init__(self) -> None:
        self._known: dict[_Question, tuple[int, Message]] = {}

    def open(self, frame: bytes, gate: Gate, config: ReplicaConfig) -> tuple[int, Message]:
        """The sender's epoch, and the message as ``gate`` decodes it for ``config``; raises ``Rejected``."""
        question = (frame, config.n, config.window_blocks)
        found = self._known.get(question)
        if found is None:
            epoch, content = split_frame(frame)
            found = self._known[question] = (epoch, gate.decode(content))
            if len(self._known) > FRAMES_KEPT_MAX:
                del self._known[next(iter(self._known))]
        return found
