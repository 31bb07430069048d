"""A stream that outlives nodes: where it goes on, what it believes, and when it gives up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, GENESIS, certificate_of, envelope, open_ledger, run_block

from api.stream_events import Teller
from ledger.proofs import ProofInvalid
from sdk import following
from sdk.client import AsyncClient
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import Challenge, Session
from sdk.streams import StreamEvent, StreamParams

Script = Callable[[StreamParams], list[Any]]


class FakeNode:
    """A transport whose streams are scripts, one after another, the last one again and again; each ends by an error."""

    def __init__(self, endpoint: str, *scripts: Script, vouched: bool = False) -> None:
        self.endpoint = endpoint
        self.vouched = vouched
        self.scripts = list(scripts)
        self.asked: list[tuple[int, int, str]] = []
        self.sessions = 0

    async def stream(self, params: StreamParams, token: str = "", channel: str = "") -> AsyncGenerator[Any]:
        self.asked.append((params.from_height, params.from_index, token))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        for item in script(params):
            if isinstance(item, Exception):
                raise item
            yield (item,)
        raise TransportError(f"{self.endpoint}: gone")

    async def call(self, method: Any, params: Any, token: str = "", timeout_s: float = 1.0) -> Any:
        if method.name == "challenge":
            return Challenge(b"c" * 24, 2**50)
        self.sessions += 1
        return Session(f"token{self.sessions}", ALICE.signer, 2**50)

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "BACKOFF_S", 0.0)


def sample(height: int, index: int = 0) -> StreamEvent:
    data = {"contract": "c", "event": f"{height}.{index}", "time_ms": 1, "tx_id": None, "code": "OK", "message": ""}
    return StreamEvent("notices", height, index, {**data, "data": {}})


CHAIN = [sample(height, index) for height in range(1, 11) for index in (1, 2, 3)]


def honest(events: int) -> Script:
    """The chain from where it is asked for, and an end after so many events."""

    def script(params: StreamParams) -> list[Any]:
        place = (params.from_height or 1, params.from_index)
        told = [event for event in CHAIN if (event.height, event.index) >= place]
        return [StreamEvent("subscribed", place[0]), *told[:events]]

    return script


def refusing(code: str, status: int) -> Script:
    return lambda _: [Refused(Problem(code, "No.", status))]


async def follow(nodes: Sequence[FakeNode], count: int, **options: Any) -> list[tuple[int, int]]:
    client = AsyncClient(nodes, GENESIS, options.pop("key", None))
    found: list[tuple[int, int]] = []
    async with aclosing(client.stream(["notices"], **options)) as stream:
        async for event in stream:
            found.append((event.height, event.index))
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("events", [1, 2, 3, 4, 7])
async def test_it_goes_on_at_the_next_node_without_gap_or_double(events: int) -> None:
    nodes = [FakeNode(name, honest(events)) for name in "abc"]
    assert await follow(nodes, len(CHAIN)) == [(event.height, event.index) for event in CHAIN]
    if events == 4:
        assert [asked[:2] for node in nodes for asked in node.asked[:1]] == [(0, 0), (2, 2), (3, 3)]


async def test_what_a_node_tells_again_is_not_told_twice() -> None:
    def from_the_beginning(params: StreamParams) -> list[Any]:
        return [StreamEvent("subscribed", params.from_height or 1), *CHAIN]

    nodes = [FakeNode("a", honest(5)), FakeNode("b", from_the_beginning)]
    assert await follow(nodes, len(CHAIN)) == [(event.height, event.index) for event in CHAIN]


async def test_a_heartbeat_moves_the_place_on() -> None:
    def quiet(_: StreamParams) -> list[Any]:
        return [StreamEvent("subscribed", 3), StreamEvent("heartbeat", 7)]

    nodes = [FakeNode("a", quiet), FakeNode("b", honest(9))]
    assert await follow(nodes, 1) == [(8, 1)]
    assert nodes[1].asked == [(8, 0, "")]


async def test_a_stream_from_now_on_resumes_where_it_began() -> None:
    nodes = [FakeNode("a", lambda _: [StreamEvent("subscribed", 5)]), FakeNode("b", honest(9))]
    assert await follow(nodes, 1) == [(5, 1)]


async def test_a_node_that_begins_elsewhere_is_left() -> None:
    nodes = [FakeNode("a", lambda _: [StreamEvent("subscribed", 9), sample(9)]), FakeNode("b", honest(9))]
    assert await follow(nodes, 1, from_height=2) == [(2, 1)]


@pytest.mark.parametrize(
    "odd",
    [StreamEvent("blocks", 1, 0, {}), StreamEvent("notices", 1, 1, {"contract": 1}), StreamEvent("notices", 1, 1)],
)
async def test_odd_events_are_a_nodes_fault_and_not_told(odd: StreamEvent) -> None:
    nodes = [FakeNode("a", lambda _: [StreamEvent("subscribed", 1), odd]), FakeNode("b", honest(9))]
    assert (await follow(nodes, 3))[0] == (1, 1)


async def test_a_session_that_is_over_is_opened_anew() -> None:
    node = FakeNode("a", honest(2), refusing("SESSION_UNKNOWN", 401), honest(9))
    assert await follow([node], 5, key=ALICE) == [(event.height, event.index) for event in CHAIN[:5]]
    assert [asked[2] for asked in node.asked] == ["token1", "token1", "token2"]


async def test_a_client_known_by_its_certificate_opens_no_session() -> None:
    node = FakeNode("a", honest(9), vouched=True)
    assert len(await follow([node], 5, key=ALICE)) == 5
    assert (node.sessions, node.asked[0][2]) == (0, "")


async def test_what_one_node_no_longer_holds_another_may() -> None:
    nodes = [FakeNode("a", refusing("BLOCK_NOT_HELD", 410)), FakeNode("b", honest(9))]
    assert await follow(nodes, 1, from_height=4) == [(4, 1)]


@pytest.mark.parametrize(("code", "status"), [("BLOCK_NOT_HELD", 410), ("NOT_REGISTERED", 403)])
async def test_what_no_node_will_give_is_refused(code: str, status: int) -> None:
    nodes = [FakeNode(name, refusing(code, status)) for name in "ab"]
    with pytest.raises(Refused, match=code):
        await follow(nodes, 1)


async def test_it_gives_up_with_the_last_error_when_nobody_serves_it() -> None:
    nodes = [FakeNode(name, lambda _: []) for name in "ab"]
    with pytest.raises(TransportError, match="gone"):
        await follow(nodes, 1, patience_s=0.05)


async def test_a_node_that_stands_still_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STALE_S", 0.0)

    def still(_: StreamParams) -> list[Any]:
        return [StreamEvent("subscribed", 1), StreamEvent("heartbeat", 0), sample(1, 1)]

    nodes = [FakeNode("a", still), FakeNode("b", honest(9))]
    assert await follow(nodes, 1) == [(1, 1)]
    assert len(nodes[1].asked) == 1


# ------------------------------------------------------------------------------------------- verified blocks


def chain_events(home: Path, certified: Sequence[int]) -> list[StreamEvent]:
    """Six real blocks as a node tells them, some with certificates of their own."""
    ledger = open_ledger(home)
    for number in range(6):
        run_block(ledger, envelope(nonce=number))
    for height in certified:
        ledger.certify([certificate_of(ledger.block(height).statement)])
    teller = Teller(ledger)
    found = []
    for height in range(1, 7):
        tale = teller.tell(height, False)
        data = msgspec.to_builtins(tale.record) | {"proof": msgspec.to_builtins(tale.proof)}
        found.append(StreamEvent("blocks", height, 0, data))
    ledger.close()
    return found


def telling(events: Sequence[StreamEvent]) -> Script:
    def script(params: StreamParams) -> list[Any]:
        assert params.proofs
        first = params.from_height or 1
        return [StreamEvent("subscribed", first), *(event for event in events if event.height >= first)]

    return script


async def blocks(nodes: Sequence[FakeNode], count: int, **options: Any) -> list[Any]:
    found: list[Any] = []
    client = AsyncClient(nodes, GENESIS)
    async with aclosing(client.stream(["blocks"], verified=True, patience_s=0.2, **options)) as stream:
        async for event in stream:
            found.append(event.data)
            if len(found) == count:
                break
    return found


async def test_blocks_are_told_once_a_certificate_proves_them(tmp_path: Path) -> None:
    told = chain_events(tmp_path, [1, 4, 6])
    found = await blocks([FakeNode("a", telling(told))], 6)
    assert [record.height for record in found] == [1, 2, 3, 4, 5, 6]
    assert [record.state_root is not None for record in found] == [True, False, False, True, False, True]
    assert all(record.certified for record in found)


async def test_what_no_certificate_covers_is_not_told(tmp_path: Path) -> None:
    told = chain_events(tmp_path, [1, 4])
    with pytest.raises(TransportError):
        await blocks([FakeNode("a", telling(told))], 5)
    assert len(await blocks([FakeNode("a", telling(told))], 4)) == 4


async def test_verified_blocks_go_on_at_the_next_node_from_the_last_proven_one(tmp_path: Path) -> None:
    told = chain_events(tmp_path, [1, 4, 6])
    nodes = [FakeNode("a", telling(told[:3])), FakeNode("b", telling(told))]
    assert [record.height for record in await blocks(nodes, 6)] == [1, 2, 3, 4, 5, 6]
    assert nodes[1].asked[0][0] == 2


def changed(event: StreamEvent, **changes: Any) -> StreamEvent:
    return msgspec.structs.replace(event, data={**event.data, **changes})


@pytest.mark.parametrize(
    "lie",
    [
        lambda event: changed(event, hash="ab" * 32),
        lambda event: changed(event, time_ms=event.data["time_ms"] + 1),
        lambda event: changed(event, transaction_root="ab" * 32),
        lambda event: changed(event, height=4),
        lambda event: changed(event, proof=None),
        lambda event: changed(event, proof={**event.data["proof"], "header": [1]}),
        lambda event: changed(event, proof={**event.data["proof"], "certificate": 5}),
    ],
)
async def test_a_node_that_lies_about_a_block_is_left_for_an_honest_one(
    tmp_path: Path, lie: Callable[[StreamEvent], StreamEvent]
) -> None:
    told = chain_events(tmp_path, [1, 2, 3, 4, 5, 6])
    lies = [*told[:2], lie(told[2]), *told[3:]]
    nodes = [FakeNode("a", telling(lies)), FakeNode("b", telling(told))]
    assert [record.height for record in await blocks(nodes, 6)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ProofInvalid):
        await blocks([FakeNode("a", telling(lies))], 6)


async def test_too_few_signatures_and_another_blocks_certificate_prove_nothing(tmp_path: Path) -> None:
    told = chain_events(tmp_path, [1, 2, 3, 4, 5, 6])
    epoch, statement, signatures = told[1].data["proof"]["certificate"]
    few = [epoch, statement, signatures[:2]]
    other = told[3].data["proof"]["certificate"]
    for certificate in (few, other):
        lie = changed(told[1], proof={**told[1].data["proof"], "certificate": certificate})
        with pytest.raises(ProofInvalid):
            await blocks([FakeNode("a", telling([told[0], lie]))], 2)


async def test_a_block_that_is_left_out_breaks_the_chain_of_headers(tmp_path: Path) -> None:
    told = chain_events(tmp_path, [1, 2, 3, 4, 5, 6])
    with pytest.raises(ProofInvalid, match="does not follow"):
        await blocks([FakeNode("a", telling([*told[:2], *told[3:]]))], 6)


def test_only_blocks_can_be_verified() -> None:
    with pytest.raises(ValueError, match="only the topic blocks"):
        AsyncClient([FakeNode("a", honest(1))], GENESIS).stream(["blocks", "book"], verified=True)
