"""What clients were promised, written outside the nodes: one JSON line for each acknowledged transaction."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Journal:
    """Counts what happened and keeps the acknowledged transactions on disk."""

    path: Path
    latencies_ms: list[float] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    unavailable: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def commit(self, who: str, function: str, tx_id: str, height: int, latency_ms: float, value: Any) -> None:
        """A client verified a certificate for ``tx_id`` at ``height``."""
        self.latencies_ms.append(latency_ms)
        self.acknowledged[tx_id] = height
        self._write({"who": who, "function": function, "tx_id": tx_id, "height": height, "value": value})

    def refuse(self, who: str, function: str, code: str, tx_id: str) -> None:
        self.refusals[code] += 1
        self._write({"who": who, "function": function, "refused": code, "tx_id": tx_id})

    def miss(self, who: str, function: str, why: str) -> None:
        self.unavailable += 1
        self._write({"who": who, "function": function, "unavailable": why})

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def percentile_ms(self, share: float) -> float:
        """Latency from submission to the verified certificate; 0.0 before the first."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
