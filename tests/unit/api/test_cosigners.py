"""Whoever signs for an account together with others is told what the account is told, while its policy names it, and
of each trade for as long as the trade does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, made_desk
from ledgers import ALICE, BOB, envelope, run_block, user_value

from api import cosigners
from api.cosigners import CoSigners
from api.privacy import Viewer, may_call_view, may_read_event
from ca.keys import SigningKey
from ledger.authentication import USER_PREFIX
from sdk.errors import Refused

EVE, FAY = SigningKey.from_seed(b"eve signs with alice"), SigningKey.from_seed(b"fay did once")
ACCOUNT = f"credit/account/{ALICE.signer}"
TERMS = {"type": "trade", "interval": 5, "seller": ALICE.signer, "buyer": BOB.signer, "buyer_policy": None}


def policy(account: SigningKey, *keys: SigningKey) -> dict[str, Any]:
    value = {"type": "policy", "account": account.signer, "keys": [key.signer for key in keys], "threshold": 2}
    return {f"credit/policy/{account.signer}": value}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Eve is one of the keys of alice's account; fay was when a trade of hers was made."""
    made = made_desk(tmp_path)
    signs = {"keys": [ALICE.signer, FAY.signer], "threshold": 2, "signed": []}
    made.plant(
        {
            **{USER_PREFIX + key.signer: user_value(key, "buyer") for key in (EVE, FAY)},
            **policy(ALICE, ALICE, EVE),
            "settlement/trade/old": {**TERMS, "id": "old", "seller_policy": signs},
            "settlement/trade/new": {**TERMS, "id": "new", "seller_policy": {**signs, "keys": [EVE.signer]}},
        }
    )
    settle(made)
    yield made
    made.close()


def settle(desk: Desk) -> None:
    desk.certify(desk.ledger.height)
    assert desk.projector.wait_for(desk.ledger.height, 30.0)


async def trades(desk: Desk, key: SigningKey) -> list[str]:
    rows = await desk.call("query", await desk.token(key), selector={"v.type": "trade", "v.id": {"$exists": True}})
    return sorted(row.value["id"] for row in rows.rows)


async def sees_account(desk: Desk, key: SigningKey) -> bool:
    token = await desk.token(key)
    try:
        await desk.call("account", token, signer=ALICE.signer)
    except Refused:
        return False
    return True


async def test_a_co_signer_finds_the_account_its_trades_and_its_policy(desk: Desk) -> None:
    assert await sees_account(desk, EVE)
    assert await trades(desk, EVE) == ["new", "old"]
    rows = await desk.call("query", await desk.token(EVE), selector={"v.type": "policy"})
    assert [row.value["account"] for row in rows.rows] == [ALICE.signer]


async def test_a_former_key_finds_the_trades_that_it_is_to_sign_and_no_more(desk: Desk) -> None:
    assert not await sees_account(desk, FAY)
    assert await trades(desk, FAY) == ["old"]


async def test_a_change_of_the_policy_counts_at_once(desk: Desk) -> None:
    desk.plant(policy(ALICE, ALICE, FAY))
    settle(desk)
    assert [await sees_account(desk, key) for key in (EVE, FAY)] == [False, True]
    assert await trades(desk, EVE) == ["new"], "which it has to sign all the same"
    run_block(desk.ledger, envelope(ALICE, function="delete", args={"key": f"credit/policy/{ALICE.signer}"}))
    settle(desk)
    assert not await sees_account(desk, EVE)


async def test_a_suspended_co_signer_reads_no_more_than_its_own(desk: Desk) -> None:
    desk.plant({USER_PREFIX + EVE.signer: user_value(EVE, "buyer", suspended=True)})
    assert not await sees_account(desk, EVE)


async def test_policies_are_read_again_when_a_ledger_is_opened_or_replaced(desk: Desk) -> None:
    late = CoSigners(desk.ledger)
    assert late.accounts_of(EVE.signer) == {ALICE.signer}
    for installed in desk.ledger.on_install:
        if installed.__self__ is late:  # type: ignore[attr-defined]  # a bound method
            installed()
    assert late.accounts_of(EVE.signer) == {ALICE.signer}
    assert late.accounts_of(ALICE.signer) == frozenset(), "its own is no other's"


async def test_whoever_is_named_in_many_policies_keeps_the_oldest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosigners, "ACCOUNTS_EACH_MAX", 2)
    named = [SigningKey.from_seed(b"account %d" % number) for number in range(3)]
    for account in named:
        desk.plant(policy(account, account, EVE))
    for known in (desk.service._cosigners, CoSigners(desk.ledger)):
        assert known.accounts_of(EVE.signer) == {ALICE.signer, named[0].signer}


def test_events_and_statements_of_the_account_are_for_its_signers() -> None:
    viewer = Viewer(EVE.signer, "buyer", accounts=frozenset({ALICE.signer}))
    assert may_read_event(viewer, frozenset({ALICE.signer}))
    assert not may_read_event(viewer, frozenset({BOB.signer}))
    assert may_call_view(viewer, "settlement", "statement", {"party": ALICE.signer})
    assert not may_call_view(viewer, "settlement", "statement", {"party": [ALICE.signer]})
