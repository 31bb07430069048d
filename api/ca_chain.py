"""What a CA that serves apart from any node knows of the chain: whether a certificate was revoked there.

It asks nodes for the proof of `governance/revoked/<serial>`, as everybody may who knows the serial, and believes what
enough validators have signed, at no earlier height than it has seen. It asks when it matters: before it renews,
certifies a key that it knows, or admits by an operator's decision. While no node answers it does none of these.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from ca.codes import AdmissionRefused
from ledger.proofs import ProofInvalid, VerifiedEntry
from sdk.client import AsyncClient
from sdk.errors import SdkError

REVOKED_PREFIX = "governance/revoked/"
ASK_S_MAX = 5.0
"""How long one question may take, at all nodes together; the CA's directory is locked meanwhile."""
BELIEVED_S = 30.0
"""How long the answer that a certificate is not revoked is believed, and for how long it is not asked again in vain."""
ANSWERS_MAX = 10_000
LOOK_S = 60.0
"""How often it looks how far the chain is, asked or not, so that its health says how old its knowledge is."""
NO_SERIAL = "0"
FAULT_CHARS_MAX = 200


class ChainKnowledge(msgspec.Struct, frozen=True):
    """``age_s``: since a node last answered with a proof, null if none ever has; that was of the block at ``height``
    and ``block_time_ms``. ``fault``: why none answers now, or empty."""

    age_s: float | None
    height: int
    block_time_ms: int
    fault: str


@dataclass(slots=True)
class _Answer:
    revoked: bool
    at_s: float


class ChainRevocations:
    """``clients``: without a key, each of one node. ``is_revoked`` is for threads, all else for the event loop."""

    def __init__(self, clients: Sequence[AsyncClient], now_s: Callable[[], float] = time.monotonic) -> None:
        self._clients, self._now_s = deque(clients), now_s
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, _Answer] = {}
        self._last: VerifiedEntry | None = None
        self._last_s = 0.0
        self._fault, self._failed_s = "", -BELIEVED_S

    def is_revoked(self, serial: str) -> bool:
        """Whether the chain has revoked a certificate; ``AdmissionRefused`` CHAIN_UNREACHABLE while no node says so."""
        known = self._answers.get(serial)
        if known is not None and (known.revoked or self._now_s() - known.at_s < BELIEVED_S):
            return known.revoked
        return asyncio.run_coroutine_threadsafe(self._ask(serial), self._loop).result()

    async def run(self) -> None:
        """Look every ``LOOK_S``, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """See how far the chain is."""
        try:
            await self._proof(NO_SERIAL)
        except AdmissionRefused:
            return  # health tells it

    def knowledge(self) -> ChainKnowledge:
        last, fault = self._last, self._fault
        if last is None:
            return ChainKnowledge(None, 0, 0, fault)
        return ChainKnowledge(round(self._now_s() - self._last_s, 1), last.height, last.time_ms, fault)

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))

    async def _ask(self, serial: str) -> bool:
        if self._fault and self._now_s() - self._failed_s < BELIEVED_S:
            raise _unreachable()
        found = await self._proof(serial)
        while len(self._answers) >= ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]
        self._answers[serial] = _Answer(found.version is not None, self._now_s())
        return found.version is not None

    async def _proof(self, serial: str) -> VerifiedEntry:
        """By the first node whose proof holds, from the one that answered last."""
        fault = ""
        try:
            async with asyncio.timeout(ASK_S_MAX):
                for _ in range(len(self._clients)):
                    try:
                        return await self._proof_of(self._clients[0], serial)
                    except (SdkError, ProofInvalid) as error:
                        fault = str(error)
                        self._clients.rotate(-1)
        except TimeoutError:
            fault = f"no answer within {ASK_S_MAX:g} s"
            self._clients.rotate(-1)
        self._fault, self._failed_s = fault[:FAULT_CHARS_MAX], self._now_s()
        raise _unreachable()

    async def _proof_of(self, client: AsyncClient, serial: str) -> VerifiedEntry:
        """At the height that was seen last, or above it: a node that lags, or lies about the past, does not count."""
        seen = 0 if self._last is None else self._last.height
        found, _ = await client.proof(REVOKED_PREFIX + serial, seen)
        self._last, self._last_s, self._fault = found, self._now_s(), ""
        return found


def _unreachable() -> AdmissionRefused:
    message = "the CA cannot ask the chain now which certificates are revoked; try again shortly"
    return AdmissionRefused("CHAIN_UNREACHABLE", message)
