"""NEW-VIEW on the wire: nothing is lost, nonsense is malformed, and a full window of a large network fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest
from harness import SCOPE
from hypothesis import given
from hypothesis import strategies as st
from lone import TextLedger

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.gate import Gate, GateFault, Rejected
from pbft.link import frame
from pbft.messages import (
    DECODE_ERRORS,
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
    decode_packed,
    encode_frame,
    encode_message,
    split_frame,
    statement_bytes,
)
from pbft.packing import Ballot, PackedCertificate, PackedNewView, PackedViewChange, new_view_bytes_max, pack, unpack
from pbft.peers import SendQueue
from pbft.quorum import quorum
from pbft.records import Entered, decode_record, encode_record
from pbft.transport import TransportLimits
from pbft.view_change import is_new_view, open_sequences

Sign: TypeAlias = Callable[[Any], Any]
SIZES = (4, 10, 25, 49, 100)
WINDOW = 128
written_out = msgspec.msgpack.Encoder().encode
FAR = NUMBER_MAX - 10 * WINDOW
"""A sequence and a view of as many bytes as there can be."""


def full_window(config: ReplicaConfig, sign: Sign, *, base: int, view: int) -> NewView:
    """What a primary sends after all had prepared a whole window in ``view``, each with prepares of others."""
    q, primary, leader = config.q, config.primary(view), config.primary(view + 1)
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
    found = open_sequences(config, changes)
    new = tuple(sign(PrePrepare(view + 1, s, chosen, leader)) for s, chosen in found)
    message: NewView = sign(NewView(view + 1, tuple(changes), new, leader))
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


# ---------------------------------------------------------------------------------------------- lossless

numbers = st.integers(0, NUMBER_MAX)
few = st.integers(0, 2)
digests = st.sampled_from([bytes(32), b"d" * 32, b""])
signatures = st.sampled_from([b"", b"s" * 64, b"t" * 64])
proposals = st.builds(PrePrepare, few, few, digests, few, signatures)
prepares = st.builds(Prepare, few, few, digests, few, signatures)
items = st.builds(PreparedCertificate, proposals, st.lists(prepares, max_size=4).map(tuple))
certificates = st.builds(
    ExecutionCertificate,
    few,
    st.builds(Statement, numbers, *[digests] * 4),
    st.lists(st.tuples(few, signatures), max_size=3).map(tuple),
)
changes = st.builds(
    ViewChange, numbers, st.none() | certificates, st.lists(items, max_size=4).map(tuple), numbers, signatures
)
new_views = st.builds(
    NewView,
    numbers,
    st.lists(changes, max_size=4).map(tuple),
    st.lists(proposals, max_size=3).map(tuple),
    numbers,
    signatures,
)


@given(new_views)
def test_any_new_view_comes_out_as_it_went_in_on_the_wire_and_in_the_log(message: NewView) -> None:
    """Also one with votes that match nothing, which a liar may send and the gate is to refuse, not to misread."""
    assert unpack(pack(message)) == message
    assert decode_message(encode_message(message)) == message
    assert decode_record(encode_record(Entered(message))) == Entered(message)


# --------------------------------------------------------------------------------------------- malformed

BALLOT = Ballot(0, 1, b"d" * 32, ((0, b"p" * 64),), ((1, b"a" * 64), (2, b"b" * 64)))
STRAY = (0, 2, b"d" * 32, 3, b"c" * 64)


def packed(item: PackedCertificate, *ballots: Ballot) -> PackedNewView:
    change = PackedViewChange(1, None, (item,), 3, b"s" * 64)
    return PackedNewView(1, ballots or (BALLOT,), (STRAY,), (change,), (), 1, b"s" * 64)


def fault_of(data: bytes) -> GateFault | None:
    keys = tuple(bytes([index]) * 65 for index in range(4))
    edge = Gate(
        ReplicaConfig(SCOPE, keys, 0, checkpoint_interval_blocks=4, window_blocks=8), TextLedger(keys[0], keys[1])
    )
    try:
        edge.decode(data)
    except Rejected as rejected:
        return rejected.fault
    return None


def test_places_in_the_table_and_strays_are_read() -> None:
    data = written_out(packed(PackedCertificate(0, 0, (1, 0, -1))))
    assert fault_of(data) is None
    found = decode_message(data)
    assert isinstance(found, NewView)
    votes = found.view_changes[0].prepared[0].prepares
    assert votes == (Prepare(0, 1, b"d" * 32, 2, b"b" * 64), Prepare(0, 1, b"d" * 32, 1, b"a" * 64), Prepare(*STRAY))


@pytest.mark.parametrize(
    "message",
    [
        packed(PackedCertificate(1, 0, ())),
        packed(PackedCertificate(0, 1, ())),
        packed(PackedCertificate(-1, 0, ())),
        packed(PackedCertificate(0, -1, ())),
        packed(PackedCertificate(0, 0, (2,))),
        packed(PackedCertificate(0, 0, (-2,))),
        packed(PackedCertificate(0, 0, (1 << 63,))),
        packed(PackedCertificate(0, 0, ()), msgspec.structs.replace(BALLOT, digest=b"d" * 33)),
        packed(PackedCertificate(0, 0, ()), msgspec.structs.replace(BALLOT, prepares=((1, b"s" * 65),))),
        packed(PackedCertificate(0, 0, ()), msgspec.structs.replace(BALLOT, view=-1)),
    ],
)
def test_what_refers_to_nothing_or_is_too_long_is_malformed(message: PackedNewView) -> None:
    assert fault_of(written_out(message)) is GateFault.MALFORMED
    with pytest.raises(DECODE_ERRORS):
        decode_message(written_out(message))


def test_a_new_view_that_is_written_out_is_malformed() -> None:
    assert fault_of(written_out(unpack(packed(PackedCertificate(0, 0, (0, 1)))))) is GateFault.MALFORMED


def test_more_parts_than_there_can_be_are_counted_before_they_are_unpacked() -> None:
    """The places lie outside the table, which nobody has looked at yet."""
    assert fault_of(written_out(packed(PackedCertificate(9, 9, (9,) * 4)))) is GateFault.MALFORMED
    assert fault_of(written_out(packed(PackedCertificate(9, 9, (9,) * 5)))) is GateFault.TOO_MANY


@given(st.binary(max_size=200))
def test_bytes_behind_the_tag_are_a_message_or_malformed(data: bytes) -> None:
    whole = b"\x98" + written_out("new-view") + data
    assert fault_of(whole) in (None, GateFault.MALFORMED, GateFault.TOO_MANY)


# ------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("n", SIZES)
def test_a_new_view_of_a_full_window_fits_every_queue_and_takes_no_more_than_is_reckoned(n: int) -> None:
    config = config_of(n)
    message = full_window(config, unsigned(), base=FAR, view=FAR)
    data = encode_frame(0, message)
    assert decode_message(split_frame(data)[1]) == message
    assert len(data) < new_view_bytes_max(n, WINDOW) < TransportLimits().peer_queue_bytes_max < FRAME_BYTES_MAX
    assert len(data) * n < 8 * len(written_out(message))
    assert len(encode_record(Entered(message))) < len(data) + 16


def test_where_certified_heights_differ_by_a_window_it_takes_no_more_than_is_reckoned() -> None:
    config = config_of(10)
    behind, ahead = (full_window(config, unsigned(), base=FAR + lag, view=FAR) for lag in (0, WINDOW))
    mixed = msgspec.structs.replace(ahead, view_changes=(*ahead.view_changes[:4], *behind.view_changes[4:]))
    assert len(ahead.view_changes) == quorum(10)
    assert len(encode_message(ahead)) < len(encode_message(mixed)) < new_view_bytes_max(10, WINDOW)


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


def test_what_is_packed_is_decoded_once_and_unpacked_apart() -> None:
    message = unpack(packed(PackedCertificate(0, 0, (0, 1))))
    assert decode_packed(encode_message(message)) == pack(message)
