"""The door of a channel: its members are let in, to everybody else it looks like a channel that does not exist.

Who is no member is answered by the very same lines whether this node holds such a channel or not: challenges are given
to anybody and for any name, and nothing else is answered but ``CHANNEL_UNKNOWN``. A member is whoever is registered in
the channel's own state: it shows that by a session there, or, when it submits, by the signature on its envelope.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

import msgspec

from api.pace import Pace
from api.pools import BoundedPool
from api.sessions import Sessions
from ledger.authentication import authenticate
from ledger.codes import SENTENCES, Refusal
from ledger.envelope import envelope_from_text
from ledger.ledger import Ledger
from sdk import methods
from sdk.client import CHANNEL_UNKNOWN
from sdk.errors import Problem, Refused
from sdk.streams import StreamEvent, StreamParams

DOOR_THREADS, DOOR_CALLS_MAX, DOOR_TIMEOUT_S = 1, 256, 10.0
"""For signatures of those who are perhaps no members: members' calls have threads of their own."""
DOOR_ORIGIN_CALLS_MAX = 16
"""Of these, at most so many of one address; its others wait."""
STRANGERS_PER_S_MAX = 50
"""Calls a second of one address that show no member, to all channels together, be they there or not."""
NOWHERE = bytes(32)
"""The chain of a channel that this node does not hold: nobody signs for it."""

Handle = Callable[[str, Any, str, str], Awaitable[msgspec.Struct]]
Stream = Callable[[StreamParams, str, str], AsyncGenerator[tuple[StreamEvent, ...]]]
T = TypeVar("T")
Args = TypeVarTuple("Args")


@dataclass(slots=True)
class _Places:
    """One address's places, while it has calls here."""

    free: asyncio.Semaphore
    users: int = 0


class Doorstep:
    """Where all who have yet to show that they are members are looked at, one for all channels of a node. An address is
    charged before the look, and paid back if that finds a member, so that strangers slow nobody but themselves."""

    def __init__(self, calls_max: int = DOOR_CALLS_MAX) -> None:
        self._pool = BoundedPool("door", DOOR_THREADS, calls_max, DOOR_TIMEOUT_S)
        self._pace = Pace(STRANGERS_PER_S_MAX)
        self._places: dict[str, _Places] = {}

    async def look(self, origin: str, call: Callable[[*Args], T | None], *args: *Args) -> T | None:
        """What the call finds, in a thread; None for a stranger. ``Refused`` if too many came from that address."""
        self._pace.charge(origin)
        async with self._place(origin):
            found = await self._pool.run(call, *args)
        self._pace.pay_back(origin)
        if found is None:
            self._pace.refused(origin)
        return found

    @asynccontextmanager
    async def _place(self, origin: str) -> AsyncIterator[None]:
        places = self._places.setdefault(origin, _Places(asyncio.Semaphore(DOOR_ORIGIN_CALLS_MAX)))
        places.users += 1
        try:
            async with places.free:
                yield
        finally:
            places.users -= 1
            if not places.users:
                del self._places[origin]


class Door:
    """``handle`` and ``stream`` are the entries to a channel; to none at all if ``ledger`` and what is inside are left
    out."""

    def __init__(
        self,
        sessions: Sessions,
        doorstep: Doorstep,
        ledger: Ledger | None = None,
        inside: Handle | None = None,
        closed: Callable[[], bool] = lambda: False,
        stream: Stream | None = None,
    ) -> None:
        """``sessions``: this channel's own; ``inside`` answers members, ``stream`` tells them what happens; ``closed``:
        nothing is submitted any more."""
        self._sessions = sessions
        self._doorstep = doorstep
        self._ledger = ledger
        self._inside = inside
        self._closed = closed
        self._stream = stream

    def whose(self, token: str) -> str:
        """The signer whose session here a token is; empty for none."""
        return self._sessions.whose(token, _now_ms())

    async def handle(self, method: str, params: Any, token: str, origin: str = "") -> msgspec.Struct:
        """Answer one call; raises ``Refused``."""
        if method == "challenge":
            return self._sessions.challenge(params.public_key, _now_ms())
        if method == "session":
            self._sessions.check_address(params.node)
            session = await self._doorstep.look(origin, self._open, params)
            if session is None:
                raise unknown()
            return session
        signer = shown = self._sessions.signer(token, _now_ms())
        if signer is None and method == "submit":
            shown = await self._doorstep.look(origin, self._who_signed, params)
        if shown is None or self._ledger is None or self._inside is None:
            raise unknown()
        if method == "submit" and self._closed():
            raise Refused(Problem("CHANNEL_CLOSED", "This channel is closed: it can be read, and nothing more.", 410))
        if method != "submit" and signer is not None:
            self._check_standing(self._ledger, signer)
        return await self._inside(method, params, token, origin)

    async def stream(
        self, params: StreamParams, token: str, origin: str = ""
    ) -> AsyncGenerator[tuple[StreamEvent, ...]]:
        """What happens in the channel, for as long as the reader is a member in good standing."""
        signer = self._sessions.signer(token, _now_ms())
        if signer is None or self._ledger is None or self._stream is None:
            raise unknown()
        self._check_standing(self._ledger, signer)
        async with aclosing(self._stream(params, token, origin)) as stream:
            async for events in stream:
                self._check_standing(self._ledger, signer)
                yield events

    def vouch(self, signer: str) -> str:
        """A session's token for a member whose certificate was seen; empty for anybody else."""
        return self._sessions.vouched(signer, _now_ms()) if self._is_member(signer) else ""

    def _open(self, params: methods.SessionParams) -> methods.Session | None:
        try:
            session = self._sessions.open(params, _now_ms())
        except Refused:
            return None
        return session if self._is_member(session.signer) else None

    def _who_signed(self, params: methods.SubmitParams) -> str | None:
        """The member who signed an envelope first, if it is one, whatever else is wrong with it."""
        try:
            envelope = envelope_from_text(params.payload, [(s.public_key, s.signature) for s in params.signatures])
            envelope.verify()
        except Refusal:
            return None
        # One signed for another channel is perhaps a member's too, and says nothing of who sends it here.
        ours = self._ledger is not None and envelope.payload.chain == self._ledger.genesis.chain_id.hex()
        signer = envelope.payload.signers[0]
        return signer if ours and self._is_member(signer) else None

    def _is_member(self, signer: str) -> bool:
        return self._ledger is not None and self._ledger.reader().get(f"registry/user/{signer}") is not None

    def _check_standing(self, ledger: Ledger, signer: str) -> None:
        """A member that may not act may not read either, and is told why: it knows of the channel."""
        refusal = authenticate(ledger.reader(), signer, (), ledger.time_ms)
        if refusal is not None:
            raise Refused(Problem(refusal, SENTENCES[refusal], 403))


def unknown() -> Refused:
    """What whoever is no member is told, and everybody of a channel that does not exist."""
    message = "There is no such channel here, or it is not yours to see. /v1/channels has the names of all."
    return Refused(Problem(CHANNEL_UNKNOWN, message, 404))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
