"""A meter's replacement, as an order that somebody signs and a gateway carries out.

It says what the old meter showed at its end and the new one at its beginning. The order is JSON, signed as the bytes it
is behind ``PREFIX``, which no payload of a transaction begins with.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import msgspec
from msgspec import Meta

from ca.keys import InvalidKey, SigningKey, public_key_from, signer_of
from ca.signatures import verify
from sdk.errors import UNREADABLE, Problem, Refused
from sdk.methods import SignatureText

PREFIX = b"wattquorum/1 replacement\n"
PAYLOAD_CHARS_MAX = 2_048

Whole = Annotated[int, Meta(ge=0, lt=2**53)]


class Replacement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At ``time_ms`` ``meter`` was replaced. ``epoch``: the new one, one above the old. Counters in Wh."""

    chain: str
    meter: Annotated[str, Meta(min_length=1, max_length=64)]
    epoch: Annotated[int, Meta(ge=1, lt=2**53)]
    time_ms: Whole
    old_import_wh: Whole
    old_export_wh: Whole
    new_import_wh: Whole = 0
    new_export_wh: Whole = 0


class ReplacementOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``payload`` is the JSON text of a ``Replacement``."""

    payload: Annotated[str, Meta(max_length=PAYLOAD_CHARS_MAX)]
    signature: SignatureText


def order_of(replacement: Replacement, key: SigningKey) -> ReplacementOrder:
    """The order, signed."""
    payload = msgspec.json.encode(replacement)
    return ReplacementOrder(payload=payload.decode(), signature=_signature(key, PREFIX + payload))


def _signature(key: SigningKey, data: bytes) -> SignatureText:
    return SignatureText(public_key=key.public_key, signature=key.sign(data))


def replacement_of(order: ReplacementOrder, chain: str, signers: Collection[str]) -> Replacement:
    """What an order says; ``Refused`` unless it is for this chain and signed by one of ``signers``."""
    try:
        point = public_key_from(order.signature.public_key)
    except InvalidKey as error:
        raise _refused("SIGNATURE_INVALID", f"The order's key is none: {error}.", 400) from None
    if signer_of(point) not in signers:
        raise _refused(
            "NOT_YOURS", "This key may not replace meters here. The gateway's configuration names who may.", 403
        )
    if not verify(point, order.signature.signature, PREFIX + order.payload.encode()):
        raise _refused("SIGNATURE_INVALID", "The signature does not fit the order.", 403)
    try:
        replacement = msgspec.json.decode(order.payload, type=Replacement)
    except UNREADABLE as error:
        raise _refused("PARAMETERS_INVALID", f"This is no replacement: {error}.", 400) from None
    if replacement.chain != chain:
        raise _refused("PARAMETERS_INVALID", "The order is for another chain.", 400)
    return replacement


def _refused(code: str, message: str, status: int) -> Refused:
    return Refused(Problem(code, message, status))
