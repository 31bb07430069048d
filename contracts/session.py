"""One top-level call in progress, and the bounds and prices of what it may ask of the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from contracts.codes import Trap, TrapCode
from ledger.execution import Call, Event
from ledger.state import Entry, TransactionView

KEY_CHARS_MAX = 256
VALUE_BYTES_MAX = 65_536
SCAN_ROWS_MAX = 1_000
SCAN_PAGE_ROWS = 64
"""So many rows are read at a time, and then paid for."""
EVENTS_MAX = 256
CALL_DEPTH_MAX = 8
NAME_CHARS_MAX = 64
SENTENCE_CHARS_MAX = 256
SCHEDULES_MAX = 999
TIME_MS_MAX = 10**15 - 1

GET_GAS, PUT_GAS, EMIT_GAS, CALL_GAS, SCAN_GAS = 50, 200, 100, 1_000, 300
PASSED_RATE, KEPT_RATE = 1, 17
"""What 16 bytes cost of a value that is passed on, and of one that is stored or told."""
ROW_GAS = 100
"""What a row of a scan costs beside its bytes and nodes: more than reading a key, since it is made a row too. One that
the scan reads and does not answer with, since the same block deleted it, wrote it anew or wrote others before it, costs
as much."""
LONGEST_ROW_GAS = ROW_GAS + VALUE_BYTES_MAX // 16
"""What a row costs at most, but for its nodes."""
NODE_GAS = 4
"""What a node of a value costs that is read, stored, told, passed on or returned; of a dictionary that holds no
containers each entry is one."""
KEPT_NODE_GAS = 8
"""What a node costs besides in what is stored or told and holds containers: the validation module makes it anew too."""
ARGUMENT_GAS = 20
"""What a node costs besides in arguments from outside that hold containers: they are looked through and made anew."""
EPOCH_GAS, VALIDATOR_GAS = 5_000, 700
"""What judging an epoch costs, and more for each validator, whose key is checked to be a point of the curve."""
AUTHENTICATE_GAS, CERTIFICATE_GAS, SCHEDULE_GAS = 200, 20_000, 400
REMINDER_GAS = 300
"""What a deadline costs more of a contract that is not shipped: those that wait are counted."""
SIGNATURE_GAS = 5_000
ROOT_GAS = 500
"""What each CA root costs that a certificate may have come from: here, and in the validation module."""


class Session(msgspec.Struct):
    """One top-level call in progress. ``stack``: the contracts that are running, outermost first."""

    call: Call
    view: TransactionView
    stack: list[str]
    caller: str
    events: list[Event]
    modules: dict[str, Any]
    """The other contracts that were called, compiled."""
    get: Callable[[str], bytes | None]
    """The view's: looking it up anew for each read would cost a hundredth of an order's time."""
    code_hash: str = ""
    schedules: int = 0
    read_only: int = 0
    """How many view functions are on the stack: while there is one, nothing may be written."""


class ViewReader:
    """The transaction's view as a state reader, for authentication."""

    def __init__(self, view: TransactionView) -> None:
        self._view = view

    def get(self, key: str) -> Entry | None:
        value = self._view.get(key)
        return None if value is None else Entry(0, 0, value)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        return [(key, Entry(0, 0, value)) for key, value in self._view.scan(prefix, after, limit)]


def check_key(key: Any) -> str:
    """Printable ASCII without space, 1 to 256 characters."""
    if type(key) is str and 0 < len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable() and " " not in key:
        return key
    raise Trap(TrapCode.KEY_INVALID)


def is_printable(text: str) -> bool:
    """Printable ASCII without space."""
    return text.isascii() and text.isprintable() and " " not in text
