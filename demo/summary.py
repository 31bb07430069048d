"""The table at the day's end, from the recomputed state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.check import Check, Recomputed
from demo.world import World

MICRO = 1_000_000


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


def summary_json(world: World, found: Recomputed, checks: list[Check], played_s: float) -> dict[str, Any]:
    """Everything the table says, for programs."""
    journal = world.journal
    return {
        "date": world.day.date.isoformat(),
        "height": found.height,
        "state_root": found.state_root,
        "participants": participant_rows(world, found.state),
        "transactions": {
            "acknowledged": len(journal.acknowledged),
            "refused": dict(sorted(journal.refusals.items())),
            "unavailable": journal.unavailable,
            "ordered": sum(found.transactions.values()),
            "per_s": round(sum(found.transactions.values()) / played_s, 1),
        },
        "latency_ms": {"p50": round(journal.percentile_ms(0.5), 1), "p99": round(journal.percentile_ms(0.99), 1)},
        "checks": [{"name": check.name, "holds": check.holds, "detail": check.detail} for check in checks],
        "web": [world.cluster.rest_url(name) for name in world.cluster.names],
    }


def print_summary(console: Console, world: World, found: Recomputed, checks: list[Check], played_s: float) -> None:
    """The summary for people."""
    data = summary_json(world, found, checks, played_s)
    console.print(_participants(data, world.day.date.isoformat()))
    transactions = data["transactions"]
    refused = ", ".join(f"{code} {count}" for code, count in transactions["refused"].items()) or "none"
    console.print(
        f"{transactions['ordered']} transactions in {found.height} blocks and {played_s:.0f} s "
        f"({transactions['per_s']}/s); {transactions['acknowledged']} certified to their senders, "
        f"p50 {data['latency_ms']['p50']} ms, p99 {data['latency_ms']['p99']} ms"
    )
    console.print(f"refused: {refused}; unanswered: {transactions['unavailable']}")
    for check in checks:
        mark = "[green]holds[/green]" if check.holds else "[red]FAILS[/red]"
        console.print(f"{mark}  {check.name}: {check.detail}")
    console.print("web: " + "  ".join(data["web"]))


def _participants(data: dict[str, Any], date: str) -> Table:
    table = Table(title=f"{date}: energy in kWh, money in currency units")
    table.add_column("household")
    table.add_column("node")
    for column in ("bought", "sold", "delivered", "received", "paid", "balance", "held"):
        table.add_column(column, justify="right")
    for row in data["participants"]:
        table.add_row(
            row["name"],
            row["node"],
            *(f"{row[key] / 1000:.2f}" for key in ("bought_wh", "sold_wh", "delivered_wh")),
            *(f"{row[key] / MICRO:.4f}" for key in ("received", "paid", "available", "held")),
        )
    return table
