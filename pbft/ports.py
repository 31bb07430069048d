"""What the driver needs from the ledger. Everything here blocks and is called in threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import CertifiedBlock, ExecutionCertificate, Statement


class Report(Protocol):
    """An executed block's outcome and the transactions in it."""

    @property
    def statement(self) -> Statement: ...

    @property
    def tx_ids(self) -> tuple[bytes, ...]: ...


class BatchFault(Exception):
    """A batch or block that no honest replica sends; raised by the checks below."""


class LedgerPort(Protocol):
    """``execute`` and ``certify`` are called on one thread only, in order."""

    def check_body(self, body: bytes) -> CheckedBatch:
        """Check a batch and every client signature in it, each once a node; raises ``BatchFault``."""

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        """Check that header and batch are the certificate's; None for a null request's. Raises ``BatchFault``."""

    def check_envelopes(self, envelopes: Sequence[bytes]) -> list[PoolRequest | str]:
        """Requests for the pool, or why not, one for each envelope."""

    def execute(self, height: int, digest: bytes, body: bytes, view: int, proposer: int) -> Report: ...

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None: ...

    def inadmissible(self, requests: Sequence[PoolRequest]) -> list[bytes]: ...

    def certified_blocks(self, first: int, last: int, bytes_max: int) -> list[CertifiedBlock]: ...

    @property
    def height(self) -> int: ...

    def last_certificate(self) -> ExecutionCertificate | None: ...

    def uncertified(self) -> tuple[Statement, ...]: ...
