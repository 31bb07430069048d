"""Genesis: one canonical JSON file that fixes a network. Its SHA-256 is the chain's id; nothing else is trusted.

It holds validators, CA roots, the first users' certificates, the organisations that govern, market parameters,
contract sources and the limits that votes depend on. ``genesis_state`` is the world state at height 0, the same on
every machine.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from ca.certificates import CertificateFacts, InvalidCertificate, Role, certificate_facts
from ledger.epochs import EPOCH_KEY, LIMITS_KEY, EpochInvalid, check_epoch, epoch_value, new_view_bytes_max_of
from ledger.execution import ENGINE_VERSION
from ledger.state import Entry
from ledger.values import encode_value
from pbft.epoch import Epoch, Validator
from pbft.messages import DECODE_ERRORS, FRAME_BYTES_MAX

GENESIS_FILE_NAME = "genesis.json"
GENESIS_VERSION = 3
GENESIS_BYTES_MAX = 8 << 20
SNAPSHOT_DEPTH_MAX = 4


class GenesisInvalid(Exception):
    """A genesis file that can't be used; the message says why."""


class GenesisValidator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replica: name, 65-byte voting key, and "host:port" for its peers. Its place in the list is its index."""

    name: str
    public_key: bytes
    address: str = ""


class GenesisOrganisations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who governs: an act of governance takes operators of ``threshold`` different ones of these organisations."""

    names: tuple[str, ...]
    threshold: int


class GenesisLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that every vote depends on. ``rotation_blocks``: the primary changes every so many blocks; 0 for never.
    ``snapshot_depth``: levels of the state tree above the chunks of a snapshot, so 16 times as many chunks each."""

    envelope_bytes_max: int
    batch_transactions_max: int
    batch_bytes_max: int
    block_gas_max: int
    checkpoint_interval_blocks: int
    window_blocks: int
    rotation_blocks: int = 0
    snapshot_depth: int = 2


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    engine: int
    network: str
    channel: str
    lab: bool
    time_ms: int
    validators: tuple[GenesisValidator, ...]
    first_primary: int
    organisations: GenesisOrganisations
    roots: tuple[bytes, ...]
    users: tuple[bytes, ...]
    parameters: dict[str, int]
    contracts: dict[str, str]
    limits: GenesisLimits


class Genesis:
    """A network's beginning. ``raw`` is the file's bytes; equality is the chain id's.

    ``organisations`` None: those of the operators among ``users``, more than half of them to act.
    """

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
        organisations: GenesisOrganisations | None = None,
        first_primary: int = 0,
    ) -> None:
        self.facts = _facts_of(users, roots)
        """What the users' certificates say, in order."""
        self._file = _File(
            v=GENESIS_VERSION,
            engine=ENGINE_VERSION,
            network=network,
            channel=channel,
            lab=lab,
            time_ms=time_ms,
            validators=validators,
            first_primary=first_primary,
            organisations=_organisations_of(self.facts) if organisations is None else organisations,
            roots=roots,
            users=users,
            parameters=dict(sorted(parameters.items())),
            contracts=dict(sorted(contracts.items())),
            limits=limits,
        )
        self.epoch = Epoch(0, 1, tuple(Validator(v.name, v.public_key, v.address) for v in validators), first_primary)
        """The first one."""
        _check(self._file, self.epoch)
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
    def organisations(self) -> GenesisOrganisations:
        return self._file.organisations

    @cached_property
    def state(self) -> dict[str, Entry]:
        """The world state at height 0, by key. Shared: not to be changed."""
        values = _state_values(self)
        return {key: Entry(0, index, encode_value(values[key])) for index, key in enumerate(sorted(values))}


def parse_genesis(raw: bytes) -> Genesis:
    """Read a genesis file's bytes; ``GenesisInvalid`` if they are malformed, not canonical or inconsistent."""
    if len(raw) > GENESIS_BYTES_MAX:
        raise GenesisInvalid(f"a genesis file is at most {GENESIS_BYTES_MAX} bytes")
    try:
        file = msgspec.json.decode(raw, type=_File)
    except DECODE_ERRORS as error:
        raise GenesisInvalid(f"not a genesis file: {error}") from None
    if file.v != GENESIS_VERSION:
        raise GenesisInvalid(f"version {file.v}: this release knows only version {GENESIS_VERSION}")
    if file.engine != ENGINE_VERSION:
        other = f"this release's is {ENGINE_VERSION}, whose results and gas would differ from the other nodes'"
        raise GenesisInvalid(f"the network's contracts run on engine {file.engine}: {other}")
    fields = {name: getattr(file, name) for name in _File.__struct_fields__ if name not in ("v", "engine")}
    genesis = Genesis(**fields)
    if genesis.raw != raw:
        raise GenesisInvalid("not in canonical form")
    return genesis


def load_genesis(path: Path) -> Genesis:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise GenesisInvalid(f"there is no genesis file {path}; the network's lies in its directory") from None
    except OSError as error:
        raise GenesisInvalid(f"{path}: {error}") from None
    return parse_genesis(raw)


def write_genesis(path: Path, genesis: Genesis) -> None:
    path.write_bytes(genesis.raw)


def _to_bytes(file: _File) -> bytes:
    tree = msgspec.to_builtins(file)
    return (json.dumps(tree, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode()


def _facts_of(users: tuple[bytes, ...], roots: tuple[bytes, ...]) -> tuple[CertificateFacts, ...]:
    try:
        return tuple(certificate_facts(der, roots) for der in users)
    except InvalidCertificate as error:
        raise GenesisInvalid(f"a user's certificate: {error}") from None


def _organisations_of(users: tuple[CertificateFacts, ...]) -> GenesisOrganisations:
    names = tuple(sorted({facts.organisation for facts in users if facts.role == Role.OPERATOR}))
    return GenesisOrganisations(names, len(names) // 2 + 1)


def _check(file: _File, epoch: Epoch) -> None:
    try:
        check_epoch(epoch)
    except EpochInvalid as error:
        raise GenesisInvalid(str(error)) from None
    limits, organisations = file.limits, file.organisations
    if limits.checkpoint_interval_blocks < 1 or limits.window_blocks < 2 * limits.checkpoint_interval_blocks:
        raise GenesisInvalid("window_blocks: at least twice checkpoint_interval_blocks, which is at least 1")
    if new_view_bytes_max_of(limits.window_blocks) > FRAME_BYTES_MAX:
        raise GenesisInvalid(f"window_blocks: a NEW-VIEW about {limits.window_blocks} blocks may not fit a frame")
    if limits.rotation_blocks < 0 or not 0 <= limits.snapshot_depth <= SNAPSHOT_DEPTH_MAX:
        raise GenesisInvalid(f"rotation_blocks: not negative; snapshot_depth: 0 to {SNAPSHOT_DEPTH_MAX}")
    names = organisations.names
    if len(set(names)) != len(names) or not all(names) or not 1 <= organisations.threshold <= max(1, len(names)):
        raise GenesisInvalid("organisations: different names, and a threshold that they can reach")


def genesis_state(genesis: Genesis) -> dict[str, Entry]:
    """The world state at height 0, by key."""
    return dict(genesis.state)


def _state_values(genesis: Genesis) -> dict[str, Any]:
    organisations = genesis.organisations
    values: dict[str, Any] = {
        EPOCH_KEY: epoch_value(genesis.epoch),
        LIMITS_KEY: msgspec.to_builtins(genesis.limits),
        "governance/network": {"chain": genesis.chain_id.hex(), "channel": genesis.channel},
        "governance/organisations": {"names": list(organisations.names), "threshold": organisations.threshold},
    }
    for name, source in genesis.contracts.items():
        digest = sha256(source.encode()).hexdigest()
        values[f"governance/contract/{name}"] = {"source": source, "sha256": digest, "version": 1}
    for name, value in genesis.parameters.items():
        values[f"governance/parameter/{name}"] = {"value": value}
    for der in genesis.roots:
        values[f"governance/root/{sha256(der).hexdigest()}"] = {"certificate": base64.b64encode(der).decode()}
    for facts in genesis.facts:
        values[f"registry/user/{facts.signer}"] = _user_value(facts)
    return values


def _user_value(facts: CertificateFacts) -> dict[str, Any]:
    return {
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
