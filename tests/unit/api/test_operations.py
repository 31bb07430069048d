"""Health and metrics over HTTP: what is well, what is not and why, who may see the numbers, and what they are named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from api import operations
from api.measures import PHASES
from api.metrics import NodeMetrics
from api.operations import CONNECTIONS_MAX, Operations, OperationsServer
from api.problems import problems
from api.readiness import BEHIND_BLOCKS_MAX, STATE_LAG_MS_MAX, faults_of
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import Method, NodeStatus, P, PeerStatus, R, StateDatabaseStatus, TransferStatus, ValidatorRecord

NAMES = ("node1", "node2", "node3", "node4")
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "OPERATIONS.md"


def status_of(**changes: Any) -> NodeStatus:
    """node1 of four, well, at block 100."""
    parts: dict[str, Any] = {
        "name": "node1", "index": 0, "version": "0.1.0", "chain": "ab", "channel": "main", "view": 2,
        "view_active": True, "primary": "node1", "executed_height": 100, "certified_height": 99, "state_root": "cd",
        "block_time_ms": 1_700_000_000_500, "state_database_height": 99, "pool_transactions": 7,
        "peers": tuple(PeerStatus(name, True, 12, 100, 99, 2, True) for name in NAMES[1:]),
        "rejects": {"useless": 3}, "alarms": (), "quorum": 3,
        "validators": tuple(ValidatorRecord(name, b"k", "host:1") for name in NAMES),
        "state_database": StateDatabaseStatus(99, 1, 10, 20, 5.5, 1_000, 1, ""),
    }  # fmt: skip
    return NodeStatus(**{**parts, **changes})


def peers(*told: PeerStatus | None) -> tuple[PeerStatus, ...]:
    well = [PeerStatus(name, True, 0, 100, 99, 2, True) for name in NAMES[1:]]
    return tuple(given or usual for given, usual in zip((*told, *[None] * 3), well, strict=False))


def state(**changes: Any) -> StateDatabaseStatus:
    parts: dict[str, Any] = {"height": 1, "lag_blocks": 5, "lag_bytes": 0, "lag_ms": 0, "documents_per_s": 0.0}
    return StateDatabaseStatus(**{**parts, "documents": 0, "resyncs": 0, "fault": "", **changes})


FAR = 100 + BEHIND_BLOCKS_MAX + 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"peers": peers(PeerStatus("node2", True, 0, 10**9, 10**9, 0, True))},  # one alone may lie
        {"peers": peers(PeerStatus("node2", False, 0, 0, 0, 0, False))},
        {"view_active": False},  # a network that stands still can be read
        {"alarms": ("equivocation: replica 3",)},
        {"closed": True, "peers": ()},
        {"state_database": None},
        {"peers": (), "validators": (ValidatorRecord("node1", b"k", ""),)},
    ],
)
def test_ready(changes: dict[str, Any]) -> None:
    assert faults_of(status_of(**changes)) == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"whole": False}, "ledger is damaged"),
        ({"peers": tuple(PeerStatus(n, True, 0, FAR, 99, 2, True) for n in NAMES[1:])}, "executed block 100; others"),
        ({"peers": tuple(PeerStatus(n, True, 0, 100, FAR, 2, True) for n in NAMES[1:])}, "certified block 99; others"),
        ({"peers": tuple(PeerStatus(n, n == "node2", 0, 100, 99, 2, True) for n in NAMES[1:])}, "hears 1 other"),
        ({"peers": tuple(PeerStatus(n, True, 0, 0) for n in NAMES[1:])}, "hears 0 other"),
        ({"diverged": True}, "contradicts what it executed"),
        ({"state_database": state(fault="connection refused")}, "connection refused"),
        ({"state_database": state(lag_ms=STATE_LAG_MS_MAX + 1)}, "5 blocks and 30 s behind"),
    ],
)
def test_not_ready_and_why(changes: dict[str, Any], why: str) -> None:
    (fault,) = faults_of(status_of(**changes))
    assert why in fault
    assert fault.endswith(".")


class FakeNode:
    def __init__(self) -> None:
        self.answer: NodeStatus | Exception = status_of()

    async def call(self, method: Method[P, R], params: P, token: str = "", timeout_s: float = 0.0) -> R:
        if isinstance(self.answer, Exception):
            raise self.answer
        result: Any = self.answer
        return result  # type: ignore[no-any-return]


class Site:
    """Operations with a node's registry, as ``node.py`` puts them together."""

    def __init__(self) -> None:
        self.node = FakeNode()
        self.registry = CollectorRegistry()
        self.watch = NodeMetrics(self.registry, "node1", "0.1.0")
        self.watch.add("main", status_of)
        self.watch.measuring("main")
        self.watch.tell_sandbox("worker")
        self.operations = Operations(self.node, self.registry, self.watch.measures)


@pytest.fixture
def site() -> Site:
    return Site()


async def _hello(request: web.Request) -> web.StreamResponse:
    if request.query:
        raise Refused(Problem("NO", "No.", 409))
    return web.Response(text="hello")


@pytest.fixture
async def rest(site: Site) -> AsyncIterator[TestClient[Any, Any]]:
    """An application beside whose routes the operations' stand."""
    app = web.Application(middlewares=[problems])
    app.router.add_get("/hello/{name}", _hello)
    site.operations.attach(app)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_however_many_ask_the_node_is_asked_twice_a_second(
    site: Site, rest: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand a second of one address were asked of the node, since probes have no pace."""
    monkeypatch.setattr(operations, "READY_KEPT_S", 60.0)
    answers = await asyncio.gather(*(rest.get("/readyz") for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    site.node.answer = TransportError("gone")
    assert (await rest.get("/readyz")).status == 200


async def test_alive_whatever_the_node_says_and_ready_only_if_it_says_so(
    site: Site, rest: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "READY_KEPT_S", -1.0)
    assert (await rest.get("/readyz")).status == 200
    for answer in (TransportError("gone"), Refused(Problem("TOO_BUSY", "Too busy", 503)), status_of(whole=False)):
        site.node.answer = answer
        response = await rest.get("/readyz")
        told = await response.json()
        assert (response.status, told["ready"]) == (503, False)
        assert told["reasons"][0].endswith(".")
        assert (await rest.get("/healthz")).status == 200


async def test_metrics_say_what_the_status_says(rest: TestClient[Any, Any]) -> None:
    text = await (await rest.get("/metrics")).text()
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    main = ("channel", "main")
    assert found["wattq_consensus_view", (main,)] == 2
    assert found["wattq_consensus_is_primary", (main,)] == 1
    assert found["wattq_consensus_rejects_total", (main, ("reason", "useless"))] == 3
    assert found["wattq_transport_peer_queue_bytes", (main, ("peer", "node3"))] == 12
    assert found["wattq_ledger_block_time_seconds", (main,)] == 1_700_000_000.5
    assert found["wattq_statedb_lag_seconds", (main,)] == 0.02
    assert found["wattq_statedb_documents_total", (main,)] == 1_000
    assert found["wattq_node_info", (("node", "node1"), ("sandbox", "worker"), ("version", "0.1.0"))] == 1
    assert ("process_resident_memory_bytes", ()) in found
    for phase in PHASES:
        assert found["wattq_consensus_phase_seconds_count", (main, ("phase", phase))] == 0, phase


async def test_every_channel_has_its_own_numbers_until_it_closes(site: Site, rest: TestClient[Any, Any]) -> None:
    site.watch.add("family", lambda: status_of(channel="family", view=9, state_database=None, transfer=None))
    text = await (await rest.get("/metrics")).text()
    assert 'wattq_consensus_view{channel="family"} 9.0' in text
    assert 'wattq_statedb_height{channel="family"}' not in text
    assert text.count("# TYPE wattq_consensus_view gauge") == 1
    site.watch.remove("family")
    assert "family" not in await (await rest.get("/metrics")).text()


async def test_requests_are_counted_by_route_and_not_by_what_is_filled_in(rest: TestClient[Any, Any]) -> None:
    for path in ("/hello/a", "/hello/b", "/hello/b?x=1", "/nowhere"):
        await rest.get(path)
    await rest.request("PURGE", "/hello/a")
    text = await (await rest.get("/metrics")).text()
    counted = re.findall(r"wattq_rest_requests_total\{(.*)\} (.*)", text)
    assert {(labels, float(number)) for labels, number in counted} == {
        ('method="GET",route="/hello/{name}",status="200"', 2.0),
        ('method="GET",route="/hello/{name}",status="409"', 1.0),
        ('method="GET",route="none",status="404"', 1.0),
        ('method="OTHER",route="none",status="405"', 1.0),
    }


async def test_rest_shows_metrics_to_this_machine_alone(
    rest: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.Request, "remote", "192.0.2.7")
    response = await rest.get("/metrics")
    assert (response.status, (await response.json())["code"]) == (403, "METRICS_ELSEWHERE")
    assert (await rest.get("/readyz")).status == 200


async def test_the_port_of_their_own_shows_them_to_anybody_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with TestClient(TestServer(site.operations.app())) as client:
        monkeypatch.setattr(web.Request, "remote", "192.0.2.7")
        assert (await client.get("/metrics")).status == 200
        assert (await client.get("/readyz")).status == 200
        assert (await client.get("/v1/status")).status == 404


async def test_the_server_of_that_port_begins_and_ends(site: Site) -> None:
    server = OperationsServer(site.operations)
    port = await server.listen("127.0.0.1", 0)
    async with TestClient(TestServer(web.Application())) as any_client:
        response = await any_client.session.get(f"http://127.0.0.1:{port}/healthz")
        assert response.status == 200
        response.close()
    await server.close()
    assert CONNECTIONS_MAX >= 4


def test_a_snapshot_under_way_counts_what_is_to_come(site: Site) -> None:
    site.watch.add("main", lambda: status_of(transfer=TransferStatus(64, 10, 4)))
    name = "wattq_ledger_snapshot_chunks_missing"
    assert site.registry.get_sample_value(name, {"channel": "main"}) == 6
