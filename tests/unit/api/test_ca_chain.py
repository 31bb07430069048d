"""A CA apart from any node asks nodes which certificates are revoked, and believes what is proven, and new."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api import ca_chain
from api.ca_chain import BELIEVED_S, ChainRevocations
from ca.codes import AdmissionRefused
from ledger.proofs import ProofFault, ProofInvalid, VerifiedEntry
from sdk.errors import TransportError


class Node:
    """One node, as a client without a key sees it; or nothing, where it is away."""

    def __init__(self, height: int = 10, *revoked: str) -> None:
        self.height, self.revoked = height, set(revoked)
        self.asked: list[str] = []
        self.fault: Exception | None = None

    async def proof(self, key: str, min_height: int = 0) -> tuple[VerifiedEntry, dict[str, Any]]:
        serial = key.removeprefix("governance/revoked/")
        self.asked.append(serial)
        if self.fault is not None:
            raise self.fault
        if self.height < min_height:
            raise ProofInvalid(ProofFault.RECORD, "older than was asked for")
        version = (3, 0) if serial in self.revoked else None
        return VerifiedEntry(key, self.height, 1_000 * self.height, version, None, 3, 4), {}

    async def close(self) -> None:
        return None


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def asking(clock: Clock, *nodes: Node) -> ChainRevocations:
    clients: Any = nodes
    return ChainRevocations(clients, clock)


async def is_revoked(chain: ChainRevocations, serial: str) -> bool:
    """As the CA asks: in a thread."""
    return await asyncio.to_thread(chain.is_revoked, serial)


async def test_a_revocation_is_found_and_stays_and_its_absence_is_asked_for_again() -> None:
    node, clock = Node(10, "bad"), Clock()
    chain = await asking(clock, node)
    assert [await is_revoked(chain, serial) for serial in ("bad", "good", "good", "bad")] == [True, False, False, True]
    assert node.asked == ["bad", "good"]
    node.revoked.add("good")
    clock.now_s += BELIEVED_S
    assert [await is_revoked(chain, serial) for serial in ("bad", "good")] == [True, True]
    assert node.asked == ["bad", "good", "good"]


async def test_the_next_node_is_asked_where_one_is_away_lies_or_lags() -> None:
    clock, good = Clock(), Node(10, "bad")
    away, liar, late = Node(), Node(), Node(9)
    away.fault, liar.fault = TransportError("refused"), ProofInvalid(ProofFault.RECORD, "forged")
    chain = await asking(clock, good, away, liar, late)
    assert not await is_revoked(chain, "good")
    good.fault = TransportError("gone")
    with pytest.raises(AdmissionRefused, match="cannot ask the chain"):
        await is_revoked(chain, "bad")
    assert [len(node.asked) for node in (good, away, liar, late)] == [2, 1, 1, 1]
    good.fault = None
    with pytest.raises(AdmissionRefused):
        await is_revoked(chain, "bad")
    assert len(good.asked) == 2, "it was in vain a moment ago"
    clock.now_s += BELIEVED_S
    assert await is_revoked(chain, "bad")


async def test_a_node_that_does_not_answer_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca_chain, "ASK_S_MAX", 0.05)

    class Silent(Node):
        async def proof(self, key: str, min_height: int = 0) -> tuple[VerifiedEntry, dict[str, Any]]:
            await asyncio.Event().wait()
            raise AssertionError

    clock = Clock()
    chain = await asking(clock, Silent(), Node(10, "bad"))
    with pytest.raises(AdmissionRefused) as caught:
        await is_revoked(chain, "bad")
    assert caught.value.reason == "CHAIN_UNREACHABLE"
    clock.now_s += BELIEVED_S
    assert await is_revoked(chain, "bad"), "the next one is asked first"


async def test_it_says_how_old_its_knowledge_is() -> None:
    clock, node = Clock(), Node(10)
    chain = await asking(clock, node)
    assert chain.knowledge() == ca_chain.ChainKnowledge(None, 0, 0, "")
    await chain.look()
    clock.now_s += 7
    assert chain.knowledge() == ca_chain.ChainKnowledge(7.0, 10, 10_000, "")
    node.fault = TransportError("nobody is there")
    await chain.look()
    assert chain.knowledge() == ca_chain.ChainKnowledge(7.0, 10, 10_000, "nobody is there")
    node.fault, node.height = None, 12
    await chain.look()
    assert chain.knowledge() == ca_chain.ChainKnowledge(0.0, 12, 12_000, "")


async def test_answers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca_chain, "ANSWERS_MAX", 3)
    node = Node()
    chain = await asking(Clock(), node)
    for serial in "abcd":
        assert not await is_revoked(chain, serial)
    assert len(chain._answers) == 3
