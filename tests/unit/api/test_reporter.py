"""Reporting liars: tried again while another change is pending, dropped when it is settled or too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from network import until

from api import reporter
from api.reporter import EVIDENCE_CHARS_MAX, REPORTS_WAITING_MAX, Report, Reporter
from sdk.client import AsyncClient, Outcome
from sdk.errors import Problem, Refused, Unavailable


class Client:
    """Answers reports with what is prescribed, then with success."""

    def __init__(self) -> None:
        self.answers: list[Exception] = []
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def invoke(self, contract: str, function: str, args: dict[str, Any]) -> Outcome:
        self.calls.append((contract, function, args))
        if self.answers:
            raise self.answers.pop(0)
        return Outcome("", 9, 0, "OK", "", 64, cast(Any, None), {})


class Desk:
    def __init__(self) -> None:
        self.client = Client()
        self.epoch = 0
        self.reporter = Reporter(cast(AsyncClient, self.client), lambda: self.epoch)

    async def calls(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.client.calls) >= count

        await until(enough, 10)


@pytest_asyncio.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(reporter, "RETRY_S", 0.0)
    made = Desk()
    task = asyncio.get_running_loop().create_task(made.reporter.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def refused(code: str) -> Refused:
    return Refused(Problem(code, "no"))


async def test_a_report_is_tried_again_while_it_can_still_succeed(desk: Desk) -> None:
    desk.client.answers = [refused("CHANGE_PENDING"), Unavailable("no quorum"), refused("POOL_FULL")]
    desk.reporter.offer(Report(0, b"first", 0))
    desk.reporter.offer(Report(0, b"second", 0))
    await desk.calls(5)
    assert [call[2]["evidence"] for call in desk.client.calls] == ["Zmlyc3Q="] * 4 + ["c2Vjb25k"]
    assert {call[:2] for call in desk.client.calls} == {("governance", "report")}


@pytest.mark.parametrize("code", ["ALREADY_SKIPPED", "ALREADY_REPORTED", "EVIDENCE_INVALID", "NOT_REGISTERED"])
async def test_a_settled_report_is_not_repeated(desk: Desk, code: str) -> None:
    desk.client.answers = [refused(code)]
    desk.reporter.offer(Report(0, b"first", 0))
    desk.reporter.offer(Report(0, b"second", 0))
    await desk.calls(2)
    assert [call[2]["evidence"] for call in desk.client.calls] == ["Zmlyc3Q=", "c2Vjb25k"]


async def test_evidence_of_an_epoch_that_has_ended_is_not_reported(desk: Desk) -> None:
    desk.epoch = 1
    desk.reporter.offer(Report(0, b"old", 0))
    desk.reporter.offer(Report(1, b"new", 0))
    await desk.calls(1)
    assert [call[2]["evidence"] for call in desk.client.calls] == ["bmV3"]


async def test_what_fits_no_transaction_and_what_comes_too_often_is_left_on_disk(desk: Desk) -> None:
    desk.reporter.offer(Report(0, bytes(EVIDENCE_CHARS_MAX), 0))
    for number in range(REPORTS_WAITING_MAX + 5):
        desk.reporter.offer(Report(0, bytes([number]), 0))
    await desk.calls(REPORTS_WAITING_MAX)
    await asyncio.sleep(0)
    assert len(desk.client.calls) == REPORTS_WAITING_MAX
