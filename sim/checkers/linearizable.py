"""Linearizability of what clients saw: a search for one order of the operations that explains every answer.

Wing and Gong's search with the memory of visited states that Lowe added (as in Porcupine). Every operation touches
one cell, so each cell is judged by itself. An operation without an answer may have taken effect at any time after
it was invoked, or never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.history import Operation
from sim.world import World

OK, DIFFERS = "OK", "DIFFERS"
FIRST = 0
"""What a cell holds at first."""
_NEVER = 1 << 62


def linearizable(world: World) -> list[str]:
    """For every cell there is an order of all operations, each within its own time, that gives what clients got."""
    history = [operation for client in world.clients for operation in client.history if operation.is_of_a_cell]
    return [
        f"linearizable: no order of the operations on cell {cell} explains what clients saw: {_told(history, cell)}"
        for cell in sorted({operation.cell for operation in history})
        if not has_order([operation for operation in history if operation.cell == cell])
    ]


def _told(history: Sequence[Operation], cell: str) -> str:
    own = sorted((operation for operation in history if operation.cell == cell), key=lambda o: o.invoked)
    return "; ".join(
        f"{o.client}: {o.function}({', '.join(str(v) for k, v in o.arguments.items() if k != 'cell')})"
        f" [{o.invoked}, {o.answered or '?'}] {o.code} {o.value}"
        for o in own
    )


def has_order(operations: Sequence[Operation]) -> bool:
    """Whether one cell's operations can be put in order."""
    operations = sorted(operations, key=lambda operation: operation.invoked)
    must = sum(1 << number for number, operation in enumerate(operations) if operation.answered is not None)
    visited: set[tuple[int, int]] = set()
    stack = [(0, FIRST)]
    while stack:
        done, value = stack.pop()
        if done & must == must:
            return True
        if (done, value) in visited:
            continue
        visited.add((done, value))
        stack += _next(operations, done, value)
    return False


def _next(operations: Sequence[Operation], done: int, value: int) -> list[tuple[int, int]]:
    """What may come next: operations that began before any other one that is left had ended, as the cell allows."""
    found = []
    first_end = min((_end(o) for n, o in enumerate(operations) if not done >> n & 1), default=_NEVER)
    for number, operation in enumerate(operations):
        if operation.invoked > first_end:
            break
        if not done >> number & 1:
            found += [(done | 1 << number, after) for after in _after(operation, value)]
    return found


def _end(operation: Operation) -> int:
    return _NEVER if operation.answered is None else operation.answered


def _after(operation: Operation, value: int) -> list[int]:
    """The cell's value after the operation, if its answer (when there was one) fits ``value``."""
    code, result, after = _effect(operation.function, operation.arguments, value)
    fits = operation.answered is None or (operation.code, operation.value) == (code, result)
    return [after] if fits else []


def _effect(function: str, arguments: dict[str, Any], value: int) -> tuple[str, int | None, int]:
    """What the contract does to a cell that holds ``value``: code, result and the value after it."""
    match function:
        case "read":
            return OK, value, value
        case "write":
            return OK, value, arguments["value"]
        case "add":
            return OK, value + arguments["amount"], value + arguments["amount"]
        case "swap" if arguments["old"] == value:
            return OK, arguments["new"], arguments["new"]
        case _:
            return DIFFERS, None, value
