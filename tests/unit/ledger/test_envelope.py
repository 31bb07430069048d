"""The envelope: one signature per signer, in order, of either form and either s; the id is the payload's hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from ledgers import ALICE, BOB, CAROL, envelope, payload_of

from ca.keys import SigningKey
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import PAYLOAD_BYTES_MAX, Envelope, envelope_from_bytes, envelope_from_text

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
TEXT = json.dumps(payload_of([ALICE]))
RAW = ALICE.sign(TEXT.encode())


def with_other_s(signature: bytes) -> bytes:
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def as_der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


FORMS = [RAW, with_other_s(RAW), as_der(RAW), as_der(with_other_s(RAW))]


def signed(text: str, keys: Sequence[SigningKey]) -> Envelope:
    return envelope_from_text(text, [(key.public_key, key.sign(text.encode())) for key in keys])


def refused(text: str, pairs: list[tuple[bytes, bytes]]) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        envelope_from_text(text, pairs).verify()
    return caught.value.code


@pytest.mark.parametrize("signature", FORMS, ids=["r||s", "r||s, other s", "DER", "DER, other s"])
def test_r_s_and_der_with_either_s_are_good(signature: bytes) -> None:
    made = envelope_from_text(TEXT, [(ALICE.public_key, signature)])
    made.verify()
    assert made.tx_id == sha256(TEXT.encode()).digest()


def test_the_id_does_not_depend_on_the_signature_but_the_hash_does() -> None:
    made = [envelope_from_text(TEXT, [(ALICE.public_key, signature)]) for signature in FORMS]
    assert len({item.tx_id for item in made}) == 1
    assert len({item.hash for item in made}) == len(FORMS)


def test_a_key_may_come_as_subject_public_key_info() -> None:
    spki = ALICE.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert envelope_from_text(TEXT, [(spki, RAW)]) == envelope_from_text(TEXT, [(ALICE.public_key, RAW)])


def test_an_envelope_travels_as_bytes() -> None:
    made = signed(json.dumps(payload_of([ALICE, BOB])), [ALICE, BOB])
    assert envelope_from_bytes(made.raw) == made


@pytest.mark.parametrize("keys", [[BOB, ALICE], [ALICE], [ALICE, BOB, CAROL], [ALICE, ALICE], [ALICE, CAROL], []])
def test_signatures_are_one_per_signer_in_their_order(keys: list[SigningKey]) -> None:
    text = json.dumps(payload_of([ALICE, BOB]))
    signed(text, [ALICE, BOB]).verify()
    assert refused(text, [(key.public_key, key.sign(text.encode())) for key in keys]) is RefusalCode.SIGNERS_MISMATCH


@pytest.mark.parametrize("position", [0, 1])
def test_each_of_several_signatures_counts(position: int) -> None:
    text = json.dumps(payload_of([ALICE, BOB]))
    pairs = [(key.public_key, key.sign(text.encode())) for key in (ALICE, BOB)]
    pairs[position] = (pairs[position][0], CAROL.sign(text.encode()))
    assert refused(text, pairs) is RefusalCode.SIGNATURE_INVALID


@pytest.mark.parametrize("signature", [b"", bytes(64), RAW[:-1], b"\x30\x00", RAW + b"\x00", bytes(80)])
def test_a_malformed_signature_is_a_wrong_one(signature: bytes) -> None:
    assert refused(TEXT, [(ALICE.public_key, signature)]) is RefusalCode.SIGNATURE_INVALID


def test_a_signature_covers_every_byte_of_the_payload() -> None:
    assert refused(TEXT + " ", [(ALICE.public_key, RAW)]) is RefusalCode.SIGNATURE_INVALID


@pytest.mark.parametrize("key", [b"", bytes(65), b"\x04" + bytes(64), ALICE.public_key[:-1], b"\x02" + bytes(32)])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    assert refused(TEXT, [(key, RAW)]) is RefusalCode.SIGNERS_MISMATCH


def test_a_signature_is_never_longer_than_der_needs() -> None:
    assert refused(TEXT, [(ALICE.public_key, bytes(81))]) is RefusalCode.SIGNERS_MISMATCH


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(msgspec.msgpack.encode([TEXT.encode()]), id="without signatures"),
        pytest.param(msgspec.msgpack.encode([TEXT, [[ALICE.public_key, RAW]]]), id="text for bytes"),
        pytest.param(msgspec.msgpack.encode([TEXT.encode(), [[ALICE.public_key]]]), id="half a pair"),
        pytest.param(envelope(ALICE).raw + b"\x00", id="bytes behind it"),
        pytest.param(msgspec.msgpack.encode([TEXT.encode(), [[ALICE.public_key, RAW]], 1]), id="an item too many"),
        pytest.param(b"\x92" + b"\x91" * 30_000, id="nested without end"),
    ],
)
def test_bytes_of_another_shape_are_no_envelope(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        envelope_from_bytes(raw)
    assert caught.value.code is RefusalCode.PAYLOAD_INVALID


def test_more_bytes_than_any_envelope_has_are_not_even_read() -> None:
    with pytest.raises(Refusal) as caught:
        envelope_from_bytes(bytes(2 * PAYLOAD_BYTES_MAX))
    assert caught.value.code is RefusalCode.TOO_LARGE


def test_a_text_without_utf_8_form_is_refused() -> None:
    assert refused(TEXT + "\ud800", [(ALICE.public_key, RAW)]) is RefusalCode.PAYLOAD_INVALID
