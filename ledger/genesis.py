"""Genesis: one canonical JSON file that fixes a network. Its SHA-256 is the chain's id; nothing else is trusted.

It holds validators, CA roots, the first users' certificates, market parameters, contract sources and the
limits that votes depend on. ``genesis_state`` is the world state at height 0, the same on every machine.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from ca.certificates import InvalidCertificate, certificate_facts
from ca.keys import POINT_BYTES
from ledger.state import Entry
from ledger.values import encode_value

GENESIS_FILE_NAME = "genesis.json"
GENESIS_VERSION = 1
ENGINE_VERSION = 1
GENESIS_BYTES_MAX = 8 << 20


class GenesisInvalid(Exception):
    """A genesis file that can't be used; the message says why."""


class GenesisValidator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replica: its name and 65-byte voting key. Its place in the list is its index."""

    name: str
    public_key: bytes


class GenesisLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that every vote depends on."""

    envelope_bytes_max: int
    batch_transactions_max: int
    batch_bytes_max: int
    block_gas_max: int
    checkpoint_interval_blocks: int
    window_blocks: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    engine: int
    network: str
    channel: str
    lab: bool
    time_ms: int
    validators: tuple[GenesisValidator, ...]
    roots: tuple[bytes, ...]
    users: tuple[bytes, ...]
    parameters: dict[str, int]
    contracts: dict[str, str]
    limits: GenesisLimits


class Genesis:
    """A network's beginning. ``raw`` is the file's bytes; equality is the chain id's."""

    def __init__(
        self,
        network: str,
        channel: str,
        lab: bool,
        time_ms: int,
        validators: tuple[GenesisValidator, ...],
        roots: tuple[bytes, ...],
        users: tuple[bytes, ...],
        parameters: Mapping[str, int],
        contracts: Mapping[str, str],
        limits: GenesisLimits,
    ) -> None:
        self._file = _File(
            v=GENESIS_VERSION,
            engine=ENGINE_VERSION,
            network=network,
            channel=channel,
            lab=lab,
            time_ms=time_ms,
            validators=validators,
            roots=roots,
            users=users,
            parameters=dict(sorted(parameters.items())),
            contracts=dict(sorted(contracts.items())),
            limits=limits,
        )
        _check(self._file)
        self.raw = _to_bytes(self._file)
        self.chain_id = sha256(self.raw).digest()

    @property
    def network(self) -> str:
        return self._file.network

    @property
    def channel(self) -> str:
        return self._file.channel

    @property
    def lab(self) -> bool:
        return self._file.lab

    @property
    def time_ms(self) -> int:
        return self._file.time_ms

    @property
    def validators(self) -> tuple[GenesisValidator, ...]:
        return self._file.validators

    @property
    def roots(self) -> tuple[bytes, ...]:
        return self._file.roots

    @property
    def users(self) -> tuple[bytes, ...]:
        return self._file.users

    @property
    def parameters(self) -> dict[str, int]:
        return self._file.parameters

    @property
    def contracts(self) -> dict[str, str]:
        return self._file.contracts

    @property
    def limits(self) -> GenesisLimits:
        return self._file.limits

    @property
    def validators_hash(self) -> bytes:
        return validators_hash(self._file.validators)


def parse_genesis(raw: bytes) -> Genesis:
    """Read a genesis file's bytes; ``GenesisInvalid`` if they are malformed, not canonical or inconsistent."""
    if len(raw) > GENESIS_BYTES_MAX:
        raise GenesisInvalid(f"a genesis file is at most {GENESIS_BYTES_MAX} bytes")
    try:
        file = msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GenesisInvalid(f"not a genesis file: {error}") from None
    if file.v != GENESIS_VERSION or file.engine != ENGINE_VERSION:
        raise GenesisInvalid(f"version {file.v}, engine {file.engine}: this release knows only 1 and 1")
    fields = {name: getattr(file, name) for name in _File.__struct_fields__ if name not in ("v", "engine")}
    genesis = Genesis(**fields)
    if genesis.raw != raw:
        raise GenesisInvalid("not in canonical form")
    return genesis


def load_genesis(path: Path) -> Genesis:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise GenesisInvalid(f"{path}: {error}") from None
    return parse_genesis(raw)


def write_genesis(path: Path, genesis: Genesis) -> None:
    path.write_bytes(genesis.raw)


def _to_bytes(file: _File) -> bytes:
    tree = msgspec.to_builtins(file)
    return (json.dumps(tree, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode()


def _check(file: _File) -> None:
    names = [validator.name for validator in file.validators]
    keys = [validator.public_key for validator in file.validators]
    if not file.validators or len(set(names)) != len(names) or len(set(keys)) != len(keys):
        raise GenesisInvalid("validators need different names and keys")
    if any(len(key) != POINT_BYTES for key in keys):
        raise GenesisInvalid("a validator's key is not a 65-byte point")
    for der in file.users:
        try:
            certificate_facts(der, file.roots)
        except InvalidCertificate as error:
            raise GenesisInvalid(f"a user's certificate: {error}") from None


def validators_hash(validators: tuple[GenesisValidator, ...]) -> bytes:
    """What an execution certificate says of the next block's validators."""
    return sha256(encode_value(_validators_value(validators))).digest()


def _validators_value(validators: tuple[GenesisValidator, ...]) -> list[Any]:
    return [{"name": v.name, "public_key": base64.b64encode(v.public_key).decode()} for v in validators]


def genesis_state(genesis: Genesis) -> dict[str, Entry]:
    """The world state at height 0, by key."""
    values: dict[str, Any] = {"governance/validators": _validators_value(genesis.validators)}
    for name, source in genesis.contracts.items():
        digest = sha256(source.encode()).hexdigest()
        values[f"governance/contract/{name}"] = {"source": source, "sha256": digest, "version": 1}
    for name, value in genesis.parameters.items():
        values[f"governance/parameter/{name}"] = {"value": value}
    for der in genesis.roots:
        values[f"governance/root/{sha256(der).hexdigest()}"] = {"certificate": base64.b64encode(der).decode()}
    for der in genesis.users:
        facts = certificate_facts(der, genesis.roots)
        values[f"registry/user/{facts.signer}"] = {
            "type": "user",
            "signer": facts.signer,
            "name": facts.name,
            "organisation": facts.organisation,
            "role": facts.role,
            "serial": facts.serial,
            "issuer": facts.issuer,
            "not_before_ms": facts.not_before_ms,
            "not_after_ms": facts.not_after_ms,
            "suspended": False,
            "registered_height": 0,
        }
    return {key: Entry(0, index, encode_value(values[key])) for index, key in enumerate(sorted(values))}
