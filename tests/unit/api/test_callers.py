"""How fast a caller may be, and how large its bodies: by its session's signer, and by its address."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from fake_node import FakeNode

from api.buckets import BURST_S, CALLERS_MAX, SECOND_NS, Buckets
from api.callers import GONE, address_of
from api.options import RestOptions
from api.rest import make_app
from sdk.errors import Refused

JSON = {"Content-Type": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> int:
        return round(self.now_s * SECOND_NS)


def taken(buckets: Buckets, caller: str) -> int:
    """How many calls in a row are let in."""
    for count in range(10_000):
        refused = refusal_of(buckets, caller)
        if refused is not None:
            assert (refused.code, refused.status) == ("TOO_MANY_REQUESTS", 429)
            assert refused.problem.retry_after_s >= 1
            return count
    raise AssertionError("nothing bounds this")


def refusal_of(buckets: Buckets, caller: str) -> Refused | None:
    try:
        buckets.take(caller)
    except Refused as refused:
        return refused
    return None


def test_a_bucket_holds_a_burst_and_fills_with_time() -> None:
    clock = Clock()
    buckets = Buckets(10, clock)
    burst = int(10 * BURST_S)
    assert taken(buckets, "a") == burst
    assert taken(buckets, "b") == burst, "everybody has one"
    clock.now_s += 0.55
    assert taken(buckets, "a") == 5
    clock.now_s += 3_600
    assert taken(buckets, "a") == burst, "and never more than that"


def test_who_waits_as_long_as_it_is_told_is_let_in() -> None:
    clock = Clock()
    buckets = Buckets(1, clock)
    taken(buckets, "a")
    with pytest.raises(Refused) as refused:
        buckets.take("a")
    clock.now_s += refused.value.problem.retry_after_s
    buckets.take("a")


def test_what_is_remembered_of_callers_is_bounded() -> None:
    buckets = Buckets(10, Clock())
    for number in range(CALLERS_MAX + 100):
        buckets.take(str(number))
    assert len(buckets._full_ns) == CALLERS_MAX


async def statuses(client: TestClient[Any, Any], count: int, token: str = "") -> list[int]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return [(await client.get("/v1/headers", headers=headers)).status for _ in range(count)]


async def test_a_signer_has_one_pace_wherever_it_calls_from_and_an_address_another() -> None:
    options = RestOptions(address_calls_per_s_max=5, signer_calls_per_s_max=1)
    whose = {"ta": "alice", "tb": "bob"}
    app = make_app(FakeNode(), options, whose=lambda _, token: whose.get(token, ""))
    async with TestClient(TestServer(app)) as client:
        assert await statuses(client, 3, "ta") == [200, 200, 429]
        assert await statuses(client, 1, "tb") == [200], "another signer is not held up"
        assert 429 in await statuses(client, 8, "made up"), "a token that is none is its address's"
        refused = await client.get("/v1/headers")
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await client.get("/v1/health")).status != 429, "whoever looks after the node is always told"


async def test_a_body_may_be_larger_with_a_session() -> None:
    options = RestOptions(body_bytes_max=3_000, stranger_body_bytes_max=1_000)
    node = FakeNode()
    app = make_app(node, options, whose=lambda _, token: "alice" if token == "ta" else "")
    async with TestClient(TestServer(app)) as client:
        for token, size, expected in [("", 1_001, 413), ("ta", 1_001, 200), ("no", 1_001, 413), ("ta", 3_001, 413)]:
            body = b'{"selector": {}}'.ljust(size)
            headers = {**JSON, "Authorization": f"Bearer {token}"} if token else JSON
            response = await client.post("/v1/query", data=body, headers=headers)
            assert response.status == expected, (token, size)


async def test_a_body_without_a_length_is_bounded_too() -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100

    app = make_app(FakeNode(), RestOptions(stranger_body_bytes_max=1_000))
    async with TestClient(TestServer(app)) as client:
        response = await client.post("/v1/query", data=chunks(), headers=JSON)
        assert (response.status, (await response.json(content_type=None))["code"]) == (413, "BODY_TOO_LARGE")


def test_who_has_hung_up_already_is_no_user_of_this_machine() -> None:
    """A call without an address would be taken for one of the node's own user, who may do more."""
    request = make_mocked_request("GET", "/v1/why", transport=Mock(get_extra_info=lambda *_: None))
    assert request.remote is None
    assert address_of(request) == GONE
