"""One replica's life: from a start, the boundary of an epoch or a snapshot to the next of them."""

from __future__ import annotations

from dataclasses import dataclass

from pbft.config import ReplicaConfig
from pbft.epoch import Epoch
from pbft.gate import Gate
from pbft.numbers import Numbers
from pbft.replica import Replica
from pbft.wal import WriteAheadLog


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """What belongs to one replica in one epoch."""

    epoch: Epoch
    config: ReplicaConfig
    replica: Replica
    gate: Gate
    numbers: Numbers
    wal: WriteAheadLog
