"""Amnesia: a replica whose log forgets, so that after a crash it votes as if it never had."""

from __future__ import annotations

from collections.abc import Sequence

from pbft.records import Record
from sim.behaviour import Behaviour


class Forget(Behaviour):
    """Nothing that it must remember reaches its log."""

    def persisted(self, records: Sequence[Record]) -> Sequence[Record]:
        return ()
