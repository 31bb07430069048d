"""Intake: scope, sizes and signatures of envelopes and batches, each decided by bytes and genesis alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from ledgers import ALICE, BOB, envelope, make_genesis

from ledger import intake as intake_module
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope, envelope_from_text
from ledger.genesis import GenesisLimits
from ledger.intake import TIME_MS_MAX, BadBatch, Intake
from pbft.config import ReplicaConfig
from pbft.messages import Batch, Scope, batch_digest, encode_batch
from pbft.ordering import Pool

LIMITS = GenesisLimits(2_000, 3, 4_000, 2_500, 8, 16)
GENESIS = make_genesis(limits=LIMITS)
CHAIN = GENESIS.chain_id.hex()


@pytest.fixture
def intake() -> Iterator[Intake]:
    with ThreadPoolExecutor(2) as threads:
        yield Intake(GENESIS, threads)


def ours(nonce: int = 0, **changes: Any) -> Envelope:
    return envelope(ALICE, **{"chain": CHAIN, "nonce": nonce, **changes})


def unsigned() -> Envelope:
    good = ours()
    return envelope_from_text(good.payload_bytes.decode(), [(ALICE.public_key, bytes(64))])


def body(*envelopes: Envelope, channel: str = "main", time_ms: int = 5) -> bytes:
    return encode_batch(Batch(channel, time_ms, tuple(item.raw for item in envelopes)))


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (ours(chain="0" * 64), RefusalCode.WRONG_CHAIN),
        (ours(channel="other"), RefusalCode.WRONG_CHANNEL),
        (ours(args={"key": "x" * 2_000}), RefusalCode.TOO_LARGE),
        (unsigned(), RefusalCode.SIGNATURE_INVALID),
    ],
    ids=["chain", "channel", "size", "signature"],
)
def test_an_envelope_that_no_batch_may_hold(intake: Intake, made: Envelope, code: RefusalCode) -> None:
    found = intake.check(made)
    assert isinstance(found, Refusal)
    assert found.code is code
    with pytest.raises(BadBatch, match=code):
        intake.check_body(body(ours(), made))
    assert intake._verified.get(made.hash) is None


def test_many_are_checked_in_their_order(intake: Intake) -> None:
    made = [ours(nonce) if nonce % 5 else unsigned() for nonce in range(40)]
    found = intake.check_many([item.raw for item in made] + [b"no envelope"])
    assert [isinstance(item, Refusal) for item in found] == [not nonce % 5 for nonce in range(40)] + [True]
    assert [item for item in found if not isinstance(item, Refusal)] == [made[i] for i in range(40) if i % 5]


def test_an_envelope_is_verified_once(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Envelope] = []
    monkeypatch.setattr(Envelope, "verify", lambda self: calls.append(self))
    made = ours()
    intake.check(made)
    intake.check_many([made.raw])
    intake.check_body(body(made))
    assert calls == [made]


def test_the_memory_of_verified_envelopes_is_bounded(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "VERIFIED_MAX", 2)
    made = [ours(nonce) for nonce in range(3)]
    for item in made:
        intake.check(item)
    assert [intake._verified.get(item.hash) for item in made] == [None, made[1], made[2]]


def test_that_memory_is_bounded_in_bytes_too(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [ours(nonce, args={"key": "x" * size}) for nonce, size in enumerate((10, 900, 10, 10))]
    monkeypatch.setattr(intake_module, "VERIFIED_BYTES_MAX", sum(len(item.raw) for item in made[:3]))
    for item in (*made[:3], made[1]):
        intake.check(item)
    assert all(intake._verified.get(item.hash) is item for item in made[:3])
    intake.check(made[3])
    assert [intake._verified.get(item.hash) for item in made] == [None, *made[1:]]


def test_a_good_batch_gives_what_consensus_needs(intake: Intake) -> None:
    made = [ours(0), ours(1)]
    checked = intake.check_body(body(*made))
    assert checked.tx_ids == tuple(item.tx_id for item in made)
    assert tuple(request.envelope_hash for request in checked.requests) == tuple(item.hash for item in made)
    assert checked.digest == batch_digest("main", 5, made[0].hash + made[1].hash)


def test_an_empty_batch_is_good(intake: Intake) -> None:
    assert intake.check_body(body()).tx_ids == ()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a batch"),
        (b"\x93\xa4main\x05", "not a batch"),
        (body() + b"\x00", "not a batch"),
        (bytes(4_001), "4001 bytes"),
        (body(channel="other"), "another channel"),
        (body(time_ms=-1), "impossible time"),
        (body(time_ms=TIME_MS_MAX), "impossible time"),
        (body(*(ours(nonce) for nonce in range(4))), "4 transactions"),
        (body(ours(0), ours(0)), "twice"),
        (body(*(ours(nonce, gas_limit=1_000) for nonce in range(3))), "3000 gas"),
    ],
)
def test_a_batch_that_no_honest_primary_proposes(intake: Intake, data: bytes, why: str) -> None:
    with pytest.raises(BadBatch, match=why):
        intake.check_body(data)


def test_one_transaction_with_two_signatures_is_in_a_batch_once(intake: Intake) -> None:
    """Its id is the payload's: making the signature anew does not make it another transaction."""
    text = ours().payload_bytes.decode()
    der = envelope_from_text(text, [(ALICE.public_key, _der(ALICE.sign(text.encode())))])
    assert der.hash != ours().hash
    with pytest.raises(BadBatch, match="twice"):
        intake.check_body(body(ours(), der))


def test_two_signers_may_share_a_transaction(intake: Intake) -> None:
    assert intake.check(envelope(ALICE, BOB, chain=CHAIN)) == envelope(ALICE, BOB, chain=CHAIN)


def test_the_pool_is_shared_among_the_first_signers_of_real_envelopes(intake: Intake) -> None:
    """Found by a tester: every real request had the client "", so that one flood filled the pool for all, and nobody
    was ever seen to be censored."""
    made = [envelope(ALICE, chain=CHAIN, nonce=number) for number in range(9)]
    made += [envelope(BOB, ALICE, chain=CHAIN), envelope(BOB, chain=CHAIN)]
    config = ReplicaConfig(Scope(GENESIS.chain_id, "main", 0), tuple(bytes([i]) for i in range(4)), 0,
                           pool_transactions_max=10, client_pool_share_percent=50)  # fmt: skip
    pool = Pool(config)
    assert [pool.add(intake.request(item), 0) for item in made] == [True] * 5 + [False] * 4 + [True] * 2
    assert [request.client for request in pool.take()][:4] == [ALICE.signer, BOB.signer, ALICE.signer, BOB.signer]


def _der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
