"""A ledger with the shipped contracts and no network: four validators, three organisations, blocks made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from memory_files import Fuse, MemoryFiles

from ca.keys import SigningKey
from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.blocks import Result
from ledger.envelope import Envelope, envelope_from_text
from ledger.epochs import epoch_value
from ledger.genesis import Genesis, GenesisLimits, GenesisOrganisations, GenesisValidator
from ledger.ledger import Ledger
from ledger.memory_store import MemoryStore
from ledger.runner import Ran
from ledger.storage import Storage
from ledger.store import CommitStore
from pbft.epoch import Epoch, Validator
from pbft.messages import (
    NULL_DIGEST,
    Batch,
    ExecutionCertificate,
    Scope,
    Statement,
    batch_digest,
    encode_batch,
    statement_bytes,
)
from pbft.quorum import quorum

START_MS = 1_800_000_000_000
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
INTERVAL, WINDOW = 4, 8
NODES = tuple(SigningKey.from_seed(b"governed node %d" % index) for index in range(6))
"""The first four validate from genesis on."""
OPERATORS = tuple(SigningKey.from_seed(b"governed operator %d" % index) for index in range(4))
ORGANISATIONS = ("north", "south", "west")
"""Each with one operator, and the first with one more."""
_ROOT = SigningKey.from_seed(b"governed root")


def certificate(key: SigningKey, name: str, organisation: str, role: str, serial: int, *, ca: bool = False) -> bytes:
    """A certificate with fixed dates, issued by the root: the same bytes every time."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name, organisation, role))
        .issuer_name(_name(name, organisation, role) if ca else _name("root", "north", "root"))
        .public_key(key.private.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    issuer = key if ca else _ROOT
    return builder.sign(issuer.private, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _name(name: str, organisation: str, role: str) -> x509.Name:
    parts = (
        (NameOID.COMMON_NAME, name),
        (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, role),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


ROOT_DER = certificate(_ROOT, "root", "north", "root", 1, ca=True)


def validator(index: int) -> Validator:
    return Validator(f"node{index + 1}", NODES[index].public_key, f"127.0.0.1:{7000 + index}")


def make_genesis(**changes: Any) -> Genesis:
    users = [
        certificate(key, f"operator{i}", ORGANISATIONS[i % 3], "operator", 10 + i) for i, key in enumerate(OPERATORS)
    ]
    users += [certificate(key, f"node{i + 1}", "north", "node", 20 + i) for i, key in enumerate(NODES)]
    parts: dict[str, Any] = {
        "network": "test",
        "channel": "main",
        "lab": True,
        "time_ms": START_MS,
        "validators": tuple(
            GenesisValidator(*(getattr(validator(i), f) for f in ("name", "public_key", "address"))) for i in range(4)
        ),
        "roots": (ROOT_DER,),
        "users": tuple(users),
        "parameters": {**MARKET_PARAMETERS, "skip_blocks": 20},
        "contracts": shipped_sources(),
        "limits": GenesisLimits(57_344, 100, 200_000, 100_000_000, INTERVAL, WINDOW, snapshot_depth=1),
        "organisations": GenesisOrganisations(ORGANISATIONS, 2),
    }
    return Genesis(**{**parts, **changes})


GENESIS = make_genesis()
MACHINE = PythonMachine()


class _Store(MemoryStore):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def write(self, batch: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        self._fuse.spend()
        super().write(batch, sync=sync)


class MemoryDisk:
    """Files and stores that outlive a ledger, with one fuse for all changes."""

    def __init__(self) -> None:
        self.fuse = Fuse()
        self.files = MemoryFiles(self.fuse)
        self.stores: dict[str, MemoryStore] = {}

    def storage(self) -> Storage:
        return Storage(self.files, self._open, self._remove)

    def _open(self, name: str) -> CommitStore:
        return self.stores.setdefault(name, _Store(self.fuse))

    def _remove(self, name: str) -> None:
        if name in self.stores:
            self.fuse.spend()
            del self.stores[name]

    def lose_unsynced(self) -> None:
        """What a power cut does, and a whole fuse for the time after it."""
        self.fuse.blows_at = None
        self.files.lose_unsynced()
        for store in self.stores.values():
            store.lose(store.unsynced)


def open_ledger(disk: MemoryDisk, genesis: Genesis = GENESIS) -> Ledger:
    return Ledger(disk.storage(), genesis, MACHINE, MarketValidator())


class Network:
    """One ledger, and all the keys that consensus and clients would have."""

    def __init__(self, genesis: Genesis = GENESIS) -> None:
        self.genesis = genesis
        self.disk = MemoryDisk()
        self.ledger = open_ledger(self.disk, genesis)
        self._nonces: dict[str, int] = {}

    def boundary(self) -> int | None:
        """The ledger's, asked anew each time."""
        return self.ledger.boundary

    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = open_ledger(self.disk, self.genesis)

    def envelope(self, keys: Sequence[SigningKey], contract: str, function: str, args: Mapping[str, Any]) -> Envelope:
        nonce = self._nonces.get(keys[0].signer, 0)
        self._nonces[keys[0].signer] = nonce + 1
        payload = {
            "v": 1,
            "chain": self.genesis.chain_id.hex(),
            "channel": "main",
            "signers": [key.signer for key in keys],
            "contract": contract,
            "function": function,
            "args": dict(args),
            "nonce": nonce,
            "expires_at_height": 100_000,
            "gas_limit": 1_000_000,
        }
        text = json.dumps(payload)
        return envelope_from_text(text, [(key.public_key, key.sign(text.encode())) for key in keys])

    def block(self, *envelopes: Envelope, certified: bool = True) -> Ran:
        """Execute the next block; a null request's if there are no envelopes."""
        height, epoch = self.ledger.height + 1, self.ledger.epoch
        if envelopes:
            body = encode_batch(Batch("main", START_MS + height, tuple(item.raw for item in envelopes)))
            digest = batch_digest("main", START_MS + height, b"".join(item.hash for item in envelopes))
        else:
            body, digest = b"", NULL_DIGEST
        ran = self.ledger.execute(height, digest, body, 0, 0)
        if certified:
            self.ledger.certify([certify(ran.statement, epoch, self.genesis)])
        return ran

    def govern(self, function: str, certified: bool = True, operators: int = 2, **args: Any) -> Result:
        """An act of governance in a block of its own."""
        ran = self.block(self.envelope(OPERATORS[:operators], "governance", function, args), certified=certified)
        return ran.executed.results[-1]

    def run_to(self, height: int) -> None:
        while self.ledger.height < height:
            self.block()

    def change(self, *indexes: int, first_primary: int = 0) -> int:
        """Schedule the validators with these indexes, and go on to where they take over; that epoch's boundary."""
        result = self.govern(
            "set_validators",
            validators=[validator_value(index) for index in indexes],
            first_primary=first_primary,
            at_height=0,
        )
        assert result.code == "OK", result.message
        boundary = self.ledger.boundary
        assert boundary is not None, "a change is pending"
        self.run_to(boundary)
        return boundary


def validator_value(index: int) -> dict[str, str]:
    made: dict[str, str] = epoch_value(Epoch(0, 1, (validator(index),)))["validators"][0]
    return made


def key_of(public_key: bytes) -> SigningKey:
    return next(key for key in NODES if key.public_key == public_key)


def certify(
    statement: Statement, epoch: Epoch, genesis: Genesis = GENESIS, signers: Sequence[int] | None = None
) -> ExecutionCertificate:
    """A certificate by a quorum of the epoch's validators."""
    chosen = range(quorum(len(epoch.validators))) if signers is None else signers
    signed = statement_bytes(Scope(genesis.chain_id, genesis.channel, epoch.number), statement)
    signatures = tuple((index, key_of(epoch.keys[index]).sign(signed)) for index in chosen)
    return ExecutionCertificate(epoch.number, statement, signatures)
