"""The simulated network's genesis: keys and certificates from seeds, the same bytes in every process."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.keys import SigningKey
from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator
from ledger.genesis import Genesis, GenesisLimits, GenesisValidator
from ledger.ledger import Ledger
from sim import contract
from sim.disk import STORE, SimDisk
from sim.market_day import MARKET_DAY
from sim.plan import Disks, Plan

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2046, 1, 1, tzinfo=UTC)
GENESIS_TIME_MS = 1_799_999_000_000
CLIENTS_MAX = 8
STAGES_KEPT_MAX = 32
FIRST_SERIAL = 2
TRADERS_SERIAL = 1_000
TRADERS_MAX = 5
SKIP_BLOCKS = 40
SIGNED_MAX = 10_000
"""Signatures that a key remembers before it begins anew."""
GENESIS_PAIRS_MAX = 100_000
LIMITS = {
    "envelope_bytes_max": 40_960,
    "batch_transactions_max": 100,
    "batch_bytes_max": 200_000,
    "block_gas_max": 12_000_000,
    "checkpoint_interval_blocks": 4,
    "window_blocks": 12,
}


class SimKey(SigningKey):
    """A key that remembers what it signed: RFC 6979 gives the same signature again, only slower."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, deterministic: bool = False) -> None:
        assert deterministic, "made from a seed"
        super().__init__(private, deterministic)
        self._signed: dict[bytes, bytes] = {}

    def sign(self, message: bytes) -> bytes:
        signature = self._signed.get(message)
        if signature is None:
            if len(self._signed) >= SIGNED_MAX:
                self._signed.clear()
            signature = self._signed[message] = super().sign(message)
        return signature


def node_keys(count: int) -> list[SigningKey]:
    return [SimKey.from_seed(b"node%d" % index) for index in range(count)]


def operator_keys() -> list[SigningKey]:
    return [SimKey.from_seed(b"operator%d" % index) for index in range(CLIENTS_MAX)]


def name_of(owner: int) -> str:
    """A validator's name."""
    return f"node{owner + 1}"


@dataclass(frozen=True, slots=True)
class Person:
    """Who trades as a client on a market day: keys by what they are for, certificates (DER) of two of them."""

    keys: Mapping[str, SigningKey]
    certificates: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Stage:
    """What all worlds with one genesis share."""

    genesis: Genesis
    keys: list[SigningKey]
    """Of the validators, then of newcomers."""
    operators: list[SigningKey]
    """Of the clients."""
    machine: PythonMachine
    pairs: dict[bytes, bytes | None]
    """What a commit store holds that has genesis and nothing else."""
    traders: tuple[Person, ...] = ()
    """One a client, on a market day."""


def stage_of(plan: Plan) -> Stage:
    """The stage that a plan is played on; made once a process for all plans that agree on it."""
    special = plan.workload if plan.workload in (contract.BANK, MARKET_DAY) else ""
    return _stage(plan.nodes, plan.newcomers, tuple(sorted(plan.genesis.items())), special)


@lru_cache(maxsize=STAGES_KEPT_MAX)
def _stage(nodes: int, newcomers: int, limits: tuple[tuple[str, int], ...], workload: str) -> Stage:
    keys, operators, machine = node_keys(nodes + newcomers), operator_keys(), PythonMachine()
    more = {contract.BANK: contract.BANK_SOURCE} if workload == contract.BANK else {}
    if workload == MARKET_DAY:
        genesis = make_genesis(keys, nodes, operators, dict(limits), shipped_sources(), MARKET_PARAMETERS)
        return Stage(genesis, keys, operators, machine, _pairs(genesis, machine), tuple(_traders(operators)))
    genesis = make_genesis(keys, nodes, operators, dict(limits), more)
    return Stage(genesis, keys, operators, machine, _pairs(genesis, machine))


def _traders(operators: list[SigningKey]) -> Iterator[Person]:
    """Each with an operator of its own, whose nonces nobody else uses."""
    root = SigningKey.from_seed(b"root")
    for number, operator in enumerate(operators[:TRADERS_MAX]):
        trader, gateway = (SimKey.from_seed(f"{who}{number}".encode()) for who in ("trader", "gateway"))
        serial = TRADERS_SERIAL + 2 * number
        certificates = {
            "trader": _certificate(root, trader, f"trader{number}", "prosumer", serial, ca=False),
            "gateway": _certificate(root, gateway, f"gateway{number}", "gateway", serial + 1, ca=False),
        }
        second = operators[number - 1]
        yield Person({"trader": trader, "gateway": gateway, "operator": operator, "second": second}, certificates)


def _pairs(genesis: Genesis, machine: PythonMachine) -> dict[bytes, bytes | None]:
    disk = SimDisk(0, random.Random(0), Disks())
    Ledger(disk.storage(), genesis, machine, MarketValidator()).close()
    store = disk.storage().open_store(STORE)
    return dict(store.scan(b"", b"", GENESIS_PAIRS_MAX))


def make_genesis(
    keys: list[SigningKey],
    validators: int,
    operators: list[SigningKey],
    limits: Mapping[str, int],
    more_contracts: Mapping[str, str],
    parameters: Mapping[str, int] = MappingProxyType({}),
) -> Genesis:
    """Small limits, so that windows and checkpoints matter in short runs. The first ``validators`` keys vote."""
    root_key = SigningKey.from_seed(b"root")
    root = _certificate(root_key, root_key, "sim root", "root", 1, ca=True)
    people = [(key, f"operator{i}", "operator") for i, key in enumerate(operators)]
    people += [(key, name_of(i), "node") for i, key in enumerate(keys)]
    users = [
        _certificate(root_key, key, name, role, FIRST_SERIAL + i, ca=False)
        for i, (key, name, role) in enumerate(people)
    ]
    return Genesis(
        network="sim",
        channel="main",
        lab=True,
        time_ms=GENESIS_TIME_MS,
        validators=tuple(GenesisValidator(name_of(i), key.public_key) for i, key in enumerate(keys[:validators])),
        roots=(root,),
        users=tuple(users),
        parameters={**parameters, "skip_blocks": SKIP_BLOCKS},
        contracts={"governance": shipped_sources()["governance"], contract.NAME: contract.SOURCE, **more_contracts},
        limits=GenesisLimits(**{**LIMITS, **limits}),
    )


def _certificate(root: SigningKey, key: SigningKey, name: str, role: str, serial: int, *, ca: bool) -> bytes:
    """A certificate with fixed dates and serial and an RFC 6979 signature: deterministic bytes."""
    subject = _name(name, role)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name("sim root", "root"))
        .public_key(key.private.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    certificate = builder.sign(root.private, hashes.SHA256(), ecdsa_deterministic=True)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey), "P-256 throughout"
    return certificate.public_bytes(Encoding.DER)


def _name(name: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sim"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
        ]
    )
