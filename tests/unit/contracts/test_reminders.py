"""Deadlines of contracts that are not shipped: they run, and neither overtake the market's nor grow without end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from contract_market import INTERVAL_MS, MACHINE, PRICE, Market
from forgery import Outcome

from contracts import host
from contracts.rules import deadlines
from contracts.sandbox.machine import WorkerMachine
from contracts.validation import Violation
from ledger import execution
from ledger.execution import (
    DEADLINE_GAS_MAX,
    DEADLINE_PREFIX,
    REMINDER_GAS_PER_BLOCK_MAX,
    REMINDER_PREFIX,
    REMINDERS_PER_BLOCK_MAX,
    REMINDERS_RUN_PREFIX,
    REMINDERS_SET_PREFIX,
    REMINDERS_WAITING_MAX,
    Machine,
)
from ledger.state import Entry
from ledger.values import encode_value

SOURCE = """
@export("*")
def start(count: int, at_ms: int):
    for number in range(count):
        schedule(at_ms, "tick", [])

@export("*")
def remind(at_ms: int):
    schedule(at_ms, "noted", [])

@deadline
def noted():
    put("noted", block_time())

@deadline
def tick():
"""
AGAIN = '    schedule(0, "tick", [])\n'
"""Due since 1970, for ever."""
BUSY = "    while gas_left() > 20000:\n        pass\n"
GREEDY = {
    "many": (256, AGAIN),
    "of much gas": (3, AGAIN + BUSY),
    "ever more": (256, AGAIN + AGAIN),
    "at a time that users choose": (256, "    pass\n"),
}
"""How many are set at first, and what each does."""


@pytest.fixture(params=["here", "in a worker"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if request.param == "here":
        yield MACHINE
        return
    worker = WorkerMachine()
    yield worker
    worker.close()


def deploy(market: Market, name: str, body: str) -> None:
    market.chain.put(f"governance/contract/{name}", {"source": SOURCE + body, "sha256": "", "version": 1})


def waiting(market: Market, prefix: str = REMINDER_PREFIX) -> int:
    return len(market.chain.state.scan(prefix, "", 20_000))


def counts(market: Market, name: str) -> list[Any]:
    """How many the contract ever set, and how many of them ran."""
    return [market.get(REMINDERS_SET_PREFIX + name), market.get(REMINDERS_RUN_PREFIX + name)]


def plant(market: Market, name: str, count: int, at_ms: int = 0) -> None:
    """As many reminders of a contract as if it had set them."""
    what = encode_value({"contract": name, "function": "tick", "args": []})
    rows = {f"{REMINDER_PREFIX}{at_ms:015d}/{0:012d}/{n // 1000:05d}/{n % 1000:03d}": what for n in range(count)}
    market.chain.state.apply({key: Entry(0, 0, data) for key, data in rows.items()})
    market.chain.put(REMINDERS_SET_PREFIX + name, count)


@pytest.mark.parametrize("kind", GREEDY)
def test_deadlines_of_a_deployed_contract_do_not_overtake_the_markets(kind: str, machine: Machine) -> None:
    """Regression: gates never closed and no auction was cleared any more, for whatever a block ran was long due."""
    market = Market(machine=machine)
    count, body = GREEDY[kind]
    deploy(market, "greedy", body)
    order, _ = market.order("ask", "sol", 100, PRICE)
    market.ok("greedy", "start", {"count": count, "at_ms": 0}, "bob")
    market.chain.time_ms = (market.interval + 3) * INTERVAL_MS
    market.chain.block(1_000)
    assert market.get("market/order/" + order)["status"] == "expired"


def test_what_is_due_of_the_market_runs_at_once_while_ten_thousand_others_wait() -> None:
    market = Market()
    deploy(market, "greedy", AGAIN)
    plant(market, "greedy", REMINDERS_WAITING_MAX)
    order, _ = market.order("ask", "sol", 100, PRICE)
    market.chain.time_ms = (market.interval + 3) * INTERVAL_MS
    ran = market.chain.block(1_000)
    assert market.get("market/order/" + order)["status"] == "expired"
    assert len(ran) == 1 + REMINDERS_PER_BLOCK_MAX
    assert waiting(market) == REMINDERS_WAITING_MAX


def test_the_others_have_the_gas_that_the_markets_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market()
    deploy(market, "greedy", AGAIN + BUSY)
    plant(market, "greedy", 5)
    market.chain.time_ms += 1
    assert len(market.chain.block(1)) == REMINDER_GAS_PER_BLOCK_MAX // DEADLINE_GAS_MAX == 2
    market.order("ask", "sol", 100, PRICE)
    monkeypatch.setattr(execution, "DEADLINE_GAS_PER_BLOCK_MAX", DEADLINE_GAS_MAX)
    market.chain.time_ms = (market.interval + 3) * INTERVAL_MS
    assert len(market.chain.block(1_000)) == 1  # the gate's; it left less than one may take
    assert len(market.chain.block(1_000)) == 1  # one of theirs


def test_a_lawful_contracts_reminder_has_its_turn_among_greedy_ones(machine: Machine) -> None:
    market = Market(machine=machine)
    deploy(market, "greedy", AGAIN)
    deploy(market, "lawful", "    pass\n")
    market.ok("greedy", "start", {"count": 150, "at_ms": 0}, "bob")
    at_ms = market.chain.time_ms + 1_500
    market.ok("lawful", "remind", {"at_ms": at_ms}, "bob")
    for _ in range(5):
        market.chain.block(1_000)
    noted_ms = market.get("lawful/noted")
    assert at_ms <= noted_ms <= at_ms + 4_000
    assert counts(market, "lawful") == [1, 1]


def test_a_time_in_the_past_counts_as_the_blocks() -> None:
    market = Market()
    deploy(market, "other", "    pass\n")
    market.ok("other", "start", {"count": 1, "at_ms": 0}, "bob")
    ((key, _),) = market.chain.state.scan(REMINDER_PREFIX, "", 9)
    assert key.startswith(f"{REMINDER_PREFIX}{market.chain.time_ms:015d}/")


def test_of_a_contracts_deadlines_a_bounded_number_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: one that set two each time made the state grow for ever, and nobody paid for it."""
    for module in (host, deadlines):
        monkeypatch.setattr(module, "REMINDERS_WAITING_MAX", 10)
    market = Market()
    deploy(market, "greedy", AGAIN + AGAIN)
    deploy(market, "other", "    pass\n")
    assert market.code("greedy", "start", {"count": 11, "at_ms": 0}, "bob") == "TOO_MANY_DEADLINES"
    market.ok("greedy", "start", {"count": 10, "at_ms": 0}, "bob")
    assert market.code("greedy", "start", {"count": 1, "at_ms": 0}, "bob") == "TOO_MANY_DEADLINES"
    market.ok("other", "start", {"count": 10, "at_ms": 0}, "bob")
    for _ in range(3):
        assert "TOO_MANY_DEADLINES" in [code for code, _ in market.chain.block(1_000)]
        ever, ran = counts(market, "greedy")
        assert ever - ran == waiting(market) <= 10
    assert counts(market, "other") == [10, 10]


def test_what_ran_makes_room_whether_it_failed_or_not(machine: Machine) -> None:
    market = Market(machine=machine)
    deploy(market, "other", '    fail("NO", "No.")\n')
    market.ok("other", "start", {"count": 70, "at_ms": 0}, "bob")
    assert counts(market, "other") == [70, None]
    assert [code for code, _ in market.chain.block(1)] == ["NO"] * REMINDERS_PER_BLOCK_MAX
    assert [code for code, _ in market.chain.block(1)] == ["NO"] * 6
    assert counts(market, "other") == [70, 70]


# ------------------------------------------------------------------------------------- a machine that lies


@pytest.fixture
def outcome() -> Outcome:
    market = Market()
    deploy(market, "other", "    pass\n")
    plant(market, "other", 1)
    found = Outcome(market, "other", "remind", {"at_ms": market.chain.time_ms + 10_000}, "bob")
    assert found.verdict() is None
    return found


def set_key(outcome: Outcome, at_ms: int, prefix: str = REMINDER_PREFIX, number: int = 0) -> str:
    return f"{prefix}{at_ms:015d}/{outcome.call.height:012d}/{outcome.call.index:05d}/{number:03d}"


def test_no_machine_sets_a_deadline_in_the_past(outcome: Outcome) -> None:
    """Regression: a lying machine could put such ones under a call of any deployed contract, before the market's."""
    ((old, data),) = [(k, v) for k, v in outcome.view.writes.items() if k.startswith(REMINDER_PREFIX)]
    now_ms = outcome.call.block_time_ms
    for at_ms, verdict in ((0, Violation.DEADLINE), (now_ms - 1, Violation.DEADLINE), (now_ms, None)):
        del outcome.view.writes[old]
        old = set_key(outcome, at_ms)
        outcome.view.writes[old] = data
        assert outcome.verdict() == verdict


def test_no_machine_sets_anothers_deadline_among_the_markets(outcome: Outcome) -> None:
    ((key, data),) = [(k, v) for k, v in outcome.view.writes.items() if k.startswith(REMINDER_PREFIX)]
    del outcome.view.writes[key]
    outcome.view.writes[DEADLINE_PREFIX + key.removeprefix(REMINDER_PREFIX)] = data
    assert outcome.verdict() == Violation.NAMESPACE


def test_no_machine_sets_the_markets_among_the_others() -> None:
    market = Market()
    found = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 100, PRICE), "sol")
    assert found.verdict() is None
    (key,) = found.keys(DEADLINE_PREFIX)
    found.view.writes[REMINDER_PREFIX + key.removeprefix(DEADLINE_PREFIX)] = found.view.writes.pop(key)
    assert found.verdict() == Violation.NAMESPACE


@pytest.mark.parametrize("count", [None, 0, 1, 3, True, "2", -1])
def test_no_machine_miscounts_what_waits(outcome: Outcome, count: Any) -> None:
    key = REMINDERS_SET_PREFIX + "other"
    outcome.view.writes[key] = None if count is None else encode_value(count)
    assert outcome.verdict() == Violation.DEADLINE
    del outcome.view.writes[key]
    assert outcome.verdict() == Violation.DEADLINE


def test_no_machine_counts_for_others_or_what_ran(outcome: Outcome) -> None:
    lawful = dict(outcome.view.writes)
    for key in (REMINDERS_SET_PREFIX + "lawful", REMINDERS_RUN_PREFIX + "other"):
        outcome.view.writes = {**lawful, key: encode_value(1)}
        assert outcome.verdict() in (Violation.DEADLINE, Violation.NAMESPACE)
    outcome.view.writes = {k: v for k, v in lawful.items() if not k.startswith(REMINDER_PREFIX)}
    assert outcome.verdict() == Violation.DEADLINE


def test_no_machine_sets_more_than_may_wait(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    for most, verdict in ((2, None), (1, Violation.DEADLINE)):
        monkeypatch.setattr(deadlines, "REMINDERS_WAITING_MAX", most)
        assert outcome.verdict() == verdict
