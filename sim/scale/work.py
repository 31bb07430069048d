"""The costs of one network size, looked up once: processor time by message, in nanoseconds."""

from __future__ import annotations

from typing import NamedTuple

from pbft.messages import (
    BatchBody,
    CertifiedBlock,
    Chunk,
    Commit,
    Complaint,
    Forward,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    Proposal,
    ViewChange,
)
from sim.scale.costs import KB, Costs, Line, Step

BULK = (Proposal, BatchBody, CertifiedBlock, Forward, Manifest, Chunk)
"""What travels behind votes, as in the transport."""
_SIGNED = (Proposal, Prepare, Commit, Outcome, Complaint, ViewChange, NewView)


class MessageWork(NamedTuple):
    """What one message costs its receiver (``decode``, ``verify``, ``step``) and its sender (``encode``, a copy)."""

    decode: int
    verify: int
    encode: int
    copy: int


class Work:
    """The costs at ``nodes`` replicas."""

    def __init__(self, costs: Costs, nodes: int) -> None:
        self.nodes = nodes
        self._costs = costs
        self._steps: dict[str, tuple[int, float]] = {}
        self.sign = int(costs.sign_us * 1_000)
        self.verify = int(costs.verify_us * 1_000)
        self.fsync = int(costs.fsync_us * 1_000)

    def of(self, message: Message, size: int) -> MessageWork:
        costs, kind = self._costs, type(message).__name__
        tls = costs.tls_us_per_kb * size / KB
        verify = self.verify if isinstance(message, _SIGNED) else 0
        if isinstance(message, CertifiedBlock):
            verify = self.verify * len(message.certificate.signatures)
        return MessageWork(
            decode=costs.decode.get(kind, _FREE).ns(size) + int((costs.receive_us + tls) * 1_000),
            verify=verify + (self.hash(size) if isinstance(message, BULK) else 0),
            encode=costs.encode.get(kind, _FREE).ns(size),
            copy=int((costs.send_us + tls) * 1_000),
        )

    def hash(self, size: int) -> int:
        return int(self._costs.hash_us_per_kb * size / KB * 1_000)

    def step(self, kind: str, transactions: int = 0) -> int:
        known = self._steps.get(kind)
        if known is None:
            step = self._costs.step.get(kind, _NO_STEP)
            known = self._steps[kind] = (step.ns(self.nodes), step.per_tx * 1_000)
        return known[0] + int(known[1] * transactions)

    def execute(self, transactions: int) -> int:
        costs = self._costs
        return int((costs.execute_us_per_block + costs.execute_us_per_tx * transactions) * 1_000)


_FREE = Line(0.0)
_NO_STEP = Step(0.0)
