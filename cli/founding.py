"""Founding, joining and closing channels: the steps of `wattq channel`.

A channel begins with a genesis file of its own. Its members get that file from their operator; the network is told
nothing but the channel's name and the file's hash, by a transaction that operators of enough organisations sign.
"""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ca.keys import SigningKey
from cli.operators import certificate_der, operators_of
from cluster import NEW_MARK, Cluster, ClusterError, gateway_name, peer_address
from contracts.catalog import channel_sources
from contracts.deployment import DeploymentInvalid, check_deployment
from contracts.parameters import MARKET_PARAMETERS, MEMBERS_ONLY
from ledger.genesis import (
    GENESIS_FILE_NAME,
    Genesis,
    GenesisInvalid,
    GenesisLimits,
    GenesisValidator,
    load_genesis,
    write_genesis,
)
from sdk import methods
from sdk.client import AsyncClient
from sdk.clock import clock_of
from sdk.configuration import NODES_MIN, picked
from sdk.errors import Refused, SdkError, Unavailable
from sdk.methods import ChannelRecord, NodeStatus
from sdk.transports import connect

CHANNELS = "channels"
"""In the network's directory the operators' copies of genesis files, in a node's home those of its channels."""
FILE_MODE = 0o600
NEEDED = ("governance", "registry")
"""Contracts without which nobody could be admitted to a channel, nor anything in it changed."""
NAME = re.compile("[a-z0-9][a-z0-9-]{0,31}")
UP_TIMEOUT_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a channel is to be: nodes that vote, further users, contracts' files, parameters that differ."""

    name: str
    members: Sequence[str]
    users: Sequence[str] = ()
    contracts: Path | None = None
    parameters: Mapping[str, int] | None = None


class Founding:
    """One network's channels, from the machine on which its operators' keys lie."""

    def __init__(self, network: Cluster) -> None:
        self._network = network
        self._main: Genesis = load_genesis(network.directory / GENESIS_FILE_NAME)

    def genesis_path(self, name: str) -> Path:
        """The operators' copy of a channel's genesis file."""
        return self._network.directory / CHANNELS / f"{name}.json"

    def genesis(self, name: str) -> Genesis:
        return load_genesis(self.genesis_path(name))

    # ------------------------------------------------------------------------------------------ commands

    async def create(self, plan: Plan) -> Genesis:
        """Make the genesis file, give it to the members, have the channel founded, and wait until it is up."""
        genesis = await self._make(plan)
        path = self.genesis_path(plan.name)
        if path.exists():
            raise ClusterError(f"{path} is there already; move it away first")
        homes = [self._network.home(name) for name in plan.members if self._is_here(name)]
        for home in homes:
            _free_place(home, genesis)
        path.parent.mkdir(exist_ok=True)
        _write(path, genesis)
        given = [place_genesis(home, genesis) for home in homes]
        try:
            await self._act("create", {"name": plan.name, "genesis": genesis.chain_id.hex()})
        except Refused as refusal:
            path.unlink()
            for place in given:
                shutil.rmtree(place)
            raise ClusterError(f"the channel was refused: {refusal}") from None
        except Unavailable as error:
            raise Unavailable(f"it may yet be founded, its files stay (see `wattq channel list`): {error}") from None
        await self._until_up(genesis, [name for name in plan.members if self._network.pid(name) is not None])
        return genesis

    async def close(self, name: str) -> None:
        """Have the channel closed: nothing is submitted to it any more, its members go on reading."""
        try:
            await self._act("close", {"name": name})
        except Refused as refusal:
            raise ClusterError(f"the channel was not closed: {refusal}") from None

    async def admit(self, name: str, certificate: Path) -> str:
        """Make somebody a member: the holder of a certificate; its signer."""
        genesis = self.genesis(name)
        text = base64.b64encode(certificate_der(certificate)).decode()
        async with self._client(genesis, operators_of(self._network.directory, genesis)[0]) as client:
            try:
                outcome = await client.invoke("registry", "admit", {"certificate_der": text})
            except Refused as refusal:
                raise ClusterError(f"{certificate} was not admitted: {refusal}") from None
        return str(outcome.value)

    async def channels(self) -> tuple[ChannelRecord, ...]:
        """What everybody may know of the network's channels."""
        async with self._client(self._main, None) as client:
            return (await client.call_plain(methods.CHANNELS, methods.Nothing())).channels

    async def statuses(self, name: str) -> dict[str, NodeStatus | None]:
        """Where the members' nodes stand; None for one that does not answer, or takes no part yet."""
        genesis = self.genesis(name)
        key = operators_of(self._network.directory, genesis)[0]
        names = [validator.name for validator in genesis.validators if validator.name in self._network.names]
        found = await asyncio.gather(*(self._status(genesis, node, key) for node in names))
        return dict(zip(names, found, strict=True))

    # ---------------------------------------------------------------------------------------------- steps

    async def _make(self, plan: Plan) -> Genesis:
        if NAME.fullmatch(plan.name) is None or plan.name == self._main.channel:
            raise ClusterError(
                f"{plan.name!r}: a name is 1 to 32 small letters, digits and hyphens, and not the main one's"
            )
        if len(plan.members) < NODES_MIN or len(set(plan.members)) != len(plan.members):
            raise ClusterError(f"a channel has at least {NODES_MIN} different members' nodes")
        sources = channel_sources() if plan.contracts is None else _sources(plan.contracts)
        for needed in NEEDED:
            if needed not in sources:
                raise ClusterError(
                    f"{plan.contracts}: a channel needs the contract {needed}; copy the shipped one there"
                )
        parameters = {**MARKET_PARAMETERS, **self._network.configuration.market, MEMBERS_ONLY: 1}
        for parameter in plan.parameters or {}:
            if parameter not in parameters:
                raise ClusterError(f"parameter {parameter}: unknown; there are {', '.join(sorted(parameters))}")
        parameters |= plan.parameters or {}
        try:
            check_deployment(sources, parameters)
        except DeploymentInvalid as error:
            raise ClusterError(str(error)) from None
        validators = await self._validators(plan.members)
        configuration = self._network.configuration
        try:
            return Genesis(
                network=self._main.network,
                channel=plan.name,
                lab=self._main.lab,
                time_ms=clock_of(configuration.clock).now_ms(),
                validators=validators,
                roots=self._main.roots,
                users=tuple(self._certificates(plan)),
                parameters=parameters,
                contracts=sources,
                limits=GenesisLimits(**picked(GenesisLimits.__struct_fields__, configuration.limits)),
            )
        except GenesisInvalid as error:
            raise ClusterError(str(error)) from None

    async def _validators(self, members: Sequence[str]) -> tuple[GenesisValidator, ...]:
        """Of nodes in this directory from their homes, of others as the network has them among its validators."""
        found: dict[str, GenesisValidator] = {}
        async with self._client(self._main, None) as client:
            for known in (await client.status()).validators:
                found[known.name] = GenesisValidator(known.name, known.public_key, known.address)
        for name in members:
            if self._is_here(name):
                key = SigningKey.load(self._network.home(name) / "node.key")
                found[name] = GenesisValidator(name, key.public_key, peer_address(self._network.section(name)))
        unknown = [name for name in members if name not in found]
        if unknown:
            raise ClusterError(f"{unknown[0]}: neither a node of this directory nor a validator of the network")
        return tuple(found[name] for name in members)

    def _certificates(self, plan: Plan) -> list[bytes]:
        """Of all operators, of the members' nodes and gateways, and of the users that were named."""
        users = self._network.directory / "users"
        paths = [path.with_suffix(".crt") for path in sorted(users.glob("operator*.key"))]
        paths += [self._network.home(name) / "node.crt" for name in plan.members if self._is_here(name)]
        gateways = [users / f"{gateway_name(name)}.crt" for name in plan.members]
        paths += [path for path in gateways if path.is_file()]
        for name in plan.users:
            path = users / f"{name}.crt"
            if not path.is_file():
                raise ClusterError(f"{path}: there is no such certificate")
            paths.append(path)
        return [certificate_der(path) for path in dict.fromkeys(paths)]

    async def _act(self, function: str, args: dict[str, str]) -> None:
        """An act of governance on the main ledger."""
        first, *others = operators_of(self._network.directory, self._main)
        async with self._client(self._main, first) as client:
            await client.invoke("channels", function, args, co_signers=others)

    async def _until_up(self, genesis: Genesis, names: Sequence[str]) -> None:
        key = operators_of(self._network.directory, genesis)[0]
        deadline = time.monotonic() + UP_TIMEOUT_S
        waiting = set(names)
        while waiting:
            for name in sorted(waiting):
                status = await self._status(genesis, name, key)
                if status is not None and status.certified_height > 0:
                    waiting.discard(name)
            if waiting and time.monotonic() > deadline:
                raise ClusterError(f"founded, but not up on {', '.join(sorted(waiting))} within {UP_TIMEOUT_S:.0f} s")
            if waiting:
                await asyncio.sleep(POLL_S)

    async def _status(self, genesis: Genesis, name: str, key: SigningKey) -> NodeStatus | None:
        endpoint = connect(self._network.rest_url(name))
        async with AsyncClient([endpoint], genesis, key, genesis.channel) as client:
            try:
                return await client.status()
            except SdkError:
                return None

    def _is_here(self, name: str) -> bool:
        return name in self._network.names and (self._network.home(name) / "node.key").is_file()

    def _client(self, genesis: Genesis, key: SigningKey | None) -> AsyncClient:
        """Of the main ledger, or of a channel through those of its members' nodes that are in this directory."""
        channel = "" if genesis.channel == self._main.channel else genesis.channel
        members = {validator.name for validator in genesis.validators}
        names = [name for name in self._network.names if not channel or name in members]
        if not names:
            raise ClusterError(f"no node of channel {channel} is in {self._network.directory}")
        return AsyncClient([connect(self._network.rest_url(name)) for name in names], genesis, key, channel)


def place_genesis(home: Path, genesis: Genesis) -> Path:
    """Give a node a channel's genesis file, with the mark of a node that has not voted there; the file's directory."""
    place = _free_place(home, genesis)
    place.mkdir(parents=True)
    if not (home / "data" / CHANNELS / genesis.channel).exists():
        (place / NEW_MARK).touch()
    _write(place / GENESIS_FILE_NAME, genesis)
    return place


def _free_place(home: Path, genesis: Genesis) -> Path:
    place = home / CHANNELS / genesis.channel
    if place.exists():
        raise ClusterError(f"{place} is there already: this node takes part, or has done so")
    return place


def _write(path: Path, genesis: Genesis) -> None:
    """Whole or not at all: a running node reads it as soon as it is there. For members' eyes only."""
    draft = path.with_suffix(".draft")
    write_genesis(draft, genesis)
    draft.chmod(FILE_MODE)
    draft.replace(path)


def _sources(directory: Path) -> dict[str, str]:
    try:
        found = {path.stem: path.read_text(encoding="ascii") for path in sorted(directory.glob("*.py"))}
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"{directory}: {error}") from None
    if not found:
        raise ClusterError(f"{directory}: there are no contracts (*.py)")
    return found
