"""Who somebody is that has shown to hold a key, and what those are told to whom that gives no identity."""

from __future__ import annotations

from api.privacy import Viewer, is_arbiter
from ca.certificates import Role
from ledger.authentication import USER_PREFIX, standing
from ledger.state import StateReader
from ledger.values import decode_value
from sdk.errors import Problem, Refused

UNREGISTERED = Viewer(bar="NOT_REGISTERED")
"""A session's holder whose key nobody has vouched for: it sees what a stranger sees."""
REVOKED = Viewer(bar="CERTIFICATE_REVOKED")
"""A holder of a key whose certificate was revoked: it may have stolen it, and sees what a stranger sees."""
SENTENCES = {
    "NOT_REGISTERED": "This key is not registered. Register with a certificate first.",
    "CERTIFICATE_REVOKED": "The certificate of this key was revoked: it reads what strangers may.",
}


def who_is(reader: StateReader, signer: str, time_ms: int) -> Viewer:
    """The holder of the key of ``signer``, as the state knows it at block time ``time_ms``."""
    entry = reader.get(USER_PREFIX + signer)
    if entry is None:
        return UNREGISTERED
    user = decode_value(entry.value)
    if is_revoked(reader, user["serial"]):
        return REVOKED
    if standing(user, (), time_ms, reader.get) is not None:
        return Viewer(signer)
    role = user["role"]
    return Viewer(signer, role, decides=role == Role.ARBITER and is_arbiter(reader, signer))


def is_revoked(reader: StateReader, serial: str) -> bool:
    """Whether the chain has revoked a certificate."""
    return reader.get("governance/revoked/" + serial) is not None


def identity_needed(viewer: Viewer, message: str) -> Refused:
    """What ``viewer`` is told who has no identity: to open a session (``message``), or why its own is none."""
    if viewer.bar:
        return Refused(Problem(viewer.bar, SENTENCES[viewer.bar], 403))
    return Refused(Problem("IDENTITY_REQUIRED", message, 401))
