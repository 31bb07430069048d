"""docs/OPERATIONS.md and the alerts say what there is: every metric, every finding, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from api.metrics import NodeMetrics
from scripts import metrics_table

ROOT = Path(__file__).resolve().parents[3]
TEXT = metrics_table.DOCUMENT.read_text("utf-8")
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
SUFFIXES = ("_bucket", "_count", "_sum")


def test_the_table_of_metrics_is_that_of_the_instruments() -> None:
    assert metrics_table.replaced(TEXT) == TEXT, "run python scripts/metrics_table.py"


def test_every_metric_follows_the_rule_of_names() -> None:
    for name, kind, labels, meaning in metrics_table.rows():
        assert re.fullmatch(r"wattq_(ca|consensus|transport|ledger|sandbox|statedb|rest|node)_[a-z_]+", name)
        assert (kind == "counter") == name.endswith("_total")
        assert meaning.endswith(".")
        assert (
            name == "wattq_node_info"
            or labels.startswith(("channel", "route", "certificate"))
            or name == "wattq_rest_connections"
        )


def test_channels_have_every_label_that_the_table_names() -> None:
    registry = CollectorRegistry()
    node = NodeMetrics(registry, "node1", "0")
    node.measuring("main")
    told = {sample.name: set(sample.labels) for metric in registry.collect() for sample in metric.samples}
    for name, kind, labels, _ in metrics_table.rows():
        sample = told.get(f"{name}_count" if kind == "histogram" else name)
        assert sample is None or kind == "info" or sample == set(filter(None, labels.split(", "))), name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    known = {name: kind for name, kind, _, _ in metrics_table.rows()}
    named = set(re.findall(r"wattq_[a-z_]+", rule["expr"]))
    assert named
    for name in named:
        base = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
        assert base in known, name
        assert (known[base] == "histogram") == (base != name)
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")


def test_alerts_that_the_document_names_are_there() -> None:
    section = TEXT.split("| Alert |")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", section, re.M)) <= {rule["alert"] for rule in RULES}


def test_every_finding_of_why_is_in_the_document() -> None:
    source = (ROOT / "sdk" / "why.py").read_text("utf-8")
    codes = set(
        re.findall(r'"([A-Z]+(?:_[A-Z]+)+|COMMITS|CLOSED|DIVERGED|MUTE|COMPLAINTS|UNREACHABLE|EXECUTION)"', source)
    )
    section = TEXT.split("| Code (`--json`) |")[1].split("\n`OUTCOMES_DIFFER` names")[0]
    told = set(re.findall(r"`([A-Z_]+)`", section))
    assert codes == told
