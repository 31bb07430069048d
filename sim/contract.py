"""The contract that simulated clients call: cells that are read, written, added to and swapped, each in order."""

from __future__ import annotations

NAME = "cells"
TOTAL = "total"
"""The cell that clients only add one to: it counts the transactions that took effect."""
CELL_KEY = NAME + "/cell/"
SOURCE = '''"""Cells of integers."""


@export("operator")
def read(cell: str):
    """The cell's value."""
    return value_of(cell)


@export("operator")
def write(cell: str, value: int):
    """Set the cell; its former value."""
    old = value_of(cell)
    put("cell/" + cell, {"value": value})
    return old


@export("operator")
def add(cell: str, amount: int):
    """Add to the cell; its new value."""
    new = value_of(cell) + amount
    put("cell/" + cell, {"value": new})
    return new


@export("operator")
def swap(cell: str, old: int, new: int):
    """Set the cell if it holds ``old``. Errors: DIFFERS."""
    require(value_of(cell) == old, "DIFFERS", "The cell holds another value.")
    put("cell/" + cell, {"value": new})
    return new


def value_of(cell):
    """What the cell holds; 0 at first."""
    record = get("cell/" + cell)
    if record is None:
        return 0
    return record["value"]
'''
