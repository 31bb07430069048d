"""Who is asking: a signed challenge buys a session token for reading. Writing never needs one: envelopes are signed.

Neither challenges nor sessions are kept: both carry the node's own seal (HMAC-SHA256 under a key that it draws when it
starts) and their end, so that however many are asked for, nobody else's is lost. Kept are only the challenges that were
answered, for their minute: each opens one session.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Set

from ca.keys import InvalidKey, public_key_from, signer_of
from ca.signatures import verify
from sdk.client import session_text
from sdk.errors import Problem, Refused
from sdk.methods import Challenge, Session, SessionParams

CHALLENGE_MS = 60_000
SESSION_MS = 3_600_000
RANDOM_BYTES = 16
TIME_BYTES = 8
SEAL_BYTES = 32
SIGNER_BYTES = 32


class Sessions:
    """One a node. At most ``sessions_max`` answered challenges are remembered: the oldest gives way to the newest."""

    def __init__(self, chain_id: bytes, sessions_max: int, addresses: Set[str] = frozenset()) -> None:
        """``addresses``: by which clients know this node (``sdk.node_address``)."""
        self._chain_id = chain_id
        self._addresses = addresses
        self._max = sessions_max
        self._key = secrets.token_bytes(SEAL_BYTES)
        self._answered: OrderedDict[bytes, None] = OrderedDict()

    def challenge(self, public_key: bytes, now_ms: int) -> Challenge:
        """A fresh challenge, good once and for ``CHALLENGE_MS``, for the holder of ``public_key``."""
        signer = signer_of(_point(public_key))
        expires_ms = now_ms + CHALLENGE_MS
        body = secrets.token_bytes(RANDOM_BYTES) + _time(expires_ms)
        return Challenge(body + self._seal(b"challenge", body, signer), expires_ms)

    def open(self, params: SessionParams, now_ms: int) -> Session:
        """Exchange a signed challenge for a token; ``Refused`` with ``CHALLENGE_INVALID`` otherwise."""
        self.check_address(params.node)
        point = _point(params.public_key)
        signer = signer_of(point)
        if params.challenge in self._answered or not self._is_ours(params.challenge, signer, now_ms):
            raise _refusal("CHALLENGE_INVALID", "This challenge is unknown, used or too old. Ask for a new one.")
        if not verify(point, params.signature, session_text(self._chain_id, params.node, params.challenge)):
            raise _refusal("SIGNATURE_INVALID", "The signature does not fit this key and challenge.")
        self._answered[params.challenge] = None
        while len(self._answered) > self._max:
            self._answered.popitem(last=False)
        return self._session(signer, now_ms + SESSION_MS)

    def check_address(self, node: str) -> None:
        """``Refused`` where a client dialled another node, or an impostor that passed on what it signed."""
        if node not in self._addresses:
            message = f"This node is not known as {node}. Dial its own address, or add that to node.NAME.addresses."
            raise Refused(Problem("ADDRESS_UNKNOWN", message, 421))

    def vouched(self, signer: str, now_ms: int) -> str:
        """The token of a session for somebody who has shown by other means who it is."""
        return self._session(signer, now_ms + SESSION_MS).token

    def signer(self, token: str, now_ms: int) -> str | None:
        """Whose session this is; None without a token; ``Refused`` for one that is unknown or over."""
        if not token:
            return None
        signer, expires_ms = self._read(token)
        if not signer or expires_ms < now_ms:
            raise _refusal("SESSION_UNKNOWN", "This session is unknown or over. Open a new one.")
        return signer

    def whose(self, token: str, now_ms: int) -> str:
        """The signer whose session a token is; empty for none, and for one that is unknown or over."""
        signer, expires_ms = self._read(token)
        return signer if expires_ms >= now_ms else ""

    def _session(self, signer: str, expires_ms: int) -> Session:
        body = bytes.fromhex(signer) + _time(expires_ms) + secrets.token_bytes(RANDOM_BYTES)
        token = base64.urlsafe_b64encode(body + self._seal(b"session", body)).decode().rstrip("=")
        return Session(token, signer, expires_ms)

    def _read(self, token: str) -> tuple[str, int]:
        """A token's signer and end; no signer if the seal is not ours."""
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return "", 0
        body, seal = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(b"session", body)):
            return "", 0
        return body[:SIGNER_BYTES].hex(), int.from_bytes(body[SIGNER_BYTES : SIGNER_BYTES + TIME_BYTES])

    def _is_ours(self, challenge: bytes, signer: str, now_ms: int) -> bool:
        body, seal = challenge[:-SEAL_BYTES], challenge[-SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(b"challenge", body, signer)):
            return False
        return now_ms <= int.from_bytes(body[RANDOM_BYTES:])

    def _seal(self, purpose: bytes, body: bytes, signer: str = "") -> bytes:
        return hmac.digest(self._key, b"\n".join((purpose, signer.encode(), body)), "sha256")


def _time(time_ms: int) -> bytes:
    return time_ms.to_bytes(TIME_BYTES)


def _point(public_key: bytes) -> bytes:
    try:
        return public_key_from(public_key)
    except InvalidKey as error:
        raise Refused(Problem("KEY_INVALID", f"This is no P-256 public key: {error}.", 400)) from None


def _refusal(code: str, message: str) -> Refused:
    return Refused(Problem(code, message, 401))
