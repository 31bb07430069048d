"""A sequence's place in the log: which batches it keeps."""

from __future__ import annotations

from pbft.log import Slot
from pbft.messages import PreparedCertificate, PrePrepare


def test_the_prepared_batch_stays_when_another_is_proposed_in_its_place() -> None:
    """A later NEW-VIEW may name it again, and nobody else may hold it."""
    slot = Slot(7)
    old, new, other = (bytes([number]) * 32 for number in (1, 2, 3))
    slot.keep(old, b"prepared")
    slot.prepared = PreparedCertificate(PrePrepare(0, 7, old, 0), ())
    slot.keep(other, b"of no use any more")
    slot.accepted = PrePrepare(1, 7, new, 1)
    slot.keep(new, b"accepted")
    assert slot.bodies == {old: b"prepared", new: b"accepted"}
