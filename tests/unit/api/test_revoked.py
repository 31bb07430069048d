"""A revocation on the chain ends what its key may read, whatever way it comes: sessions, streams, certificates."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from desk import Desk
from ledgers import ALICE, BOB, GENESIS, user_value

from api.affairs import Affairs
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ledger.proofs import state_proof_from_json, verify_state_proof
from sdk.errors import Refused
from sdk.streams import StreamParams

REVOKED = ("CERTIFICATE_REVOKED", 403)
EVE = SigningKey.from_seed(b"eve")


def revocation(key: SigningKey) -> dict[str, Any]:
    serial = user_value(key, "prosumer")["serial"]
    return {f"governance/revoked/{serial}": {"type": "revocation", "serial": serial, "reason": "stolen", "height": 2}}


async def refusal(desk: Desk, method: str, token: str, **params: Any) -> tuple[str, int]:
    with pytest.raises(Refused) as caught:
        await desk.call(method, token, **params)
    return caught.value.code, caught.value.status


async def test_who_holds_a_key_whose_certificate_was_revoked_reads_what_strangers_may(desk: Desk) -> None:
    """A thief went on reading all trades of its victim, by its old session and by new ones."""
    token, bobs = await desk.token(ALICE), await desk.token(BOB)
    account = f"credit/account/{ALICE.signer}"
    assert (await desk.call("account", token, signer=ALICE.signer)).value
    desk.plant(revocation(ALICE))
    for each in (token, await desk.token(ALICE), desk.service.vouch(ALICE.signer)):
        assert await refusal(desk, "account", each, signer=ALICE.signer) == REVOKED
        assert await refusal(desk, "query", each, selector={}) == REVOKED
        assert await refusal(desk, "trades", each) == REVOKED
        assert await refusal(desk, "history", each, key=account) == REVOKED
        assert await refusal(desk, "value", each, key=account, height=1) == REVOKED
        assert (await desk.call("book", each, interval=5)).interval == 5
    assert (await desk.call("query", bobs, selector={"v.type": "trade"})).rows, "nobody else is told less"


async def test_an_expired_certificate_hides_no_revocation(desk: Desk) -> None:
    token = await desk.token(ALICE)
    desk.plant({f"registry/user/{ALICE.signer}": user_value(ALICE, "prosumer", not_after_ms=1)})
    assert (await desk.call("account", token, signer=ALICE.signer)).value
    desk.plant(revocation(ALICE))
    assert await refusal(desk, "account", token, signer=ALICE.signer) == REVOKED


async def test_a_stream_of_ones_own_ends_with_the_block_that_revokes(desk: Desk) -> None:
    stream = desk.service.stream(StreamParams(topics=("trades",)), await desk.token(ALICE))
    assert (await anext(stream))[0].kind == "subscribed"
    desk.plant(revocation(ALICE))
    with pytest.raises(Refused, match="CERTIFICATE_REVOKED"):
        await anext(stream)
    await stream.aclose()


async def test_a_revoked_certificate_identifies_nobody(desk: Desk, tmp_path: Any) -> None:
    authority = Authority.init(tmp_path / "ca", "Grid")
    issued = authority.issue(create_request(EVE, "eve", "Homes", Role.BUYER), "eve", "Homes", Role.BUYER)
    root = {"certificate": base64.b64encode(authority.root_der).decode()}
    desk.plant({"governance/root/1": root})
    assert desk.service.identify(issued.certificate_der) == EVE.signer
    desk.plant({f"governance/revoked/{issued.serial}": {"type": "revocation", "serial": issued.serial}})
    assert desk.service.identify(issued.certificate_der) == ""


async def test_the_node_tells_a_revoked_party_of_no_trade_over_mqtt(desk: Desk) -> None:
    affairs = Affairs(desk.service.hub, desk.ledger, "node")
    assert affairs.is_told(ALICE.signer)
    desk.plant(revocation(ALICE))
    assert (affairs.is_told(ALICE.signer), affairs.is_told(BOB.signer)) == (False, True)


@pytest.mark.parametrize("who", [None, BOB], ids=["stranger", "user"])
async def test_whoever_names_a_serial_learns_whether_it_is_revoked_and_nobody_gets_a_list(
    desk: Desk, who: SigningKey | None
) -> None:
    desk.plant(revocation(ALICE))
    desk.certify(desk.ledger.height)
    assert desk.projector.wait_for(desk.ledger.height, 30.0)
    (key,) = revocation(ALICE)
    token = "" if who is None else await desk.token(who)
    assert verify_state_proof(state_proof_from_json((await desk.call("proof", token, key=key)).proof), GENESIS).version
    absent = (await desk.call("proof", token, key=key + "0")).proof
    assert verify_state_proof(state_proof_from_json(absent), GENESIS).version is None
    if who is not None:
        assert (await desk.call("query", token, selector={"_id": key})).rows[0].value["reason"] == "stolen"
        for selector in ({"v.type": "revocation"}, {"_id": {"$gte": "governance/revoked/"}}, {"$nor": [{"_id": key}]}):
            assert (await desk.call("query", token, selector={**selector, "v.reason": "stolen"})).rows == ()
