"""Frames decoded for several nodes: one message for all whose gates admit as much, and a reject each time."""

from __future__ import annotations

from typing import cast

import pytest

from pbft.config import ReplicaConfig
from pbft.gate import Gate, GateFault, Rejected
from pbft.messages import Complaint, Complaints, Prepare, Scope, encode_frame
from pbft.ports import LedgerPort
from sim import frames
from sim.frames import Frames

SCOPE = Scope(bytes(32), "main", 3)


def config(nodes: int) -> ReplicaConfig:
    return ReplicaConfig(SCOPE, tuple(b"%065d" % index for index in range(nodes)), 0)


def opened(known: Frames, frame: bytes, nodes: int = 4) -> tuple[int, object]:
    own = config(nodes)
    return known.open(frame, Gate(own, cast(LedgerPort, None)), own)


def test_a_frame_is_decoded_once_for_gates_with_the_same_bounds() -> None:
    known, vote = Frames(), Prepare(0, 1, bytes(32), 2)
    first = opened(known, encode_frame(3, vote))
    assert first == (3, vote)
    assert opened(known, encode_frame(3, vote)) is first
    assert opened(known, encode_frame(4, vote)) == (4, vote)


def test_what_one_epoch_admits_another_may_refuse() -> None:
    known = Frames()
    frame = encode_frame(3, Complaints(tuple(Complaint(0, sender) for sender in range(5))))
    opened(known, frame, nodes=7)
    for _ in range(2):
        with pytest.raises(Rejected) as refused:
            opened(known, frame)
        assert refused.value.fault is GateFault.TOO_MANY


def test_only_so_many_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "FRAMES_KEPT_MAX", 2)
    known = Frames()
    made = [encode_frame(3, Prepare(0, sequence, bytes(32), 2)) for sequence in (1, 2, 3)]
    first, second, third = (opened(known, frame) for frame in made)
    assert opened(known, made[1]) is second
    assert opened(known, made[2]) is third
    assert opened(known, made[0]) is not first
