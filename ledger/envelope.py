"""Transactions as people sign them: strict JSON bytes, and the envelope that carries them with their signatures.

The payload is signed as it is, byte for byte, so that ``openssl`` and a text editor can make one. The
transaction's id is the payload's SHA-256: re-encoding or malleating a signature changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

import msgspec

from ca.keys import POINT_BYTES, InvalidKey, public_key_from, signer_of
from ca.signatures import verify
from ledger.codes import Refusal, RefusalCode
from pbft.messages import DECODE_ERRORS

PAYLOAD_VERSION = 1
PAYLOAD_BYTES_MAX = 49_152
"""So that the largest shipped contract can be upgraded, and grow. In a REST body, which holds two of it, quotes count
twice."""
SIGNERS_MAX = 8
SIGNATURE_BYTES_MAX = 80
NAME_CHARS_MAX = 64
DEPTH_MAX = 16
INTEGER_BOUND = 2**53
GAS_LIMIT_MAX = 2_000_000
_HEX = frozenset("0123456789abcdef")


class Payload(msgspec.Struct, frozen=True):
    """What a transaction says. ``signers[0]`` owns the nonce and is the caller; ``args`` are bound by name."""

    chain: str
    channel: str
    signers: tuple[str, ...]
    contract: str
    function: str
    args: dict[str, Any]
    nonce: int
    expires_at_height: int
    gas_limit: int


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: bytes
    signatures: tuple[tuple[bytes, bytes], ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and one (65-byte key, signature) per signer. Its shape is checked; its signatures are not, yet."""

    raw: bytes
    hash: bytes
    tx_id: bytes
    payload_bytes: bytes
    payload: Payload
    signatures: tuple[tuple[bytes, bytes], ...]

    def verify(self) -> None:
        """Check every signature (slow, releases the GIL); raises ``Refusal`` SIGNATURE_INVALID."""
        for key, signature in self.signatures:
            if not verify(key, signature, self.payload_bytes):
                raise Refusal(RefusalCode.SIGNATURE_INVALID)


def envelope_from_bytes(raw: bytes) -> Envelope:
    """Read an envelope as nodes exchange it; raises ``Refusal`` for a wrong shape."""
    if len(raw) > PAYLOAD_BYTES_MAX + SIGNERS_MAX * 200:
        raise Refusal(RefusalCode.TOO_LARGE)
    try:
        wire = _decode(raw)
    except DECODE_ERRORS:
        raise Refusal(RefusalCode.PAYLOAD_INVALID, "not an envelope") from None
    return _checked(raw, wire)


def envelope_from_text(payload: str, signatures: Sequence[tuple[bytes, bytes]]) -> Envelope:
    """Build an envelope from a person's payload text and (key in any form, signature) pairs."""
    try:
        pairs = tuple((public_key_from(key), signature) for key, signature in signatures)
    except InvalidKey as error:
        raise Refusal(RefusalCode.SIGNERS_MISMATCH, str(error)) from None
    try:
        wire = _Wire(payload.encode(), pairs)
    except UnicodeEncodeError:
        raise Refusal(RefusalCode.PAYLOAD_INVALID, "not UTF-8") from None
    return _checked(_encode(wire), wire)


def _checked(raw: bytes, wire: _Wire) -> Envelope:
    payload = parse_payload(wire.payload)
    if tuple(signer_of(key) for key, _ in wire.signatures) != payload.signers:
        raise Refusal(RefusalCode.SIGNERS_MISMATCH)
    if any(len(key) != POINT_BYTES or len(signature) > SIGNATURE_BYTES_MAX for key, signature in wire.signatures):
        raise Refusal(RefusalCode.SIGNERS_MISMATCH)
    return Envelope(
        raw=raw,
        hash=sha256(raw).digest(),
        tx_id=sha256(wire.payload).digest(),
        payload_bytes=wire.payload,
        payload=payload,
        signatures=wire.signatures,
    )


# --------------------------------------------------------------------------------------------- the payload

_KEYS = (
    "v", "chain", "channel", "signers", "contract", "function", "args", "nonce", "expires_at_height", "gas_limit",
)  # fmt: skip


def parse_payload(data: bytes) -> Payload:
    """Strict JSON: UTF-8, no BOM, no half surrogate pair, exactly the known keys, none twice, integers below 2^53."""
    if len(data) > PAYLOAD_BYTES_MAX:
        raise Refusal(RefusalCode.TOO_LARGE)
    try:
        tree = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
        if b"\\u" in data:
            _check_text(tree)
    except UnicodeDecodeError:
        _invalid("not UTF-8")
    except RecursionError:
        _invalid(f"nested deeper than {DEPTH_MAX}")
    except ValueError:
        _invalid("not JSON")
    if not isinstance(tree, dict) or set(tree) != set(_KEYS):
        _invalid(f"exactly the keys {', '.join(_KEYS)} are needed")
    return _payload(tree)


def _payload(tree: dict[str, Any]) -> Payload:
    if tree["v"] is True or tree["v"] != PAYLOAD_VERSION:
        _invalid(f"v is {PAYLOAD_VERSION}")
    args = tree["args"]
    if not isinstance(args, dict):
        _invalid("args is an object")
    _check_depth(args, DEPTH_MAX)
    gas_limit = _count(tree, "gas_limit")
    if not 1 <= gas_limit <= GAS_LIMIT_MAX:
        raise Refusal(RefusalCode.GAS_LIMIT_TOO_HIGH, f"1 to {GAS_LIMIT_MAX}")
    return Payload(
        chain=_hex32(tree["chain"], "chain"),
        channel=_name(tree, "channel"),
        signers=_signers(tree["signers"]),
        contract=_name(tree, "contract"),
        function=_name(tree, "function"),
        args=args,
        nonce=_count(tree, "nonce"),
        expires_at_height=_count(tree, "expires_at_height"),
        gas_limit=gas_limit,
    )


def _signers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= SIGNERS_MAX:
        _invalid(f"signers is a list of 1 to {SIGNERS_MAX}")
    signers = tuple(_hex32(item, "signers") for item in value)
    if len(set(signers)) != len(signers):
        _invalid("a signer is named twice")
    return signers


def _hex32(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) != 64 or not _HEX.issuperset(value):
        _invalid(f"{what} takes 64 lower-case hex digits")
    return value


def _name(tree: dict[str, Any], key: str) -> str:
    value = tree[key]
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_CHARS_MAX or not value.isascii():
        _invalid(f"{key} is 1 to {NAME_CHARS_MAX} ASCII characters")
    return value


def _count(tree: dict[str, Any], key: str) -> int:
    value = tree[key]
    if type(value) is not int or value < 0:
        _invalid(f"{key} is a non-negative integer")
    return value


def _check_depth(value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            _invalid(f"nested deeper than {DEPTH_MAX}")
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, depth - 1)


def _check_text(tree: Any) -> None:
    """Escapes can spell half a surrogate pair, which no UTF-8 text holds and nobody could be sent."""
    try:
        json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        _invalid("half a surrogate pair is no text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        _invalid("a key is given twice")
    return tree


def _integer(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) >= INTEGER_BOUND:
        _invalid("integers are below 2^53 in size; write larger ones as decimal text")
    return number


def _no_float(text: str) -> NoReturn:
    _invalid(f"{text[:20]}: only integers are numbers here")


def _invalid(detail: str) -> NoReturn:
    raise Refusal(RefusalCode.PAYLOAD_INVALID, detail)
