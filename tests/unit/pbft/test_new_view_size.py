"""How large a NEW-VIEW is: one about a full window of a large network fits every queue, whatever liars signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
import pytest
from harness import SCOPE
from lone import TextLedger

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.gate import Gate
from pbft.link import frame
from pbft.messages import (
    FRAME_BYTES_MAX,
    NUMBER_MAX,
    ExecutionCertificate,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Statement,
    ViewChange,
    decode_message,
    encode_frame,
    new_view_bytes_max,
    split_frame,
    statement_bytes,
)
from pbft.peers import SendQueue
from pbft.transport import TransportLimits
from pbft.view_change import bare, chosen, is_new_view, open_sequences

Sign: TypeAlias = Callable[[Any], Any]
SIZES = (4, 10, 25, 49, 100)
WINDOW = 128
FAR = NUMBER_MAX - 10 * WINDOW
"""A sequence and a view of as many bytes as there can be."""


def full_window(config: ReplicaConfig, sign: Sign, *, base: int, view: int) -> NewView:
    """What a primary sends after all had prepared a whole window in ``view``, each with prepares of others."""
    q, primary = config.q, config.primary(view)
    backups = [index for index in range(config.n) if index != primary]
    sequences = range(base + 1, base + 1 + config.window_blocks)
    proposals = {s: sign(PrePrepare(view, s, digest(s), primary)) for s in sequences}
    votes = {s: [sign(Prepare(view, s, digest(s), backup)) for backup in backups] for s in sequences}
    changes = []
    for sender in range(q):
        senders = {(sender + step) % len(backups) for step in range(q - 1)}
        items = (
            PreparedCertificate(proposals[s], tuple(v for place, v in enumerate(votes[s]) if place in senders))
            for s in sequences
        )
        changes.append(sign(ViewChange(view + 1, certified(config, sign, base), tuple(items), sender)))
    return new_view(config, sign, changes)


def new_view(config: ReplicaConfig, sign: Sign, changes: Sequence[ViewChange]) -> NewView:
    """What the primary makes of these."""
    view = changes[0].view
    leader = config.primary(view)
    found = open_sequences(config, changes)
    new = tuple(sign(PrePrepare(view, s, digest, leader)) for s, digest in found)
    proof = tuple(chosen(config, changes).values())
    message: NewView = sign(NewView(view, tuple(map(bare, changes)), new, leader, prepared=proof))
    return message


def certified(config: ReplicaConfig, sign: Sign, height: int) -> ExecutionCertificate:
    statement = Statement(height, *(bytes([number]) * 32 for number in range(4)))
    signatures = ((index, sign((index, statement))) for index in range(config.q))
    return ExecutionCertificate(config.scope.epoch, statement, tuple(signatures))


def digest(sequence: int) -> bytes:
    return sequence.to_bytes(32, "big")


def unsigned() -> Sign:
    """Signatures that differ and are as long as real ones."""
    count = iter(range(1, 1 << 30))

    def sign(item: Any) -> Any:
        signature = next(count).to_bytes(64, "big")
        return signature if isinstance(item, tuple) else msgspec.structs.replace(item, signature=signature)

    return sign


def config_of(n: int) -> ReplicaConfig:
    return ReplicaConfig(SCOPE, tuple(bytes([index]) * 65 for index in range(n)), 0, window_blocks=WINDOW)


# ------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("n", SIZES)
def test_a_new_view_of_a_full_window_fits_every_queue_and_takes_no_more_than_is_reckoned(n: int) -> None:
    config = config_of(n)
    message = full_window(config, unsigned(), base=FAR, view=FAR)
    data = encode_frame(0, message)
    assert is_new_view(config, message)
    assert decode_message(split_frame(data)[1]) == message
    assert len(data) < new_view_bytes_max(n, WINDOW) < TransportLimits().peer_queue_bytes_max < FRAME_BYTES_MAX


@pytest.mark.parametrize("n", [4, 10, 49])
def test_claims_about_two_windows_by_every_member_take_no_more_than_is_reckoned(n: int) -> None:
    """Each member of V has a certificate of its own, and says of two windows above it that all prepared."""
    config, sign = config_of(n), unsigned()
    below, above = (full_window(config, sign, base=FAR + lag, view=FAR) for lag in (0, WINDOW))
    items = (*below.prepared, *above.prepared)
    changes = [sign(ViewChange(FAR + 1, certified(config, sign, FAR), items, sender)) for sender in range(config.q)]
    message = new_view(config, sign, changes)
    assert is_new_view(config, message)
    assert len(message.pre_prepares) == 2 * WINDOW
    size = len(encode_frame(0, message))
    assert new_view_bytes_max(n, WINDOW) * 0.6 < size < new_view_bytes_max(n, WINDOW)


def test_forty_nine_replicas_begin_a_view_after_a_full_window() -> None:
    """Through the queue and the gate of a backup, with real signatures."""
    keys = [SigningKey.from_seed(b"pack%d" % index) for index in range(49)]
    config = ReplicaConfig(SCOPE, tuple(key.public_key for key in keys), 5, window_blocks=WINDOW)

    def sign(item: Any) -> Any:
        if isinstance(item, tuple):
            return keys[item[0]].sign(statement_bytes(SCOPE, item[1]))
        return msgspec.structs.replace(item, signature=keys[item.sender].sign(item.signed(SCOPE)))

    message = full_window(config, sign, base=1_000, view=0)
    queue = SendQueue(TransportLimits().peer_queue_bytes_max)
    queue.put(frame(encode_frame(0, message)), bulk=False)
    sent = queue.take(1 << 20)
    edge = Gate(config, TextLedger(keys[0].public_key, keys[1].public_key))
    arrived = edge.decode(split_frame(sent[4:])[1])
    assert arrived == message
    assert edge.verify(1, arrived).message == message
    assert is_new_view(config, message)
    assert len(message.pre_prepares) == WINDOW
