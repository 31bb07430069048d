"""Batches: NDJSON in and out, in order, as it comes, and within bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from fake_node import FakeNode
from network import until

from api import batches
from api.batches import UNDER_WAY_MAX
from api.options import RestOptions
from api.rest import make_app
from sdk import methods
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import Method, P, R

NDJSON = {"Content-Type": "application/x-ndjson"}
PATH = "/v1/transactions/batch"
LINE_BYTES_MAX = 500
Client = TestClient[Any, Any]


class Ledger(FakeNode):
    """Takes an envelope in as its payload says: ``ok``, ``no``, ``gone``, ``fault``, or ``wait``, until ``release``."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.under_way = self.most = 0

    async def has_under_way(self, count: int) -> None:
        async def has() -> bool:
            return self.under_way == count if not count else self.under_way >= count

        await until(has, 20)

    async def call(self, method: Method[P, R], params: P, *_: Any) -> R:
        assert isinstance(params, methods.SubmitParams)
        self.calls.append((method.name, params, ""))
        self.channels.append(method.channel)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if params.payload == "wait":
                await self.release.wait()
        finally:
            self.under_way -= 1
        refused = Refused(Problem("NO", "No.", 422, methods.Submission("ab" * 32, "certified", 7, 0)))
        raised = {"no": refused, "gone": TransportError("gone"), "fault": ZeroDivisionError("our fault")}
        if params.payload in raised:
            raise raised[params.payload]
        return methods.Submission(f"{len(self.calls):064x}", "accepted")  # type: ignore[return-value]


@pytest.fixture
def node() -> Ledger:
    return Ledger()


@pytest.fixture
async def client(node: Ledger) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(node, RestOptions(stranger_body_bytes_max=LINE_BYTES_MAX)))) as opened:
        yield opened


def line(payload: str) -> bytes:
    return json.dumps({"payload": payload, "signatures": [{"public_key": "", "signature": ""}]}).encode() + b"\n"


async def answers(response: ClientResponse) -> list[str]:
    """A word for each line: the state of a result, or the code of a problem."""
    assert (response.status, response.content_type) == (200, "application/x-ndjson")
    told = []
    for number, text in enumerate((await response.text()).splitlines()):
        answer = json.loads(text)
        assert answer["line"] == number
        told.append(answer["result"]["state"] if "result" in answer else answer["problem"]["code"])
    return told


async def test_each_line_has_its_answer_in_order(client: Client, node: Ledger) -> None:
    body = (
        line("ok") + line("no") + b"\n  \r\n" + line("gone") + b"{}\n" + b"\xff\n" + line("fault") + line("ok").strip()
    )
    response = await client.post(PATH, data=body, headers=NDJSON)
    assert await answers(response) == [
        "accepted", "NO", "NODE_UNREACHABLE", "PARAMETERS_INVALID", "PARAMETERS_INVALID", "INTERNAL_ERROR", "accepted",
    ]  # fmt: skip


async def test_a_problem_in_a_line_is_a_whole_problem_document(client: Client) -> None:
    response = await client.post(PATH, data=line("no"), headers=NDJSON)
    problem = json.loads(await response.text())["problem"]
    assert (problem["status"], problem["detail"], problem["tx_id"], problem["height"]) == (422, "No.", "ab" * 32, 7)


async def test_an_empty_batch_has_an_empty_answer(client: Client) -> None:
    assert await answers(await client.post(PATH, data=b"", headers=NDJSON)) == []
    assert await answers(await client.post(PATH, skip_auto_headers=("Content-Type",))) == []


async def test_a_batch_is_posted_and_nothing_else(client: Client) -> None:
    """Found by schemathesis: by GET, ``batch`` was taken for a transaction's id."""
    for verb in ("GET", "PUT", "OPTIONS", "DELETE"):
        response = await client.request(verb, PATH)
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_batches_are_for_other_channels_too(client: Client, node: Ledger) -> None:
    await client.post("/v1/channels/family/transactions/batch", data=line("ok"), headers=NDJSON)
    assert node.channels == ["family"]


async def test_an_answer_comes_before_the_next_line_is_sent(client: Client) -> None:
    sent: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def lines() -> AsyncIterator[bytes]:
        while (each := await sent.get()) is not None:
            yield each

    sent.put_nowait(line("ok"))
    async with asyncio.timeout(20), client.post(PATH, data=lines(), headers=NDJSON) as response:
        for number in range(3):
            assert json.loads(await response.content.readline())["line"] == number
            sent.put_nowait(line("ok"))
        sent.put_nowait(None)
        assert len((await response.content.read()).splitlines()) == 1


async def test_so_many_are_under_way_and_the_rest_is_not_read(client: Client, node: Ledger) -> None:
    count = 3 * UNDER_WAY_MAX
    posted = asyncio.create_task(client.post(PATH, data=line("wait") * count, headers=NDJSON))
    await node.has_under_way(UNDER_WAY_MAX)
    node.release.set()
    assert await answers(await posted) == ["accepted"] * count
    assert UNDER_WAY_MAX <= node.most <= UNDER_WAY_MAX + 2


async def test_who_hangs_up_leaves_nothing_under_way(client: Client, node: Ledger) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield line("wait")
        await asyncio.Event().wait()

    posted = asyncio.create_task(client.post(PATH, data=lines(), headers=NDJSON))
    await node.has_under_way(5)
    (await posted).close()
    await node.has_under_way(0)


async def test_a_line_that_is_too_long_ends_the_batch(client: Client, node: Ledger) -> None:
    for long in (line("x" * LINE_BYTES_MAX), b"x" * 100_000):
        response = await client.post(PATH, data=line("ok") + long + line("ok"), headers=NDJSON)
        assert await answers(response) == ["accepted", "BODY_TOO_LARGE"]


async def test_too_many_lines_end_the_batch(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LINES_MAX", 3)
    response = await client.post(PATH, data=line("ok") * 5, headers=NDJSON)
    assert await answers(response) == ["accepted"] * 3 + ["BODY_TOO_LARGE"]


async def test_a_line_that_does_not_come_ends_the_batch(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LINE_S", 0.05)

    async def lines() -> AsyncIterator[bytes]:
        yield line("ok") + b'{"payload": '
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        assert await answers(await client.post(PATH, data=lines(), headers=NDJSON)) == ["accepted", "BODY_TOO_SLOW"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
async def test_what_is_no_ndjson_is_refused(client: Client, node: Ledger, kind: str) -> None:
    response = await client.post(PATH, data=line("ok"), headers={"Content-Type": kind})
    assert (response.status, (await response.json(content_type=None))["code"]) == (415, "MEDIA_TYPE_UNKNOWN")
    assert node.calls == []
