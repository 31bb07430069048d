"""A node behind REST that answers what the test says."""

from __future__ import annotations

from typing import Any

from sdk import methods
from sdk.methods import Method, P, R
from sdk.transports import ANSWER_TIMEOUT_S


class FakeNode:
    """The node behind REST: gives ``answer``, or raises it."""

    endpoint = "fake"

    def __init__(self) -> None:
        self.answer: Any = methods.Headers(())
        self.origins: set[str] = set()
        self.calls: list[tuple[str, Any, str]] = []
        self.channels: list[str] = []

    async def call(
        self,
        method: Method[P, R],
        params: P,
        token: str = "",
        timeout_s: float = ANSWER_TIMEOUT_S,
        origin: str = "",
    ) -> R:
        self.origins.add(origin)
        self.calls.append((method.name, params, token))
        self.channels.append(method.channel)
        if isinstance(self.answer, Exception):
            raise self.answer
        result: R = self.answer
        return result

    async def close(self) -> None:
        pass
