"""The verdict over a day: recomputed from the four data directories and the journal, not asked of the nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from demo.journal import Journal

CHECKERS = 2


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One data directory, its blocks executed anew: root at ``height``, state, how often each transaction ran."""

    height: int
    state_root: str
    state: Mapping[str, Any]
    transactions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    holds: bool
    detail: str


Recompute = Callable[[Path, Path, int], Recomputed]
"""``recompute(node's home, genesis file, height)``: the command line hands in the engine; it travels to a process."""


async def recompute_all(recompute: Recompute, homes: list[Path], genesis: Path, height: int) -> list[Recomputed]:
    """All directories, ``CHECKERS`` at a time, each in a process of its own."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(CHECKERS, mp_context=get_context("spawn")) as pool:
        work = [loop.run_in_executor(pool, recompute, home, genesis, height) for home in homes]
        return list(await asyncio.gather(*work))


def verdicts(found: list[Recomputed], journal: Journal) -> list[Check]:
    """Every check of the day."""
    first = found[0]
    roots = Counter(item.state_root for item in found)
    root, agreeing = roots.most_common(1)[0]
    return [
        Check(
            "replicas",
            agreeing == len(found),
            f"{agreeing} of {len(found)} replicas agree on root {root[:16]}… at height {first.height}",
        ),
        _acknowledged(first, journal),
        _money(first.state),
        _holds(first.state),
        *_trades(first.state),
    ]


def _acknowledged(found: Recomputed, journal: Journal) -> Check:
    lost = [tx_id for tx_id in journal.acknowledged if found.transactions.get(tx_id, 0) == 0]
    twice = [tx_id for tx_id, count in found.transactions.items() if count > 1]
    detail = f"{len(journal.acknowledged)} acknowledged, {len(lost)} lost, {len(twice)} executed twice"
    return Check("acknowledged", not lost and not twice and bool(journal.acknowledged), detail)


def _documents(state: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [value for value in state.values() if isinstance(value, dict) and value.get("type") == kind]


def _money(state: Mapping[str, Any]) -> Check:
    accounts = [value for key, value in state.items() if key.startswith("credit/account/")]
    held = sum(account["available"] + account["held"] for account in accounts)
    total = state["credit/total"]
    total = total["total"] if isinstance(total, dict) else total
    worst = min((min(account["available"], account["held"]) for account in accounts), default=0)
    return Check(
        "money", held == total and worst >= 0, f"{held} in accounts, {total} deposited less withdrawn; lowest {worst}"
    )


def _holds(state: Mapping[str, Any]) -> Check:
    held = sum(value["held"] for key, value in state.items() if key.startswith("credit/account/"))
    settled = all(trade["status"] == "settled" for trade in _documents(state, "trade"))
    return Check("holds", held == 0 or not settled, f"{held} still held at the end")


def _trades(state: Mapping[str, Any]) -> list[Check]:
    trades = _documents(state, "trade")
    over = [trade for trade in trades if trade["delivered_wh"] > trade["energy_wh"]]
    unsigned = [t for t in trades if t["status"] == "settled" and not (t["seller_confirmed"] and t["buyer_confirmed"])]
    settled = sum(1 for trade in trades if trade["status"] == "settled")
    delivered_wh = sum(trade["delivered_wh"] for trade in trades)
    contracted_wh = sum(trade["energy_wh"] for trade in trades)
    energy = f"{delivered_wh} Wh delivered of {contracted_wh} contracted, never more than metered"
    return [
        Check("energy", not over and _metered(state, trades), energy),
        Check("signatures", not unsigned and bool(trades), f"{len(trades)} trades, every settled one signed by both"),
        Check("settlement", settled == len(trades), f"{settled} settled, {len(trades) - settled} open"),
    ]


def _metered(state: Mapping[str, Any], trades: list[Mapping[str, Any]]) -> bool:
    """For each meter and interval: delivered in all its trades <= exported by its reading."""
    exported = {(r["meter"], r["interval"]): r["export_wh"] for r in _documents(state, "reading")}
    delivered: Counter[tuple[str, int]] = Counter()
    for trade in trades:
        delivered[trade["meter"], trade["interval"]] += trade["delivered_wh"]
    return all(amount <= exported.get(place, 0) for place, amount in delivered.items() if amount)
