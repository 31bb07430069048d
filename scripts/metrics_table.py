"""The table of metrics in docs/OPERATIONS.md, from the instruments themselves.

``python scripts/metrics_table.py`` writes it between its two marks; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics import MetricWrapperBase

from api.metrics import FAMILIES, NodeMetrics

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "OPERATIONS.md"
BEGIN, END = "<!-- metrics -->", "<!-- end of metrics -->"


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Name, kind, labels and meaning of each metric that is ours, in order of names."""
    registry = CollectorRegistry()
    node = NodeMetrics(registry, "node1", "0")
    measured = {found._name: found for found in vars(node.measures).values() if isinstance(found, MetricWrapperBase)}
    labels = {family.name.removesuffix("_total"): ("channel", *family.labels) for family in FAMILIES}
    labels |= {name: found._labelnames for name, found in measured.items()}
    for metric in sorted(registry.collect(), key=lambda each: each.name):
        if metric.name.startswith("wattq_"):
            yield _name(metric), metric.type, ", ".join(labels.get(metric.name, ())), metric.documentation


def _name(metric: Metric) -> str:
    """As it is scraped."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def table() -> str:
    lines = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in rows()]
    return "\n".join(("| Metric | Kind | Labels | What it says |", "|---|---|---|---|", *lines))


def replaced(text: str) -> str:
    """A document with the table in its place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCUMENT.write_text(replaced(DOCUMENT.read_text("utf-8")), "utf-8")
