"""The worker process: loads everything, raises its walls, then runs what it is sent until its socket ends.

Started by ``process.py``; it knows no files, no keys and no network, only calls, pages of state, and the machine.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import importlib
import logging
import marshal
import os
import pkgutil
import time
import unicodedata
import warnings
from itertools import islice
from typing import NoReturn

import cryptography

from contracts.codes import ReplicaFault
from contracts.machine import PythonMachine
from contracts.sandbox.pages import PagedState
from contracts.sandbox.protocol import (
    ANSWER_BYTES_MAX,
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    Answer,
    Fault,
    Miss,
    Outcome,
    Outcomes,
    Page,
    PlannedCall,
    Question,
    Run,
    decode_question,
    frame,
    parts_of,
)
from contracts.sandbox.walls import raise_walls
from ledger.authentication import read_certificate
from ledger.execution import DEADLINE_GAS_PER_BLOCK_MAX, OK, Call
from ledger.state import Entry, MemoryState, Overlay, TransactionView
from ledger.values import Value, encode_plain, encode_value

GC_THRESHOLD = 50_000
READ_BYTES = 1 << 16
PUT_OFF = Outcome("", "", b"", 0, "", [], {}, {}, [])
"""Of a deadline for which those before it left no gas: no block runs it, and no node takes this for an outcome. Running
all that are due would take the gas of many blocks."""
SOURCE = """@export("*")
def run(x: int):
    put("k", [x])
    emit("e", {"x": get("k")})
    return scan("", "", 1)
"""
CODECS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le", "idna")


class Wire:
    """Frames on a descriptor, by ``read`` and ``write`` alone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = bytearray()
        """What came and was not asked for yet."""

    def send(self, message: Answer) -> None:
        left = memoryview(frame(message, ANSWER_BYTES_MAX))
        while left:
            left = left[os.write(self._descriptor, left) :]

    def receive(self) -> Question:
        """The next question; ``EOFError`` when there is nobody to ask any more."""
        size = int.from_bytes(self._exactly(HEADER_BYTES), "big")
        if size > FRAME_BYTES_MAX:
            raise EOFError
        return decode_question(self._exactly(size))

    def _exactly(self, size: int) -> bytearray:
        data = self._read
        while len(data) < size:
            part = os.read(self._descriptor, READ_BYTES)
            if not part:
                raise EOFError
            data += part
        self._read = data[size:]
        del data[size:]
        return data


class Worker:
    """One conversation. It holds committed state as far as it has seen it, and the writes of the last block."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._machine = PythonMachine()
        self._state = PagedState(self._fetch)
        self._overlay = Overlay(self._state)
        self._height = 0
        self._deadlines_gas = 0
        """Used by the deadlines of what was asked last."""

    def serve(self) -> NoReturn:
        while True:
            question = self._wire.receive()
            assert isinstance(question, Run), "pages come only when they are asked for"
            self._align(question)
            self._deadlines_gas = 0
            calls = iter(question.calls)
            for count in parts_of(call.gas_limit for call in question.calls):
                outcomes = [self._run(call, question.time_ms) for call in islice(calls, count)]
                self._wire.send(Outcomes(outcomes, time.process_time()))

    def _fetch(self, miss: Miss) -> Page:
        self._wire.send(miss)
        page = self._wire.receive()
        assert isinstance(page, Page), "a miss is answered by a page"
        return page

    def _align(self, run: Run) -> None:
        """Have the same state and the same writes of this block as the node has."""
        if run.forget:
            self._state.clear()
            self._overlay = Overlay(self._state)
        if run.keep < len(self._overlay.writes):
            kept = self._overlay.writes[: run.keep]
            self._overlay = Overlay(self._state)
            self._add(kept)
        self._add(run.add)
        if run.fold:
            self._state.apply(self._overlay.changes)
            self._overlay = Overlay(self._state)
        self._height = run.height

    def _add(self, writes: list[tuple[str, int, bytes | None]]) -> None:
        for key, index, value in writes:
            self._overlay.apply({key: value}, self._height, index)

    def _run(self, planned: PlannedCall, time_ms: int) -> Outcome:
        self._add(list(planned.before))
        if planned.kind == "deadline" and self._deadlines_gas + planned.gas_limit > DEADLINE_GAS_PER_BLOCK_MAX:
            return PUT_OFF
        view = TransactionView(self._overlay)
        result = self._machine.run(self._call(planned, time_ms), view)
        if result.code == OK:
            self._overlay.apply(view.writes, self._height, planned.index)
        if planned.kind == "deadline":
            self._deadlines_gas += result.gas_used
        return Outcome(
            result.code,
            result.message,
            encoded(result.value),
            result.gas_used,
            result.code_hash,
            [(event.contract, event.name, encoded(event.data)) for event in result.events],
            view.writes,
            view.reads,
            [(each.prefix, each.after, each.limit, each.digest) for each in view.ranges],
        )

    def _call(self, planned: PlannedCall, time_ms: int) -> Call:
        return Call(
            contract=planned.contract,
            function=planned.function,
            args=marshal.loads(planned.args),
            signers=planned.signers,
            tx_id=planned.tx_id,
            gas_limit=planned.gas_limit,
            block_time_ms=time_ms,
            height=self._height,
            index=planned.index,
            kind=planned.kind,  # type: ignore[arg-type]  # the node sends what it got
        )


def encoded(value: Value) -> bytes:
    """The canonical bytes of what the machine gave, which holds nothing but values."""
    try:
        return encode_plain(value)
    except OverflowError:
        return encode_value(value)


def load_everything() -> None:
    """What is loaded at first use elsewhere would have to be read from files that are out of reach then.

    Certificates come from anybody: every kind of key, name and extension must find its module here.
    """
    for codec in CODECS:
        codecs.lookup(codec)
    for module in pkgutil.walk_packages(cryptography.__path__, "cryptography."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
    contract = {"source": SOURCE, "sha256": "", "version": 1}
    state = MemoryState({"governance/contract/c": Entry(0, 0, encode_value(contract))})
    call = Call("c", "run", {"x": 2**100}, ("s",), "", 100_000, 1, 1, 0, "transaction")
    result = PythonMachine().run(call, TransactionView(state))
    assert result.code == OK, f"the machine does not work here: {result.code}"
    read_certificate(state, b"no certificate")
    unicodedata.lookup("SPACE")  # the parser's, for escapes by name


def main(descriptor: int, memory_bytes_max: int) -> NoReturn:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    load_everything()
    gc.set_threshold(GC_THRESHOLD)
    gc.freeze()
    hello = raise_walls(descriptor, memory_bytes_max)
    wire = Wire(descriptor)
    try:
        wire.send(hello)
        Worker(wire).serve()
    except (ReplicaFault, MemoryError, RecursionError) as fault:
        wire.send(Fault(f"{type(fault).__name__}: {fault}"))
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)
