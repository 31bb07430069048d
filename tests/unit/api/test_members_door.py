"""A channel's door: members by session or signature; strangers are answered as where there is no channel."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, envelope

from api.members import DOOR_ORIGIN_CALLS_MAX, NOWHERE, STRANGERS_PER_S_MAX, Door, Doorstep
from api.pools import BoundedPool
from api.sessions import Sessions
from ca.keys import SigningKey
from ledger.envelope import Envelope
from sdk.client import session_text
from sdk.errors import Refused
from sdk.methods import METHODS, SessionParams, SignatureText, SubmitParams
from sdk.node_address import SOCKET_ADDRESS

Desk = Any
EVE = SigningKey.from_seed(b"eve")
NAMES = frozenset({SOCKET_ADDRESS})
UNKNOWN = ("CHANNEL_UNKNOWN", 404)


class Doors:
    """The door of the desk's ledger, and one behind which there is nothing."""

    def __init__(self, desk: Desk) -> None:
        self.chain = desk.ledger.genesis.chain_id
        self.closed = False
        self.asked: list[tuple[str, str]] = []
        doorstep = Doorstep()
        self.real = Door(Sessions(self.chain, 100, NAMES), doorstep, desk.ledger, self._inside, lambda: self.closed)
        self.none = Door(Sessions(NOWHERE, 100, NAMES), doorstep)

    async def _inside(self, method: str, params: Any, token: str, origin: str) -> msgspec.Struct:
        self.asked.append((method, token))
        return METHODS["genesis"].result(b"")  # type: ignore[no-any-return]

    async def session(self, key: SigningKey, door: Door | None = None, node: str = SOCKET_ADDRESS) -> str:
        at = door or self.real
        challenge: Any = await call(at, "challenge", public_key=key.public_key)
        signature = key.sign(session_text(self.chain, node, challenge.challenge))
        params = SessionParams(public_key=key.public_key, challenge=challenge.challenge, signature=signature, node=node)
        opened: Any = await at.handle("session", params, "")
        return str(opened.token)


@pytest.fixture
def doors(desk: Desk) -> Doors:
    return Doors(desk)


async def call(door: Door, method: str, token: str = "", **params: Any) -> Any:
    return await door.handle(method, METHODS[method].params(**params), token)


async def refusal(door: Door, method: str, params: Any, token: str = "") -> tuple[str, int]:
    with pytest.raises(Refused) as caught:
        await door.handle(method, params, token)
    return caught.value.code, caught.value.status


def submission(made: Envelope) -> SubmitParams:
    signatures = tuple(SignatureText(public_key=key, signature=signature) for key, signature in made.signatures)
    return SubmitParams(payload=made.payload_bytes.decode(), signatures=signatures)


READS = [name for name in METHODS if name not in ("challenge", "session", "submit")]


@pytest.mark.parametrize("method", READS)
async def test_no_call_is_answered_without_a_session(doors: Doors, method: str) -> None:
    for door in (doors.real, doors.none):
        assert await refusal(door, method, None) == UNKNOWN
        assert await refusal(door, method, None, "bm8gdG9rZW4") == ("SESSION_UNKNOWN", 401)
    assert doors.asked == []


async def test_a_stranger_gets_challenges_everywhere_and_a_session_nowhere(doors: Doors) -> None:
    for door in (doors.real, doors.none):
        challenge: Any = await call(door, "challenge", public_key=EVE.public_key)
        assert len(challenge.challenge) == 56
        assert challenge.expires_ms > time.time() * 1000
        with pytest.raises(Refused) as caught:
            await doors.session(EVE, door)
        assert (caught.value.code, caught.value.status) == UNKNOWN
        # A member's key in a stranger's mouth says nothing of whether its holder is one.
        lie = SessionParams(
            public_key=ALICE.public_key, challenge=challenge.challenge, signature=bytes(64), node=SOCKET_ADDRESS
        )
        assert await refusal(door, "session", lie) == UNKNOWN


async def test_a_member_is_let_in_and_known_by_its_session(doors: Doors) -> None:
    token = await doors.session(ALICE)
    await call(doors.real, "status", token)
    assert doors.asked == [("status", token)]
    assert await refusal(doors.none, "status", None, token) == ("SESSION_UNKNOWN", 401)


async def test_a_member_that_may_not_act_is_told_why(desk: Desk, doors: Doors) -> None:
    token = await doors.session(ALICE)
    entry: Any = await desk.call("user", await desk.token(ALICE), signer=ALICE.signer)
    desk.plant({f"registry/user/{ALICE.signer}": {**entry.value, "suspended": True}})
    assert await refusal(doors.real, "status", None, token) == ("SUSPENDED", 403)


async def test_a_members_signature_is_enough_to_submit(doors: Doors) -> None:
    await doors.real.handle("submit", submission(envelope(ALICE)), "")
    assert doors.asked == [("submit", "")]


async def test_no_other_envelope_gets_in(doors: Doors) -> None:
    good = submission(envelope(ALICE))
    forged = SubmitParams(
        payload=good.payload, signatures=(SignatureText(public_key=ALICE.public_key, signature=bytes(64)),)
    )
    elsewhere = good.payload.replace(doors.chain.hex(), "ab" * 32)
    signature = ALICE.sign(elsewhere.encode())
    of_another_chain = SubmitParams(
        payload=elsewhere, signatures=(SignatureText(public_key=ALICE.public_key, signature=signature),)
    )
    garbage = SubmitParams(payload="{}", signatures=good.signatures)
    for params in (forged, of_another_chain, garbage, submission(envelope(EVE))):
        assert await refusal(doors.real, "submit", params) == UNKNOWN
        assert await refusal(doors.none, "submit", params) == UNKNOWN
    assert await refusal(doors.none, "submit", good) == UNKNOWN
    assert doors.asked == []


async def test_a_closed_channel_takes_nothing_and_shows_everything(doors: Doors) -> None:
    token = await doors.session(ALICE)
    doors.closed = True
    assert await refusal(doors.real, "submit", submission(envelope(ALICE))) == ("CHANNEL_CLOSED", 410)
    assert await refusal(doors.real, "submit", submission(envelope(EVE))) == UNKNOWN
    await call(doors.real, "status", token)
    assert doors.asked == [("status", token)]


async def test_strangers_at_the_door_of_nothing_keep_no_member_waiting(doors: Doors) -> None:
    """Found by a tester: 400 calls at once to a channel that does not exist shut members out of those that do."""
    doors.none._doorstep._pool = BoundedPool("door", 1, 2 * DOOR_ORIGIN_CALLS_MAX, 10.0)
    junk = submission(envelope(EVE, args={"key": "x" * 20_000}))
    strangers = [asyncio.create_task(doors.none.handle("submit", junk, "", "10.0.0.66")) for _ in range(400)]
    await asyncio.sleep(0)
    for nonce in range(5):
        await doors.real.handle("submit", submission(envelope(ALICE, nonce=nonce)), "", "10.0.0.1")
    answers = await asyncio.gather(*strangers, return_exceptions=True)
    assert {answer.code for answer in answers if isinstance(answer, Refused)} == {"CHANNEL_UNKNOWN"}
    assert doors.none._doorstep._places == {}


@pytest.mark.parametrize("method", ["submit", "session"])
async def test_an_address_of_strangers_is_slowed_at_all_doors_alike(doors: Doors, method: str) -> None:
    wrong = SessionParams(public_key=EVE.public_key, challenge=bytes(56), signature=bytes(64), node=SOCKET_ADDRESS)
    params = submission(envelope(EVE)) if method == "submit" else wrong
    for at, other in ((doors.real, doors.none), (doors.none, doors.real)):
        origin = f"10.0.0.{1 + (at is doors.none)}"
        codes = [await _code(at, method, params, origin) for _ in range(3 * STRANGERS_PER_S_MAX)]
        assert (codes[0], codes[-1]) == ("CHANNEL_UNKNOWN", "TOO_MANY_REQUESTS")
        assert await _code(other, method, params, origin) == "TOO_MANY_REQUESTS"
        assert await _code(other, method, params, "10.0.0.9") == "CHANNEL_UNKNOWN"


async def test_members_are_not_slowed_by_what_they_show(doors: Doors) -> None:
    for nonce in range(15 * STRANGERS_PER_S_MAX):
        await doors.real.handle("submit", submission(envelope(ALICE, nonce=nonce % 50)), "", "10.0.0.1")
    assert len(doors.asked) == 15 * STRANGERS_PER_S_MAX


async def _code(door: Door, method: str, params: Any, origin: str) -> str:
    with pytest.raises(Refused) as caught:
        await door.handle(method, params, "", origin)
    return caught.value.code


async def test_a_session_for_another_address_is_refused_alike_where_there_is_no_channel(doors: Doors) -> None:
    for door in (doors.real, doors.none):
        with pytest.raises(Refused) as caught:
            await doors.session(ALICE, door, "impostor.example:26601")
        assert caught.value.code == "ADDRESS_UNKNOWN"
