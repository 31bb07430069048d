"""What a replica is told: who votes, and every bound and wait, with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field

from pbft.messages import Scope
from pbft.quorum import faulty_max, leaders_of, primary_of, quorum, weak_quorum

OBSERVER = -1
"""The index of a replica that follows and executes but never votes."""


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """``validators``: 65-byte keys, the index is the sender's number; ``index``: our own, or ``OBSERVER``.

    ``first_height``: the epoch's first. ``first_primary`` leads view 0, and ``skipped`` validators lead no view.
    ``rotation_blocks``: the view changes every so many blocks; 0 for never.
    """

    scope: Scope
    validators: tuple[bytes, ...]
    index: int
    first_height: int = 1
    first_primary: int = 0
    skipped: tuple[int, ...] = ()
    rotation_blocks: int = 0
    checkpoint_interval_blocks: int = 64
    window_blocks: int = 128
    pipeline_depth: int = 8
    batch_transactions_max: int = 500
    batch_bytes_max: int = 1_000_000
    block_gas_max: int = 12_000_000
    batch_delay_ms_max: int = 20
    block_idle_ms_max: int = 1_000
    request_timeout_ms: int = 2_000
    view_change_timeout_ms: int = 2_000
    view_change_timeout_ms_max: int = 16_000
    status_interval_ms: int = 500
    clock_tolerance_ms: int = 10_000
    pool_transactions_max: int = 10_000
    pool_bytes_max: int = 32_000_000
    resend_sequences_max: int = 64
    resend_requests_max: int = 100
    fetch_blocks_max: int = 256
    leaving: bool = False
    """An observer that was a validator: it ends once a quorum of the new validators has taken over."""
    snapshot_gap_blocks: int = 1_000
    """Farther behind than this a replica takes a snapshot instead of blocks."""
    chunks_in_flight_max: int = 4
    """Chunks of a snapshot asked of one peer at a time."""
    client_pool_share_percent: int = 50
    """How much of the pool one client may fill."""
    primary_share_percent_min: int = 40
    """A primary that orders less than this share of what it should is slow; 0 switches the measurement off."""
    primary_window_ms: int = 5_000
    """The time over which a primary is measured."""

    leaders: tuple[int, ...] = field(init=False, default=())
    """Who leads views 0, 1, 2, ..., in turn."""
    n: int = field(init=False, default=0)
    q: int = field(init=False, default=0)
    weak: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        n = len(self.validators)
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "leaders", leaders_of(n, self.first_primary, self.skipped))
        if n:
            object.__setattr__(self, "q", quorum(n))
            object.__setattr__(self, "weak", weak_quorum(n))

    def primary(self, view: int) -> int:
        return primary_of(view, self.leaders)

    def validate(self) -> None:
        """Raises ``ValueError`` naming the field that can't be."""
        if self.n < 1 or len(set(self.validators)) != self.n:
            raise ValueError("validators: at least one, all different")
        if self.index != OBSERVER and not 0 <= self.index < self.n:
            raise ValueError("index: no such validator")
        if len(set(self.skipped)) > faulty_max(self.n):
            raise ValueError("skipped: more than f validators")
        if self.window_blocks < 2 * self.checkpoint_interval_blocks:
            raise ValueError("window_blocks: at least twice checkpoint_interval_blocks")
        if self.view_change_timeout_ms_max < self.view_change_timeout_ms:
            raise ValueError("view_change_timeout_ms_max: below view_change_timeout_ms")
        for name in self.__slots__:
            value = getattr(self, name)
            if name not in _NOT_POSITIVE and value < 1:
                raise ValueError(f"{name}: {value} is not positive")


_NOT_POSITIVE = frozenset(
    {
        "scope", "validators", "index", "first_primary", "skipped", "leaders", "leaving", "rotation_blocks",
        "primary_share_percent_min",
    }
)  # fmt: skip
"""Fields that are not numbers, or may be 0."""
