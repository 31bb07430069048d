"""Transactions wait for signatures at a node: told to those who are to sign, bounded, and gone when they are over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from desk import OPERATOR, Desk, made_desk
from ledgers import ALICE, BOB, CAROL, envelope, payload_of, run_block, user_value

from api import proposals
from api.proposal_files import ProposalFiles
from api.proposals import Proposals
from ca.keys import SigningKey
from ledger.authentication import USER_PREFIX
from sdk.errors import Refused
from sdk.methods import SignatureText

EVE, FAY = SigningKey.from_seed(b"eve signs with alice"), SigningKey.from_seed(b"fay does too")
SECOND_OPERATOR = SigningKey.from_seed(b"the other operator")
POLICY = f"credit/policy/{ALICE.signer}"


def policy(*keys: SigningKey) -> dict[str, Any]:
    signers = [key.signer for key in keys]
    return {POLICY: {"type": "policy", "account": ALICE.signer, "keys": signers, "threshold": 2}}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = made_desk(tmp_path)
    users = {USER_PREFIX + key.signer: user_value(key, "buyer") for key in (EVE, FAY)}
    operator = {USER_PREFIX + SECOND_OPERATOR.signer: user_value(SECOND_OPERATOR, "operator")}
    made.plant({**users, **operator, **policy(ALICE, EVE, FAY)})
    yield made
    made.close()


def proposal(*keys: SigningKey, signed: int = 1, **changes: Any) -> dict[str, Any]:
    """A payload for these signers, signed by the first ``signed`` of them."""
    text = json.dumps(payload_of(keys, **changes))
    given = [signature(key, text) if place < signed else None for place, key in enumerate(keys)]
    return {"payload": text, "signatures": tuple(given)}


def signature(key: SigningKey, text: str) -> SignatureText:
    return SignatureText(public_key=key.public_key, signature=key.sign(text.encode()))


async def propose(desk: Desk, key: SigningKey, told: dict[str, Any]) -> Any:
    return await desk.call("propose", await desk.token(key), **told)


async def refusal_of(desk: Desk, key: SigningKey, told: dict[str, Any]) -> str:
    with pytest.raises(Refused) as caught:
        await propose(desk, key, told)
    return caught.value.code


async def waiting(desk: Desk, key: SigningKey) -> list[str]:
    return [each.payload for each in (await desk.call("proposals", await desk.token(key))).proposals]


async def test_what_waits_is_told_to_those_who_are_to_sign_and_to_nobody_else(desk: Desk) -> None:
    told = proposal(ALICE, EVE)
    record = await propose(desk, ALICE, told)
    assert (record.payload, record.signatures[1]) == (told["payload"], None)
    found = {key: await waiting(desk, key) for key in (ALICE, EVE, FAY, BOB, OPERATOR)}
    assert found == {ALICE: [told["payload"]], EVE: [told["payload"]], FAY: [], BOB: [], OPERATOR: []}
    with pytest.raises(Refused, match="IDENTITY_REQUIRED"):
        await desk.call("proposals")
    with pytest.raises(Refused, match="NOT_REGISTERED"):
        await desk.call("proposals", await desk.token(SigningKey.from_seed(b"nobody knows this one")))


async def test_signatures_are_added_until_it_can_be_sent_and_has_executed(desk: Desk) -> None:
    first = proposal(ALICE, EVE, FAY)
    await propose(desk, ALICE, first)
    for place, key in ((1, EVE), (2, FAY)):
        given = list(first["signatures"])
        given[place] = signature(key, first["payload"])
        record = await propose(desk, key, {**first, "signatures": tuple(given)})
    assert None not in record.signatures
    run_block(desk.ledger, envelope(ALICE, EVE, FAY))
    assert record.tx_id == envelope(ALICE, EVE, FAY).tx_id.hex()
    assert await waiting(desk, EVE) == []


@pytest.mark.parametrize(
    ("told", "by", "code"),
    [
        (proposal(ALICE, EVE, signed=0), ALICE, "SIGNERS_MISMATCH"),
        (proposal(ALICE, EVE) | {"signatures": (signature(ALICE, "other"), None)}, ALICE, "SIGNATURE_INVALID"),
        (proposal(ALICE, EVE) | {"signatures": (signature(EVE, "other"), None)}, ALICE, "SIGNERS_MISMATCH"),
        (proposal(ALICE, EVE) | {"signatures": proposal(ALICE, EVE, FAY)["signatures"]}, ALICE, "SIGNERS_MISMATCH"),
        (proposal(ALICE) | {"signatures": (signature(ALICE, "other"), None)}, ALICE, "SIGNERS_MISMATCH"),
        (proposal(ALICE, EVE), BOB, "NOT_YOURS"),
        (proposal(ALICE, EVE), FAY, "NOT_YOURS"),
        (proposal(ALICE, BOB), ALICE, "NOT_CO_SIGNERS"),
        (proposal(BOB, ALICE), BOB, "NOT_CO_SIGNERS"),
        (proposal(OPERATOR, ALICE), OPERATOR, "NOT_CO_SIGNERS"),
        (proposal(ALICE, EVE, chain="00" * 32), ALICE, "WRONG_CHAIN"),
        (proposal(ALICE, EVE, channel="other"), ALICE, "WRONG_CHANNEL"),
        (proposal(ALICE, EVE, expires_at_height=2), ALICE, "EXPIRED"),
        (proposal(ALICE, EVE, expires_at_height=2_000_000), ALICE, "EXPIRY_TOO_FAR"),
        (proposal(ALICE, EVE) | {"payload": "{}"}, ALICE, "PAYLOAD_INVALID"),
        (proposal(ALICE, EVE) | {"payload": "\ud800"}, ALICE, "PAYLOAD_INVALID"),
    ],
)
async def test_what_could_not_be_sent_does_not_wait(
    desk: Desk, told: dict[str, Any], by: SigningKey, code: str
) -> None:
    assert await refusal_of(desk, by, told) == code
    assert await waiting(desk, ALICE) == []


async def test_a_key_of_an_account_begins_for_it_and_operators_for_the_network(desk: Desk) -> None:
    await propose(desk, EVE, proposal(EVE, FAY))
    await propose(desk, OPERATOR, proposal(OPERATOR, SECOND_OPERATOR))
    assert [len(await waiting(desk, key)) for key in (FAY, SECOND_OPERATOR, ALICE)] == [1, 1, 0]


async def test_a_key_that_signs_for_the_account_no_more_is_told_no_more(desk: Desk) -> None:
    await propose(desk, ALICE, proposal(ALICE, EVE))
    desk.plant(policy(ALICE, FAY))
    assert await waiting(desk, EVE) == []


async def test_any_signer_has_it_wait_no_longer_and_nobody_else_does(desk: Desk) -> None:
    kept, record = proposal(ALICE, EVE, nonce=7), await propose(desk, ALICE, proposal(ALICE, EVE))
    await propose(desk, ALICE, kept)
    with pytest.raises(Refused, match="NOT_FOUND"):
        await desk.call("withdraw", await desk.token(FAY), tx_id=record.tx_id)
    left = await desk.call("withdraw", await desk.token(EVE), tx_id=record.tx_id)
    assert [each.payload for each in left.proposals] == [kept["payload"]]


async def test_nobody_fills_the_room_of_another(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "PROPOSALS_EACH_MAX", 2)
    monkeypatch.setattr(proposals, "PROPOSALS_MAX", 3)
    for nonce in (1, 2):
        await propose(desk, EVE, proposal(EVE, FAY, nonce=nonce))
    assert await refusal_of(desk, EVE, proposal(EVE, FAY, nonce=3)) == "TOO_MANY_PROPOSALS"
    await propose(desk, EVE, proposal(EVE, FAY, nonce=2))
    await propose(desk, FAY, proposal(FAY, EVE))
    assert await refusal_of(desk, ALICE, proposal(ALICE, EVE)) == "TOO_MANY_PROPOSALS"
    monkeypatch.setattr(proposals, "LISTED_MAX", 1)
    assert await waiting(desk, EVE) == [proposal(FAY, EVE)["payload"]], "the newest"


async def test_what_expires_or_waits_too_long_is_dropped(desk: Desk) -> None:
    now = [0]
    held = Proposals(desk.ledger, desk.service._cosigners, desk.service._reads, now_ms=lambda: now[0])
    desk.service._table.update(propose=held.propose, proposals=held.proposals)
    await propose(desk, ALICE, proposal(ALICE, EVE, expires_at_height=desk.ledger.height + 1))
    late = proposal(ALICE, EVE, nonce=9)
    await propose(desk, ALICE, late)
    run_block(desk.ledger, envelope(CAROL, nonce=90))
    assert await waiting(desk, EVE) == [late["payload"]]
    now[0] = proposals.WAITING_MS_MAX + 1
    assert await waiting(desk, EVE) == []


def invitation(*keys: SigningKey, account: SigningKey = BOB, **changes: Any) -> dict[str, Any]:
    args = {"account": account.signer, "keys": [key.signer for key in keys], "threshold": 2}
    return proposal(*keys, **{"contract": "credit", "function": "set_policy", "args": args, **changes})


async def test_an_accounts_first_change_of_keys_waits_for_the_keys_that_it_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went from hand to hand as a file: those whom it asks were no keys of the account yet."""
    told = invitation(BOB, EVE, FAY)
    await propose(desk, BOB, told)
    monkeypatch.setattr(proposals, "LISTED_MAX", 1)
    assert [await waiting(desk, key) for key in (BOB, EVE, FAY, CAROL)] == [[told["payload"]]] * 3 + [[]]
    assert await refusal_of(desk, BOB, invitation(BOB, EVE, nonce=2)) == "TOO_MANY_PROPOSALS", "one at a time"
    earlier = proposal(EVE, FAY)
    await propose(desk, EVE, earlier)
    await desk.call("withdraw", await desk.token(BOB), tx_id=tx_id_of(told))
    await propose(desk, BOB, told)
    assert await waiting(desk, FAY) == [earlier["payload"]], "it crowds nothing out, however new it is"


@pytest.mark.parametrize(
    "told",
    [
        invitation(BOB, EVE, account=ALICE),
        invitation(BOB, SigningKey.from_seed(b"nobody knows this one")),
        invitation(BOB, EVE, args={"account": BOB.signer, "keys": [BOB.signer], "threshold": 1}),
        invitation(BOB, EVE, args={"account": BOB.signer, "keys": EVE.signer, "threshold": 1}),
        invitation(BOB, EVE, args={}),
        invitation(BOB, EVE, function="transfer"),
    ],
)
async def test_nobody_else_is_asked_by_a_change_of_keys(desk: Desk, told: dict[str, Any]) -> None:
    assert await refusal_of(desk, BOB, told) == "NOT_CO_SIGNERS"


async def test_other_organisations_are_not_asked(desk: Desk) -> None:
    desk.plant({USER_PREFIX + FAY.signer: user_value(FAY, "buyer", organisation="Elsewhere")})
    assert await refusal_of(desk, BOB, invitation(BOB, FAY)) == "NOT_CO_SIGNERS"


async def test_what_waits_outlives_a_restart(desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was in the node's memory only: whoever was to sign found nothing, and whoever had begun was not told."""
    home = tmp_path / "proposals"

    def started() -> None:
        files = ProposalFiles(home)
        held = Proposals(desk.ledger, desk.service._cosigners, desk.service._reads, files)
        desk.service._table.update(propose=held.propose, proposals=held.proposals, withdraw=held.withdraw)

    started()
    first, second, third = (proposal(ALICE, EVE, FAY, nonce=nonce) for nonce in (7, 8, 9))
    for told in (first, second, third):
        await propose(desk, ALICE, told)
    half = first["signatures"][0], None, signature(FAY, first["payload"])
    await propose(desk, FAY, {**first, "signatures": half})
    await desk.call("withdraw", await desk.token(EVE), tx_id=tx_id_of(second))
    (home / f"{tx_id_of(third)}.json").write_bytes(b'{"tx_id"')
    (home / "half.new").write_bytes(b"")
    started()
    assert await waiting(desk, EVE) == [first["payload"]]
    found = await desk.call("proposals", await desk.token(EVE))
    assert found.proposals[0].signatures == half
    assert [path.name for path in home.iterdir()] == [f"{tx_id_of(first)}.json"]
    assert len(caplog.records) == 2, "of what was damaged"
    run_block(desk.ledger, envelope(ALICE, EVE, FAY, nonce=7))
    assert await waiting(desk, EVE) == []
    assert list(home.iterdir()) == []


async def test_a_disk_that_takes_nothing_is_no_refusal(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files = ProposalFiles(tmp_path / "file" / "below")
    held = Proposals(desk.ledger, desk.service._cosigners, desk.service._reads, files)
    desk.service._table.update(propose=held.propose, proposals=held.proposals)
    told = proposal(ALICE, EVE)
    await propose(desk, ALICE, told)
    assert await waiting(desk, EVE) == [told["payload"]]


def tx_id_of(told: dict[str, Any]) -> str:
    return sha256(told["payload"].encode()).hexdigest()
