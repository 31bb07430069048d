"""Execution: every refusal is a typed result that changes nothing, a failure costs its nonce, deadlines are bounded."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from governed import END, ROOT_DER, certificate
from ledgers import (
    ALICE,
    BOB,
    START_MS,
    YEAR_MS,
    Approves,
    BoxMachine,
    entries_of,
    envelope,
    user_value,
)

from ca.keys import SigningKey
from ledger import execution as execution_module
from ledger.authentication import NONCE_PREFIX, NONCE_WINDOW, ROOT_PREFIX, authenticate, authenticate_newcomer
from ledger.codes import SENTENCES, RefusalCode
from ledger.envelope import Envelope
from ledger.execution import DEADLINE_PREFIX, EXPIRY_BLOCKS_MAX, OK, BlockExecutor, Executed
from ledger.state import MemoryState
from ledger.values import decode_value

HEIGHT = 10


def state_of(*users: dict[str, Any], **more: Any) -> MemoryState:
    values = {f"registry/user/{user['signer']}": user for user in users}
    return MemoryState(entries_of({**values, **more}))


def run(state: MemoryState, *envelopes: Envelope, time_ms: int = START_MS, height: int = HEIGHT) -> Executed:
    executed = BlockExecutor(BoxMachine(), Approves()).execute(state, height, time_ms, envelopes)
    state.apply(executed.changes)
    return executed


def sell(*keys: SigningKey, **changes: Any) -> Envelope:
    return envelope(*(keys or (ALICE,)), **{"function": "sell", **changes})


def enter(text: str) -> Envelope:
    return envelope(function="enter", args={"certificate_der": text})


def certified(key: SigningKey) -> str:
    return base64.b64encode(certificate(key, "someone", "north", "seller", 77)).decode()


ROOT = {f"{ROOT_PREFIX}north": {"certificate": base64.b64encode(ROOT_DER).decode()}}
SELLER = user_value(ALICE, "seller")
WINDOW = {f"{NONCE_PREFIX}{ALICE.signer}": {"highest": 5, "bits": "1"}}
Case = tuple[Envelope, MemoryState]

REFUSED: dict[RefusalCode, Callable[[], Case]] = {
    RefusalCode.EXPIRED: lambda: (envelope(expires_at_height=HEIGHT - 1), state_of()),
    RefusalCode.EXPIRY_TOO_FAR: lambda: (envelope(expires_at_height=HEIGHT + EXPIRY_BLOCKS_MAX + 1), state_of()),
    RefusalCode.NONCE_USED: lambda: (envelope(nonce=5), state_of(**WINDOW)),
    RefusalCode.NONCE_OUT_OF_WINDOW: lambda: (envelope(nonce=5 + NONCE_WINDOW + 1), state_of(**WINDOW)),
    RefusalCode.CONTRACT_UNKNOWN: lambda: (envelope(contract="nothing"), state_of()),
    RefusalCode.FUNCTION_UNKNOWN: lambda: (envelope(function="nothing"), state_of()),
    RefusalCode.NOT_CALLABLE: lambda: (envelope(function="inner"), state_of()),
    RefusalCode.NOT_REGISTERED: lambda: (sell(), state_of()),
    RefusalCode.CERTIFICATE_NOT_YET_VALID: lambda: (sell(), state_of(SELLER | {"not_before_ms": START_MS + 1})),
    RefusalCode.CERTIFICATE_EXPIRED: lambda: (sell(), state_of(SELLER | {"not_after_ms": START_MS - 1})),
    RefusalCode.CERTIFICATE_REVOKED: lambda: (
        sell(),
        state_of(SELLER, **{f"governance/revoked/{SELLER['serial']}": {"height": 1}}),
    ),
    RefusalCode.SUSPENDED: lambda: (sell(), state_of(SELLER | {"suspended": True})),
    RefusalCode.ROLE_REQUIRED: lambda: (sell(), state_of(SELLER | {"role": "buyer"})),
    RefusalCode.CERTIFICATE_INVALID: lambda: (enter("AAAA"), state_of()),
    RefusalCode.NOT_YOUR_CERTIFICATE: lambda: (enter(certified(BOB)), state_of(**ROOT)),
}
AT_THE_EDGE = {
    RefusalCode.PAYLOAD_INVALID, RefusalCode.TOO_LARGE, RefusalCode.SIGNERS_MISMATCH, RefusalCode.SIGNATURE_INVALID,
    RefusalCode.WRONG_CHAIN, RefusalCode.WRONG_CHANNEL, RefusalCode.GAS_LIMIT_TOO_HIGH, RefusalCode.POOL_FULL,
}  # fmt: skip


def test_every_code_is_decided_at_the_edge_or_here() -> None:
    assert AT_THE_EDGE | set(REFUSED) == set(RefusalCode)
    assert set(SENTENCES) == set(RefusalCode)


@pytest.mark.parametrize("code", REFUSED, ids=str)
def test_a_refused_transaction_is_a_result_that_changes_nothing(code: RefusalCode) -> None:
    made, state = REFUSED[code]()
    executed = run(state, made)
    (result,) = executed.results
    assert (result.id, result.code, result.message) == (made.tx_id, code, SENTENCES[code])
    assert (result.gas_used, result.events, decode_value(result.value)) == (0, (), None)
    assert executed.changes == {}


@pytest.mark.parametrize("function", ["inner", "due", "look"])
def test_only_exports_are_called_by_transactions(function: str) -> None:
    (result,) = run(state_of(), envelope(function=function)).results
    assert result.code == RefusalCode.NOT_CALLABLE


@pytest.mark.parametrize("edge", [HEIGHT, HEIGHT + EXPIRY_BLOCKS_MAX])
def test_the_bounds_of_the_expiry_height_are_good(edge: int) -> None:
    assert run(state_of(), envelope(expires_at_height=edge)).results[0].code == OK


@pytest.mark.parametrize("time_ms", [0, START_MS + YEAR_MS])
def test_a_certificate_is_valid_up_to_its_last_millisecond(time_ms: int) -> None:
    assert authenticate(state_of(SELLER), ALICE.signer, ("seller",), time_ms) is None


def test_the_role_is_the_first_signers_and_every_signer_is_in_good_standing() -> None:
    seller, buyer = SELLER, user_value(BOB, "buyer")
    assert run(state_of(seller, buyer), sell(ALICE, BOB)).results[0].code == OK
    assert run(state_of(seller, buyer), sell(BOB, ALICE)).results[0].code == RefusalCode.ROLE_REQUIRED
    assert run(state_of(seller), sell(ALICE, BOB)).results[0].code == RefusalCode.NOT_REGISTERED
    suspended = buyer | {"suspended": True}
    assert run(state_of(seller, suspended), sell(ALICE, BOB)).results[0].code == RefusalCode.SUSPENDED


def test_a_good_transaction_writes_and_uses_its_nonce() -> None:
    state = state_of()
    (result,) = run(state, envelope(nonce=3)).results
    assert (result.code, decode_value(result.value), result.gas_used) == (OK, 1, 10)
    assert [(event.contract, event.name, decode_value(event.data)) for event in result.events] == [
        ("box", "put", {"key": "a"})
    ]
    entry = state.get("box/a")
    assert entry is not None
    assert (entry.height, entry.index, decode_value(entry.value)) == (HEIGHT, 0, 1)
    assert run(state, envelope(nonce=3)).results[0].code == RefusalCode.NONCE_USED


def test_a_failed_transaction_keeps_its_code_and_changes_only_its_nonce() -> None:
    executed = run(state_of(), envelope(function="fail", nonce=3))
    (result,) = executed.results
    assert (result.code, result.message, result.gas_used, result.events) == ("NO", "The box says no.", 10, ())
    assert list(executed.changes) == [NONCE_PREFIX + ALICE.signer]


def test_what_the_validation_module_rejects_changes_only_its_nonce() -> None:
    judge = Approves()
    judge.code = "ENERGY_SOLD_TWICE"
    executed = BlockExecutor(BoxMachine(), judge).execute(state_of(), HEIGHT, START_MS, [envelope()])
    (result,) = executed.results
    assert (result.code, result.gas_used, result.events) == ("ENERGY_SOLD_TWICE", 10, ())
    assert result.message
    assert list(executed.changes) == [NONCE_PREFIX + ALICE.signer]


def test_the_nonce_is_the_first_signers() -> None:
    state = state_of()
    run(state, envelope(ALICE, BOB, nonce=0))
    assert run(state, envelope(ALICE, nonce=0)).results[0].code == RefusalCode.NONCE_USED
    assert run(state, envelope(BOB, ALICE, nonce=0)).results[0].code == OK


def test_transactions_of_a_block_see_those_before_them() -> None:
    executed = run(state_of(), envelope(), envelope(), envelope(function="delete", nonce=1), envelope(nonce=2))
    assert [result.code for result in executed.results] == [OK, RefusalCode.NONCE_USED, OK, OK]
    entry = executed.changes["box/a"]
    assert entry is not None
    assert (entry.height, entry.index) == (HEIGHT, 3)


# ------------------------------------------------------------------------------------------------ deadlines


def later(count: int, at_ms: int = START_MS + 1_000) -> Envelope:
    return envelope(function="later", args={"count": count, "at_ms": at_ms})


def due_left(state: MemoryState) -> int:
    return len(state.scan(DEADLINE_PREFIX, "", 10_000))


def test_a_deadline_runs_in_the_first_block_at_or_after_its_time_and_once() -> None:
    state = state_of()
    run(state, later(1))
    assert run(state, time_ms=START_MS + 999).deadlines == 0
    executed = run(state, envelope(nonce=1), time_ms=START_MS + 1_000)
    assert executed.deadlines == 1
    assert executed.results[0].id.startswith(DEADLINE_PREFIX.encode())
    assert executed.results[1].id == envelope(nonce=1).tx_id
    entry, own = state.get("box/due/0"), state.get("box/a")
    assert entry is not None
    assert own is not None
    assert (decode_value(entry.value), entry.index, own.index) == (START_MS + 1_000, 0, 1)
    assert run(state, time_ms=START_MS + 2_000).deadlines == 0


def test_deadlines_run_oldest_first() -> None:
    state = state_of()
    run(state, later(1, START_MS + 500), envelope(function="later", nonce=1, args={"count": 1, "at_ms": START_MS + 9}))
    results = run(state, time_ms=START_MS + 600).results
    assert [int(result.id.decode().split("/")[2]) for result in results] == [START_MS + 9, START_MS + 500]


@pytest.mark.parametrize(("count", "expected"), [(4, [4, 0, 0]), (5, [5, 0, 0]), (13, [5, 5, 3])])
def test_a_block_runs_so_many_deadlines_and_the_next_ones_the_rest(
    monkeypatch: pytest.MonkeyPatch, count: int, expected: list[int]
) -> None:
    monkeypatch.setattr(execution_module, "DEADLINES_PER_BLOCK_MAX", 5)
    state = state_of()
    run(state, later(count))
    assert [run(state, time_ms=START_MS + 1_000).deadlines for _ in range(3)] == expected
    assert due_left(state) == 0


def test_deadlines_of_a_block_are_bounded_by_gas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_module, "DEADLINE_GAS_MAX", 10)
    monkeypatch.setattr(execution_module, "DEADLINE_GAS_PER_BLOCK_MAX", 35)
    state = state_of()
    run(state, later(7))
    assert [run(state, time_ms=START_MS + 1_000).deadlines for _ in range(3)] == [3, 3, 1]


def test_a_deadline_that_fails_is_gone_all_the_same() -> None:
    state = state_of()
    run(state, later(2))
    judge = Approves()
    judge.code = "NEGATIVE_BALANCE"
    executed = BlockExecutor(BoxMachine(), judge).execute(state, HEIGHT, START_MS + 1_000, ())
    state.apply(executed.changes)
    assert [result.code for result in executed.results] == ["NEGATIVE_BALANCE"] * 2
    assert due_left(state) == 0
    assert state.get("box/due/0") is None


def test_who_is_registered_may_show_what_it_likes_and_fails_in_the_contract() -> None:
    """It has a name and a pace: its failure uses up its nonce, like every other."""
    assert run(state_of(SELLER), enter("AAAA")).admitted
    assert run(state_of(**ROOT), enter(certified(ALICE))).admitted
    assert not run(state_of(**ROOT), enter(certified(BOB))).admitted


@pytest.mark.parametrize(
    ("late_ms", "more", "code"),
    [
        (0, {}, OK),
        (1, {}, RefusalCode.CERTIFICATE_EXPIRED),
        (0, {"governance/revoked/4d": {"height": 1}}, RefusalCode.CERTIFICATE_REVOKED),
    ],
)
def test_a_newcomers_certificate_is_good_until_it_ends_or_is_revoked(
    late_ms: int, more: dict[str, Any], code: str
) -> None:
    end_ms = int(END.timestamp()) * 1000
    state = state_of(**ROOT, **more)
    assert (authenticate_newcomer(state, ALICE.signer, certified(ALICE), end_ms + late_ms) or OK) == code
