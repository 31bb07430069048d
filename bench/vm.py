"""The contract machine's speed: orders placed a second, and what a unit of gas takes.

    python -m bench.vm [--orders 1000] [--transactions 2000] > figures.json

Orders: a book of resting asks; then, in turns, an ask that rests and a bid that takes the best ask whole, through the
machine and the state API on one thread, in blocks of 200. The validation module is timed apart.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from typing import Any

from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.execution import OK, Call
from ledger.state import Entry, MemoryState, Overlay, TransactionView
from ledger.values import Value, encode_value

INTERVAL_MS = 900_000
INTERVAL = 2_000_004
NOW_MS = 2_000_000 * INTERVAL_MS
BLOCK_TRANSACTIONS = 200
GAS_LIMIT = 2_000_000
PEOPLE = 100
LOT_WH = 10
PRICE = 100_000
DEPOSIT = 10**14
GC_THRESHOLD = 50_000
"""As a node sets it."""
BLOCK_MS_MAX = 500
"""A quarter of the request timer, `timers.request_timeout_ms`."""


def market_state() -> MemoryState:
    """The shipped contracts, sellers and buyers with meters that are never full."""
    values: dict[str, Value] = {
        f"governance/contract/{name}": {"source": source, "sha256": "", "version": 1}
        for name, source in shipped_sources().items()
    }
    values |= {f"governance/parameter/{name}": {"value": value} for name, value in MARKET_PARAMETERS.items()}
    for role in ("seller", "buyer"):
        for number in range(PEOPLE):
            signer = f"{role}{number:03d}"
            values[f"registry/user/{signer}"] = _user(signer, role)
            values[f"credit/account/{signer}"] = {
                "type": "account", "signer": signer, "available": DEPOSIT, "held": 0,
            }  # fmt: skip
    for number in range(PEOPLE):
        values[f"registry/meter/{meter('buyer', number)}"] = meter_record(meter("buyer", number), f"buyer{number:03d}")
    return MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})


def _user(signer: str, role: str) -> dict[str, Value]:
    return {
        "type": "user", "signer": signer, "name": signer, "organisation": "bench", "role": role,
        "serial": f"5e{signer}", "issuer": "bench", "not_before_ms": 0, "not_after_ms": 10**14, "suspended": False,
        "registered_height": 0,
    }  # fmt: skip


def meter_record(name: str, owner: str) -> dict[str, Value]:
    return {"type": "meter", "meter": name, "owner": owner, "zone": "z", "capacity_w": 10**9, "gateway": "gate"}


def meter(role: str, number: int) -> str:
    return f"m-{role}-{number:06d}"


class Book:
    """A chain of blocks of orders."""

    def __init__(self) -> None:
        self.state = market_state()
        self.machine, self.validator = PythonMachine(), MarketValidator()
        self.overlay = Overlay(self.state)
        self.height = 1
        self.index = self.placed = 0
        self.machine_s = self.validation_s = 0.0
        self.gas = 0

    def place(self, side: str, number: int, price: int) -> None:
        """One order; a seller's meter is used for few trades, as each may have a hundred."""
        role = "seller" if side == "ask" else "buyer"
        signer = f"{role}{number % PEOPLE:03d}"
        name = meter(role, number % PEOPLE) if side == "bid" else meter(role, number // 50 * PEOPLE + number % PEOPLE)
        key = f"registry/meter/{name}"
        if self.overlay.get(key) is None:
            self.overlay.apply({key: encode_value(meter_record(name, signer))}, self.height, 0)
        terms = {
            "side": side,
            "meter": name,
            "interval": INTERVAL,
            "energy_wh": LOT_WH,
            "price": price,
            "execution": "limit",
        }
        call = Call(
            "market", "place_order", terms, (signer,), "", GAS_LIMIT, NOW_MS, self.height, self.index, "transaction"
        )
        began = time.thread_time()
        view = TransactionView(self.overlay)
        result = self.machine.run(call, view)
        ran = time.thread_time()
        verdict = self.validator.check(call, result, view)
        checked = time.thread_time()
        assert (result.code, verdict) == (OK, None), (result, verdict)
        self.overlay.apply(view.writes, self.height, self.index)
        self.machine_s += ran - began
        self.validation_s += checked - ran
        self.gas += result.gas_used
        self.placed += 1
        self.index += 1
        if self.index == BLOCK_TRANSACTIONS:
            self.end_block()

    def end_block(self) -> None:
        self.state.apply(self.overlay.changes)
        self.overlay = Overlay(self.state)
        self.height, self.index = self.height + 1, 0

    def fill(self, orders: int) -> None:
        """Resting asks, in blocks of their own."""
        for number in range(orders):
            self.place("ask", number, PRICE + number * 7919 % orders)
        self.end_block()
        self.machine_s = self.validation_s = 0.0
        self.gas = self.placed = 0


def placements(orders: int, transactions: int) -> dict[str, Any]:
    """Placements a second with and without validation, and gas a placement."""
    book = Book()
    book.fill(orders)
    for number in range(transactions // 2):
        book.place("ask", orders + number, PRICE + number % orders)
        book.place("bid", number, PRICE + orders)
    return {
        "book_orders": orders,
        "transactions": book.placed,
        "placements_per_s": round(book.placed / book.machine_s),
        "placements_per_s_validated": round(book.placed / (book.machine_s + book.validation_s)),
        "gas_per_placement": round(book.gas / book.placed),
        "ns_per_gas": round(book.machine_s * 1e9 / book.gas, 1),
    }


WORST = {
    "nothing": ("x = 0", "pass"),
    "multiply 256 bits": ("x = 0", "y = big * 3"),
    "divide 256 bits": ("x = 0", "y = big // 7"),
    "call": ("x = 0", "helper()"),
    "compare": ("x = 0", "y = big == big"),
    "copy text": ("t = 'a' * 50000", "y = t + t"),
    "slice text": ("t = 'a' * 100000", "y = t[1:]"),
    "copy list": ("t = [0] * 50000", "y = t + t"),
    "repeat list": ("t = [0] * 10", "y = t * 10000"),
    "loop over a range": ("x = 0", "for y in range(1000):\n            pass"),
    "sort": ("t = list(range(1000))", "y = sorted(t)"),
    "sort lists": ("t = []\n    for n in range(300):\n        t.append([n % 7, 'k'])", "y = sorted(t)"),
    "find": ("t = 'a' * 50000 + 'b'", "y = t.find('ab')"),
    "replace": ("t = 'ab' * 20000", "y = t.replace('a', 'c')"),
    "split": ("t = 'a,' * 20000", "y = t.split(',')"),
    "join": ("t = ['a'] * 20000", "y = ','.join(t)"),
    "upper": ("t = 'a' * 50000", "y = t.upper()"),
    "pop first": ("t = [0] * 90000", "t.insert(0, 1)\n        t.pop(0)"),
    "sha256": ("t = 'a' * 100000", "y = sha256(t)"),
    "decimal digits": ("x = 0", "y = int(str(big))"),
    "weigh": ("t = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]] * 50", "y = t == t"),
    "dictionary": ("d = {}\n    n = 0", "d[n] = n\n        n = (n + 1) % 50000"),
    "items": ("d = {}\n    for n in range(1000):\n        d['k' + str(n)] = n", "y = d.items()"),
    "get nothing": ("x = 0", "y = get('none')"),
    "get much": ("put('k', ['a' * 9] * 5000)", "y = get('k')"),
    "put": ("n = 0", "put('k' + str(n), 1)\n        n += 1"),
    "put much": ("t = [{'b': 1, 'a': [1, 2]}] * 2000", "put('k', t)"),
    "scan nothing": ("x = 0", "y = scan('none', '', 1000)"),
    "scan deep": ("x = 0", "y = scan('row/', '', 1000)"),
    "scan own": ("for n in range(500):\n        put('own/' + pad(n, 4), 1)", "y = scan('own/', '', 1)"),
    "call another": ("x = 0", "y = call('other', 'nothing', [])"),
    "standing": ("x = 0", "y = standing('seller001', ['seller'])"),
}
"""What is set up, and what is then done until the gas is used."""
ROWS = 1_000


def worst() -> dict[str, float]:
    """Nanoseconds of processor time a unit of gas, by operation, the slowest first."""
    found: dict[str, float] = {}
    state = market_state()
    for number in range(ROWS):
        state.apply({f"worst/row/{number:05d}": Entry(0, 0, encode_value({"n": number}))})
    other = "@view\ndef nothing():\n    return None\n"
    state.apply({"governance/contract/other": _contract(other)})
    machine = PythonMachine()
    for name, (before, body) in WORST.items():
        source = f"BIG = {(1 << 252) - 19}\n\n\ndef helper():\n    pass\n\n\n@export('*')\ndef run():\n"
        source += f"    big = BIG\n    {before}\n    while True:\n        {body}\n"
        state.apply({"governance/contract/worst": _contract(source)})
        call = Call("worst", "run", {}, ("seller001",), "", GAS_LIMIT, NOW_MS, 1, 0, "transaction")
        took = []
        for _ in range(2):
            view = TransactionView(Overlay(state))
            began = time.thread_time()
            result = machine.run(call, view)
            took.append(time.thread_time() - began)
            assert result.code == "OUT_OF_GAS", (name, result.code)
        found[name] = round(min(took) * 1e9 / GAS_LIMIT, 1)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _contract(source: str) -> Entry:
    return Entry(0, 0, encode_value({"source": source, "sha256": "", "version": 1}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the contract machine.")
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--transactions", type=int, default=2_000)
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    slowest = worst()
    found = placements(options.orders, options.transactions) | {
        "worst_ns_per_gas": slowest,
        "block_gas_in_budget": round(BLOCK_MS_MAX * 1e6 / max(slowest.values())),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
