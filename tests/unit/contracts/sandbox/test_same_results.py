"""In a worker everything comes to what it comes to in this process: results, gas, events, reads, writes, roots."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence

import pytest
from governed import NODES, OPERATORS, MemoryDisk, Network, certificate
from ledgers import ALICE, BOB, START_MS, envelope, user_value
from walled import Workers

from bench.blocks import INTERVAL_MS, record
from ca.keys import SigningKey
from contracts.machine import PythonMachine
from contracts.sandbox import machine as sandbox
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process
from contracts.sandbox.protocol import PART_CALLS, Miss, Outcomes, Page, Run
from contracts.validation import MarketValidator
from ledger import execution
from ledger.envelope import Envelope
from ledger.execution import BlockExecutor, Call, CallResult, Executed, Machine
from ledger.ledger import Ledger
from ledger.state import CommittedReader, Entry, MemoryState, TransactionView
from ledger.upgrades import CONTRACT_PREFIX, SOURCE_PREFIX, UPGRADE_PREFIX
from ledger.values import Value, decode_value, encode_value

HERE = PythonMachine()

NOTES = """
@export("*")
def add(name: str, amount: int):
    old = get(name)
    summed = amount if old is None else old + amount
    require(summed >= 0, "NEGATIVE", "There is not so much.")
    put(name, summed)
    emit("added", {"name": name, "total": summed, "rows": scan("", "", 5)})
    return [summed, caller(), tx_index(), block_height()]

@export("*")
def drop(name: str):
    delete(name)
    return peek("system", "nonce/" + caller())

@export("seller")
def sell():
    put("sold", caller())

@export("*")
def ban(signer: str, suspended: bool):
    call("registry", "suspend", [signer, suspended])

@export("*")
def later(at_ms: int):
    schedule(at_ms, "due", [tx_index()])

@deadline
def due(number: int):
    put("due/" + pad(number, 3), block_time())
    require(number != 3, "THREE", "Not this one.")

@export("*")
def fill(rows: int):
    for number in range(rows):
        put("row/" + pad(number, 3), number)

@export("*")
def wipe(rows: int, scans: int):
    for number in range(rows):
        delete("row/" + pad(number, 3))
    for number in range(scans):
        scan("row/", "", 1)
    return scan("row/", "", 9)

@export("*")
def run_out():
    put("never", 1)
    while True:
        put("never", 2)

@view
def total(name: str):
    return get(name)
"""
REGISTRY = """
@internal("notes")
def suspend(signer: str, suspended: bool):
    user = get("user/" + signer)
    user["suspended"] = suspended
    put("user/" + signer, user)
"""


class Objects(MarketValidator):
    """A validation module that rejects by place in the block."""

    def __init__(self, indices: Sequence[int] = ()) -> None:
        self.indices = frozenset(indices)

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        return "VALIDATION_TEST" if call.index in self.indices else None


def notes_state() -> MemoryState:
    values: dict[str, Value] = {
        f"governance/contract/{name}": {"source": source, "sha256": "", "version": 1}
        for name, source in (("notes", NOTES), ("registry", REGISTRY))
    }
    for key in (ALICE, BOB):
        values[f"registry/user/{key.signer}"] = user_value(key, "seller")
    return MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})


def call(key: SigningKey, nonce: int, function: str, **args: Value) -> Envelope:
    return envelope(key, contract="notes", function=function, args=args, nonce=nonce, gas_limit=100_000)


def run(machine: Machine, blocks: Sequence[Sequence[Envelope]], objects: Sequence[int] = ()) -> list[Executed]:
    """Every block executed and committed in its turn, half a second after the one before."""
    state, executor = notes_state(), BlockExecutor(machine, Objects(objects))
    found = []
    for height, envelopes in enumerate(blocks, start=1):
        executed = executor.execute(state, height, START_MS + 500 * height, envelopes)
        state.apply(executed.changes)
        executor.committed(state)
        found.append(executed)
    return found


@pytest.fixture(scope="module")
def there() -> Iterator[WorkerMachine]:
    machine = WorkerMachine()
    yield machine
    machine.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls went to a worker in each message."""
    found: list[int] = []
    ask = Process.ask

    def counted(self: Process, run: Run, page: Callable[[Miss], Page], seconds_max: float) -> Iterator[Outcomes]:
        found.append(len(run.calls))
        return ask(self, run, page, seconds_max)

    monkeypatch.setattr(Process, "ask", counted)
    return found


# ---------------------------------------------------------------------------------------- recorded markets


def test_recorded_market_blocks_with_deadlines_give_the_same(there: WorkerMachine) -> None:
    recording = record(12, 30, block_ms=5 * INTERVAL_MS)
    assert sum(executed.deadlines for executed in recording.executed) > 0
    for (_, executed, _), recorded in zip(
        recording.replay(BlockExecutor(there, MarketValidator())), recording.executed, strict=True
    ):
        assert executed == recorded


def test_a_block_is_one_message_and_warm_blocks_ask_for_no_state(
    there: WorkerMachine, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(8, 25)
    pages: list[Miss] = []
    page_of = sandbox.page_of

    def noted(base: CommittedReader, miss: Miss) -> Page:
        pages.append(miss)
        return page_of(base, miss)

    monkeypatch.setattr(sandbox, "page_of", noted)
    missed = []
    for _ in recording.replay(BlockExecutor(there, MarketValidator())):
        missed.append(len(pages))
        pages.clear()
    assert asked == [25] * 8
    assert sum(missed[2:]) <= missed[0]


def test_a_ledger_comes_to_the_same_roots_and_opens_again(there: WorkerMachine) -> None:
    """With governance, certificates and epochs: all that reads and writes state beside the calls."""
    network, disk = Network(), MemoryDisk()
    other = Ledger(disk.storage(), network.genesis, WorkerMachine(), MarketValidator())
    der = certificate(ALICE, "alice", "north", "prosumer", 99)
    blocks: list[list[Envelope]] = [
        [network.envelope([ALICE], "registry", "register", {"certificate": base64.b64encode(der).decode()})],
        [],
        [
            network.envelope(OPERATORS[:2], "credit", "deposit", {"account": ALICE.signer, "amount": 500}),
            network.envelope([ALICE], "governance", "set_parameter", {"name": "fee", "value": 1}),
        ],
        [],
        [network.envelope([NODES[0]], "registry", "register", {"certificate": "no"})],
    ]
    for envelopes in blocks:
        ran = network.block(*envelopes)
        again = other.execute(other.height + 1, ran.block.header.batch_digest, ran.block.body, 0, 0)
        assert again.block == ran.block
    other.close()
    again_open = Ledger(disk.storage(), network.genesis, there, MarketValidator())
    assert (again_open.height, again_open.state_root) == (network.ledger.height, network.ledger.state_root)


# ---------------------------------------------------------------------------------- when foresight fails


def mixed() -> list[list[Envelope]]:
    """Blocks of all kinds of calls: good, failing, refused, deadlines, one that changes who is admitted."""
    a, b = iter(range(100)), iter(range(100))
    return [
        [call(ALICE, next(a), "add", name=f"n{number % 3}", amount=number) for number in range(8)],
        [
            call(ALICE, next(a), "add", name="n1", amount=-(10**6)),
            call(ALICE, next(a), "run_out"),
            call(BOB, next(b), "drop", name="n0"),
            call(BOB, 0, "add", name="n0", amount=1),  # the nonce is used
            call(BOB, next(b), "add", name="n0", amount=2),
            call(BOB, next(b), "nothing"),
            *(call(ALICE, next(a), "later", at_ms=START_MS + 1_200 + number // 4) for number in range(6)),
        ],
        [
            call(BOB, next(b), "sell"),
            call(ALICE, next(a), "ban", signer=BOB.signer, suspended=True),
            call(BOB, next(b), "sell"),  # no longer admitted: its nonce stays unused
            call(BOB, 5, "add", name="bob", amount=5),
            call(ALICE, next(a), "ban", signer=BOB.signer, suspended=False),
            call(BOB, 6, "sell"),
            call(BOB, 6, "sell"),
        ],
        [],
        [call(ALICE, next(a), "add", name=f"n{number}", amount=1) for number in range(3)],
    ]


@pytest.mark.parametrize("objects", [(), (0,), (3,), (0, 1, 2, 3, 4, 5, 6, 7), (2, 5), (7,)])
def test_whatever_is_refused_or_rejected_on_the_way(there: WorkerMachine, objects: Sequence[int]) -> None:
    wanted = run(HERE, mixed(), objects)
    assert run(there, mixed(), objects) == wanted
    codes = {result.code for executed in wanted for result in executed.results}
    assert {"OK", "NEGATIVE", "OUT_OF_GAS", "NONCE_USED", "FUNCTION_UNKNOWN", "SUSPENDED"} <= codes or objects


def test_deadlines_that_gas_puts_off_after_they_were_foreseen(
    there: WorkerMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transactions after them have other places in the block than foreseen."""
    monkeypatch.setattr(execution, "DEADLINE_GAS_PER_BLOCK_MAX", execution.DEADLINE_GAS_MAX)
    wanted = run(HERE, mixed())
    assert [executed.deadlines for executed in wanted] == [0, 0, 1, 1, 1]
    assert run(there, mixed()) == wanted


@pytest.mark.parametrize("end", ["fail('BROKEN', 'It does not go.')", "put('migrated', True)"])
def test_a_migration_has_no_later_call_run_in_vain(there: WorkerMachine, asked: list[int], end: str) -> None:
    """Regression: after each migration a block lists the new version, or puts back the old one, and all calls behind it
    had been run without knowing: a full block of the worst took a worker 0.8 s instead of 0.4."""
    changes: dict[str, Value] = {SOURCE_PREFIX + "new": {"source": f"{NOTES}\ndef migrate():\n    {end}\n"}}
    for name in "abc":
        changes[CONTRACT_PREFIX + name] = {"source": NOTES, "sha256": "", "version": 1}
        changes[UPGRADE_PREFIX + name] = {"at_height": 1, "sha256": "new", "version": 2}
    state = notes_state()
    state.apply({key: Entry(0, 0, encode_value(value)) for key, value in changes.items()})
    block = [call(ALICE, number, "add", name="n", amount=number) for number in range(20)]
    wanted, found = (BlockExecutor(each, Objects()).execute(state, 1, START_MS, block) for each in (HERE, there))
    assert found == wanted
    assert [result.code for result in found.results] == [found.results[0].code] * 3 + ["OK"] * 20
    assert asked == [1, 1, 1, 20]


@pytest.mark.parametrize("objects", [[3], [PART_CALLS - 1], [2 * PART_CALLS + 1], [1, 20, 47]])
def test_rejections_while_the_worker_is_at_later_calls(there: WorkerMachine, objects: list[int]) -> None:
    """What it ran on top of a rejected call is heard out and does not count; the next block begins right."""
    names = "abc"
    blocks = [
        [call(ALICE, 100 * height + number, "add", name=names[number % 3], amount=number) for number in range(50)]
        for height in range(1, 4)
    ]
    assert run(there, blocks, objects) == run(HERE, blocks, objects)


def test_scans_past_deleted_rows_cost_the_same(there: WorkerMachine) -> None:
    """Regression: a call that asked of its own deletions more often than a worker is believed stopped every node."""
    blocks = [
        [call(ALICE, 1, "fill", rows=150)],
        [call(ALICE, 2, "wipe", rows=20, scans=3), call(BOB, 1, "wipe", rows=90, scans=1)],
        [call(ALICE, 3, "wipe", rows=140, scans=400), call(BOB, 2, "wipe", rows=0, scans=2)],
    ]
    there_found = run(there, blocks)
    assert there_found == run(HERE, blocks)
    assert [[result.code for result in each.results] for each in there_found[1:]] == [
        ["OK", "OK"],
        ["OUT_OF_GAS", "OK"],
    ]


def test_rejection_after_rejection_costs_a_few_times_the_calls(there: WorkerMachine, asked: list[int]) -> None:
    calls = 64
    block = [[call(ALICE, number, "add", name=str(number), amount=1) for number in range(calls)]]
    assert run(there, block, range(calls)) == run(HERE, block, range(calls))
    assert sum(asked) <= 4 * calls


def test_a_block_that_is_not_committed_leaves_no_trace(there: WorkerMachine) -> None:
    state, executor = notes_state(), BlockExecutor(there, Objects())
    one = [call(ALICE, 0, "add", name="n", amount=1)]
    first = executor.execute(state, 1, START_MS, one)
    assert executor.execute(state, 1, START_MS, one) == first
    state.apply(first.changes)
    executor.committed(state)
    second = executor.execute(state, 2, START_MS + 1, [call(ALICE, 1, "add", name="n", amount=1)])
    assert decode_value(second.results[0].value)[0] == 2


def test_a_worker_that_is_used_up_is_replaced_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "CPU_S_MAX", 0.0)
    workers = Workers()
    machine = WorkerMachine(workers)
    try:
        assert run(machine, mixed()) == run(HERE, mixed())
        assert len(workers.all) > 2
    finally:
        machine.close()


# --------------------------------------------------------------------------------------------- single calls

SINGLE = {
    "arguments of another type": {"name": 1, "amount": 1},
    "too few": {"name": "n"},
    "no value": {"name": "n", "amount": 0.5},
    "a lone surrogate": {"name": "\ud800", "amount": 1},
    "beyond 64 bits": {"name": "n", "amount": 2**200},
    "beyond 256 bits": {"name": "n", "amount": 2**256},
}


@pytest.mark.parametrize("args", SINGLE.values(), ids=SINGLE)
def test_odd_arguments_end_alike(there: WorkerMachine, args: dict[str, Value]) -> None:
    same(there, args=args)


@pytest.mark.parametrize("changed", [{"contract": "nobody"}, {"function": "nothing"}, {"function": "due"}])
def test_what_cannot_be_called_ends_alike(there: WorkerMachine, changed: dict[str, Value]) -> None:
    same(there, **changed)


def same(there: WorkerMachine, **changed: Value) -> None:
    one: dict[str, Value] = {
        "contract": "notes", "function": "add", "args": {"name": "n", "amount": 3}, "signers": ("s",), "tx_id": "",
        "gas_limit": 100_000, "block_time_ms": 5, "height": 9, "index": 2, "kind": "transaction", **changed,
    }  # fmt: skip
    state, call = notes_state(), Call(**one)
    views = TransactionView(state), TransactionView(state)
    results = HERE.run(call, views[0]), there.run(call, views[1])
    assert results[1].code == results[0].code
    assert (results[1].message, results[1].value) == (results[0].message, results[0].value)
    assert (results[1].gas_used, results[1].events) == (results[0].gas_used, results[0].events)
    assert (views[1].reads, views[1].writes) == (views[0].reads, views[0].writes)
    assert [each.digest for each in views[1].ranges] == [each.digest for each in views[0].ranges]


def test_a_view_sees_committed_state_and_writes_nothing(there: WorkerMachine) -> None:
    executor, state = BlockExecutor(there, Objects()), notes_state()
    state.apply(executor.execute(state, 1, START_MS, [call(ALICE, 0, "add", name="n", amount=7)]).changes)
    view = Call("notes", "total", {"name": "n"}, (), "", 10_000, START_MS, 1, 0, "view")
    assert executor.view(state, view).value == 7
    assert executor.view(notes_state(), view).value is None
