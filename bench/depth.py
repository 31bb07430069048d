"""What the market costs when it is large: a placement in a deep book, and a call auction of many orders.

    python -m bench.depth [--depths 10,100,...] [--auction 10000] [--png PICTURE] > figures.json

Depth: at each number of resting asks, in turns, an ask that rests at the back and a bid that takes the best one whole;
the validation module is not timed. Auction: half bids, half asks; then empty blocks until it is cleared, with what each
block's deadlines took, the validation module included. Stop other work first, or say what load there was.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.vm import INTERVAL, INTERVAL_MS, LOT_WH, PEOPLE, PRICE, Book, meter, meter_record, signer_of
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.execution import BlockExecutor, Call
from ledger.state import Entry, TransactionView
from ledger.values import encode_value

DEPTHS = (10, 100, 1_000, 10_000, 100_000)
SAMPLES = 200
SPREAD = 1_000
"""Micro-currency over which an auction's prices are spread, bids and asks alike: about half of them meet."""
TRADES_A_METER = 40
BLOCKS_MAX = 1_000
BLUE, ORANGE = "#2166ac", "#d6604d"


def depths(wanted: Sequence[int]) -> list[dict[str, Any]]:
    """Median microseconds and gas of a placement that rests and of one that matches, by the book's depth."""
    book, placed, found = Book(), 0, []
    for depth in wanted:
        while placed < depth:
            book.place("ask", placed, PRICE + placed * 7919 % wanted[-1])
            placed += 1
        book.end_block()
        row: dict[str, Any] = {"book_orders": depth}
        spent: dict[str, list[tuple[float, int]]] = {"rest": [], "match": []}
        for sample in range(SAMPLES):
            spent["rest"].append(_spent(book, "ask", wanted[-1] + placed + sample, PRICE + wanted[-1]))
            spent["match"].append(_spent(book, "bid", sample, PRICE + 2 * wanted[-1]))
        placed += SAMPLES
        book.end_block()
        for kind, samples in spent.items():
            row[f"{kind}_us"] = round(statistics.median(seconds for seconds, _ in samples) * 1e6, 1)
            row[f"{kind}_gas"] = round(statistics.median(gas for _, gas in samples))
        found.append(row)
    return found


def _spent(book: Book, side: str, number: int, price: int) -> tuple[float, int]:
    before_s, before_gas = book.machine_s, book.gas
    book.place(side, number, price)
    return book.machine_s - before_s, book.gas - before_gas


def auction(orders: int) -> dict[str, Any]:
    """Enter orders, let the gate close, and clear: blocks, their longest time and gas, and what came of it."""
    book = Book()
    terms = {"zones": ["z"], "mechanism": "auction", "grid_fee": 0, "ties": "time"}
    values = {"governance/product/all": terms, "governance/zone/z": {"product": "all", "mechanism": "auction"}}
    book.state.apply({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})
    machine, validator = PythonMachine(), MarketValidator()
    began = time.thread_time()
    for number in range(orders):
        _enter(book, machine, number)
    entered_s = time.thread_time() - began
    executor = BlockExecutor(machine, validator)
    gate_ms = INTERVAL * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000
    seconds: list[float] = []
    gas: list[int] = []
    run: dict[str, Any] = {"stage": "open"}
    height = orders + 1
    while run["stage"] != "done" and len(seconds) < BLOCKS_MAX:
        height += 1
        began = time.thread_time()
        executed = executor.execute(book.state, height, gate_ms + height, [])
        seconds.append(time.thread_time() - began)
        assert {result.code for result in executed.results} <= {"OK"}, executed.results
        gas.append(sum(result.gas_used for result in executed.results))
        book.state.apply(executed.changes)
        view = Call("auction", "result", ["all", INTERVAL], (), "", 10**6, gate_ms, height, 0, "view")
        run = machine.run(view, TransactionView(book.state)).value
    return {
        "orders": orders,
        "entry_us": round(entered_s / orders * 1e6, 1),
        "blocks": len(seconds),
        "block_ms_most": round(max(seconds) * 1e3, 1),
        "block_gas_most": max(gas),
        "clearing_s": round(sum(seconds), 2),
        "clearing_gas": sum(gas),
        **{name: run[name] for name in ("stage", "trades", "volume_wh", "price")},
    }


def _enter(book: Book, machine: PythonMachine, number: int) -> None:
    """One order; a seller has meters enough for all its trades."""
    side, role = ("bid", "buyer") if number % 2 else ("ask", "seller")
    person = number // 2 % PEOPLE
    signer = signer_of(role, person)
    name = meter(role, person)
    if side == "ask":
        name = meter(role, number // 2 // PEOPLE // TRADES_A_METER * PEOPLE + person)
        book.state.apply({f"registry/meter/{name}": Entry(0, 0, encode_value(meter_record(name, signer)))})
    terms = {
        "side": side, "meter": name, "interval": INTERVAL, "energy_wh": LOT_WH + number % 7,
        "price": PRICE + number * 7919 % SPREAD,
    }  # fmt: skip
    now_ms = 2_000_000 * INTERVAL_MS
    call = Call("auction", "place_order", terms, (signer,), "", 2_000_000, now_ms, number + 1, 0, "transaction")
    view = TransactionView(book.state)
    result = machine.run(call, view)
    assert result.code == "OK", result
    book.state.apply({k: None if v is None else Entry(number + 1, 0, v) for k, v in view.writes.items()})


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Cost over depth, its axis logarithmic: what grows with log n is a straight line, or flat."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), dpi=110, layout="constrained")
    figure.suptitle("One placement in a book of n resting orders", fontsize=10)
    for axes, unit, label in zip(figure.subplots(1, 2), ("us", "gas"), ("microseconds", "gas"), strict=True):
        for kind, colour in (("rest", BLUE), ("match", ORANGE)):
            values = [row[f"{kind}_{unit}"] for row in rows]
            axes.plot(
                [row["book_orders"] for row in rows], values, color=colour, marker="o", ms=4.5, lw=1.4, label=kind
            )
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("resting orders n")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5)
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the market where it is large.")
    parser.add_argument("--depths", default=",".join(map(str, DEPTHS)))
    parser.add_argument("--auction", type=int, default=10_000)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = depths([int(text) for text in options.depths.split(",")])
    figures = {"load_average": round(load_before, 1), "depth": rows, "auction": auction(options.auction)}
    print(json.dumps(figures, indent=1))
    if options.png is not None:
        draw(rows, options.png)


if __name__ == "__main__":
    main()
