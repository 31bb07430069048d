"""What anybody may send to a CA that serves apart from any node, by chance: bytes of TLS and HTTP, and applications,
renewals and decisions that are near enough to be understood, and often enough wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import strategies as st
from stream_fuzz import HEAD_END, WITHIN_S, header_bytes, jsons, texts

from ca.authority import Authority, Issued
from ca.certificates import Role
from ca.keys import SigningKey
from ca.messages import application_text, decision_text, renewal_text, waiting_text
from sdk.methods import ENROLMENT

SILENT_S = 0.2
"""Whoever says nothing over TLS for so long has nothing to say: no end that we send tells it that we have."""
ROLES = [role.value for role in Role]
PATHS = sorted({method.path.replace("{registration}", "0" * 32) for method in ENROLMENT})


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(frozen=True)
class People:
    """Who is known to a CA, and whose signatures are good: an operator, a seller and an applicant."""

    authority: Authority
    operator: SigningKey
    operators: Issued
    seller: SigningKey
    sellers: Issued

    time_ms: int
    fresh: list[SigningKey] = field(default_factory=lambda: [SigningKey.from_seed(b"fresh %d" % n) for n in range(3)])

    def proofs(self, drawn: tuple[int, str, str, str, int]) -> dict[str, Any]:
        """A body that its signer has signed, for one of the calls."""
        which, role, verdict, words, shift_ms = drawn
        key, at = self.fresh[which % len(self.fresh)], max(0, self.time_ms + shift_ms)
        ca = self.authority.key_id
        registration = f"{which:032x}"
        match which % 5:
            case 0:
                return {"request": b64(request_of(key, words, role))}
            case 1:
                named = {"name": words, "organisation": "house", "role": role}
                proof = b64(key.sign(application_text(words, "house", role, "")))
                return {**named, "public_key": b64(key.public_key), "proof": proof}
            case 2:
                return {
                    "serial": self.sellers.serial,
                    "proof": b64(self.seller.sign(renewal_text(self.sellers.serial))),
                }
            case 3:
                proof = b64(self.operator.sign(waiting_text(ca, at)))
                return {"certificate": b64(self.operators.certificate_der), "time_ms": at, "proof": proof}
            case _:
                text = decision_text(ca, registration, verdict, words, at)
                body = {"registration": registration, "verdict": verdict, "reason": words, "time_ms": at}
                return {
                    **body,
                    "certificate": b64(self.operators.certificate_der),
                    "proof": b64(self.operator.sign(text)),
                }


def request_of(key: SigningKey, name: str, role: str) -> bytes:
    """A request of the key's holder, under a name that no rules of ours have looked at."""
    short = name.encode()[:64].decode(errors="ignore")  # the library counts bytes, and warns of more
    names = [(NameOID.COMMON_NAME, short or "x"), (NameOID.ORGANIZATION_NAME, "house")]
    parts = [*names, (NameOID.ORGANIZATIONAL_UNIT_NAME, role)]
    subject = x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in parts])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key.private, SHA256())
    return made.public_bytes(Encoding.DER)


def bodies(people: People) -> st.SearchStrategy[Any]:
    """Whole, with some members exchanged or left out, or any JSON at all."""
    parts = st.tuples(
        st.integers(0, 9),
        st.sampled_from(ROLES),
        st.sampled_from(["approve", "refuse"]),
        st.text(max_size=30) | st.sampled_from(["", "olga", "A\nB", "pаypal", "\u202e", "x" * 200]),
        st.sampled_from([0, 1, -1, 400_000, -400_000]),
    )
    whole = parts.map(people.proofs)
    others = st.dictionaries(
        st.sampled_from(
            ["request", "public_key", "name", "role", "proof", "serial", "code_id", "code_proof", "time_ms"]
        ),
        jsons | st.binary(max_size=60).map(b64),
        max_size=3,
    )
    mixed = st.builds(lambda one, changed: {**one, **changed}, whole, others)
    lacking = st.builds(
        lambda one, name: {k: v for k, v in one.items() if k != name}, whole, st.sampled_from(list(MIX))
    )
    return whole | whole | mixed | lacking | others | jsons


MIX = ("request", "proof", "certificate", "serial", "time_ms", "name")


def calls(people: People) -> st.SearchStrategy[bytes]:
    """A request as it goes over TLS, mostly whole; its head and its length may be wrong."""
    body = (
        bodies(people).map(lambda value: json.dumps(value).encode())
        | st.binary(max_size=100)
        | st.integers(1, 9_000).map(lambda depth: b"[" * depth)
    )
    paths = st.sampled_from(PATHS) | texts.map(lambda text: "/v1/registrations/" + quote(text, safe=""))
    return st.builds(
        _request,
        st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "HEAD", "TRACE"]),
        paths,
        st.sampled_from([b"application/json", b"application/json", b"text/plain", b"application/json; charset=utf-7"]),
        st.lists(st.tuples(st.sampled_from([b"Authorization", b"Expect", b"X-Request-Id"]), header_bytes), max_size=2),
        body,
        st.sampled_from([0, 0, 0, 0, 1, -1, 40_000]),
    )


def _request(
    verb: str, path: str, kind: bytes, headers: list[tuple[bytes, bytes]], body: bytes, off_bytes: int
) -> bytes:
    size = max(0, len(body) + off_bytes)
    lines = [f"{verb} {path} HTTP/1.1".encode(), b"Host: ca", b"Connection: close", b"Content-Type: " + kind]
    lines += [name + b": " + value for name, value in headers] + [b"Content-Length: %d" % size]
    return b"\r\n".join(lines) + HEAD_END + body


def streams(people: People) -> st.SearchStrategy[bytes]:
    """What a connection carries: calls, some of them cut off or run together, and what is no HTTP at all."""
    cut = st.builds(lambda call, at: call[:at], calls(people), st.integers(0, 400))
    long = st.integers(1, 20_000).map(lambda size: b"GET " + b"/" * size + b" HTTP/1.1\r\n\r\n")
    lines = st.sampled_from([b"\r\n" * 50, b"PRI * HTTP/2.0\r\n\r\n", b"\0" * 99])
    chunked = st.binary(max_size=80).map(
        lambda data: b"POST /v1/registrations HTTP/1.1\r\nHost: ca\r\nTransfer-Encoding: chunked\r\n\r\n" + data
    )
    return st.lists(calls(people) | cut | lines | long | chunked | st.binary(max_size=200), min_size=1, max_size=4).map(
        b"".join
    )


async def sent(port: int, tls: ssl.SSLContext | None, data: bytes, *, whole: bool = False) -> bytes:
    """All that is answered to these bytes and to the end behind them; ``tls``: None for bytes without it. ``whole``:
    they are a request that ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    found = b""
    try:
        async with asyncio.timeout(WITHIN_S):
            writer.write(data)
            if tls is None:
                writer.write_eof()
            while more := await _some(reader, WITHIN_S if tls is None or whole else SILENT_S):
                found += more
    finally:
        writer.transport.abort()
    return found


async def _some(reader: asyncio.StreamReader, patience_s: float) -> bytes:
    """What comes next; nothing at the end, or when nothing comes any more: TLS has no half-closed connections."""
    try:
        async with asyncio.timeout(patience_s):
            return await reader.read(65_536)
    except (OSError, TimeoutError):
        return b""
