"""Submitting: a refusal at once, or as far as the client waits; the same envelope again is the same transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, BOB, GENESIS, envelope, run_block

from api import pace
from api import submissions as submissions_module
from api.submissions import Submissions
from ca.keys import SigningKey
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope
from ledger.receipts import receipt_from_json, verify_receipt
from sdk import wire
from sdk.errors import Refused
from sdk.methods import SignatureText, Submission, SubmitParams

Desk = Any


def params_of(made: Envelope, wait: Any = "certificate", timeout_ms: int = 10_000) -> SubmitParams:
    signatures = tuple(SignatureText(public_key=key, signature=signature) for key, signature in made.signatures)
    return SubmitParams(payload=made.payload_bytes.decode(), signatures=signatures, wait=wait, timeout_ms=timeout_ms)


async def taken(desk: Desk, count: int = 1) -> None:
    """Let the service run until so many envelopes were handed to the ordering module."""
    async with asyncio.timeout(10):
        while len(desk.ordered) < count:  # noqa: ASYNC110  # it is the service that runs meanwhile
            await asyncio.sleep(0)


def commit(desk: Desk, *made: Envelope) -> None:
    run_block(desk.ledger, *made)
    desk.submissions.on_commit(desk.ledger.height, [item.tx_id for item in made])


def submit(desk: Desk, made: Envelope, wait: str = "certificate", timeout_ms: int = 10_000) -> asyncio.Task[Submission]:
    return asyncio.create_task(desk.submissions.submit(params_of(made, wait, timeout_ms)))


async def test_accepted_means_handed_to_the_ordering_module(desk: Desk) -> None:
    made = envelope()
    found = await submit(desk, made, "accepted")
    assert (found.state, found.tx_id, desk.ordered) == ("accepted", made.tx_id.hex(), [made])


async def test_committed_and_certified_are_waited_for(desk: Desk) -> None:
    made = envelope()
    committed, certified, proven = (submit(desk, made, wait) for wait in ("committed", "certified", "certificate"))
    await taken(desk, 3)
    commit(desk, made)
    found = await committed
    assert (found.state, found.height, found.index, found.code, found.value) == ("committed", 2, 0, "OK", 1)
    assert not certified.done()
    desk.certify(2)
    assert (await certified).state == "certified"
    receipt = (await proven).receipt
    assert receipt is not None
    assert verify_receipt(receipt_from_json(receipt), GENESIS).tx_id == made.tx_id.hex()


@pytest.mark.parametrize("wait", ["committed", "certified", "certificate"])
async def test_without_a_quorum_the_answer_is_an_error_that_says_what_has_become_of_it(desk: Desk, wait: str) -> None:
    made = envelope()
    with pytest.raises(Refused, match=f"NO_QUORUM_YET.*not lost.*{made.tx_id.hex()}") as caught:
        await submit(desk, made, wait, timeout_ms=1)
    assert (caught.value.status, caught.value.tx_id) == (504, made.tx_id.hex())
    assert caught.value.problem.submission == Submission(made.tx_id.hex(), "accepted")


async def test_a_certificate_that_does_not_come_is_an_error_that_says_where_it_executed(desk: Desk) -> None:
    made = envelope(function="fail")
    commit(desk, made)
    with pytest.raises(Refused, match=r"NO_QUORUM_YET.*certified") as caught:
        await submit(desk, made, timeout_ms=1)
    assert caught.value.problem.submission == Submission(made.tx_id.hex(), "committed", 2, 0)


async def test_the_same_envelope_again_is_the_same_transaction(desk: Desk) -> None:
    made = envelope()
    commit(desk, made)
    desk.certify(2)
    found = await submit(desk, made)
    assert (found.state, found.height, desk.ordered) == ("certified", 2, [])
    assert found.receipt is not None


async def test_a_repeat_between_commit_and_certificate_waits_for_it(desk: Desk) -> None:
    """The client's first node went silent: the second must not answer that the nonce is used."""
    made = envelope()
    commit(desk, made)
    waiting = submit(desk, made)
    for _ in range(20):
        await asyncio.sleep(0)
    desk.certify(2)
    found = await waiting
    assert (found.state, found.code, desk.ordered) == ("certified", "OK", [])


async def test_a_repeat_whose_certificate_comes_while_it_looks_is_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = envelope()
    commit(desk, made)
    looked = type(desk.ledger).fate

    def fate(ledger: Any, tx_id: bytes) -> Any:
        found = looked(ledger, tx_id)
        if ledger.certified_height < 2:
            desk.certify(2)
        return found

    monkeypatch.setattr(type(desk.ledger), "fate", fate)
    assert (await submit(desk, made, timeout_ms=5_000)).state == "certified"


async def test_a_transaction_that_executes_while_it_is_admitted_is_not_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = envelope()
    admit = type(desk.ledger).admit

    def late(ledger: Any, item: Envelope) -> Refusal | None:
        commit(desk, item)
        refusal: Refusal | None = admit(ledger, item)
        assert refusal is not None
        return refusal

    monkeypatch.setattr(type(desk.ledger), "admit", late)
    assert (await submit(desk, made, "committed")).code == "OK"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"chain": "0" * 64}, 422, RefusalCode.WRONG_CHAIN),
        ({"function": "sell", "contract": "nothing"}, 422, RefusalCode.CONTRACT_UNKNOWN),
        ({"nonce": 5_000}, 422, RefusalCode.NONCE_OUT_OF_WINDOW),
        ({"expires_at_height": 0}, 422, RefusalCode.EXPIRED),
    ],
)
async def test_what_is_not_lawful_is_refused_at_once(
    desk: Desk, changes: dict[str, Any], status: int, code: RefusalCode
) -> None:
    with pytest.raises(Refused) as caught:
        await submit(desk, envelope(**changes))
    assert (caught.value.status, caught.value.code, desk.ordered) == (status, code, [])
    assert caught.value.message


async def test_another_use_of_a_nonce_is_a_conflict(desk: Desk) -> None:
    commit(desk, envelope())
    with pytest.raises(Refused, match="NONCE_USED") as caught:
        await submit(desk, envelope(args={"key": "b", "value": 2}))
    assert caught.value.status == 409


async def test_a_wrong_signature_or_shape_is_refused(desk: Desk) -> None:
    good = params_of(envelope())
    bad = SignatureText(public_key=ALICE.public_key, signature=bytes(64))
    for params, code in [
        (SubmitParams(payload=good.payload, signatures=(bad,)), "SIGNATURE_INVALID"),
        (SubmitParams(payload="{}", signatures=good.signatures), "PAYLOAD_INVALID"),
        (SubmitParams(payload=good.payload, signatures=good.signatures * 2), "SIGNERS_MISMATCH"),
    ]:
        with pytest.raises(Refused, match=code):
            await desk.submissions.submit(params)


async def test_whoever_signs_in_anothers_name_uses_up_its_own_pace(desk: Desk) -> None:
    """Found by a tester: who has no key at all slowed whom it liked, by wrong signatures in that one's name."""
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=1)
    bad = (SignatureText(public_key=ALICE.public_key, signature=bytes(64)),)
    for nonce in range(20):
        junk = SubmitParams(payload=params_of(envelope(nonce=nonce)).payload, signatures=bad)
        with pytest.raises(Refused) as caught:
            await desk.submissions.submit(junk, "10.0.0.66")
    assert caught.value.code == "TOO_MANY_REQUESTS", "before anything is verified"
    async with asyncio.timeout(1):
        assert (await desk.submissions.submit(params_of(envelope(), "accepted"), "10.0.0.1")).state == "accepted"


async def test_made_up_keys_keep_no_newcomer_elsewhere_waiting(desk: Desk) -> None:
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=1)
    for number in range(20):
        stranger = SigningKey.from_seed(b"stranger %d" % number)
        with pytest.raises(Refused) as caught:
            await desk.submissions.submit(params_of(envelope(stranger, nonce=5_000)), "10.0.0.66")
    assert caught.value.code == "TOO_MANY_REQUESTS"
    newcomer = SigningKey.from_seed(b"newcomer")
    for other, origin in ((envelope(), "10.0.0.66"), (envelope(newcomer), "10.0.0.1")):
        assert (await desk.submissions.submit(params_of(other, "accepted"), origin)).state == "accepted"


async def test_signed_requests_that_are_refused_use_up_their_clients_pace(desk: Desk) -> None:
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=1)
    for nonce in range(5_000, 5_020):
        with pytest.raises(Refused) as caught:
            await desk.submissions.submit(params_of(envelope(nonce=nonce)))
    assert caught.value.code == "TOO_MANY_REQUESTS"
    assert (await desk.submissions.submit(params_of(envelope(BOB), "accepted"))).state == "accepted"


async def test_a_full_pool_is_503(desk: Desk) -> None:
    desk.order_refusal = Refusal(RefusalCode.POOL_FULL)
    with pytest.raises(Refused, match="POOL_FULL") as caught:
        await submit(desk, envelope())
    assert caught.value.status == 503


async def test_waiters_are_bounded_and_leave_when_they_are_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions_module, "WAITERS_MAX", 1)
    first = submit(desk, envelope(), "committed")
    await taken(desk)
    with pytest.raises(Refused, match="TOO_MANY_WAITERS") as caught:
        await submit(desk, envelope(nonce=1))
    assert caught.value.status == 503
    commit(desk, envelope())
    await first
    assert (await submit(desk, envelope(nonce=1), "accepted")).state == "accepted"


async def test_a_failed_transaction_is_answered_with_its_code(desk: Desk) -> None:
    made = envelope(function="fail")
    waiting = [submit(desk, made, wait) for wait in ("committed", "certified", "certificate")]
    await taken(desk, 3)
    commit(desk, made)
    desk.certify(2)
    told = []
    for task in waiting:
        with pytest.raises(Refused, match=r"NO: The box says no\.") as caught:
            await task
        assert (caught.value.status, caught.value.tx_id) == (422, made.tx_id.hex())
        told.append(caught.value.problem.submission)
    assert [(found.height, found.index) for found in told if found] == [(2, 0)] * 3
    assert [found.receipt is None for found in told if found] == [True, True, False]
    verified = verify_receipt(receipt_from_json(told[2].receipt if told[2] else None), GENESIS)
    assert (verified.code, verified.tx_id) == ("NO", made.tx_id.hex())


async def test_a_failed_transaction_sent_again_is_answered_with_its_code_again(desk: Desk) -> None:
    made = envelope(function="fail")
    commit(desk, made)
    desk.certify(2)
    with pytest.raises(Refused, match="NO: ") as caught:
        await submit(desk, made)
    assert caught.value.problem.submission is not None
    assert caught.value.problem.submission.receipt is not None


async def test_a_value_too_wide_for_the_wire_is_text(desk: Desk) -> None:
    made = envelope(args={"box/w": 1}, function="plant")
    commit(desk, made)
    found = await submit(desk, made, "committed")
    assert msgspec.msgpack.decode(wire.encode_body(found), type=Submission) == found
    assert int(found.value) == 2**200


def unsigned(made: Envelope, wait: Any = "accepted") -> SubmitParams:
    bad = SignatureText(public_key=ALICE.public_key, signature=bytes(64))
    return SubmitParams(payload=params_of(made).payload, signatures=(bad,), wait=wait)


async def test_without_a_signature_nobody_learns_what_became_of_a_transaction(desk: Desk) -> None:
    """Found by a tester: whoever guessed the payload of somebody's order got its receipt, though who may not read it is
    told that there is none."""
    made = envelope()
    commit(desk, made)
    desk.certify(2)
    for wait in ("committed", "certificate"):
        with pytest.raises(Refused, match="SIGNATURE_INVALID"):
            await desk.submissions.submit(unsigned(made, wait), "10.0.0.66")
    assert (await submit(desk, made)).receipt is not None


async def test_nothing_is_decoded_for_an_address_that_is_over_its_pace(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a tester: 250 malformed requests of 30 kB a second, never charged, stopped a node's consensus."""
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=1)
    decoded: list[SubmitParams] = []
    read = submissions_module._envelope

    def counted(params: SubmitParams) -> Envelope:
        decoded.append(params)
        return read(params)

    monkeypatch.setattr(submissions_module, "_envelope", counted)
    malformed = SubmitParams(payload="{" * 30_000, signatures=(), wait="accepted")
    codes = []
    for _ in range(10):
        with pytest.raises(Refused) as caught:
            await desk.submissions.submit(malformed, "10.0.0.66")
        codes.append(caught.value.code)
    assert (codes[0], codes[-1]) == ("PAYLOAD_INVALID", "TOO_MANY_REQUESTS")
    assert len(decoded) == codes.count("PAYLOAD_INVALID") < 5


async def test_what_comes_together_is_charged_before_it_is_verified_and_owed_for_a_while_only(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a tester: 5,000 wrong signatures in flight together were all verified, and their address was in debt for
    two minutes, whoever else was behind it."""
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=10)
    verified: list[Envelope] = []
    verify = Envelope.verify

    def counted(made: Envelope) -> None:
        verified.append(made)
        verify(made)

    monkeypatch.setattr(Envelope, "verify", counted)
    junk = [unsigned(envelope(nonce=nonce)) for nonce in range(300)]
    calls = [desk.submissions.submit(params, "10.0.0.66") for params in junk]
    began_s = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    took_s = asyncio.get_running_loop().time() - began_s
    codes = [answer.code for answer in answers if isinstance(answer, Refused)]
    turns = int((pace.BURST_S + pace.WAIT_S_MAX + took_s) * 10)
    assert codes.count("SIGNATURE_INVALID") == len(verified) <= turns < codes.count("TOO_MANY_REQUESTS")
    debt_s = desk.submissions._pace._due_s["unproven@10.0.0.66"] - asyncio.get_running_loop().time()
    assert debt_s <= pace.WAIT_S_MAX


async def test_a_clients_own_flood_costs_its_address_nothing_more_than_its_turns(desk: Desk) -> None:
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=1_000)
    made = [params_of(envelope(nonce=nonce), "accepted") for nonce in range(300)]
    await asyncio.gather(*(desk.submissions.submit(params, "10.0.0.1") for params in made))
    due_s = desk.submissions._pace._due_s
    assert due_s["unproven@10.0.0.1"] <= asyncio.get_running_loop().time() - pace.BURST_S + 0.01


async def test_one_addresss_waiting_calls_take_no_others_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions_module, "ORIGIN_CALLS_MAX", 3)
    desk.submissions = Submissions(desk.ledger, desk._order)
    waiting = [
        asyncio.create_task(desk.submissions.submit(params_of(envelope(nonce=nonce), "committed"), "10.0.0.66"))
        for nonce in range(3)
    ]
    await taken(desk, 3)
    with pytest.raises(Refused, match="TOO_MANY_REQUESTS"):
        await desk.submissions.submit(params_of(envelope(nonce=3), "accepted"), "10.0.0.66")
    assert (await desk.submissions.submit(params_of(envelope(BOB), "accepted"), "10.0.0.1")).state == "accepted"
    commit(desk, *(envelope(nonce=nonce) for nonce in range(3)))
    await asyncio.gather(*waiting)
    assert (await desk.submissions.submit(params_of(envelope(nonce=3), "accepted"), "10.0.0.66")).state == "accepted"


async def test_large_requests_in_the_name_of_a_client_over_its_pace_use_up_their_addresss(desk: Desk) -> None:
    desk.submissions = Submissions(desk.ledger, desk._order, requests_per_s_max=1)
    for nonce in range(5_000, 5_020):
        with pytest.raises(Refused):
            await desk.submissions.submit(params_of(envelope(nonce=nonce)), "10.0.0.1")
    for nonce in range(20):
        large = unsigned(envelope(nonce=nonce, args={"key": "x" * 5_000}))
        with pytest.raises(Refused, match="TOO_MANY_REQUESTS"):
            await desk.submissions.submit(large, "10.0.0.66")
    with pytest.raises(Refused, match="TOO_MANY_REQUESTS"):
        await desk.submissions.submit(params_of(envelope(BOB), "accepted"), "10.0.0.66")
    assert (await desk.submissions.submit(params_of(envelope(BOB), "accepted"), "10.0.0.1")).state == "accepted"
