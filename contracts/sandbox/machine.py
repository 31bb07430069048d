"""A machine whose contracts run in a worker process: a block's calls go there in one message, and come back in parts.

The executor still asks call by call, and decides each with what is outside the worker: admission and the validation
module. A worker that fails is replaced and asked again: it can cost time, and after ``ATTEMPTS_MAX`` failures this
replica's part in execution, but never decide a call.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence

from contracts.codes import ReplicaFault, TrapCode
from contracts.host import SCAN_ROWS_MAX
from contracts.machine import PythonMachine
from contracts.sandbox.plan import Plan, planned
from contracts.sandbox.process import Process, WorkerFailed
from contracts.sandbox.protocol import ROW_BYTES_MAX, Miss, Outcome, Outcomes, Page, Run, places
from contracts.session import EVENTS_MAX, VALUE_BYTES_MAX
from ledger.execution import BatchMachine, Call, CallResult, EntryPoint, Event, Step
from ledger.state import CommittedReader, MemoryState, Overlay, RangeRead, Span, StateReader, TransactionView
from ledger.values import ValueInvalid, canonical_value

ATTEMPTS_MAX = 3
"""Workers that fail at one block before this replica gives up."""
ANSWER_S_MAX = 30.0
GAS_PER_S_MIN = 1_000_000
"""A worker that takes longer than ``ANSWER_S_MAX`` and its calls' gas at this pace hangs."""
CPU_S_MAX = 1_800.0
"""Processor seconds after which a worker is replaced between two blocks, before its own limit ends it."""
GAS_PER_READ_MIN, GAS_PER_ROW_MIN, BYTES_PER_GAS_MAX = 25, 50, 32
"""What a read or a range query costs a call at least, a row that a query reads, and what a unit pays for of values:
half of the least that each costs, since a page is read before it is paid for."""
UNPAID_READS_MAX, UNPAID_ROWS_MAX, UNPAID_BYTES_MAX = 64, 128, 1 << 20
"""What a call may have read that it had no gas for. A page that a worker asks for tells it one row at least, or that a
read finds none."""

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

Start = Callable[[], Process]

log = logging.getLogger("wattq.contracts")


class SandboxFailed(ReplicaFault):
    """Worker after worker failed at the same calls: this replica cannot execute."""


class Post:
    """A worker's place: who holds it may change, what is asked does not. One thread's at a time."""

    def __init__(
        self, start: Start, process: Process | None, answer_s_max: float, on_replaced: Callable[[], None]
    ) -> None:
        self._start = start
        self._on_replaced = on_replaced
        self._answer_s_max = answer_s_max
        self._process = process
        self._plan = Plan(MemoryState(), [], ())
        self._held: Plan | None = None
        """The block whose writes the worker's overlay holds."""
        self._parts: Iterator[Outcomes] = iter(())
        """What is still to be heard of what was asked last."""
        self._folds = False
        """Whether that block is committed now."""
        self._cpu_s = 0.0
        self._failures = 0

    def begin(self, plan: Plan) -> None:
        self._plan, self._failures = plan, 0
        if self._cpu_s > CPU_S_MAX:
            self.end()

    def foresee(self, steps: Sequence[Step]) -> None:
        self._plan.foresee(steps)

    def committed(self, base: StateReader) -> None:
        plan, held = self._plan, self._held
        if plan.base is not base:
            self._held = None
        elif plan is held:
            self._folds = True
        elif plan.writes:
            self._held = None  # written without any call; rare, and then everything is fetched again

    def result(self, call: Call, view: TransactionView) -> CallResult:
        """What the call comes to, with its reads and writes in ``view``, which has none yet."""
        plan = self._plan
        while True:
            try:
                while plan.awaits(call):
                    self._hear()
                if not plan.fits(call):
                    self._ask(call)
                result = accepted(call, plan.outcome(), view)
            except WorkerFailed as failure:
                self._replace(failure)
            else:
                plan.next()
                return result

    def end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process, self._held, self._parts, self._cpu_s = None, None, iter(()), 0.0

    # ------------------------------------------------------------------------------------------- inside

    def _ask(self, call: Call) -> None:
        """Ask for this call and what is foreseen after it, and hear the first part of the answer."""
        for part in self._parts:
            self._note(part)
        plan, held = self._plan, self._held
        if self._process is None:
            self._process = self._start()
        again = held is plan
        folds = held is not None and self._folds and not again and held.base is plan.base
        keep = held.agreed() if held is not None and (again or folds) else 0
        add = held.writes[keep:] if held is not None and folds else []
        steps = plan.ahead(call)
        calls = [planned(call, plan.writes[keep:] if again else plan.writes)]
        calls += [planned(step.call, step.before) for step in steps[1:]]
        run = Run(not again and not folds, keep, add, folds, call.height, call.block_time_ms, calls)
        seconds_max = self._answer_s_max + sum(step.call.gas_limit for step in steps) / GAS_PER_S_MIN
        self._parts = self._process.ask(run, Pages(plan.base, [step.call.gas_limit for step in steps]), seconds_max)
        plan.begin(steps)
        self._held, self._folds = plan, False
        self._hear()

    def _hear(self) -> None:
        self._note(next(self._parts))

    def _note(self, part: Outcomes) -> None:
        self._cpu_s = part.cpu_s
        if self._held is not None:
            self._held.hear(part.outcomes)

    def _replace(self, failure: WorkerFailed) -> None:
        self.end()
        self._plan.drop()
        self._failures += 1
        self._on_replaced()
        if self._failures >= ATTEMPTS_MAX:
            log.critical("%d contract workers failed at the same calls; this node gives up: %s", ATTEMPTS_MAX, failure)
            raise SandboxFailed(str(failure)) from failure
        log.error("the contract worker failed and is replaced: %s", failure)


def accepted(call: Call, outcome: Outcome, view: TransactionView) -> CallResult:
    """An outcome as the machine's result, if a worker of ours can have come to it; else ``WorkerFailed``.

    What a contract may do is the validation module's business. Here is asked what the machine never does.
    """
    if not 0 <= outcome.gas_used <= call.gas_limit or not _CODE.fullmatch(outcome.code):
        raise WorkerFailed(f"it gave {call.contract}.{call.function} {outcome.code!r} for {outcome.gas_used} gas")
    if outcome.code == TrapCode.INTERNAL:
        log.error("%s.%s got past the guards", call.contract, call.function)
    told = TransactionView(view.base)
    told.reads = outcome.reads
    told.ranges = [RangeRead(prefix, after, limit, digest=digest) for prefix, after, limit, digest in outcome.ranges]
    rows_max = UNPAID_ROWS_MAX + outcome.gas_used // GAS_PER_ROW_MIN
    bytes_max = UNPAID_BYTES_MAX + outcome.gas_used * BYTES_PER_GAS_MAX
    if not _is_bounded(told, outcome.gas_used) or not told.is_true(rows_max, bytes_max):
        raise WorkerFailed(f"it ran {call.contract}.{call.function} on another state")
    if not "".join(outcome.writes).isascii():
        raise WorkerFailed(f"it let {call.contract}.{call.function} write under a key that no contract can have")
    if len(outcome.events) > EVENTS_MAX or max(map(len, _told(outcome))) > VALUE_BYTES_MAX:
        raise WorkerFailed(f"it let {call.contract}.{call.function} say more than a contract can")
    try:
        value = canonical_value(outcome.value)
        events = tuple(Event(contract, name, canonical_value(data)) for contract, name, data in outcome.events)
    except ValueInvalid as error:
        raise WorkerFailed(f"it returned no values: {error}") from None
    view.reads, view.ranges, view.writes = told.reads, told.ranges, outcome.writes
    return CallResult(
        code=outcome.code,
        message=outcome.message,
        value=value,
        gas_used=outcome.gas_used,
        events=events,
        code_hash=outcome.code_hash,
        reads=view.reads,
        ranges=view.ranges,
        writes=view.writes,
    )


def _told(outcome: Outcome) -> list[bytes | str]:
    """All that an outcome says to people."""
    return [outcome.value, outcome.message, *(part for event in outcome.events for part in event)]


def _is_bounded(view: TransactionView, gas: int) -> bool:
    """Whether a call can have asked so much for its gas: asking again must not take longer than it may."""
    asked_max = UNPAID_READS_MAX + gas // GAS_PER_READ_MIN
    return len(view.reads) + len(view.ranges) <= asked_max and all(r.limit <= SCAN_ROWS_MAX for r in view.ranges)


class Pages:
    """What a worker misses while it runs calls with so much gas, and no more of it than they can pay: it would ask for
    ever otherwise."""

    def __init__(self, base: CommittedReader, gas_limits: Sequence[int]) -> None:
        self._base = base
        self._left = sum([UNPAID_READS_MAX + UNPAID_ROWS_MAX + gas // GAS_PER_READ_MIN for gas in gas_limits])

    def __call__(self, miss: Miss) -> Page:
        self._left -= 1
        if self._left < 0:
            raise WorkerFailed("it asked for more of the state than its calls can pay")
        return page_of(self._base, miss)


def page_of(base: CommittedReader, miss: Miss) -> Page:
    """What is round a key, and which keys are not there: as many rows above as below, and more where the others end."""
    key, behind = miss.key, miss.key + "\0"
    low, high = min(miss.low, key), None if miss.high is None else max(miss.high, behind)
    entry, left = base.get(key), miss.rows
    half = left if low == key else left // 2
    above, end = _near(base, behind, high, False, half)
    left -= places(above)
    below, start = _near(base, low, key, True, left)
    left -= places(below)
    if left > 0 and end is not None and len(above) == half:
        further, end = _near(base, end, high, False, left)
        above += further
    own = [] if entry is None else [(key, entry)]
    return Page(low if start is None else start + "\0", high if end is None else end, [*reversed(below), *own, *above])


def _near(base: CommittedReader, low: str, high: str | None, down: bool, rows_max: int) -> Span:
    """The next rows on one side, none of which takes more than half of a page."""
    return ([], None) if low == high else base.near(low, high, down, rows_max, rows_max * ROW_BYTES_MAX // 2)


def alone(reader: StateReader) -> Plan:
    """A call that was not foreseen: on committed state, or on a block that began without the machine's knowledge."""
    if isinstance(reader, Overlay):
        return Plan(committed(reader.base), reader.writes, ())
    return Plan(committed(reader), [], ())


def committed(reader: StateReader) -> CommittedReader:
    assert isinstance(reader, CommittedReader), "what is below a block is what is committed"
    return reader


class WorkerMachine(BatchMachine):
    """Implements ``ledger.execution.Machine``.

    Blocks have a worker, and views have another, so that no query waits for a block nor a block for a query. What may
    be called is read here: that checks a contract's source, and runs none of it.
    """

    def __init__(
        self,
        start: Start = Process,
        first: Process | None = None,
        answer_s_max: float = ANSWER_S_MAX,
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """``first``: a worker that runs already, to begin with. ``on_replaced``: called, on any thread, when one has
        failed."""
        self._here = PythonMachine()
        self._blocks = Post(start, first, answer_s_max, on_replaced)
        self._views = Post(start, None, answer_s_max, on_replaced)
        self._foreseen: StateReader | None = None
        self._viewing = threading.Lock()

    def knows(self, reader: StateReader, contract: str) -> bool:
        return self._here.knows(reader, contract)

    def entry(self, reader: StateReader, contract: str, function: str) -> EntryPoint | None:
        return self._here.entry(reader, contract, function)

    def foresee(self, overlay: Overlay, steps: Sequence[Step]) -> None:
        if overlay is self._foreseen:
            self._blocks.foresee(steps)
            return
        self._foreseen = overlay
        self._blocks.begin(Plan(committed(overlay.base), overlay.writes, steps))

    def committed(self, base: StateReader) -> None:
        self._blocks.committed(base)

    def run(self, call: Call, view: TransactionView) -> CallResult:
        if call.kind == "view":
            with self._viewing:
                self._views.begin(alone(view.base))
                return self._views.result(call, view)
        if view.base is not self._foreseen:
            self._blocks.begin(alone(view.base))
        return self._blocks.result(call, view)

    def close(self) -> None:
        self._blocks.end()
        with self._viewing:
            self._views.end()
