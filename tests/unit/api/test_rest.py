"""REST: every error is a problem document with a code and a sentence; bodies are bounded."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from fake_node import FakeNode

from api.http_server import SHUTDOWN_S
from api.options import RestOptions
from api.problems import SECURITY_HEADERS
from api.rest import RestServer, make_app
from sdk import methods
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import METHODS, Method, P, R
from sdk.parameter_faults import TOLD
from sdk.transports import ANSWER_TIMEOUT_S

SIGNER = "ab" * 32
BODY_BYTES_MAX = 2_000
JSON = {"Content-Type": "application/json"}
OPTIONS = RestOptions(stranger_body_bytes_max=BODY_BYTES_MAX)


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
async def client(node: FakeNode) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(node, OPTIONS))) as opened:
        yield opened


async def problem(client: TestClient[Any, Any], verb: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and code of an answer that must be a problem document with a sentence."""
    response = await client.request(verb, path, data=body, headers=JSON if body is not None else {})
    document = await response.json(content_type="application/problem+json")
    assert document["status"] == response.status
    assert document["type"] == f"urn:wattquorum:problem:{document['code']}"
    assert document["detail"].endswith(".")
    assert len(document["detail"]) > 10
    assert SECURITY_HEADERS.items() <= dict(response.headers).items()
    return response.status, document["code"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("transactions/x", "Expected 64 digits of 0-9 and a-f - at `$.tx_id`."),
        ("blocks/1?bookmark=x", "Expected the `bookmark` of the answer before - at `$.bookmark`."),
        ("history/a?bookmark=x", "Expected the `bookmark` of the answer before - at `$.bookmark`."),
        ("proof?key=%7F", "Expected printable ASCII - at `$.key`."),
    ],
)
async def test_what_is_meant_is_told_and_not_how_it_is_checked(
    client: TestClient[Any, Any], path: str, sentence: str
) -> None:
    """People were shown regular expressions."""
    response = await client.get(f"/v1/{path}")
    assert (await response.json())["detail"].startswith(sentence)


def test_every_expression_that_checks_a_parameter_has_words() -> None:
    """Those of ``sdk.methods``, and of what it takes from ``ca.messages``."""
    schemas = msgspec.json.schema_components([method.params for method in METHODS.values()])
    patterns = set(re.findall(r'"pattern":"((?:[^"\\]|\\.)*)"', msgspec.json.encode(schemas).decode()))
    said = {f"`str` matching regex {json.loads(chr(34) + pattern + chr(34))!r}" for pattern in patterns}
    assert said == set(TOLD)


async def test_who_only_looks_whether_a_route_answers_gets_its_head(client: TestClient[Any, Any]) -> None:
    """It was 405, which HTTP leaves no server to say of HEAD where there is GET."""
    whole, head = await client.get("/v1/headers"), await client.head("/v1/headers")
    assert (head.status, await head.read()) == (whole.status, b"") == (200, b"")
    assert (head.headers["ETag"], head.content_type) == (whole.headers["ETag"], whole.content_type)
    for path, status in (("/v1/headers?limit=0", 400), ("/v1/transactions", 405)):
        refused = await client.head(path)
        assert (refused.status, await refused.read()) == (status, b"")


@pytest.mark.parametrize(
    "path", ["history/a%00b", "history/%C3%A9", "values/a%0Ab?height=1", "history/a%0A", "proof?key=%7F"]
)
async def test_a_key_with_odd_characters_is_refused_by_name(client: TestClient[Any, Any], path: str) -> None:
    response = await client.get(f"/v1/{path}")
    problem = await response.json()
    assert (response.status, problem["code"]) == (400, "PARAMETERS_INVALID")
    assert "key" in problem["detail"]


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
async def test_every_method_has_its_route(
    client: TestClient[Any, Any], node: FakeNode, method: Method[Any, Any]
) -> None:
    node.answer = Refused(Problem("TEAPOT", "I am a teapot.", 418))
    path = method.path.format(
        tx_id="0" * 64, hash="0" * 64, height=1, interval=1, signer=SIGNER, key="a/b", registration="0" * 32
    )
    query = {"proof": "?key=a", "value": "?height=1"}.get(method.name, "")
    bodies: dict[str, dict[str, Any]] = {
        "submit": {"payload": "{}", "signatures": [{"public_key": "", "signature": ""}]},
        "propose": {"payload": "{}", "signatures": [{"public_key": "", "signature": ""}, None]},
        "withdraw": {"tx_id": "0" * 64},
        "query": {"selector": {}},
        "view": {"contract": "a", "function": "b"},
        "challenge": {"public_key": ""},
        "session": {"public_key": "", "challenge": "", "signature": "", "node": ""},
        "enrol": {"request": ""},
        "renew": {"serial": "1", "proof": ""},
        "waiting": {"certificate": "", "time_ms": 1, "proof": ""},
        "decide": {"certificate": "", "registration": "0" * 32, "verdict": "refuse", "time_ms": 1, "proof": ""},
        "handover": {"message": ""},
        "log_level": {"level": "info"},
    }
    body = json.dumps(bodies[method.name]).encode() if method.verb == "POST" else None
    assert await problem(client, method.verb, path + query, body) == (418, "TEAPOT")
    assert [name for name, _, _ in node.calls] == [method.name]


async def test_path_query_and_token_reach_the_node(client: TestClient[Any, Any], node: FakeNode) -> None:
    response = await client.get("/v1/headers?first=3&limit=2", headers={"Authorization": "bearer  abc "})
    assert (response.status, await response.json()) == (200, {"headers": [], "next": None})
    assert node.calls == [("headers", methods.HeadersParams(first=3, limit=2), "abc")]
    assert SECURITY_HEADERS.items() <= dict(response.headers).items()
    await client.get("/v1/headers", headers={"Authorization": "Basic abc"})
    assert node.calls[-1][2] == ""


@pytest.mark.parametrize(
    ("verb", "path", "body", "expected"),
    [
        ("GET", "/v1/nothing", None, (404, "ROUTE_UNKNOWN")),
        ("DELETE", "/v1/status", None, (405, "VERB_NOT_ALLOWED")),
        ("GET", "/v1/transactions", None, (405, "VERB_NOT_ALLOWED")),
        ("GET", "/static/../rest.py", None, (404, "ROUTE_UNKNOWN")),
        ("GET", "/v1/headers?limit=0", None, (400, "PARAMETERS_INVALID")),
        ("GET", "/v1/headers?limit=201", None, (400, "PARAMETERS_INVALID")),
        ("GET", "/v1/headers?limit=1&limit=2", None, (400, "PARAMETERS_INVALID")),
        ("GET", "/v1/headers?first=x", None, (400, "PARAMETERS_INVALID")),
        ("GET", "/v1/headers?colour=red", None, (400, "PARAMETERS_INVALID")),
        ("GET", "/v1/listings?interval=null", None, (400, "PARAMETERS_INVALID")),  # found by schemathesis
        ("GET", "/v1/listings?status=null", None, (418, "TEAPOT")),
        ("GET", "/v1/transactions/batch", None, (405, "VERB_NOT_ALLOWED")),  # found by schemathesis
        ("GET", "/v1/blocks/-1", None, (400, "PARAMETERS_INVALID")),
        ("GET", "/v1/accounts/xyz", None, (400, "PARAMETERS_INVALID")),
        ("GET", f"/v1/accounts/{SIGNER}?signer={SIGNER}x", None, (418, "TEAPOT")),
        ("GET", "/v1/proof", None, (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b"", (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b"{", (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b"[]", (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b"\xff", (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b'{"selector": {}, "colour": 1}', (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b'{"selector": {}, "limit": "5"}', (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b'{"selector": {"a": "\\ud800"}}', (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/transactions", b'{"payload": "{}", "signatures": []}', (400, "PARAMETERS_INVALID")),
        ("POST", "/v1/query", b" " * (BODY_BYTES_MAX + 1), (413, "BODY_TOO_LARGE")),
        ("POST", "/v1/query", b'{"selector": {}}'.ljust(BODY_BYTES_MAX), (418, "TEAPOT")),
    ],
    ids=lambda value: str(value)[:44],
)
async def test_a_bad_request_has_a_code_and_a_sentence(
    client: TestClient[Any, Any], node: FakeNode, verb: str, path: str, body: bytes | None, expected: tuple[int, str]
) -> None:
    node.answer = Refused(Problem("TEAPOT", "I am a teapot.", 418))
    assert await problem(client, verb, path, body) == expected
    assert len(node.calls) == (expected[0] == 418)


async def test_a_body_nested_without_end_is_a_bad_request(node: FakeNode) -> None:
    async with TestClient(TestServer(make_app(node, RestOptions(stranger_body_bytes_max=300_000)))) as client:
        body = b'{"selector": {"a": ' + b"[" * 200_000 + b"}"
        assert await problem(client, "POST", "/v1/query", body) == (400, "PARAMETERS_INVALID")


async def test_a_node_that_does_not_answer_is_503(client: TestClient[Any, Any], node: FakeNode) -> None:
    node.answer = TransportError("gone")
    assert await problem(client, "GET", "/v1/headers") == (503, "NODE_UNREACHABLE")
    assert await problem(client, "GET", "/v1/health") == (503, "NODE_UNREACHABLE")


async def test_our_own_fault_is_a_problem_document_too(
    client: TestClient[Any, Any], node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.answer = ZeroDivisionError("our fault")
    assert await problem(client, "GET", "/v1/headers") == (500, "INTERNAL_ERROR")
    assert "our fault" in caplog.text
    document = await (await client.get("/v1/headers")).json(content_type="application/problem+json")
    number = document["detail"].rstrip(".").rpartition(" ")[2]
    assert len(number) == 16
    assert f"request {number}: 'GET /v1/headers' failed" in caplog.text


async def test_a_problem_says_how_far_the_transaction_came_and_proves_it(
    client: TestClient[Any, Any], node: FakeNode
) -> None:
    receipt = {"v": 1, "envelope": "AAAA"}
    taken = methods.Submission("ab" * 32, "certified", 7, 3, "NO", "No.", None, receipt)
    node.answer = Refused(Problem("NO", "The contract says no.", 422, taken))
    body = json.dumps({"payload": "{}", "signatures": [{"public_key": "", "signature": ""}]}).encode()
    response = await client.post("/v1/transactions", data=body, headers=JSON)
    document = await response.json(content_type="application/problem+json")
    assert (response.status, document["code"], document["detail"]) == (422, "NO", "The contract says no.")
    assert [document[key] for key in ("tx_id", "state", "height", "index")] == ["ab" * 32, "certified", 7, 3]
    assert document["receipt"] == receipt
    node.answer = Refused(Problem("NO_QUORUM_YET", "Not yet.", 504, methods.Submission("ab" * 32, "accepted")))
    document = await (await client.post("/v1/transactions", data=body, headers=JSON)).json(content_type=None)
    assert (document["state"], document["height"], "receipt" in document) == ("accepted", None, False)


STATUS = methods.NodeStatus("n", 0, "0", "", "main", 2, True, "n", 9, 8, "", 0, 9, 0, (), {}, ())


@pytest.mark.parametrize(
    ("change", "expected"), [({}, 200), ({"view_active": False}, 503), ({"alarms": ("diverged",)}, 503)]
)
async def test_health_is_503_when_the_node_is_not_well(
    client: TestClient[Any, Any], node: FakeNode, change: dict[str, Any], expected: int
) -> None:
    node.answer = msgspec.structs.replace(STATUS, **change)
    response = await client.get("/v1/health")
    body = await response.json()
    assert (response.status, body["status"]) == (expected, "ok" if expected == 200 else "degraded")
    assert (body["executed_height"], body["certified_height"]) == (9, 8)


async def test_the_page_is_served_with_a_strict_policy(client: TestClient[Any, Any]) -> None:
    for path in ("/", "/static/app.js"):
        response = await client.get(path)
        assert response.status == 200
        assert SECURITY_HEADERS.items() <= dict(response.headers).items()


async def test_closing_does_not_wait_for_an_answer_that_will_not_come() -> None:
    asked = asyncio.Event()

    class SilentNode(FakeNode):
        async def call(
            self,
            method: Method[P, R],
            params: P,
            token: str = "",
            timeout_s: float = ANSWER_TIMEOUT_S,
            origin: str = "",
        ) -> R:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets that event")

    server = RestServer(SilentNode(), RestOptions())
    port = await server.listen("127.0.0.1", 0, None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/status HTTP/1.1\r\nHost: node\r\n\r\n")
    await asked.wait()
    async with asyncio.timeout(SHUTDOWN_S + 5):
        await server.close()
    assert await reader.read() == b""
    writer.close()


async def test_every_route_is_there_for_other_channels_too(node: FakeNode, client: TestClient[Any, Any]) -> None:
    for path in ("/v1/headers?limit=3", "/v1/channels/family/headers?limit=3"):
        assert (await client.get(path)).status == 200
    assert node.channels == ["", "family"]
    assert node.calls[0] == node.calls[1] == ("headers", methods.HeadersParams(limit=3), "")
    node.answer = methods.History("a/b", (), 1, 0, "")
    assert (await client.get("/v1/channels/family/history/a/b")).status == 200
    assert node.calls[2] == ("history", methods.HistoryParams(key="a/b"), "")
    node.answer = methods.ChannelList((), 1)
    assert (await client.get("/v1/channels")).status == 200
    assert node.calls[3][0] == "channels"
    assert node.channels[-2:] == ["family", ""]


async def test_a_channel_is_no_parameter(client: TestClient[Any, Any]) -> None:
    assert await problem(client, "GET", "/v1/headers?channel=family") == (400, "PARAMETERS_INVALID")


async def test_a_word_in_a_path_is_no_parameter_by_any_verb(client: TestClient[Any, Any], node: FakeNode) -> None:
    """Found by schemathesis: where ``/x/{id}`` can be read, a GET of ``/x/word``, to which one can only post, asked for
    the id ``word``."""
    paths = {method.path for method in METHODS.values()} | {"/v1/transactions/batch"}
    for path in sorted(each for each in paths if "{" not in each):
        verbs = {method.verb for method in METHODS.values() if method.path == path} or {"POST"}
        for channel in ("", "/channels/family"):
            for verb in {"GET", "POST", "PUT", "OPTIONS"} - verbs:
                response = await client.request(verb, path.replace("/v1", "/v1" + channel))
                told = set(response.headers.get("Allow", "").split(",")) - {"HEAD"}
                assert (response.status, told) == (405, verbs), (verb, path)
    assert node.calls == []
