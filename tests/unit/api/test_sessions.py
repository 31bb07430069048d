"""Sessions: a signed challenge, once and in time, for the key it was made for."""

from __future__ import annotations

import base64

import msgspec
import pytest
from ledgers import ALICE, BOB, GENESIS

from api.sessions import CHALLENGE_MS, SESSION_MS, Sessions
from ca.keys import SigningKey
from sdk.client import session_text
from sdk.errors import Refused
from sdk.methods import SessionParams

CHAIN = GENESIS.chain_id
NODE = "node1.example:26601"
NAMES = frozenset({NODE})


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(CHAIN, 3, NAMES)


def signed(challenge: bytes, key: SigningKey = ALICE, chain: bytes = CHAIN, node: str = NODE) -> SessionParams:
    signature = key.sign(session_text(chain, node, challenge))
    return SessionParams(public_key=key.public_key, challenge=challenge, signature=signature, node=node)


def opened(sessions: Sessions, key: SigningKey = ALICE, now_ms: int = 0) -> str:
    return sessions.open(signed(sessions.challenge(key.public_key, now_ms).challenge, key), now_ms).token


def code_of(sessions: Sessions, params: SessionParams, now_ms: int = 0) -> str:
    with pytest.raises(Refused) as caught:
        sessions.open(params, now_ms)
    assert caught.value.status == 401
    return caught.value.code


def test_a_signed_challenge_opens_a_session(sessions: Sessions) -> None:
    challenge = sessions.challenge(ALICE.public_key, 5)
    assert challenge.expires_ms == 5 + CHALLENGE_MS
    session = sessions.open(signed(challenge.challenge), 10)
    assert (session.signer, session.expires_ms) == (ALICE.signer, 10 + SESSION_MS)
    assert sessions.signer(session.token, 10) == ALICE.signer


def test_no_token_is_nobody(sessions: Sessions) -> None:
    assert sessions.signer("", 0) is None


def test_challenges_and_tokens_are_never_the_same_twice(sessions: Sessions) -> None:
    challenges = {sessions.challenge(ALICE.public_key, 0).challenge for _ in range(20)}
    assert len(challenges) == 20
    assert len({opened(sessions) for _ in range(20)}) == 20


def test_a_challenge_is_good_once(sessions: Sessions) -> None:
    params = signed(sessions.challenge(ALICE.public_key, 0).challenge)
    sessions.open(params, 0)
    assert code_of(sessions, params) == "CHALLENGE_INVALID"


@pytest.mark.parametrize(("after_ms", "good"), [(CHALLENGE_MS, True), (CHALLENGE_MS + 1, False)])
def test_a_challenge_is_good_for_its_time(sessions: Sessions, after_ms: int, good: bool) -> None:
    params = signed(sessions.challenge(ALICE.public_key, 0).challenge)
    if good:
        sessions.open(params, after_ms)
    else:
        assert code_of(sessions, params, after_ms) == "CHALLENGE_INVALID"


def test_a_challenge_is_for_one_key(sessions: Sessions) -> None:
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    assert code_of(sessions, signed(challenge, BOB)) == "CHALLENGE_INVALID"


def test_a_challenge_of_ones_own_making_is_unknown(sessions: Sessions) -> None:
    assert code_of(sessions, signed(bytes(32))) == "CHALLENGE_INVALID"


def test_a_signature_for_another_chain_or_by_another_key_does_not_fit(sessions: Sessions) -> None:
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    assert code_of(sessions, signed(challenge, chain=bytes(32))) == "SIGNATURE_INVALID"
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    stolen = msgspec.structs.replace(signed(challenge, BOB), public_key=ALICE.public_key)
    assert code_of(sessions, stolen) == "SIGNATURE_INVALID"


@pytest.mark.parametrize(("after_ms", "good"), [(SESSION_MS, True), (SESSION_MS + 1, False)])
def test_a_session_ends(sessions: Sessions, after_ms: int, good: bool) -> None:
    token = opened(sessions)
    if good:
        assert sessions.signer(token, after_ms) == ALICE.signer
        return
    with pytest.raises(Refused, match="SESSION_UNKNOWN"):
        sessions.signer(token, after_ms)


@pytest.mark.parametrize("token", ["made up", "x", "\xff", "AAAA", "A" * 200, "="], ids=repr)
def test_an_unknown_token_is_told_so_not_taken_for_nobody(sessions: Sessions, token: str) -> None:
    with pytest.raises(Refused, match="SESSION_UNKNOWN"):
        sessions.signer(token, 0)


def test_a_flood_of_challenges_and_sessions_pushes_out_nobodys(sessions: Sessions) -> None:
    token = opened(sessions)
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    for _ in range(20):
        sessions.challenge(BOB.public_key, 0)
        opened(sessions, BOB)
    assert sessions.signer(token, 0) == ALICE.signer
    assert sessions.open(signed(challenge), 0).signer == ALICE.signer


def test_the_answered_challenges_that_are_remembered_are_bounded(sessions: Sessions) -> None:
    for _ in range(20):
        opened(sessions, BOB)
    assert len(sessions._answered) == 3


def test_a_signature_that_does_not_fit_uses_nothing_up(sessions: Sessions) -> None:
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    stolen = msgspec.structs.replace(signed(challenge, BOB), public_key=ALICE.public_key)
    assert code_of(sessions, stolen) == "SIGNATURE_INVALID"
    assert sessions.open(signed(challenge), 0).signer == ALICE.signer


def test_no_byte_of_a_token_or_challenge_can_be_changed(sessions: Sessions) -> None:
    token = base64.urlsafe_b64decode(opened(sessions) + "==")
    for place in range(len(token)):
        other = bytearray(token)
        other[place] ^= 1
        with pytest.raises(Refused, match="SESSION_UNKNOWN"):
            sessions.signer(base64.urlsafe_b64encode(other).decode().rstrip("="), 0)
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    for place in range(len(challenge)):
        changed = bytearray(challenge)
        changed[place] ^= 1
        assert code_of(sessions, signed(bytes(changed))) == "CHALLENGE_INVALID"


def test_another_nodes_seals_are_not_ones_own(sessions: Sessions) -> None:
    other = Sessions(CHAIN, 3, NAMES)
    assert code_of(sessions, signed(other.challenge(ALICE.public_key, 0).challenge)) == "CHALLENGE_INVALID"
    with pytest.raises(Refused, match="SESSION_UNKNOWN"):
        sessions.signer(opened(other), 0)


def test_a_challenge_is_no_token_nor_the_reverse(sessions: Sessions) -> None:
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    with pytest.raises(Refused, match="SESSION_UNKNOWN"):
        sessions.signer(base64.urlsafe_b64encode(challenge).decode().rstrip("="), 0)
    token = base64.urlsafe_b64decode(opened(sessions) + "==")
    assert code_of(sessions, signed(token)) == "CHALLENGE_INVALID"


@pytest.mark.parametrize("key", [b"", bytes(65), b"\x04" * 65])
def test_what_is_no_key_is_refused(sessions: Sessions, key: bytes) -> None:
    with pytest.raises(Refused, match="KEY_INVALID") as caught:
        sessions.challenge(key, 0)
    assert caught.value.status == 400


def test_what_was_signed_for_another_node_or_an_impostor_opens_nothing_here(sessions: Sessions) -> None:
    """Who relayed a login read everything of its victim: nothing in the signed text named the node."""
    challenge = sessions.challenge(ALICE.public_key, 0).challenge
    for elsewhere in ("impostor.example:26601", "node1.example:26611"):
        with pytest.raises(Refused) as caught:
            sessions.open(signed(challenge, node=elsewhere), 0)
        assert (caught.value.code, caught.value.status) == ("ADDRESS_UNKNOWN", 421)
        passed_off = msgspec.structs.replace(signed(challenge, node=elsewhere), node=NODE)
        assert code_of(sessions, passed_off) == "SIGNATURE_INVALID"
    assert sessions.open(signed(challenge), 0).signer == ALICE.signer
