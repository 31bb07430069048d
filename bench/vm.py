"""The contract machine's speed: orders placed a second.

    python -m bench.vm [--orders 1000] [--transactions 2000] [--rounds 5] > figures.json

Orders: a book of resting asks; then, in turns, an ask that rests and a bid that takes the best ask whole, through the
machine and the state API on one thread, in blocks of 200. What is timed is the call and nothing else: its reads through
the block's overlay, the market, credit and settlement contracts, its writes, events and result, in the thread's own
processor time. Not in it: compiling the contracts, signatures, admission and nonces, applying the writes to the block,
the state tree, disk. Rounds with the validation module are others: a worker executes blocks without it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from hashlib import sha256
from typing import Any

from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.execution import OK, Call, CallResult
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
WARM_UP = 200
"""Placements before the clock runs: the contracts are compiled with the first."""


def market_state() -> MemoryState:
    """The shipped contracts, sellers and buyers with meters that are never full."""
    values: dict[str, Value] = {
        f"governance/contract/{name}": {"source": source, "sha256": "", "version": 1}
        for name, source in shipped_sources().items()
    }
    values |= {f"governance/parameter/{name}": {"value": value} for name, value in MARKET_PARAMETERS.items()}
    for role in ("seller", "buyer"):
        for number in range(PEOPLE):
            signer = signer_of(role, number)
            values[f"registry/user/{signer}"] = _user(signer, role)
            values[f"credit/account/{signer}"] = {
                "type": "account", "signer": signer, "available": DEPOSIT, "held": 0,
            }  # fmt: skip
    for number in range(PEOPLE):
        name = meter("buyer", number)
        values[f"registry/meter/{name}"] = meter_record(name, signer_of("buyer", number))
    return MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})


def signer_of(role: str, number: int) -> str:
    """As long as people's are, which are digests of their keys."""
    return sha256(f"{role}{number:03d}".encode()).hexdigest()


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
        self.validated = True
        self.state = market_state()
        self.machine, self.validator = PythonMachine(), MarketValidator()
        self.overlay = Overlay(self.state)
        self.height = 1
        self.index = self.placed = 0
        self.machine_s = self.validation_s = 0.0
        self.gas = 0

    def place(self, side: str, number: int, price: int, energy_wh: int = LOT_WH) -> None:
        """One order; a seller's meter is used for few trades, as each may have a hundred."""
        role = "seller" if side == "ask" else "buyer"
        signer = signer_of(role, number % PEOPLE)
        name = meter(role, number % PEOPLE) if side == "bid" else meter(role, number // 50 * PEOPLE + number % PEOPLE)
        key = f"registry/meter/{name}"
        if self.overlay.get(key) is None:
            self.overlay.apply({key: encode_value(meter_record(name, signer))}, self.height, 0)
        terms = {
            "side": side,
            "meter": name,
            "interval": INTERVAL,
            "energy_wh": energy_wh,
            "price": price,
            "execution": "limit",
        }
        call = Call(
            "market", "place_order", terms, (signer,), "", GAS_LIMIT, NOW_MS, self.height, self.index, "transaction"
        )
        began = time.thread_time()
        view = TransactionView(self.overlay)
        result = self.machine.run(call, view)
        self.machine_s += time.thread_time() - began
        assert result.code == OK, result
        if self.validated:
            self._validate(call, result, view)
        self.overlay.apply(view.writes, self.height, self.index)
        self.gas += result.gas_used
        self.placed += 1
        self.index += 1
        if self.index == BLOCK_TRANSACTIONS:
            self.end_block()

    def _validate(self, call: Call, result: CallResult, view: TransactionView) -> None:
        began = time.thread_time()
        verdict = self.validator.check(call, result, view)
        self.validation_s += time.thread_time() - began
        assert verdict is None, verdict

    def end_block(self) -> None:
        self.state.apply(self.overlay.changes)
        self.overlay = Overlay(self.state)
        self.height, self.index = self.height + 1, 0

    def fill(self, orders: int) -> None:
        """Resting asks, in blocks of their own."""
        for number in range(orders):
            self.place("ask", number, PRICE + number * 7919 % orders)
        self.end_block()
        self.reset()

    def reset(self, validated: bool = True) -> None:
        """Count and time from here on, with the validation module or without."""
        self.validated = validated
        self.machine_s = self.validation_s = 0.0
        self.gas = self.placed = 0


def placements(orders: int, transactions: int, rounds: int) -> dict[str, Any]:
    """Placements a second with and without validation, the best round and all of them, and gas a placement."""
    book = Book()
    book.fill(orders)
    _turns(book, orders, WARM_UP)
    plain: list[int] = []
    validated: list[int] = []
    for _ in range(rounds):
        for rates, with_validation in ((plain, False), (validated, True)):
            book.reset(with_validation)
            _turns(book, orders, transactions)
            rates.append(round(book.placed / (book.machine_s + book.validation_s)))
    return {
        "book_orders": orders,
        "transactions": book.placed,
        "placements_per_s": max(plain),
        "placements_per_s_by_round": plain,
        "placements_per_s_validated": max(validated),
        "gas_per_placement": round(book.gas / book.placed),
        "ns_per_gas": round(1e9 / max(plain) / (book.gas / book.placed), 1),
    }


def _turns(book: Book, orders: int, transactions: int) -> None:
    for number in range(transactions // 2):
        book.place("ask", orders + number, PRICE + number % orders)
        book.place("bid", number, PRICE + orders)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the contract machine.")
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--transactions", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    load = os.getloadavg()[0]
    found = placements(options.orders, options.transactions, options.rounds)
    print(json.dumps({"load_average": round(load, 1), **found}, indent=1))


if __name__ == "__main__":
    main()
