"""Who is asking: a signed challenge buys a session token for reading. Writing never needs one: envelopes are signed."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from ca.keys import InvalidKey, public_key_from, signer_of
from ca.signatures import verify
from sdk.client import session_text
from sdk.errors import Problem, Refused
from sdk.methods import Challenge, Session, SessionParams

CHALLENGE_BYTES = 32
CHALLENGE_MS = 60_000
SESSION_MS = 3_600_000

Key = TypeVar("Key", str, bytes)


@dataclass(frozen=True, slots=True)
class _Until:
    signer: str
    expires_ms: int


class Sessions:
    """Open challenges and sessions, each table bounded: the oldest entry gives way to the newest."""

    def __init__(self, chain_id: bytes, sessions_max: int) -> None:
        self._chain_id = chain_id
        self._max = sessions_max
        self._challenges: OrderedDict[bytes, _Until] = OrderedDict()
        self._sessions: OrderedDict[str, _Until] = OrderedDict()

    def challenge(self, public_key: bytes, now_ms: int) -> Challenge:
        """A fresh challenge, good once and for ``CHALLENGE_MS``, for the holder of ``public_key``."""
        text = secrets.token_bytes(CHALLENGE_BYTES)
        until = _Until(signer_of(_point(public_key)), now_ms + CHALLENGE_MS)
        self._keep(self._challenges, text, until)
        return Challenge(text, until.expires_ms)

    def open(self, params: SessionParams, now_ms: int) -> Session:
        """Exchange a signed challenge for a token; ``Refused`` with ``CHALLENGE_INVALID`` otherwise."""
        point = _point(params.public_key)
        asked = self._challenges.pop(params.challenge, None)
        if asked is None or asked.signer != signer_of(point) or asked.expires_ms < now_ms:
            raise _refusal("CHALLENGE_INVALID", "This challenge is unknown, used or too old. Ask for a new one.")
        if not verify(point, params.signature, session_text(self._chain_id, params.challenge)):
            raise _refusal("SIGNATURE_INVALID", "The signature does not fit this key and challenge.")
        token = secrets.token_urlsafe(32)
        until = _Until(asked.signer, now_ms + SESSION_MS)
        self._keep(self._sessions, token, until)
        return Session(token, until.signer, until.expires_ms)

    def signer(self, token: str, now_ms: int) -> str | None:
        """Whose session this is; None without a token; ``Refused`` for one that is unknown or over."""
        if not token:
            return None
        session = self._sessions.get(token)
        if session is None or session.expires_ms < now_ms:
            raise _refusal("SESSION_UNKNOWN", "This session is unknown or over. Open a new one.")
        return session.signer

    def _keep(self, table: OrderedDict[Key, _Until], key: Key, until: _Until) -> None:
        table[key] = until
        while len(table) > self._max:
            table.popitem(last=False)


def _point(public_key: bytes) -> bytes:
    try:
        return public_key_from(public_key)
    except InvalidKey as error:
        raise Refused(Problem("KEY_INVALID", f"This is no P-256 public key: {error}.", 400)) from None


def _refusal(code: str, message: str) -> Refused:
    return Refused(Problem(code, message, 401))
