"""What a replica is told: who votes, and every bound and wait, with its unit."""

from __future__ import annotations

from dataclasses import dataclass

from pbft.messages import Scope
from pbft.quorum import primary_of, quorum, weak_quorum


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """``validators``: 65-byte keys, the index is the sender's number; ``index``: our own."""

    scope: Scope
    validators: tuple[bytes, ...]
    index: int
    checkpoint_interval_blocks: int = 64
    window_blocks: int = 128
    pipeline_depth: int = 8
    batch_transactions_max: int = 500
    batch_bytes_max: int = 1_000_000
    block_gas_max: int = 100_000_000
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

    @property
    def n(self) -> int:
        return len(self.validators)

    @property
    def q(self) -> int:
        return quorum(self.n)

    @property
    def weak(self) -> int:
        return weak_quorum(self.n)

    def primary(self, view: int) -> int:
        return primary_of(view, self.n)

    def validate(self) -> None:
        """Raises ``ValueError`` naming the field that can't be."""
        if self.n < 1 or len(set(self.validators)) != self.n:
            raise ValueError("validators: at least one, all different")
        if not 0 <= self.index < self.n:
            raise ValueError("index: no such validator")
        if self.window_blocks < 2 * self.checkpoint_interval_blocks:
            raise ValueError("window_blocks: at least twice checkpoint_interval_blocks")
        if self.view_change_timeout_ms_max < self.view_change_timeout_ms:
            raise ValueError("view_change_timeout_ms_max: below view_change_timeout_ms")
        for name in self.__slots__:
            value = getattr(self, name)
            if name not in ("scope", "validators", "index") and value < 1:
                raise ValueError(f"{name}: {value} is not positive")
