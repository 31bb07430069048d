"""Chains of any length with transactions that people signed: a node's home on disk, made in bounded memory.

Each block holds deposits signed by operators of two organisations; the validators' certificates follow it.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from governed import GENESIS, MACHINE, OPERATORS, START_MS, certify, make_genesis

from contracts.validation import MarketValidator
from ledger.envelope import Envelope, envelope_from_text
from ledger.genesis import Genesis, GenesisLimits, write_genesis
from ledger.ledger import Ledger
from ledger.runner import Ran
from ledger.storage import disk_storage
from pbft.disk import DiskFiles
from pbft.messages import Batch, batch_digest, encode_batch

LIMITS = GenesisLimits(40_960, 100, 200_000, 100_000_000, 64, 256, snapshot_depth=1)
LONG_GENESIS = make_genesis(limits=LIMITS)
DEPOSIT = 1_000


def open_home(home: Path, genesis: Genesis = GENESIS) -> Ledger:
    data = home / "data"
    return Ledger(disk_storage(data, DiskFiles(data)), genesis, MACHINE, MarketValidator())


def deposit(genesis: Genesis, height: int, index: int) -> Envelope:
    """The ``index``-th transaction of a block: its nonce follows from its place, so that nothing has to be kept."""
    keys = (OPERATORS[index % 2], OPERATORS[2])
    text = json.dumps(
        {
            "v": 1,
            "chain": genesis.chain_id.hex(),
            "channel": "main",
            "signers": [key.signer for key in keys],
            "contract": "credit",
            "function": "deposit",
            "args": {"account": OPERATORS[(height + index) % 4].signer, "amount": DEPOSIT},
            "nonce": height,
            "expires_at_height": height + 1_000,
            "gas_limit": 1_000_000,
        }
    )
    return envelope_from_text(text, [(key.public_key, key.sign(text.encode())) for key in keys])


def grow(ledger: Ledger, blocks: int, transactions: int = 1) -> None:
    """Execute and certify so many blocks more, of up to two transactions each."""
    genesis = ledger.genesis
    for _ in range(blocks):
        height, epoch = ledger.height + 1, ledger.epoch
        ran = commit(ledger, [deposit(genesis, height, index) for index in range(transactions)])
        ledger.certify([certify(ran.statement, epoch, genesis)])


def commit(ledger: Ledger, envelopes: Sequence[Envelope]) -> Ran:
    """Execute the next block, and leave it uncertified."""
    height = ledger.height + 1
    time_ms = START_MS + height * 1_000
    body = encode_batch(Batch("main", time_ms, tuple(item.raw for item in envelopes)))
    digest = batch_digest("main", time_ms, b"".join(item.hash for item in envelopes))
    return ledger.execute(height, digest, body, 0, 0)


def make_home(home: Path, blocks: int, genesis: Genesis = GENESIS, transactions: int = 1) -> Path:
    """A stopped node's home with so many blocks, and the genesis file beside it; the home."""
    home.mkdir(parents=True, exist_ok=True)
    write_genesis(home.parent / "genesis.json", genesis)
    with closing(open_home(home, genesis)) as ledger:
        grow(ledger, blocks, transactions)
    return home


def peak_mib() -> float:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1 << 20 if sys.platform == "darwin" else 1 << 10)
