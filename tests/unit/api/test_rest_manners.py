"""What HTTP's own manners ask of REST: tags, request numbers, media types, other pages' origins, idempotency keys."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from fake_node import FakeNode

from api.idempotency import ANSWER_BYTES_MAX, ANSWERS_BYTES_MAX, KEYS_EACH_MAX, KEYS_MAX, Idempotency
from api.logs import JsonFormatter, TextFormatter
from api.options import RestOptions
from api.rest import make_app
from sdk import methods, request_ids
from sdk.errors import Problem, Refused

PAGE = "https://page.example"
OPTIONS = RestOptions(cors_origins=(PAGE,))
JSON = {"Content-Type": "application/json"}
ENVELOPE = {"payload": "{}", "signatures": [{"public_key": "", "signature": ""}]}
WHOSE = {"ta": "alice", "tb": "bob"}
Client = TestClient[Any, Any]


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
async def client(node: FakeNode) -> AsyncIterator[Client]:
    app = make_app(node, OPTIONS, whose=lambda _, token: WHOSE.get(token, ""))
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def code_of(response: ClientResponse) -> str:
    code: str = (await response.json(content_type="application/problem+json"))["code"]
    return code


# ---------------------------------------------------------------------------------------------------- tags


async def test_who_has_an_answer_already_is_not_sent_it_again(client: Client, node: FakeNode) -> None:
    first = await client.get("/v1/headers")
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.headers["Vary"].split(", ")[0] == "Authorization"
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get("/v1/headers", headers={"If-None-Match": named})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag), named
    for named in ('"other"', "nonsense", ""):
        assert (await client.get("/v1/headers", headers={"If-None-Match": named})).status == 200, named
    node.answer = methods.Headers(())
    assert (await client.get("/v1/headers")).headers["ETag"] == tag
    node.answer = methods.ChannelList((), 1)
    assert (await client.get("/v1/channels", headers={"If-None-Match": tag})).status == 200


async def test_the_genesis_file_is_kept_for_good_and_refusals_are_not(client: Client, node: FakeNode) -> None:
    node.answer = methods.GenesisFile(b"{}")
    assert "immutable" in (await client.get("/v1/genesis")).headers["Cache-Control"]
    node.answer = Refused(Problem("NOT_YOURS", "Not yours.", 403))
    refused = await client.get("/v1/genesis", headers={"If-None-Match": "*"})
    assert (refused.status, refused.headers["Cache-Control"]) == (403, "no-store")
    assert "ETag" not in refused.headers


async def test_an_answer_to_a_post_is_of_that_moment(client: Client, node: FakeNode) -> None:
    node.answer = methods.Rows((), 1, "")
    response = await client.post("/v1/query", data=b'{"selector": {}}', headers=JSON)
    assert (response.status, response.headers["Cache-Control"], "ETag" in response.headers) == (200, "no-store", False)


# -------------------------------------------------------------------------------------------- request numbers


@pytest.mark.parametrize("given", ["12345678", "a.b-c_D9", "x" * 64])
async def test_a_number_that_is_well_formed_comes_back(client: Client, given: str) -> None:
    for path, status in (("/v1/headers", 200), ("/v1/nowhere", 404), ("/", 200)):
        response = await client.get(path, headers={"X-Request-Id": given})
        assert (response.status, response.headers["X-Request-Id"]) == (status, given)


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "a b c d e f", "äöüäöüäöü", '12345678"', "12345678\t1"])
async def test_any_other_gives_way_to_a_fresh_one(client: Client, given: str) -> None:
    seen = {(await client.get("/v1/headers", headers={"X-Request-Id": given})).headers["X-Request-Id"] for _ in "ab"}
    assert len(seen) == 2
    assert all(len(number) == 16 and number != given for number in seen)


async def test_the_log_says_how_each_request_went_and_not_about_whom(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "wattq.rest"):
        await client.get(f"/v1/accounts/{'ab' * 32}", headers={"X-Request-Id": "number-1"})
        await client.get("/no/such", headers={"X-Request-Id": "number-2"})
    lines = [record.getMessage() for record in caplog.records if record.name == "wattq.rest"]
    assert len(lines) == 2
    assert lines[0].startswith("GET /v1/accounts/{signer}: 200 in ")
    assert lines[1].startswith("GET no route: 404 in ")


def test_log_lines_carry_the_number() -> None:
    record = logging.LogRecord("wattq.rest", logging.INFO, "", 0, "told", None, None)
    assert "request" not in json.loads(JsonFormatter().format(record))
    assert TextFormatter().format(record).endswith(": told")
    request_ids.begin("number-3")
    assert json.loads(JsonFormatter().format(record))["request"] == "number-3"
    assert TextFormatter().format(record).endswith(": told [number-3]")


# ------------------------------------------------------------------------------------------------ media types


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"])
async def test_a_body_that_says_it_is_something_else_is_refused(client: Client, node: FakeNode, kind: str) -> None:
    """A page of another site can send forms and text in somebody's name without being asked beforehand."""
    response = await client.post("/v1/query", data=b'{"selector": {}}', headers={"Content-Type": kind})
    assert (response.status, await code_of(response), node.calls) == (415, "MEDIA_TYPE_UNKNOWN", [])


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", None])
async def test_json_by_any_spelling_and_a_body_that_says_nothing_are_taken(
    client: Client, node: FakeNode, kind: str | None
) -> None:
    node.answer = methods.Rows((), 1, "")
    headers = {"Content-Type": kind} if kind else {}
    skip = () if kind else ("Content-Type",)
    response = await client.post("/v1/query", data=b'{"selector": {}}', headers=headers, skip_auto_headers=skip)
    assert response.status == 200


# ------------------------------------------------------------------------------------------------ other origins


async def test_a_page_that_the_operator_named_may_read(client: Client) -> None:
    for path in ("/v1/headers", "/v1/nowhere", "/openapi.json"):
        response = await client.get(path, headers={"Origin": PAGE})
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]
        assert "Origin" in response.headers.getall("Vary")[-1]
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    response = await client.options("/v1/query", headers=asked)
    assert (response.status, response.headers["Access-Control-Allow-Methods"]) == (204, "GET, POST")
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example", PAGE + ".evil.example", "null", PAGE.upper(), ""])
async def test_other_pages_may_not(client: Client, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for response in (
        await client.get("/v1/headers", headers={"Origin": origin}),
        await client.options("/v1/query", headers=asked),
    ):
        assert not [name for name in response.headers if name.startswith("Access-Control")]
    assert response.status == 405


async def test_nobody_may_unless_the_operator_says_so(node: FakeNode) -> None:
    async with TestClient(TestServer(make_app(node, RestOptions()))) as client:
        response = await client.get("/v1/headers", headers={"Origin": PAGE})
        assert "Access-Control-Allow-Origin" not in response.headers


# -------------------------------------------------------------------------------------------- idempotency keys


async def submit(client: Client, key: str, envelope: dict[str, Any] = ENVELOPE, token: str = "") -> ClientResponse:
    headers = {**JSON, "Idempotency-Key": key, **({"Authorization": f"Bearer {token}"} if token else {})}
    return await client.post("/v1/transactions", data=json.dumps(envelope), headers=headers)


async def test_the_same_key_and_body_get_the_same_answer(client: Client, node: FakeNode) -> None:
    node.answer = methods.Submission("ab" * 32, "certified", 7, 0, "OK")
    first = await submit(client, "k1")
    node.answer = methods.Submission("cd" * 32, "accepted")
    again = await submit(client, "k1")
    assert (again.status, await again.read()) == (first.status, await first.read())
    assert (first.headers.get("Idempotent-Replay"), again.headers["Idempotent-Replay"]) == (None, "true")
    assert len(node.calls) == 1
    other = await submit(client, "k2")
    assert (await other.json())["state"] == "accepted"


async def test_the_same_key_with_another_body_is_refused(client: Client, node: FakeNode) -> None:
    node.answer = methods.Submission("ab" * 32, "certified", 7, 0, "OK")
    await submit(client, "k1")
    response = await submit(client, "k1", {**ENVELOPE, "wait": "accepted"})
    assert (response.status, await code_of(response), len(node.calls)) == (422, "IDEMPOTENCY_KEY_REUSED", 1)


async def test_a_key_is_its_callers_own(client: Client, node: FakeNode) -> None:
    node.answer = methods.Submission("ab" * 32, "certified", 7, 0, "OK")
    for token in ("ta", "tb", "", "unknown"):
        before = len(node.calls)
        assert (await submit(client, "k1", token=token)).status == 200
        assert len(node.calls) == before + (token != "unknown"), "who shows no session is known by the address"


async def test_a_failure_that_is_in_the_chain_is_the_same_answer_too(client: Client, node: FakeNode) -> None:
    taken = methods.Submission("ab" * 32, "certified", 7, 0, "NO", "No.")
    node.answer = Refused(Problem("NO", "No.", 422, taken))
    first = await (await submit(client, "k1")).read()
    node.answer = methods.Submission("ab" * 32, "certified", 7, 0, "OK")
    again = await submit(client, "k1")
    assert (again.status, again.content_type, await again.read()) == (422, "application/problem+json", first)


@pytest.mark.parametrize(
    "refusal",
    [
        Problem("NO_QUORUM_YET", "Not yet.", 504, methods.Submission("ab" * 32, "accepted")),
        Problem("POOL_FULL", "Full.", 503),
        Problem("TOO_MANY_REQUESTS", "Wait.", 429),
        Problem("NOT_REGISTERED", "Register.", 403),
    ],
    ids=lambda problem: problem.code,
)
async def test_what_time_may_change_is_asked_again(client: Client, node: FakeNode, refusal: Problem) -> None:
    node.answer = Refused(refusal)
    assert (await submit(client, "k1")).status == refusal.status
    node.answer = methods.Submission("ab" * 32, "certified", 7, 0, "OK")
    assert (await submit(client, "k1")).status == 200
    assert (await submit(client, "k1")).headers["Idempotent-Replay"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "schlüssel"])
async def test_a_key_that_is_none_is_refused(client: Client, node: FakeNode, key: str) -> None:
    response = await submit(client, key)
    assert (response.status, await code_of(response), node.calls) == (400, "IDEMPOTENCY_KEY_INVALID", [])


def told(client: Idempotency, caller: str, key: str, body: bytes) -> bool:
    return client.recall(caller, key, body) is not None


def keep(client: Idempotency, caller: str, key: str, body: bytes, answer: bytes) -> None:

    assert not told(client, caller, key, body)
    client.keep(caller, key, web.Response(body=answer))


def test_each_caller_has_so_many_keys_and_its_oldest_give_way() -> None:
    known = Idempotency()
    keep(known, "b", "k", b"", b"b's")
    for number in range(KEYS_EACH_MAX + 1):
        keep(known, "a", str(number), b"", b"a's")
    assert not told(known, "a", "0", b"")
    assert told(known, "a", str(KEYS_EACH_MAX), b"")
    assert told(known, "b", "k", b""), "nobody's keys but its own"


def test_keys_and_answers_are_bounded_in_all() -> None:
    known = Idempotency()
    for number in range(KEYS_MAX + 10):
        keep(known, str(number), "k", b"", b"x")
    assert len(known._known) == KEYS_MAX
    assert not told(known, "0", "k", b"")
    big = bytes(ANSWER_BYTES_MAX)
    for number in range(2 * ANSWERS_BYTES_MAX // ANSWER_BYTES_MAX):
        keep(known, f"big{number}", "k", b"", big)
        assert known._bytes <= ANSWERS_BYTES_MAX
    keep(known, "huge", "k", b"", big + b"x")
    assert not told(known, "huge", "k", b""), "so long an answer is not kept"
    with pytest.raises(Refused, match="IDEMPOTENCY_KEY_REUSED"):
        known.recall("huge", "k", b"other")
