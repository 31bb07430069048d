"""A worker that is dead, hangs, is out of memory, lies or talks nonsense is replaced; no call ever shows it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from decoder import deepened
from msgspec.structs import replace
from walled import Workers, needs_seccomp

from bench.blocks import Recording, record
from contracts.machine import PythonMachine
from contracts.sandbox.machine import ATTEMPTS_MAX, SandboxFailed, WorkerMachine
from contracts.sandbox.process import Patience, Process, WorkerFailed
from contracts.sandbox.protocol import HEADER_BYTES, PART_CALLS, Miss, Outcome, Outcomes, Page, Run
from contracts.testing import Chain
from contracts.validation import MarketValidator
from ledger.execution import BlockExecutor, Call
from ledger.state import TransactionView
from ledger.values import encode_value

HANGS_S = 1.0
BLOCKS = 3

HOG = """
@export("*")
def run(parts: int):
    words = []
    word = "x" * 10000
    while len(words) < parts:
        words.append(word + str(len(words)))
    return len(words)
"""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(BLOCKS, 10)


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def machine(workers: Workers) -> Iterator[WorkerMachine]:
    made = WorkerMachine(workers, answer_s_max=HANGS_S)
    yield made
    made.close()


def replayed(recording: Recording, machine: WorkerMachine, harm: Callable[[int], None] = lambda height: None) -> None:
    """Every block comes to what was recorded, though something is done before each."""
    executor = BlockExecutor(machine, MarketValidator())
    harm(0)
    for (block, executed, _), wanted in zip(recording.replay(executor), recording.executed, strict=True):
        assert executed == wanted
        harm(block.height)


# ------------------------------------------------------------------------------------- dead, hung, hungry


def test_a_killed_worker_is_replaced_and_the_block_retried(
    recording: Recording, workers: Workers, machine: WorkerMachine
) -> None:
    def kill(height: int) -> None:
        if height == 2:
            os.kill(workers.all[-1].pid, signal.SIGKILL)

    replayed(recording, machine, kill)
    assert len(workers.all) == 2


def test_every_failed_worker_is_told_of_where_it_is_counted(recording: Recording, workers: Workers) -> None:
    """A count that operators are alerted on; the healthy end of a worker is none."""
    told: list[int] = []
    machine = WorkerMachine(workers, on_replaced=lambda: told.append(workers.all[-1].pid))
    try:
        replayed(
            recording, machine, lambda height: os.kill(workers.all[-1].pid, signal.SIGKILL) if height == 2 else None
        )
        assert told == [workers.all[0].pid]
    finally:
        machine.close()
    assert len(told) == 1


def test_a_worker_that_dies_in_the_middle_of_a_block_too(
    recording: Recording, workers: Workers, machine: WorkerMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed when it asks for a page of state."""
    import contracts.sandbox.machine as sandbox

    page_of, asked = sandbox.page_of, []

    def killing(base: Any, miss: Miss) -> Page:
        asked.append(miss)
        if len(asked) == 3:
            os.kill(workers.all[-1].pid, signal.SIGKILL)
        return page_of(base, miss)

    monkeypatch.setattr(sandbox, "page_of", killing)
    replayed(recording, machine)
    assert len(workers.all) == 2


class Mortal(Process):
    """A worker that dies between two parts of its answer."""

    dies = False

    def ask(self, run: Run, page: Callable[[Miss], Page], seconds_max: float) -> Iterator[Outcomes]:
        for told in super().ask(run, page, seconds_max):
            yield told
            if self.dies and len(told.outcomes) < len(run.calls):
                os.kill(self.pid, signal.SIGKILL)
                self._popen.wait()
                raise WorkerFailed("it died")


def test_a_worker_that_dies_between_two_parts_of_its_answer_is_replaced() -> None:
    workers = Workers(Mortal)

    def choose(number: int, process: Process) -> None:
        assert isinstance(process, Mortal)
        process.dies = number == 1

    workers.before = choose
    machine = WorkerMachine(workers)
    try:
        replayed(record(2, 3 * PART_CALLS), machine)
        assert len(workers.all) == 2
    finally:
        machine.close()


def test_a_hung_worker_is_killed_replaced_and_the_block_retried(
    recording: Recording, workers: Workers, machine: WorkerMachine
) -> None:
    def stop(height: int) -> None:
        if height == 1:
            os.kill(workers.all[-1].pid, signal.SIGSTOP)

    replayed(recording, machine, stop)
    assert len(workers.all) == 2
    with pytest.raises(ProcessLookupError):
        os.kill(workers.all[0].pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_a_worker_out_of_memory_is_replaced_and_never_a_result() -> None:
    """The same call, first in a worker with less than it needs, then in one with enough."""
    plain = Process()
    used = next(line for line in Path(f"/proc/{plain.pid}/status").read_text().splitlines() if "VmSize" in line)
    plain.end()
    tight = int(used.split()[1]) * 1024 + (12 << 20)
    sizes = iter([tight, 1 << 30])
    workers = Workers(lambda: Process(memory_bytes_max=next(sizes)))
    machine = WorkerMachine(workers)
    try:
        here, there = Chain({"hog": HOG}, {}, machine=PythonMachine()), Chain({"hog": HOG}, {}, machine=machine)
        call = "hog", "run", {"parts": 2_500}, ["a"], 100_000_000
        wanted = here.call(*call)
        assert there.call(*call) == wanted
        assert (wanted.code, len(workers.all)) == ("OK", 2)
    finally:
        machine.close()


def test_after_failures_in_a_row_the_replica_gives_up_and_says_so(
    recording: Recording, workers: Workers, machine: WorkerMachine, caplog: pytest.LogCaptureFixture
) -> None:
    workers.before = lambda number, process: os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(SandboxFailed):
        replayed(recording, machine)
    assert len(workers.all) == ATTEMPTS_MAX
    assert "gives up" in caplog.records[-1].getMessage()
    assert caplog.records[-1].levelname == "CRITICAL"


def test_failures_at_different_blocks_are_not_counted_together(
    recording: Recording, workers: Workers, machine: WorkerMachine
) -> None:
    replayed(recording, machine, lambda height: os.kill(workers.all[-1].pid, signal.SIGKILL) if workers.all else None)
    assert len(workers.all) == BLOCKS


def test_a_worker_that_cannot_be_started_counts_as_one_that_failed(recording: Recording) -> None:
    with pytest.raises(SandboxFailed, match="cannot be started"):
        replayed(recording, WorkerMachine(lambda: Process(lambda command: ["/nowhere/python"])))


def test_the_end_of_a_node_ends_its_workers(workers: Workers) -> None:
    machine = WorkerMachine(workers)
    call = Call("nobody", "run", {}, (), "", 1_000, 1, 1, 0, "view")
    machine.run(call, TransactionView(Chain({}, {}).state))
    machine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(workers.all[0].pid, 0)


# -------------------------------------------------------------------------------------------------- lies


class Liar(Process):
    """A worker whose answers are changed on their way, the first time."""

    lie: Callable[[Outcome], Outcome] | None = None

    def ask(self, run: Run, page: Callable[[Miss], Page], seconds_max: float) -> Iterator[Outcomes]:
        for number, told in enumerate(super().ask(run, page, seconds_max)):
            if self.lie is None or number:
                yield told
            else:
                yield Outcomes([told.outcomes[0], self.lie(told.outcomes[1]), *told.outcomes[2:]], told.cpu_s)


def with_read(outcome: Outcome, version: tuple[int, int] | None) -> Outcome:
    return replace(outcome, reads={**outcome.reads, next(iter(outcome.reads)): version})


def test_an_answer_nested_without_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = deepened(msgspec.msgpack.encode(Outcomes([], 0.5)))
    parts = iter((len(answer).to_bytes(HEADER_BYTES, "big"), answer))
    monkeypatch.setattr(Process, "_exactly", lambda process, size, patience: next(parts))
    with pytest.raises(WorkerFailed, match="no answer"):
        Process.__new__(Process)._receive(Patience(1.0))


LIES: dict[str, Callable[[Outcome], Outcome]] = {
    "a version that is not there": lambda outcome: with_read(outcome, (7, 7)),
    "nothing where there is something": lambda outcome: with_read(outcome, None),
    "more reads than gas can pay": lambda outcome: replace(outcome, reads={str(n): None for n in range(80_001)}),
    "a range that is not so": lambda outcome: replace(outcome, ranges=[("market/", "", 5, bytes(32))]),
    "an endless range": lambda outcome: replace(outcome, ranges=[("", "", 10**9, bytes(32))]),
    "more gas than there was": lambda outcome: replace(outcome, gas_used=10**9),
    "gas given back": lambda outcome: replace(outcome, gas_used=-1),
    "no code": lambda outcome: replace(outcome, code="all is well"),
    "no value": lambda outcome: replace(outcome, value=b"\xc1"),
    "a float": lambda outcome: replace(outcome, value=b"\xcb" + bytes(8)),
    "bytes": lambda outcome: replace(outcome, value=b"\xc4\x01a"),
    "a key that is no text": lambda outcome: replace(outcome, value=b"\x81\xc0\x01"),
    "an unknown extension": lambda outcome: replace(outcome, value=b"\xc7\x01\x05a"),
    "keys out of order": lambda outcome: replace(outcome, value=b"\x82\xa1b\x01\xa1a\x01"),
    "lists without end": lambda outcome: replace(outcome, value=b"\x91" * 60_000),
    "more than a contract can say": lambda outcome: replace(outcome, value=encode_value("x" * 65_536)),
    "more events than there can be": lambda outcome: replace(outcome, events=[("market", "x", b"\x80")] * 257),
    "a sentence without end": lambda outcome: replace(outcome, code="NO", message="x" * 65_537),
    "no value in an event": lambda outcome: replace(outcome, events=[("market", "x", b"\xc1")]),
    "a key of no contract": lambda outcome: replace(outcome, writes={"market/\u00e9": encode_value(1)}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_what_no_worker_of_ours_can_say_costs_it_its_place(
    lie: Callable[[Outcome], Outcome], recording: Recording
) -> None:
    def tell(number: int, process: Process) -> None:
        assert isinstance(process, Liar)
        process.lie = lie if number == 1 else None

    workers = Workers(Liar)
    workers.before = tell
    machine = WorkerMachine(workers)
    try:
        replayed(recording, machine)
        assert len(workers.all) == 2
    finally:
        machine.close()


@pytest.mark.parametrize("event", [("market", "x", b"\x01"), ("governance", "revoked", b"\x80"), ("", "x", b"\x80")])
def test_events_of_others_are_stopped_by_the_validation_module(
    event: tuple[str, str, bytes], recording: Recording
) -> None:
    def tell(number: int, process: Process) -> None:
        assert isinstance(process, Liar)
        process.lie = lambda outcome: replace(outcome, events=[*outcome.events, event])

    workers = Workers(Liar)
    workers.before = tell
    machine = WorkerMachine(workers)
    try:
        _, executed, _ = next(recording.replay(BlockExecutor(machine, MarketValidator())))
        assert executed.results[1].code.startswith("VALIDATION_")
        assert executed.results[1].events == ()
    finally:
        machine.close()


@pytest.mark.parametrize("key", ["credit/account/mallory", "governance/epoch", "system/nonce/x", "registry/user/x"])
def test_writes_outside_the_namespace_are_stopped_by_the_validation_module(key: str, recording: Recording) -> None:
    """That is a lie that could be a contract's; it changes nothing here, and makes this replica differ from others."""

    def tell(number: int, process: Process) -> None:
        assert isinstance(process, Liar)
        process.lie = lambda outcome: replace(outcome, writes={**outcome.writes, key: encode_value({"available": 1})})

    workers = Workers(Liar)
    workers.before = tell
    machine = WorkerMachine(workers)
    try:
        executor = BlockExecutor(machine, MarketValidator())
        _, executed, state = next(recording.replay(executor))
        assert executed.results[1].code.startswith("VALIDATION_")
        assert key not in executed.changes
        assert state.get(key) is None
    finally:
        machine.close()


# ---------------------------------------------------------------------------------------------- nonsense

GARBAGE = {
    "nothing": "",
    "noise": "os.write(fd, bytes([0, 0, 0, 4]) + b'\\xc1\\xc1\\xc1\\xc1')",
    "a frame without end": "os.write(fd, b'\\xff\\xff\\xff\\xff')",
    "half a frame": "os.write(fd, bytes([0, 0, 1, 0]) + b'half')",
    "no greeting": "os.write(fd, msg([5, [], 0.0]))",
    "another type": "os.write(fd, msg([3, 'root', 1, 2]))",
}


@pytest.mark.parametrize("action", GARBAGE.values(), ids=GARBAGE)
def test_whoever_does_not_greet_as_a_worker_is_none(action: str) -> None:
    script = (
        "import os, sys, msgspec; fd = int(sys.argv[1])\n"
        "msg = lambda value: (lambda data: len(data).to_bytes(4, 'big') + data)(msgspec.msgpack.encode(value))\n"
    )

    def instead(command: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", script + action, command[-2]]

    with pytest.raises(WorkerFailed):
        Process(instead)


@needs_seccomp
def test_a_contract_that_got_out_of_the_language_would_die_at_its_first_system_call(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with a hole in its machine: a contract call opens a file. It is killed; the replica stops."""
    hole = (
        "import contracts.machine as m, os; run = m.PythonMachine.run\n"
        "def leak(self, call, view):\n"
        "    if call.contract == 'market': os.open('/etc/hostname', os.O_RDONLY)\n"
        "    return run(self, call, view)\n"
        "m.PythonMachine.run = leak\n"
    )

    def holed(command: Sequence[str]) -> list[str]:
        at = list(command).index("-c") + 1
        boot = command[at].replace("from contracts.sandbox", hole + "from contracts.sandbox")
        return [*command[:at], boot, *command[at + 1 :]]

    with pytest.raises(SandboxFailed, match=f"ended with {-signal.SIGSYS}"):
        replayed(recording, WorkerMachine(lambda: Process(holed)))
