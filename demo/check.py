"""The verdict over a day: recomputed from the four data directories and the journal, not asked of the nodes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from demo.journal import Journal

CHECKERS = 2
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One data directory, its blocks executed anew: root at ``height``, state, how often each transaction ran."""

    height: int
    state_root: str
    state: Mapping[str, Any]
    transactions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A data directory whose blocks are not what they should be, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    holds: bool
    detail: str


Outcome = Recomputed | Damaged
Recompute = Callable[[Path, Path, int], Outcome]
"""``recompute(node's home, genesis file, height)``: the command line hands in the engine; it travels to a process."""


async def recompute_all(recompute: Recompute, homes: Sequence[Path], genesis: Path, height: int) -> list[Outcome]:
    """All directories, ``CHECKERS`` at a time, each in a process of its own."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(CHECKERS, mp_context=get_context("spawn"), initializer=_follow_parent) as pool:
        work = [loop.run_in_executor(pool, recompute, home, genesis, height) for home in homes]
        return list(await asyncio.gather(*work))


def _follow_parent() -> None:
    """In a checking process: end when the demo does, however it ends."""

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def agreed(found: Mapping[str, Outcome]) -> Recomputed | None:
    """What most of the sound directories say; None if there is no sound one."""
    sound = [item for item in found.values() if isinstance(item, Recomputed)]
    if not sound:
        return None
    root, _ = Counter(item.state_root for item in sound).most_common(1)[0]
    return next(item for item in sound if item.state_root == root)


def verdicts(found: Mapping[str, Outcome], journal: Journal, own_whole_day: bool) -> list[Check]:
    """Every check of the day, given what each node's directory says."""
    common = agreed(found)
    if common is None:
        return [_replicas(found, None)]
    return [
        _replicas(found, common),
        _acknowledged(common, journal),
        _money(common.state),
        _holds(common.state),
        *_trades(common.state),
        _shown(common.state, journal, own_whole_day),
    ]


def _replicas(found: Mapping[str, Outcome], common: Recomputed | None) -> Check:
    others = [f"{name}: {why}" for name, item in found.items() if (why := _difference(item, common))]
    count = len(found) - len(others)
    agree = "no replica is sound" if common is None else _agreement(count, len(found), common)
    return Check("replicas", not others, "; ".join([agree, *others]))


def _agreement(count: int, replicas: int, common: Recomputed) -> str:
    return f"{count} of {replicas} replicas agree on root {common.state_root[:16]}… at height {common.height}"


def _difference(item: Outcome, common: Recomputed | None) -> str:
    if isinstance(item, Damaged):
        return item.why
    return "" if common is None or item.state_root == common.state_root else f"root {item.state_root[:16]}…"


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
        "money",
        held == total and worst >= 0,
        f"{held} micro-currency in accounts, {total} deposited less withdrawn; lowest {worst}",
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


@dataclass(frozen=True, slots=True)
class Shown:
    """What a day showed: parts taken of listings, energy that a seller lacked, and what was refused."""

    partial_takings: int
    partial_wh: int
    shortfalls: int
    shortfall_wh: int
    penalties: int
    mispriced: int
    rejections: int


def shown(state: Mapping[str, Any], journal: Journal) -> Shown:
    """Counts and energy. ``mispriced``: shortfalls that were not charged at the imbalance price."""
    listed = {_place(listing): listing["energy_wh"] for listing in _documents(state, "listing")}
    trades = _documents(state, "trade")
    parts = [t["energy_wh"] for t in trades if t["source"] == "listing" and t["energy_wh"] < listed[_place(t)]]
    short = [t for t in trades if t["status"] != "matched" and t["delivered_wh"] < t["energy_wh"]]
    lacking = [t["energy_wh"] - t["delivered_wh"] for t in short]
    due = [wh * t["imbalance_price"] // 1000 for wh, t in zip(lacking, short, strict=True)]
    return Shown(
        partial_takings=len(parts),
        partial_wh=sum(parts),
        shortfalls=len(short),
        shortfall_wh=sum(lacking),
        penalties=sum(t["penalty"] for t in short),
        mispriced=sum(1 for t, amount in zip(short, due, strict=True) if t["penalty"] != amount),
        rejections=sum(journal.refusals.values()),
    )


def _place(document: Mapping[str, Any]) -> tuple[str, int, int]:
    """Where listing and taking meet: a household lists once for an interval."""
    return document["meter"], document["interval"], document["price"]


def _shown(state: Mapping[str, Any], journal: Journal, own_whole_day: bool) -> Check:
    found = shown(state, journal)
    rare = [
        word
        for word, number in (
            ("partial taking", found.partial_takings),
            ("shortfall", found.shortfalls),
            ("rejection", found.rejections),
        )
        if number == 0
    ]
    detail = (
        f"{found.partial_takings} partial takings ({found.partial_wh} Wh), {found.shortfalls} shortfalls "
        f"({found.shortfall_wh} Wh, {found.penalties / MICRO:.4f} charged at the imbalance price), "
        f"{found.rejections} rejections"
    )
    if found.mispriced:
        detail += f"; {found.mispriced} shortfalls not charged at it"
    if rare:
        detail += f"; no {', no '.join(rare)}" + ("" if own_whole_day else ": only the demo's own whole day must")
    return Check("day", not found.mispriced and not (rare and own_whole_day), detail)


def _metered(state: Mapping[str, Any], trades: list[Mapping[str, Any]]) -> bool:
    """For each meter and interval: delivered in all its trades <= exported by its reading."""
    exported = {(r["meter"], r["interval"]): r["export_wh"] for r in _documents(state, "reading")}
    delivered: Counter[tuple[str, int]] = Counter()
    for trade in trades:
        delivered[trade["meter"], trade["interval"]] += trade["delivered_wh"]
    return all(amount <= exported.get(place, 0) for place, amount in delivered.items() if amount)
