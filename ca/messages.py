"""What is said to a CA and what it answers, over the network: the same to a node and to `wattq ca serve`.

Where a message has a ``proof``, that is an ECDSA signature (r || s or DER) over the text beside it, by the key that the
text is about: so whoever passes a message on can change nothing in it. Bytes are base64 in JSON, times UTC ms.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ca.certificates import NAME_CHARS_MAX

KEY_BYTES_MAX, SIGNATURE_BYTES_MAX, DER_BYTES_MAX = 201, 81, 4_098
"""Multiples of three, so that base64 has the same bound; what is certified has ``CERTIFICATE_BYTES_MAX`` at most."""
REASON_CHARS_MAX, CALLER_CHARS_MAX = 200, 64
CODE_PROOF_BYTES_MAX = 33
"""A mask's 32 bytes, up to a multiple of three."""

Der = Annotated[bytes, Meta(max_length=DER_BYTES_MAX)]
Name = Annotated[str, Meta(max_length=NAME_CHARS_MAX)]
Proof = Annotated[bytes, Meta(max_length=SIGNATURE_BYTES_MAX)]
CodeId = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
CodeProofBytes = Annotated[bytes, Meta(max_length=CODE_PROOF_BYTES_MAX)]
Serial = Annotated[str, Meta(pattern="^[0-9a-f]{1,40}$")]
RegistrationId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Time = Annotated[int, Meta(ge=0, le=2**53)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what is asked: unknown names are refused, never ignored."""


class Application(Message, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody asks for a certificate: by a PKCS#10 ``request`` (DER), or by ``public_key`` and names with a ``proof``
    over ``application_text``. ``code_id`` and ``code_proof``: that there is a one-time admission code, which itself is
    never sent (``ca.codes.prove``). ``caller``: for whom a node passes this on, as that node knows it; who says so of
    himself only divides his own share of the waiting room."""

    request: Der = b""
    public_key: Annotated[bytes, Meta(max_length=KEY_BYTES_MAX)] = b""
    name: Name = ""
    organisation: Name = ""
    role: Annotated[str, Meta(max_length=16)] = ""
    proof: Proof = b""
    code_id: CodeId = ""
    code_proof: CodeProofBytes = b""
    caller: Annotated[str, Meta(max_length=CALLER_CHARS_MAX)] = ""


class Inquiry(Message, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a registration stands."""

    registration: RegistrationId


class Renewal(Message, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The holder of a certificate asks for the next one; ``proof`` is over ``renewal_text``, by the holder's key."""

    serial: Serial
    proof: Proof


class WaitingList(Message, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operator asks who waits; ``proof`` is over ``waiting_text``, by the key of ``certificate``."""

    certificate: Der
    time_ms: Time
    proof: Proof


class Decision(Message, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operator admits or refuses who waits; ``proof`` is over ``decision_text``, by the key of ``certificate``."""

    certificate: Der
    registration: RegistrationId
    verdict: Literal["approve", "refuse"]
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)] = ""
    time_ms: Time
    proof: Proof


class Registration(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an application stands. ``certificate`` (DER) and ``serial`` if it is issued, ``reason`` if it is refused."""

    registration: str
    state: Literal["issued", "waiting", "refused"]
    certificate: bytes = b""
    serial: str = ""
    reason: str = ""


class Renewed(msgspec.Struct, frozen=True):
    """The next certificate (DER) of the same key, with the same names, role, attributes and hosts."""

    certificate: bytes
    serial: str


class Waiting(msgspec.Struct, frozen=True):
    """Somebody who waits for an operator's decision."""

    registration: str
    name: str
    organisation: str
    role: str
    signer: str
    time_ms: int


class WaitingRoom(msgspec.Struct, frozen=True):
    """All who wait, the oldest first."""

    waiting: tuple[Waiting, ...]


class Roots(msgspec.Struct, frozen=True):
    """Certificates (DER) of CAs: those that a node's state accepts, or a CA's own with what is above it."""

    roots: tuple[bytes, ...]


def application_text(name: str, organisation: str, role: str, code_id: str) -> bytes:
    """Proves possession of the key that is to be certified."""
    return "\n".join(("wattquorum/1 enrol", name, organisation, role, code_id)).encode()


def code_text(signer: str, name: str, organisation: str, role: str) -> bytes:
    """What an admission code is shown for; ``signer`` is that of the key that is to be certified."""
    return "\n".join(("wattquorum/1 code", signer, name, organisation, role)).encode()


def renewal_text(serial: str) -> bytes:
    """Needs no time: who repeats it gets the certificate that it brought the first time."""
    return f"wattquorum/1 renew\n{serial}".encode()


def waiting_text(ca: str, time_ms: int) -> bytes:
    """``ca``: for which CA it is meant, by its key's identifier (``ca.issuing.key_id_of``). Elsewhere it is nothing."""
    return f"wattquorum/1 waiting\n{ca}\n{time_ms}".encode()


def decision_text(ca: str, registration: str, verdict: str, reason: str, time_ms: int) -> bytes:
    """``ca`` as in ``waiting_text``."""
    return "\n".join(("wattquorum/1 decide", ca, registration, verdict, str(time_ms), reason)).encode()
