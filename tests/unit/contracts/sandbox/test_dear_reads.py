"""Reads that a worker must ask for make a block dear, never wrong, and never end a replica; asking has an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from walled import Workers

from contracts.machine import PythonMachine
from contracts.sandbox import machine as sandbox
from contracts.sandbox import process as process_module
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import PAGE_S_MAX, Patience, Process
from contracts.sandbox.protocol import Miss, Outcomes, Page, Run
from contracts.testing import Chain
from ledger.state import CommittedReader, Entry
from ledger.values import encode_value

ANSWER_S_MAX = 30.0
READER = """
@export("*")
def down(first: int, count: int):
    for number in range(count):
        get("r/" + str(first - number))

@export("*")
def up(first: int, count: int):
    for number in range(count):
        get("r/" + str(first + number))
"""


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """What workers got."""
    told: list[Page] = []
    page_of = sandbox.page_of

    def noted(base: CommittedReader, miss: Miss) -> Page:
        told.append(page_of(base, miss))
        return told[-1]

    monkeypatch.setattr(sandbox, "page_of", noted)
    return told


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def machine(workers: Workers) -> Iterator[WorkerMachine]:
    made = WorkerMachine(workers, answer_s_max=ANSWER_S_MAX)
    yield made
    made.close()


def reader(machine: PythonMachine | WorkerMachine) -> Chain:
    """Every tenth key is there, and behind them four as long as they may be."""
    chain = Chain({"reader": READER}, {}, machine=machine)
    for number in range(10_000, 20_000, 10):
        chain.state.apply({f"reader/r/{number}": Entry(0, 0, encode_value(number))})
    for number in range(4):
        chain.state.apply({f"reader/r/50000{number}": Entry(0, 0, encode_value("x" * 65_000))})
    return chain


@pytest.mark.parametrize(
    ("function", "first", "pages_max"),
    [("down", 49_000, 3), ("up", 30_000, 3), ("down", 19_999, 22), ("up", 10_001, 22)],
    ids=["absent downwards", "absent upwards", "downwards", "upwards"],
)
def test_reads_in_order_cost_few_round_trips_whichever_way_they_go(
    function: str, first: int, pages_max: int, machine: WorkerMachine, pages: list[Page]
) -> None:
    """In one gap, beside values of 65 kB, and with a key that is there after each nine that are not."""
    call = "reader", function, {"first": first, "count": 9_998}, ["a"], 2_000_000
    assert reader(machine).call(*call) == reader(PythonMachine()).call(*call)
    assert 0 < len(pages) <= pages_max
    assert sum(len(entry.value) for page in pages for _, entry in page.rows) < 100_000


def test_a_worker_whose_pages_take_long_is_slow_and_stays(
    machine: WorkerMachine, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of dear reads had a worker taken for hung, and the next, and the third: this replica gave up."""
    clock = SimpleNamespace(now=0.0)
    page_of = sandbox.page_of

    def slow(base: CommittedReader, miss: Miss) -> Page:
        clock.now += ANSWER_S_MAX * 3
        return page_of(base, miss)

    monkeypatch.setattr(process_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(sandbox, "page_of", slow)
    result = reader(machine).call("reader", "down", {"first": 20_000, "count": 2_000}, ["a"], 2_000_000)
    assert result.code == "OK"
    assert clock.now > 5 * ANSWER_S_MAX
    assert len(workers.all) == 1


def test_each_page_gives_a_worker_more_time_and_silence_has_its_own_limit() -> None:
    patience = Patience(ANSWER_S_MAX)
    for _ in range(100_000):
        patience.grow(PAGE_S_MAX)
        patience.spend(PAGE_S_MAX / 2)
    assert patience.next_s == ANSWER_S_MAX
    patience.spend(100_000 * PAGE_S_MAX / 2)
    assert patience.next_s == pytest.approx(ANSWER_S_MAX)
    patience.spend(ANSWER_S_MAX - 1)
    assert patience.next_s == pytest.approx(1)
    patience.spend(2)
    assert 0 < patience.next_s < 0.01


class Endless(Process):
    """A worker that asks for ever, if it is one of those."""

    asks = False

    def ask(self, run: Run, page: Callable[[Miss], Page], seconds_max: float) -> Iterator[Outcomes]:
        while self.asks:
            page(Miss("reader/r/1", "", None, 1))
        yield from super().ask(run, page, seconds_max)


def test_a_worker_that_asks_for_pages_without_end_is_replaced(pages: list[Page]) -> None:
    def choose(number: int, process: Process) -> None:
        assert isinstance(process, Endless)
        process.asks = number == 1

    workers = Workers(Endless)
    workers.before = choose
    machine = WorkerMachine(workers)
    try:
        result = reader(machine).call("reader", "up", {"first": 30_000, "count": 2}, ["a"], 20_000)
        assert (result.code, len(workers.all)) == ("OK", 2)
        assert len(pages) <= 20_000 // 5 + 200
    finally:
        machine.close()
