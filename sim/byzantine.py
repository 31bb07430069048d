"""Byzantine behaviours: they change what a node puts on the network, with the node's own key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ca.keys import SigningKey
from ledger.envelope import envelope_from_bytes
from pbft.config import ReplicaConfig
from pbft.events import Send
from pbft.messages import Batch, Commit, Prepare, PrePrepare, Proposal, batch_digest, decode_batch, encode_batch

Behaviour: TypeAlias = Callable[[Send], list[Send]]
"""What really leaves the node in place of a message."""


def honest(send: Send) -> list[Send]:
    return [send]


def equivocating(config: ReplicaConfig, key: SigningKey) -> Behaviour:
    """As primary, propose one batch to half of the backups and another to the rest, and vote for both."""
    scope, me = config.scope, config.index
    others = [node for node in range(config.n) if node != me]
    half = len(others) // 2 or 1

    def behave(send: Send) -> list[Send]:
        message = send.message
        if not isinstance(message, Proposal) or send.to is not None:
            return [send]
        twin = _twin(message)
        signed = msgspec.structs.replace(twin.pre_prepare, signature=key.sign(twin.pre_prepare.signed(scope)))
        twin = Proposal(signed, twin.body)
        sends = [Send(node, message) for node in others[:half]] + [Send(node, twin) for node in others[half:]]
        for proposal in (message.pre_prepare, signed):
            for kind in (Prepare, Commit):
                vote = kind(proposal.view, proposal.sequence, proposal.digest, me)
                vote = msgspec.structs.replace(vote, signature=key.sign(vote.signed(scope)))
                sends += [Send(node, vote) for node in others]
        return sends

    return behave


def _twin(message: Proposal) -> Proposal:
    """The same requests at another time: a different batch for the same sequence."""
    batch = decode_batch(message.body)
    time_ms = batch.proposed_time_ms + 1
    body = encode_batch(Batch(batch.channel, time_ms, batch.envelopes))
    hashes = b"".join(envelope_from_bytes(raw).hash for raw in batch.envelopes)
    digest = batch_digest(batch.channel, time_ms, hashes)
    old = message.pre_prepare
    return Proposal(PrePrepare(old.view, old.sequence, digest, old.sender), body)


def silent(send: Send) -> list[Send]:
    """Sends nothing at all."""
    return []
