"""Every method, asked by everybody: a party is told what names it, the operator and the regulator all, nobody else
anything that names another. Whoever signs for an account together with others is told what the account is told."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from desk import OPERATOR, Desk, made_desk
from ledgers import ALICE, BOB, CAROL, envelope, run_block, user_value

from ca.keys import SigningKey
from sdk.errors import Refused
from sdk.methods import METHODS

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGULATOR = SigningKey.from_seed(b"regulator")
COSIGNER = SigningKey.from_seed(b"signs for alice's account with her")
UNKNOWN = SigningKey.from_seed(b"nobody has vouched for this one")
SECRET = "only-for-alice-and-bob"
"""In every document and transaction of alice's and bob's."""
EVERYBODY: dict[str, SigningKey | None] = {
    "stranger": None, "unknown": UNKNOWN, "alice": ALICE, "bob": BOB, "carol": CAROL, "operator": OPERATOR,
    "regulator": REGULATOR, "cosigner": COSIGNER,
}  # fmt: skip
PARTIES = frozenset({"alice", "bob", "operator", "regulator", "cosigner"})
ALICE_ONLY = PARTIES - {"bob"}
READS_ALL = frozenset({"operator", "regulator"})
NOBODY: frozenset[str] = frozenset()
TRADE = "market/trade/77"
DOCUMENTS: dict[str, Any] = {
    kind: {"type": kind, "interval": 5, "seller": ALICE.signer, "buyer": BOB.signer, "note": SECRET}
    for kind in ("trade", "listing", "order", "reading", "adjustment")
}


@dataclass(frozen=True)
class Asked:
    """A call, and who may find the secret in its answer."""

    tellable: frozenset[str]
    params: Callable[[Desk], dict[str, Any]] = field(default=lambda desk: {})


def alices_transaction(desk: Desk) -> dict[str, Any]:
    return {"tx_id": desk.ledger.transactions_of(2)[0].tx_id.hex()}


def of(**params: Any) -> Callable[[Desk], dict[str, Any]]:
    return lambda desk: params


def at_its_hash(desk: Desk) -> dict[str, Any]:
    return {"hash": desk.ledger.block(2).statement.header_hash.hex()}


ASKED: dict[str, Asked] = {
    "transaction": Asked(PARTIES, alices_transaction),
    "receipt": Asked(PARTIES, alices_transaction),
    "block": Asked(PARTIES, of(height=2)),
    "block_by_hash": Asked(PARTIES, at_its_hash),
    **{f"{kind}s": Asked(PARTIES) for kind in DOCUMENTS},
    "query": Asked(PARTIES, of(selector={"v.note": SECRET})),
    "account": Asked(ALICE_ONLY, of(signer=ALICE.signer)),
    "user": Asked(ALICE_ONLY, of(signer=ALICE.signer)),
    "proof": Asked(PARTIES, of(key=TRADE)),
    "history": Asked(PARTIES, of(key=TRADE)),
    "value": Asked(PARTIES, of(key=TRADE, height=2)),
    "view": Asked(READS_ALL, of(contract="box", function="look", args={"note": SECRET})),
    **{name: Asked(NOBODY) for name in (
        "status", "genesis", "headers", "channels", "intervals", "terms", "rounds", "roots",
    )},
    "book": Asked(NOBODY, of(interval=5)),
    "certificate": Asked(NOBODY, of(height=2)),
    "nonce": Asked(NOBODY, of(signer=ALICE.signer)),
    "challenge": Asked(NOBODY, of(public_key=ALICE.public_key)),
}  # fmt: skip
ELSEWHERE = {
    "submit", "session", "handover", "log_level", "why", "enrol", "registration", "renew", "waiting", "decide",
    "propose", "proposals", "withdraw",
}  # fmt: skip
"""They tell nothing of what others did, or are answered by the replica; each has tests of its own."""


def policy(account: SigningKey, keys: list[SigningKey]) -> dict[str, Any]:
    value = {"type": "policy", "account": account.signer, "keys": [key.signer for key in keys], "threshold": 2}
    return {f"credit/policy/{account.signer}": value}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for all: nothing here writes but the last test."""
    made = made_desk(tmp_path_factory.mktemp("told"))
    secrets = {f"market/{kind}/77": value for kind, value in DOCUMENTS.items()}
    accounts = {
        f"credit/account/{ALICE.signer}": {"type": "account", "owner": ALICE.signer, "balance": 5, "note": SECRET},
        f"registry/user/{ALICE.signer}": user_value(ALICE, "seller", note=SECRET),
        f"registry/user/{REGULATOR.signer}": user_value(REGULATOR, "regulator"),
        f"registry/user/{COSIGNER.signer}": user_value(COSIGNER, "buyer"),
        **policy(ALICE, [ALICE, COSIGNER]),
    }
    planted = {**secrets, **accounts}
    run_block(made.ledger, envelope(ALICE, function="plant", args=planted))
    made.certify(2)
    assert made.projector.wait_for(2, 30.0)
    yield made
    made.close()


async def told(desk: Desk, method: str, key: SigningKey | None, params: dict[str, Any] | None = None) -> str:
    """The whole answer, or the whole refusal, as text; bytes in it too, where they are text."""
    token = "" if key is None else await desk.token(key)
    asked = ASKED[method].params(desk) if params is None else params
    try:
        text = msgspec.json.encode(await desk.call(method, token, **asked)).decode()
    except Refused as refusal:
        return f"{refusal.status} {refusal}"
    return text + "".join(map(readable, re.findall(r'"([A-Za-z0-9+/=]{24,})"', text)))


def readable(text: str) -> str:
    for decode in (bytes.fromhex, base64.b64decode):
        try:
            return decode(text).decode("utf-8", "replace")
        except ValueError:
            continue
    return ""


async def test_every_method_is_asked() -> None:
    assert set(ASKED) | ELSEWHERE == set(METHODS)


@pytest.mark.parametrize("method", ASKED)
async def test_only_its_parties_and_those_who_read_all_are_told(desk: Desk, method: str) -> None:
    found = {name for name, key in EVERYBODY.items() if SECRET in await told(desk, method, key)}
    assert found == ASKED[method].tellable


@pytest.mark.parametrize("method", ASKED)
async def test_who_is_no_party_is_not_told_who_is(desk: Desk, method: str) -> None:
    """But for what they asked with themselves."""
    given = str(ASKED[method].params(desk))
    for name in ("stranger", "unknown", "carol"):
        answer = await told(desk, method, EVERYBODY[name])
        for party in (ALICE, BOB):
            assert party.signer not in answer or party.signer in given, name


@pytest.mark.parametrize("method", ["account", "user", "proof", "history", "value", "transaction", "receipt"])
async def test_what_is_not_there_is_refused_like_what_is_anothers(desk: Desk, method: str) -> None:
    """So that nobody learns what there is."""
    nothing: dict[str, Any] = {"tx_id": "0" * 64, "signer": "0" * 64, "key": "market/trade/78"}
    real = ASKED[method].params(desk)
    made_up = {name: nothing.get(name, value) for name, value in real.items()}
    for name in ("stranger", "unknown", "carol"):
        answers = set()
        for params in (real, made_up):
            answer = await told(desk, method, EVERYBODY[name], params)
            for given in params.values():
                answer = answer.replace(str(given), "NAME")
            answers.add(answer)
        assert len(answers) == 1, (name, answers)


async def test_a_suspended_operator_reads_no_more_than_its_own(desk: Desk) -> None:
    token = await desk.token(OPERATOR)
    desk.plant({f"registry/user/{OPERATOR.signer}": user_value(OPERATOR, "operator", suspended=True)})
    for method in ("transaction", "proof", "account"):
        with pytest.raises(Refused):
            await desk.call(method, token, **ASKED[method].params(desk))
