"""What a household's agent signs by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from demo.agent import Agent
from demo.journal import Journal
from demo.setting import PARTICIPANTS
from ledger.statedb.documents import Document
from ledger.statedb.matching import matches
from ledger.statedb.selector import parse_query

ME, OTHER = "sol", "bea"


def trade(name: str, status: str, seller: str = ME, *, confirmed: bool = False) -> dict[str, Any]:
    return {
        "type": "trade", "id": name, "status": status, "seller": seller, "buyer": OTHER, "seller_confirmed": confirmed,
        "buyer_confirmed": False,
    }  # fmt: skip


def adjustment(of: str, number: int, status: str = "proposed", **changed: Any) -> dict[str, Any]:
    terms = {"type": "adjustment", "id": f"{of}-{number:02d}", "trade": of, "number": number, "status": status}
    return {**trade(of, status), **terms, **changed}


class Node:
    """A client of a node that has these documents, and notes what is submitted."""

    signer = ME

    def __init__(self, *documents: dict[str, Any]) -> None:
        self._documents = [Document(f"settlement/{value['type']}/{value['id']}", 1, 0, value) for value in documents]
        self.submitted: list[tuple[str, Any]] = []

    def _rows(self, selector: dict[str, Any]) -> Any:
        where = parse_query(selector, 100).where
        return SimpleNamespace(rows=[document for document in self._documents if matches(document, where)])

    async def documents(self, method: Any, status: str, limit: int) -> Any:
        return self._rows({"v.type": "trade", "v.status": status})

    async def query(self, selector: dict[str, Any], limit: int) -> Any:
        return self._rows(selector)

    async def invoke(self, contract: str, function: str, args: Any, timeout_s: float) -> Any:
        self.submitted.append((function, args))
        return SimpleNamespace(tx_id="t", height=1, value=None)


def confirmed(home: Path, *documents: dict[str, Any]) -> tuple[int, list[tuple[str, Any]]]:
    node = Node(*documents)
    agent = Agent(PARTICIPANTS[0], node, Journal(home / "journal.jsonl"), 1)  # type: ignore[arg-type]
    return asyncio.run(agent.confirm()), node.submitted


def test_it_signs_the_settlements_and_adjustments_that_wait_for_it(tmp_path: Path) -> None:
    documents = (
        trade("a", "proposed"), trade("b", "proposed", confirmed=True), trade("c", "proposed", seller="sun"),
        trade("d", "settled", confirmed=True), adjustment("d", 2), adjustment("d", 1, "overdue"),
    )  # fmt: skip
    assert confirmed(tmp_path, *documents) == (
        2, [("confirm_many", {"trades": ["a"]}), ("confirm_adjustments", {"adjustments": ["d-01"]})],
    )  # fmt: skip


def test_it_signs_no_adjustment_before_its_turn_or_twice(tmp_path: Path) -> None:
    documents = (
        trade("d", "overdue", confirmed=True), adjustment("d", 1),
        trade("e", "settled"), adjustment("e", 1, seller_confirmed=True), adjustment("e", 2),
        trade("f", "settled"), adjustment("f", 1, "void"), trade("g", "settled"), adjustment("g", 1, "settled"),
    )  # fmt: skip
    assert confirmed(tmp_path, *documents) == (0, [])
