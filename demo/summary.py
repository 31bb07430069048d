"""The table at the day's end, from the recomputed state."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.check import Check, Recomputed, shown
from demo.setting import OBSERVER
from demo.world import World

MICRO = 1_000_000
WIDTH_MAX = 1_000


def participant_rows(world: World, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per participant: bought, sold and delivered Wh, settled micro-currency, balance."""
    trades = [value for value in state.values() if isinstance(value, dict) and value.get("type") == "trade"]
    rows = []
    for agent in world.agents:
        signer = agent.client.signer
        bought = [trade for trade in trades if trade["buyer"] == signer]
        sold = [trade for trade in trades if trade["seller"] == signer]
        account = state[f"credit/account/{signer}"]
        rows.append(
            {
                "name": agent.participant.name,
                "node": world.cluster.names[agent.participant.node],
                "bought_wh": sum(trade["energy_wh"] for trade in bought),
                "sold_wh": sum(trade["energy_wh"] for trade in sold),
                "delivered_wh": sum(trade["delivered_wh"] for trade in sold),
                "received": sum(trade["amount"] for trade in sold if trade["status"] == "settled"),
                "paid": sum(trade["amount"] for trade in bought if trade["status"] == "settled"),
                "available": account["available"],
                "held": account["held"],
            }
        )
    return rows


def web_addresses(world: World) -> list[str]:
    return [world.cluster.rest_url(name) for name in world.voters]


def summary_json(world: World, found: Recomputed | None, checks: list[Check], played_s: float) -> dict[str, Any]:
    """Everything the summary says, for programs; without a sound directory only checks and addresses."""
    told = {
        "date": world.day.date.isoformat(),
        "checks": [asdict(check) for check in checks],
        "web": web_addresses(world),
        "mqtt": f"mqtt://127.0.0.1:{world.ports.mqtt}",
        "observer": world.cluster.rest_url(OBSERVER),
    }
    if found is None:
        return told
    journal = world.journal
    ordered = sum(found.transactions.values())
    return {
        **told,
        "height": found.height,
        "state_root": found.state_root,
        "participants": participant_rows(world, found.state),
        "transactions": {
            "acknowledged": len(journal.acknowledged),
            "refused": dict(sorted(journal.refusals.items())),
            "unavailable": journal.unavailable,
            "ordered": ordered,
            "per_s": round(ordered / played_s, 1),
        },
        "day": asdict(shown(found.state, journal)),
        "latency_ms": {"p50": round(journal.percentile_ms(0.5), 1), "p99": round(journal.percentile_ms(0.99), 1)},
    }


def print_summary(
    console: Console, world: World, found: Recomputed | None, checks: list[Check], played_s: float
) -> None:
    """The summary for people."""
    data = summary_json(world, found, checks, played_s)
    if found is not None:
        for table in (energy_table(data), money_table(data)):
            print_whole(console, table)
        _print_figures(console, data, played_s)
    for check in checks:
        mark = "[green]holds[/green]" if check.holds else "[red]FAILS[/red]"
        console.print(f"{mark}  {check.name}: {check.detail}", soft_wrap=True)
    console.print("web: " + "  ".join(data["web"]), soft_wrap=True)
    console.print(f"observer, a user's own node that never votes: {data['observer']}", soft_wrap=True)


def _print_figures(console: Console, data: dict[str, Any], played_s: float) -> None:
    transactions, latency = data["transactions"], data["latency_ms"]
    refused = ", ".join(f"{code} {count}" for code, count in transactions["refused"].items()) or "none"
    console.print(
        f"{transactions['ordered']} transactions in {data['height']} blocks and {played_s:.0f} s "
        f"({transactions['per_s']}/s)"
    )
    console.print(
        f"{transactions['acknowledged']} certified to their senders, p50 {latency['p50']} ms, p99 {latency['p99']} ms"
    )
    console.print(f"refused: {refused}; unanswered: {transactions['unavailable']}", soft_wrap=True)


def print_whole(console: Console, table: Table) -> None:
    """Print a table without cutting anything, though lines may become longer than the terminal is wide."""
    text = io.StringIO()
    Console(file=text, width=WIDTH_MAX).print(table)
    for line in text.getvalue().splitlines():
        console.print(line.rstrip(), soft_wrap=True, markup=False, highlight=False)


def energy_table(data: dict[str, Any]) -> Table:
    """What each household traded."""
    columns = {"bought": "bought_wh", "sold": "sold_wh", "delivered": "delivered_wh"}
    return _table(data, f"{data['date']}: energy, in kWh", columns, lambda wh: f"{wh / 1000:.2f}")


def money_table(data: dict[str, Any]) -> Table:
    """What that cost and brought each household, and what it has."""
    columns = {"received": "received", "paid": "paid", "balance": "available", "held": "held"}
    return _table(data, "money, in currency units", columns, lambda micro: f"{micro / MICRO:.4f}")


def _table(data: dict[str, Any], title: str, columns: Mapping[str, str], shown_as: Callable[[int], str]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, title_justify="left")
    for head in ("household", "node"):
        table.add_column(head, no_wrap=True)
    for head in columns:
        table.add_column(head, justify="right", no_wrap=True, min_width=9)
    for row in data["participants"]:
        table.add_row(row["name"], row["node"], *(shown_as(row[key]) for key in columns.values()))
    return table
