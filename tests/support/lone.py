"""A driver over a ledger that is a hash chain in memory: one validator orders and certifies alone, without a network.

Transactions are texts. ``boundary:N:stay`` ends the epoch at height N with the same validator, ``boundary:N:leave``
with somebody else in its place.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from harness import checked, request

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.disk import DiskFiles
from pbft.driver import Driver
from pbft.epoch import Epoch, Validator
from pbft.epoch_logs import EpochLogs
from pbft.events import CheckedBatch, PoolRequest
from pbft.evidence import Evidence
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.messages import (
    CertifiedBlock,
    Chunk,
    ExecutionCertificate,
    Handover,
    Manifest,
    Scope,
    Statement,
    decode_batch,
)
from pbft.ports import BatchFault
from pbft.transport import Transport

CHAIN = sha256(b"a chain").digest()
INTERVAL = 4


@dataclass(frozen=True)
class Ran:
    statement: Statement
    tx_ids: tuple[bytes, ...]
    boundary: int | None

    @property
    def admitted(self) -> tuple[bytes, ...]:
        return self.tx_ids


@dataclass
class TextLedger:
    """Implements ``pbft.ports.LedgerPort``. What tests prescribe is in its fields."""

    key: bytes
    successor: bytes
    statements: list[Statement] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)
    certificates: list[ExecutionCertificate] = field(default_factory=list)
    pending: tuple[int, Epoch] | None = None
    served: list[object] = field(default_factory=list)
    offered: Manifest | None = None
    broken: bool = False

    def __post_init__(self) -> None:
        self.epochs = [Epoch(0, 1, (Validator("me", self.key),))]

    # ------------------------------------------------------------------------------------------ executing

    def check_body(self, body: bytes) -> CheckedBatch:
        return checked(body)

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        raise BatchFault("no blocks here")

    def check_envelopes(self, envelopes: Sequence[bytes]) -> list[PoolRequest | str]:
        return [e.decode()[1:] if e.startswith(b"!") else request(e.decode()) for e in envelopes]

    def execute(self, height: int, digest: bytes, body: bytes, view: int, proposer: int) -> Ran:
        assert height == self.height + 1, "in order"
        texts = decode_batch(body).envelopes if body else ()
        for text in texts:
            if text.startswith(b"boundary:"):
                _, number, what = text.decode().split(":")
                key = self.key if what == "stay" else self.successor
                self.pending = int(number), Epoch(self.epoch.number + 1, int(number) + 1, (Validator("next", key),))
        header = sha256(repr(self.statements[-1:]).encode() + digest).digest()
        boundary = None if self.pending is None else self.pending[0]
        statement = Statement(height, header, sha256(b"state" + header).digest(), bytes(32), bytes(32))
        self.statements.append(statement)
        self.blocks.append(body)
        return Ran(statement, checked(body).tx_ids if body else (), boundary)

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        self.certificates.extend(certificates)
        if self.pending is not None and self.certificates[-1].statement.height == self.pending[0]:
            self.epochs.append(self.pending[1])
            self.pending = None

    def inadmissible(self, requests: Sequence[PoolRequest]) -> list[bytes]:
        return []

    @property
    def texts(self) -> list[str]:
        """Every executed transaction, in order."""
        return [text.decode() for body in self.blocks if body for text in decode_batch(body).envelopes]

    # -------------------------------------------------------------------------------------------- standing

    @property
    def height(self) -> int:
        return len(self.statements)

    @property
    def first_height(self) -> int:
        return 1

    @property
    def epoch(self) -> Epoch:
        return self.epochs[-1]

    @property
    def boundary(self) -> int | None:
        return None if self.pending is None else self.pending[0]

    def last_certificate(self) -> ExecutionCertificate | None:
        return self.certificates[-1] if self.certificates else None

    def uncertified(self) -> tuple[Statement, ...]:
        return tuple(self.statements[len(self.certificates) :])

    def check_handover(self, handover: Handover) -> bool:
        return bool(handover.signatures)

    # --------------------------------------------------------------------------------------------- serving

    def certified_blocks(self, first: int, last: int, bytes_max: int) -> list[CertifiedBlock]:
        self._serve((first, last))
        return [
            CertifiedBlock(b"", self.blocks[height - 1], 0, 0, self.certificates[height - 1])
            for height in range(first, min(last, len(self.certificates)) + 1)
        ]

    def manifest(self, height_min: int) -> Manifest | None:
        self._serve(height_min)
        return self.offered

    def chunk(self, height: int, index: int) -> bytes | None:
        self._serve((height, index))
        return b"chunk %d" % index

    def _serve(self, what: object) -> None:
        if self.broken:
            raise OSError("the disk is gone")
        self.served.append(what)

    # ------------------------------------------------------------------------------------ state transfer

    def check_manifest(self, manifest: Manifest) -> None:
        raise BatchFault("no manifest is good here")

    def check_chunk(self, chunk: Chunk) -> None:
        raise BatchFault("no chunk is good here")

    def begin_transfer(self, manifest: Manifest) -> None:
        raise AssertionError("not asked for")

    def stage(self, chunk: Chunk) -> None:
        raise AssertionError("not asked for")

    def install(self) -> None:
        raise AssertionError("not asked for")


class Kept:
    """An evidence store in memory."""

    def __init__(self) -> None:
        self.evidence: list[Evidence] = []

    def keep(self, evidence: Evidence) -> bool:
        self.evidence.append(evidence)
        return True


class Lone:
    """A driver in a directory; a new one in the same directory, with the same ledger, is a restart."""

    def __init__(self, home: Path, ledger: TextLedger | None = None, **options: int) -> None:
        self.key = SigningKey.from_seed(b"me")
        self.home = home
        self.ledger = ledger or TextLedger(self.key.public_key, SigningKey.from_seed(b"other").public_key)
        self.options = options
        self.block_idle_ms_max = 20
        self.logs = EpochLogs(DiskFiles(home / "wal"), DiskFiles(home))
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.transport = Transport(Hello(PROTOCOL_VERSION, CHAIN, "main", self.key.public_key), tuple, nobody, nobody)
        self.kept = Kept()
        self.driver = Driver(
            self.config_of,
            self.key,
            self.logs,
            self.transport,
            self.ledger,
            self.kept,
            lambda: time.time_ns() // 1_000_000,
        )

    def config_of(self, epoch: Epoch, index: int) -> ReplicaConfig:
        return ReplicaConfig(
            Scope(CHAIN, "main", epoch.number),
            epoch.keys,
            index,
            first_height=epoch.first_height,
            checkpoint_interval_blocks=INTERVAL,
            window_blocks=2 * INTERVAL,
            block_idle_ms_max=self.block_idle_ms_max,
            status_interval_ms=20,
            **self.options,  # type: ignore[arg-type]
        )

    async def submit(self, *texts: str) -> list[bool]:
        async with asyncio.timeout(10):
            return await self.driver.submit([request(text) for text in texts])
