"""What the state database relies on in a CouchDB, checked on the server that the tests use."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from couch import GIVEN_URL, Couch, basic, given, needs_couchdb, own_server

pytestmark = needs_couchdb
TOO_LARGE = "x" * 8_100_000


class Caller:
    """One database, called by hand."""

    def __init__(self, session: aiohttp.ClientSession, root: str, name: str) -> None:
        self._session = session
        self._root = root
        self.name = name

    async def __call__(self, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {"Content-Type": "application/json"}
        url = f"{self._root}/{self.name}{path}"
        async with self._session.request(method, url, data=data, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest_asyncio.fixture
async def call(couch: Couch) -> Any:
    async with aiohttp.ClientSession(headers=basic(couch.user, couch.password)) as session:
        caller = Caller(session, couch.url, couch.fresh_name())
        assert (await caller("PUT"))[0] == 201
        yield caller
        await caller("DELETE")


async def test_it_is_up_and_says_its_version_to_anybody(couch: Couch) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{couch.url}/_up") as answer:
            assert answer.status == 200
        async with session.get(f"{couch.url}/") as answer:
            assert (await answer.json())["version"].startswith("3.")


async def test_databases_are_the_administrators(couch: Couch) -> None:
    async with aiohttp.ClientSession() as session:
        for headers in ({}, basic(couch.user, "wrong")):
            async with session.put(f"{couch.url}/{couch.fresh_name()}", headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]) == (401, "unauthorized")


async def test_names_of_databases_have_rules(call: Caller) -> None:
    call.name = "Upper"
    assert await _refused(call("PUT")) == (400, "illegal_database_name")


async def test_a_database_is_made_once(call: Caller) -> None:
    assert await _refused(call("PUT")) == (412, "file_exists")


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [({"_id": "b", "v": TOO_LARGE}, (413, "document_too_large")), ({"_id": "b", "_odd": 1}, (400, "doc_validation"))],
    ids=["too large", "an unknown special field"],
)
async def test_one_bad_document_rejects_the_whole_bulk(
    call: Caller, bad: dict[str, Any], refusal: tuple[int, str]
) -> None:
    assert await _refused(call("POST", "/_bulk_docs", {"docs": [{"_id": "a"}, bad]})) == refusal
    assert (await call("GET", "/a"))[0] == 404


async def test_conflicts_are_each_documents_own(call: Caller) -> None:
    await call("POST", "/_bulk_docs", {"docs": [{"_id": "a"}]})
    status, results = await call("POST", "/_bulk_docs", {"docs": [{"_id": "a"}, {"_id": "b"}]})
    assert (status, results[0]["error"], results[1]["ok"]) == (201, "conflict", True)


async def test_find_gives_25_rows_unless_told_and_a_bookmark_goes_on(call: Caller) -> None:
    await call("POST", "/_bulk_docs", {"docs": [{"_id": f"{n:02d}", "n": 1} for n in range(40)]})
    await call("POST", "/_index", {"index": {"fields": ["n"]}, "ddoc": "d", "name": "n"})
    query = {"selector": {"n": 1}}
    _, first = await call("POST", "/_find", query)
    _, second = await call("POST", "/_find", {**query, "bookmark": first["bookmark"]})
    assert [len(page["docs"]) for page in (first, second)] == [25, 15]
    assert len({doc["_id"] for page in (first, second) for doc in page["docs"]}) == 40


async def _refused(call: Any) -> tuple[int, str]:
    status, body = await call
    return status, body["error"]


@pytest.mark.skipif(bool(GIVEN_URL), reason="kills its CouchDB; the given one is not ours to kill")
async def test_a_killed_server_keeps_what_it_acknowledged_and_its_address() -> None:
    with own_server() as made:
        url, headers = made.url, basic(made.user, made.password)
        assert made.server is not None
        async with aiohttp.ClientSession(headers=headers) as session:
            caller = Caller(session, url, "kept")
            await caller("PUT")
            await caller("POST", "/_bulk_docs", {"docs": [{"_id": "a"}]})
        made.server.kill()
        made.server.start()
        assert made.server.url == url
        async with aiohttp.ClientSession(headers=headers) as session:
            assert (await Caller(session, url, "kept")("GET", "/a"))[0] == 200


async def test_a_given_server_is_left_without_the_databases_of_the_tests(couch: Couch) -> None:
    """And with everybody else's, which this one's look like to it."""
    async with aiohttp.ClientSession(headers=basic(couch.user, couch.password)) as session:
        others = Caller(session, couch.url, couch.fresh_name())
        await others("PUT")
        with given(couch.url.replace("://", f"://{quote(couch.user)}:{quote(couch.password)}@")) as same:
            assert same.url == couch.url
            assert (await Caller(session, same.url, same.fresh_name())("PUT"))[0] == 201
            assert len(same.made()) == 1
        assert same.made() == []
        assert (await others("DELETE"))[0] == 200
