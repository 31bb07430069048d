"""The rows of a study as CSV and JSON. Columns carry their units; floats have fixed digits, so that bytes repeat."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sim.scale.search import Row
from sim.scale.theory import messages_of_a_decision
from sim.scale.world import Setting

Cell = str | int | float


def cells(setting: Setting, row: Row) -> dict[str, Cell]:
    """One row by column name. ``light_``: unloaded, nothing sent twice; ``moderate_``: at 70 % of the rest's load."""
    light, loaded, moderate, theory = row.light, row.loaded, row.moderate, messages_of_a_decision(row.nodes)
    pre_prepare, prepare, commit, outcome = loaded.messages
    return {
        "nodes": row.nodes,
        "f": row.f,
        "q": row.q,
        "network": setting.profile.name,
        "carried": int(loaded.carried),
        "offered_tx_per_s": round(loaded.offered_tx_per_s, 1),
        "tx_per_s": round(loaded.tx_per_s, 1),
        "latency_ms_p50": round(loaded.latency_ms_p50, 2),
        "latency_ms_p99": round(loaded.latency_ms_p99, 2),
        "moderate_tx_per_s": round(moderate.tx_per_s, 1),
        "moderate_latency_ms_p50": round(moderate.latency_ms_p50, 2),
        "moderate_latency_ms_p99": round(moderate.latency_ms_p99, 2),
        "light_latency_ms_p50": round(light.latency_ms_p50, 2),
        "light_latency_ms_p99": round(light.latency_ms_p99, 2),
        "decisions": loaded.decisions,
        "tx_per_decision": round(loaded.tx_per_decision, 1),
        "bytes_per_decision": round(loaded.bytes_per_decision),
        "bytes_per_tx": round(loaded.bytes_per_tx),
        "light_bytes_per_decision": round(light.bytes_per_decision),
        "pre_prepares_per_decision": round(pre_prepare, 2),
        "prepares_per_decision": round(prepare, 2),
        "commits_per_decision": round(commit, 2),
        "outcomes_per_decision": round(outcome, 2),
        "messages_per_decision": round(sum(loaded.messages), 2),
        "light_messages_per_decision": round(sum(light.messages), 2),
        "theory_messages_per_decision": theory.total,
        "light_decisions": light.decisions,
        "light_decisions_exactly_as_theory": light.exact_decisions,
        "python_busy_percent": round(100 * loaded.busy["python"], 1),
        "verify_busy_percent": round(100 * loaded.busy["verify"], 1),
        "network_busy_percent": round(100 * loaded.busy["network"], 1),
        "bottleneck": row.bottleneck,
    }


def to_csv(setting: Setting, rows: Sequence[Row]) -> str:
    table = [cells(setting, row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
