"""The door of a channel: its members are let in, to everybody else it looks like a channel that does not exist.

Who is no member is answered by the very same lines whether this node holds such a channel or not: challenges are given
to anybody and for any name, and nothing else is answered but ``CHANNEL_UNKNOWN``. A member is whoever is registered in
the channel's own state: it shows that by a session there, or, when it submits, by the signature on its envelope.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from api.pools import BoundedPool
from api.sessions import Sessions
from ledger.authentication import authenticate
from ledger.codes import SENTENCES, Refusal
from ledger.envelope import envelope_from_text
from ledger.ledger import Ledger
from sdk import methods
from sdk.client import CHANNEL_UNKNOWN
from sdk.errors import Problem, Refused

DOOR_THREADS, DOOR_CALLS_MAX, DOOR_TIMEOUT_S = 1, 256, 10.0
"""For signatures of those who are perhaps no members: members' calls have threads of their own."""
NOWHERE = bytes(32)
"""The chain of a channel that this node does not hold: nobody signs for it."""

Handle = Callable[[str, Any, str, str], Awaitable[msgspec.Struct]]


class Door:
    """``handle`` is the one entry to a channel; to none at all if ``ledger`` and ``inside`` are left out."""

    def __init__(
        self,
        sessions: Sessions,
        pool: BoundedPool,
        ledger: Ledger | None = None,
        inside: Handle | None = None,
        closed: Callable[[], bool] = lambda: False,
    ) -> None:
        """``sessions``: this channel's own; ``inside`` answers members; ``closed``: nothing is submitted any more."""
        self._sessions = sessions
        self._pool = pool
        self._ledger = ledger
        self._inside = inside
        self._closed = closed

    async def handle(self, method: str, params: Any, token: str, origin: str = "") -> msgspec.Struct:
        """Answer one call; raises ``Refused``."""
        if method == "challenge":
            return self._sessions.challenge(params.public_key, _now_ms())
        if method == "session":
            return await self._pool.run(self._open, params)
        signer = self._sessions.signer(token, _now_ms())
        shown = signer is not None or (method == "submit" and await self._pool.run(self._has_signed, params))
        if not shown or self._ledger is None or self._inside is None:
            raise unknown()
        if method == "submit" and self._closed():
            raise Refused(Problem("CHANNEL_CLOSED", "This channel is closed: it can be read, and nothing more.", 410))
        if method != "submit" and signer is not None:
            self._check_standing(self._ledger, signer)
        return await self._inside(method, params, token, origin)

    def _open(self, params: methods.SessionParams) -> methods.Session:
        try:
            session = self._sessions.open(params, _now_ms())
        except Refused:
            raise unknown() from None
        if not self._is_member(session.signer):
            raise unknown()
        return session

    def _has_signed(self, params: methods.SubmitParams) -> bool:
        """Whether a member has signed an envelope first, whatever else is wrong with it."""
        try:
            envelope = envelope_from_text(params.payload, [(s.public_key, s.signature) for s in params.signatures])
            envelope.verify()
        except Refusal:
            return False
        # One signed for another channel is perhaps a member's too, and says nothing of who sends it here.
        ours = self._ledger is not None and envelope.payload.chain == self._ledger.genesis.chain_id.hex()
        return ours and self._is_member(envelope.payload.signers[0])

    def _is_member(self, signer: str) -> bool:
        return self._ledger is not None and self._ledger.reader().get(f"registry/user/{signer}") is not None

    def _check_standing(self, ledger: Ledger, signer: str) -> None:
        """A member that may not act may not read either, and is told why: it knows of the channel."""
        refusal = authenticate(ledger.reader(), signer, (), ledger.time_ms)
        if refusal is not None:
            raise Refused(Problem(refusal, SENTENCES[refusal], 403))


def door_pool() -> BoundedPool:
    return BoundedPool("door", DOOR_THREADS, DOOR_CALLS_MAX, DOOR_TIMEOUT_S)


def unknown() -> Refused:
    """What whoever is no member is told, and everybody of a channel that does not exist."""
    message = "There is no such channel here, or it is not yours to see. /v1/channels has the names of all."
    return Refused(Problem(CHANNEL_UNKNOWN, message, 404))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
