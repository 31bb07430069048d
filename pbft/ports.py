"""What the driver needs from the ledger. Everything here blocks and is called in threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pbft.epoch import Epoch
from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import CertifiedBlock, Chunk, ExecutionCertificate, Handover, Manifest, Statement


class Report(Protocol):
    """An executed block's outcome and the transactions in it."""

    @property
    def statement(self) -> Statement: ...

    @property
    def tx_ids(self) -> tuple[bytes, ...]: ...

    @property
    def admitted(self) -> tuple[bytes, ...]:
        """Those of them that were admissible when their turn came."""

    @property
    def boundary(self) -> int | None:
        """The epoch's last height, if that is settled by now."""


class BatchFault(Exception):
    """A batch or block that no honest replica sends; raised by the checks below."""


class SnapshotUnknown(Exception):
    """A chunk of a snapshot that nobody offered here, or not lately: nothing says whether it is good or bad."""


class LedgerPort(Protocol):
    """``execute`` and ``certify`` are called on one thread only, in order."""

    def check_body(self, body: bytes) -> CheckedBatch:
        """Check a batch and every client signature in it, each once a node; raises ``BatchFault``."""

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        """Check that header, ``headers`` and batch lead to the certificate; None for a null request's batch.
        The gate has verified the certificate's signatures. Raises ``BatchFault``."""

    def check_envelopes(self, envelopes: Sequence[bytes]) -> list[PoolRequest | str]:
        """Requests for the pool, or why not, one for each envelope."""

    def execute(self, height: int, digest: bytes, body: bytes, view: int, proposer: int) -> Report: ...

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None: ...

    def inadmissible(self, requests: Sequence[PoolRequest]) -> list[bytes]: ...

    def certified_blocks(self, first: int, last: int, bytes_max: int) -> list[CertifiedBlock]: ...

    @property
    def height(self) -> int: ...

    @property
    def first_height(self) -> int:
        """The lowest block held: 1, or the one after the snapshot that the ledger began with."""

    @property
    def epoch(self) -> Epoch:
        """The epoch to vote in: that of the block after the newest certificate. A boundary that has executed but is
        not certified yet leaves the epoch that it ends in force."""

    @property
    def boundary(self) -> int | None:
        """The last height of that epoch, once a change of membership has executed; also after it has executed."""

    def check_handover(self, handover: Handover) -> bool:
        """Whether enough organisations' operators signed it, by committed state."""

    # ---- state transfer: serving (any thread), then receiving (the execution thread, but for the checks)

    def manifest(self, height_min: int) -> Manifest | None:
        """The newest snapshot at or above ``height_min`` that is ready to be served."""

    def chunk(self, height: int, index: int) -> bytes | None: ...

    def check_manifest(self, manifest: Manifest) -> None:
        """Verify boundaries, certificate, header and branches from genesis on. Raises ``BatchFault``."""

    def check_chunk(self, chunk: Chunk) -> None:
        """Verify a chunk against its height's manifest. Raises ``BatchFault``; ``SnapshotUnknown`` if there is none."""

    def begin_transfer(self, manifest: Manifest) -> None:
        """Forget an earlier transfer and stage this one."""

    def stage(self, chunk: Chunk) -> None: ...

    def install(self) -> None:
        """Replace state, index and chain by what is staged, durably; the old ones are moved aside."""

    def last_certificate(self) -> ExecutionCertificate | None: ...

    def uncertified(self) -> tuple[Statement, ...]: ...
