"""Where a contract's gas goes, line by line: a machine that counts while it runs, at the price of speed.

A block's nodes are paid for where the block begins; the profile gives each statement's line its part of that. What a
guard or a host function charges belongs to the line that called it, and what the result costs to the line that
returned it. So the lines' sums are exactly the gas of the calls. For contract authors; no node uses it.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from contracts.compiler import PLACE, Compiler
from contracts.language import Checked
from contracts.machine import PythonMachine
from contracts.rewrite import CHARGE, ENTRY_GAS, TURN_GAS, pay_by_call
from contracts.weights import weight
from ledger.execution import Call, CallResult
from ledger.state import TransactionView

Line = tuple[str, int]
"""A contract's name and a line of it; line 0 is what was charged before any line ran."""
Shares = dict[tuple[int, int], dict[int, int]]
"""By a block's first line and its price: what of it belongs to which line."""


@dataclass(slots=True)
class Counted:
    """What a line cost, and how often something of it ran."""

    gas: int = 0
    runs: int = 0


def shares_of(checked: Checked) -> Shares:
    """How the price of each block is made up."""
    found: Shares = {}
    for function in checked.functions.values():
        whole = function.node.body
        for body, line, extra in _blocks(whole, whole[0].lineno, ENTRY_GAS):
            parts: dict[int, int] = defaultdict(int)
            parts[body[0].lineno] += 1
            parts[line] += extra
            for statement in body:
                parts[statement.lineno] += weight(statement)
            found[body[0].lineno, sum(parts.values())] = dict(parts)
    return found


def _blocks(body: list[ast.stmt], line: int, extra: int) -> Iterator[tuple[list[ast.stmt], int, int]]:
    """Blocks as the rewriting charges them, each with a line and what it pays for there beside its statements."""
    yield body, line, extra
    for statement in body:
        match statement:
            case ast.While(test=test):
                yield from _blocks(statement.body, test.lineno, weight(test))
            case ast.For():
                yield from _blocks(statement.body, statement.lineno, TURN_GAS)
            case ast.If(orelse=orelse):
                yield from _blocks(statement.body, statement.lineno, 0)
                if orelse:
                    yield from _blocks(orelse, orelse[0].lineno, 0)


class ProfilingMachine(PythonMachine):
    """A machine for one thread whose ``lines`` add up over all calls that it runs."""

    def __init__(self) -> None:
        super().__init__(Compiler(pay_by_call))
        self.lines: dict[Line, Counted] = defaultdict(Counted)
        self._shares: dict[str, Shares] = {}
        self._stack: list[Line] = []
        self._left = 0
        self._at: Line = ("", 0)
        self._view: TransactionView | None = None
        engine = self._engine()
        self._gas = engine.meter.gas
        self._charge = engine._guards[CHARGE]
        engine._guards = {**engine._guards, CHARGE: self._block}

    def run(self, call: Call, view: TransactionView) -> CallResult:
        self._left, self._at, self._stack = call.gas_limit, (call.contract, 0), []
        self._view = view
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            result = super().run(call, view)
        finally:
            sys.settrace(before)
        self._spend()
        return result

    def _spend(self) -> None:
        """What was charged since the last time was for the line we were at."""
        left = max(0, self._gas[0])
        if left != self._left:
            self.lines[self._at].gas += self._left - left
            self._left = left

    def _block(self, amount: int) -> None:
        """A block begins: its price is divided among its lines."""
        self._spend()
        self._charge(amount)
        self._left -= amount
        contract, line = self._at
        for part, gas in self._shares_of(contract).get((line, amount), {line: amount}).items():
            self.lines[contract, part].gas += gas

    def _shares_of(self, contract: str) -> Shares:
        if contract not in self._shares:
            module = None if self._view is None else self._engine().module(self._view.base, contract)
            assert module is not None, "a contract that runs is in the state"
            self._shares[contract] = shares_of(module.checked)
        return self._shares[contract]

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        """Python calls this for each function; only contracts are followed."""
        place = frame.f_code.co_filename
        if not place.startswith(PLACE) or frame.f_code.co_name == "<module>":
            return None
        self._spend()
        self._stack.append(self._at)
        contract = place[len(PLACE) : -1]

        def traced(frame: FrameType, event: str, _: Any) -> Any:
            self._spend()
            if event == "line":
                self._at = (contract, frame.f_lineno)
                self.lines[self._at].runs += 1
            elif event == "return" and len(self._stack) > 1:
                self._at = self._stack.pop()
            return traced

        return traced
