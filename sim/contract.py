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

BANK = "bank"
ACCOUNTS = ("a", "b", "c", "d")
ENDOWMENT = 100
"""What each account holds at first."""
ACCOUNT_KEY = BANK + "/account/"
BANK_SOURCE = '''"""Accounts whose money moves and never grows or shrinks."""


@export("operator")
def transfer(source: str, target: str, amount: int):
    """Move money; what the source has left. Errors: POOR."""
    left = balance(source) - amount
    require(amount > 0 and left >= 0, "POOR", "The account holds less.")
    put("account/" + source, {"balance": left})
    put("account/" + target, {"balance": balance(target) + amount})
    return left


@export("operator")
def total():
    """All money."""
    return balance("a") + balance("b") + balance("c") + balance("d")


def balance(account):
    """What an account holds; 100 at first."""
    record = get("account/" + account)
    if record is None:
        return 100
    return record["balance"]
'''
"""The second contract, of plans whose workload is the bank."""
