"""What may befall a CouchDB under a projector: the chain goes on, and the documents come right by themselves."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
from couch import GIVEN_URL, Couch, needs_couchdb, own_server
from couch_chain import OWNER, PATIENCE_S, Chain, by_hand
from couch_proxy import proxied

from ledger.statedb import couchdb_find
from ledger.statedb.audit import Drift
from ledger.statedb.couchdb import SAVEPOINT, CouchDatabase, Owner, audited
from ledger.statedb.couchdb_client import Access, _decoded
from ledger.statedb.documents import (
    Document,
    QueryTooCostly,
    StateDatabaseAway,
    StateDatabaseUnusable,
    document_of,
)
from ledger.statedb.selector import parse_query

pytestmark = [*needs_couchdb, pytest.mark.usefixtures("impatient")]
DELAY_S = 0.2
ours_only = pytest.mark.skipif(bool(GIVEN_URL), reason="stops its CouchDB; the given one is not ours to stop")


@pytest.fixture
def server() -> Iterator[Couch]:
    with own_server() as made:
        yield made


# ------------------------------------------------------------------------------------------ away for a while


@ours_only
def test_a_server_killed_under_load_has_everything_soon_after_it_is_back(server: Couch) -> None:
    chain, process = Chain(server), server.server
    assert process is not None
    chain.projector.start()
    for _ in range(3):
        chain.blocks(40)
        process.kill()
        chain.blocks(40)
        process.start()
    chain.check()
    chain.close()


@ours_only
def test_a_server_that_hangs_delays_no_block_and_is_caught_up_with(server: Couch) -> None:
    chain, process = Chain(server), server.server
    assert process is not None
    chain.projector.start()
    chain.wait()
    process.signal(SIGSTOP)
    began = time.monotonic()
    chain.blocks(200)
    assert time.monotonic() - began < 1
    chain_lag = chain.projector.progress()
    assert (chain_lag.lag_blocks, chain_lag.lag_bytes > 1_000, chain_lag.lag_ms > 0) == (200, True, True)
    process.signal(SIGCONT)
    chain.check()
    assert chain.projector.progress().resyncs == 1, "the queue was enough; only the first start read the state"
    chain.close()


@ours_only
def test_a_server_away_beyond_the_bound_is_read_into_from_its_savepoint(server: Couch) -> None:
    chain, process = Chain(server, lag_blocks_max=20), server.server
    assert process is not None
    chain.projector.start()
    chain.wait()
    process.kill()
    chain.blocks(100)
    assert chain.projector.lagging
    process.start()
    chain.check()
    assert chain.projector.progress().resyncs >= 2
    chain.close()


def test_the_bound_in_bytes_drops_the_queue_too(couch: Couch) -> None:
    chain = Chain(couch, url="http://127.0.0.1:1", lag_bytes_max=2_000)
    chain.projector._resync = False  # as if it had caught up
    chain.blocks(200)
    assert chain.projector.lagging
    assert chain.projector._queue.bytes == 0
    chain.database.close()


def test_with_a_bound_of_no_blocks_each_commit_waits(couch: Couch) -> None:
    chain = Chain(couch, lag_blocks_max=0)
    chain.projector.start()
    for _ in range(3):
        chain.blocks(1)
        assert chain.projector.holds(chain.height)
    chain.check()
    chain.close()
    chain.by_hand("DELETE")


def test_a_slow_server_delays_no_block_and_the_projector_keeps_up_by_combining(couch: Couch) -> None:
    with slowed(couch.url) as url:
        chain = Chain(couch, url)
        chain.projector.start()
        chain.wait()
        began = time.monotonic()
        chain.blocks(500)
        assert time.monotonic() - began < 1
        chain.check()
        assert time.monotonic() - began < 20, "many blocks a write"
        chain.close()
        chain.by_hand("DELETE")


@contextmanager
def slowed(url: str) -> Iterator[str]:
    """A proxy that holds each piece of an answer back for a while."""
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        while data := await reader.read(1 << 16):
            await asyncio.sleep(delay_s)
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        both: list[Awaitable[None]] = [copy(reader, server_writer, 0.0), copy(server_reader, writer, DELAY_S)]
        await asyncio.gather(*both, return_exceptions=True)

    proxy = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"

    async def end() -> None:
        proxy.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE_S)
    loop.close()


# ---------------------------------------------------------------------------------------------- tampered with


def test_a_deleted_database_comes_back(chain: Chain) -> None:
    chain.by_hand("DELETE")
    chain.blocks(5)
    chain.check()


def test_a_database_deleted_while_the_ledger_is_quiet_comes_back(chain: Chain) -> None:
    written = chain.projector.progress().documents
    chain.by_hand("DELETE")
    deadline = time.monotonic() + PATIENCE_S
    while chain.projector.progress().documents == written or chain.projector.lagging:
        assert time.monotonic() < deadline, "no block comes"
        chain.projector.wait_for(chain.height + 1, 0.05)  # nobody tells
    chain.check()


def test_a_database_deleted_and_made_again_by_hand_is_filled(chain: Chain) -> None:
    chain.empty_by_hand()
    chain.blocks(5)
    chain.check()


def test_documents_edited_by_hand_are_named_and_overwritten_when_next_written(chain: Chain) -> None:
    chain.by_hand("PUT", "/market%2F0007", lambda body: body["v"].update(n=True))
    chain.by_hand("PUT", "/market%2F0008", lambda body: body.update(note="looks right"))
    chain.by_hand("PUT", "/market%2F0009", lambda body: body.update(_deleted=True))
    assert chain.audit().drifted == {
        "market/0007": Drift.CHANGED,
        "market/0008": Drift.CHANGED,
        "market/0009": Drift.MISSING,
    }
    chain.block(**{"0007": 70, "0008": 80, "0009": 90})
    chain.check()


@pytest.mark.parametrize(
    "change",
    [{"version": "1-0"}, {"version": None}, {"version": {"height": "x"}}, {"version": {}}, {"h": 5}, {"h": None}],
    ids=str,
)
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("path", ["_id", "version.height"])
def test_documents_edited_out_of_shape_are_left_out_of_answers_and_nothing_else(
    chain: Chain, change: dict[str, Any], direction: str, path: str
) -> None:
    sound = [key for key in sorted(chain.entries) if key.startswith("market/")]
    edited = [sound.pop(49), sound.pop()]
    for key in edited:  # the last of a page of rows, and the last of all
        chain.by_hand("PUT", "/" + key.replace("/", "%2F"), lambda body: body.update(change))
    found: list[str] = []
    bookmark = ""
    for _ in range(10):
        page = chain.database.find(parse_query({"v.type": "order"}, 50, [{path: direction}], bookmark=bookmark))
        found += [document.key for document in page.documents]
        bookmark = page.bookmark
        if not bookmark:
            break
    kept = found if "h" not in change else [key for key in found if key not in edited]
    assert kept == (sound if direction == "asc" else sound[::-1])
    assert chain.audit().drifted == dict.fromkeys(edited, Drift.CHANGED)


@pytest.mark.parametrize("text", ["", r"\ud800", r"\"[{"], ids=["plain", "half a surrogate", "brackets in texts"])
def test_an_answer_with_a_document_nested_too_deeply_is_read_all_the_same(text: str) -> None:
    deep = "[" * 3_000 + "]" * 3_000
    answer = _decoded(f'{{"docs":[{{"_id":"a","v":[1,{deep},"{text}"]}},{{"_id":"b","v":2}}]}}'.encode())
    assert [row["_id"] for row in answer["docs"]] == ["a", "b"]
    assert (answer["docs"][0]["v"][0], answer["docs"][0]["v"][2]) == (1, json.loads(f'"{text}"'))
    assert audited(answer["docs"][0]) is None


def test_an_answer_that_is_no_utf_8_is_none() -> None:
    assert _decoded(b'{"docs":[{"_id":"\xe9"}]}') is None


def test_a_document_planted_by_hand_is_named(chain: Chain) -> None:
    chain.database.apply({"market/planted": Document("market/planted", 0, 0, {"n": 1})}, -1)
    assert chain.audit().drifted == {"market/planted": Drift.UNKNOWN}


def test_a_rebuild_asked_for_beside_the_projector_mends_what_drifted(chain: Chain) -> None:
    chain.by_hand("PUT", "/market%2F0007", lambda body: body["v"].update(n=-7))
    chain.database.apply({"market/planted": Document("market/planted", 0, 0, {"n": 1})}, -1)
    other = CouchDatabase(Access(chain.couch.url, chain.couch.user, chain.couch.password), chain.name, OWNER)
    other.forget_savepoint()
    other.close()
    chain.blocks(1)
    chain.check()


def test_a_rolled_back_savepoint_is_noticed_and_read_on_from(chain: Chain) -> None:
    chain.blocks(10)
    chain.wait()
    chain.by_hand("PUT", f"/{SAVEPOINT}", lambda body: body.update(height=4))
    chain.by_hand("PUT", "/market%2Fn9", lambda body: body.update(_deleted=True))
    chain.blocks(3)
    chain.check()


def test_a_savepoint_from_the_future_is_not_believed(chain: Chain) -> None:
    chain.by_hand("PUT", "/market%2F0007", lambda body: body["v"].update(n=-7))
    chain.by_hand("PUT", f"/{SAVEPOINT}", lambda body: body.update(height=10_000))
    chain.blocks(3)
    chain.check()


# --------------------------------------------------------------------------------------------- bad documents


def test_a_document_that_the_server_refuses_is_left_out_alone(chain: Chain) -> None:
    chain.block(**{"0007": 1})
    chain.wait()
    too_large = Document("market/0007", 9, 0, {"type": "order", "text": "x" * 8_100_000})
    others = {f"market/0{number}": Document(f"market/0{number}", 9, 0, {"n": number}) for number in range(100, 140)}
    chain.database.apply({**others, "market/0007": too_large}, -1)
    assert list(chain.database.left_out) == ["market/0007"]
    assert chain.database.get("market/0007") is None, "no old one stays"
    assert chain.database.get("market/0139") == others["market/0139"]
    chain.database.apply({"market/0007": document_of("market/0007", chain.entries["market/0007"])}, -1)
    assert chain.database.get("market/0007") is not None
    assert chain.database.left_out == {}


def test_what_is_left_out_is_told_until_it_fits_also_by_the_next_process(chain: Chain) -> None:
    assert (chain.projector.progress().left_out, chain.projector.progress().left_out_last) == (0, "")
    for key in ("0007", "0008"):
        chain.block(**{key: "x" * 8_100_000})
        chain.wait()
    chain.block()
    chain.wait()
    database = CouchDatabase(Access(chain.couch.url, chain.couch.user, chain.couch.password), chain.name, OWNER)
    database.height()
    assert list(database.left_out) == ["market/0007", "market/0008"]
    database.close()
    progress = chain.projector.progress()
    assert (progress.left_out, progress.left_out_last) == (2, "market/0008")
    assert chain.audit().drifted == dict.fromkeys(["market/0007", "market/0008"], Drift.LEFT_OUT)
    chain.block(**{"0007": 1, "0008": None})
    chain.check()
    assert (chain.projector.progress().left_out, chain.projector.progress().left_out_last) == (0, "")


# ---------------------------------------------------------------------------------------------- wrong settings


def opened(couch: Couch, name: str, owner: Owner = OWNER, **changes: Any) -> int:
    parts: dict[str, Any] = {"url": couch.url, "user": couch.user, "password": couch.password, **changes}
    database = CouchDatabase(Access(**parts), name, owner)
    try:
        return database.height()
    finally:
        database.close()


def test_wrong_credentials_name_their_variables(couch: Couch) -> None:
    with pytest.raises(StateDatabaseUnusable, match="WATTQ_COUCHDB_PASSWORD"):
        opened(couch, couch.fresh_name(), password="wrong")


def test_a_database_of_another_chain_names_the_prefix_and_loses_nothing(chain: Chain) -> None:
    with pytest.raises(StateDatabaseUnusable, match=r"state\.database_prefix"):
        opened(chain.couch, chain.name, Owner("ef" * 32, "main", "node1"))
    chain.blocks(2)
    chain.check()


def test_a_database_of_somebody_else_is_not_touched(couch: Couch) -> None:
    name = couch.fresh_name()
    asyncio.run(by_hand(couch, f"/{name}", "PUT", None))
    database = CouchDatabase(Access(couch.url, couch.user, couch.password), name, OWNER)
    database.height()
    database.apply({"market/x": Document("market/x", 1, 0, 1)}, -1)
    database.close()
    with pytest.raises(StateDatabaseUnusable, match=r"state\.database_prefix"):
        opened(couch, name, Owner("ef" * 32, "main", "node1"))
    asyncio.run(by_hand(couch, f"/{name}", "DELETE", None))


@ours_only
def test_an_old_version_names_the_url() -> None:
    with own_server("2.3.1") as old, pytest.raises(StateDatabaseUnusable, match=r"couchdb_url.*2\.3\.1"):
        opened(old, "wattquorum-old")


def test_a_server_without_queries_names_the_url_and_is_not_asked_without_a_pause(couch: Couch) -> None:
    with proxied(couch.url) as proxy:
        proxy.hidden = "/_index"
        chain = Chain(couch, proxy.url)
        chain.projector.start()
        assert not chain.projector.wait_for(0, 1.0)
        assert proxy.refused < 30
        fault = chain.projector.progress().fault
        assert "couchdb_url" in fault, fault
        assert "indexes" in fault, fault
        chain.close()
        chain.by_hand("DELETE")


@pytest.mark.parametrize("hangs", [True, False], ids=["it hangs", "it looks for long"])
async def test_a_query_without_an_answer_is_too_costly_only_where_others_are_answered(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couchdb_find, "TIME_S", 0.3)
    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        asked = await reader.readuntil(b"\r\n\r\n")
        if not hangs and asked.startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        database = CouchDatabase(Access(url, "admin", "secret"), "wattquorum-x", OWNER)
        told = pytest.raises(StateDatabaseAway, match="couchdb_url") if hangs else pytest.raises(QueryTooCostly)
        with told:
            await asyncio.to_thread(database.find, parse_query({"v.type": "order"}, 10))
        await asyncio.to_thread(database.close)
        await asyncio.gather(*(task for task in serving if task is not None))


def test_a_server_that_is_not_there_is_away(couch: Couch) -> None:
    with pytest.raises(StateDatabaseAway, match="couchdb_url"):
        opened(couch, "wattquorum-x", url="http://127.0.0.1:1")
