"""One node process: reads its section of ``cluster.toml`` and wires the rooms together. Sockets, disk, clock; no rules.

``python -m node --config cluster.toml --name node1`` runs until SIGTERM or SIGINT. Exit codes: 0 ended as asked,
1 failed, 2 unusable configuration, keys or directory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from api.channels import Channels
from api.logs import set_up_logs
from api.reporter import Report
from api.rest import RestServer
from api.socket import SocketServer
from api.unit import Site, Unit
from ca.authority import Authority, AuthorityError, read_roots
from ca.certificates import Role
from ca.keys import InvalidKey, SigningKey, signer_of
from ca.tls import client_context, pem_of, public_server_context, server_context
from contracts.deployment import DeploymentInvalid, check_deployment
from contracts.sandbox.choice import SandboxUnavailable, choose
from contracts.validation import MarketValidator
from ledger.authentication import authenticate, roots_of
from ledger.genesis import GENESIS_FILE_NAME, Genesis, GenesisInvalid, load_genesis
from ledger.ledger import DirectoryUnusable
from ledger.opening import marking_damage
from ledger.storage import disk_storage
from meter.errors import MeterError
from meter.service import run_gateway
from meter.units import units_of
from pbft.config import OBSERVER, ReplicaConfig
from pbft.disk import DiskFiles
from pbft.driver import Driver
from pbft.epoch import Epoch
from pbft.epoch_logs import EpochLogs
from pbft.evidence import Evidence, encode_evidence
from pbft.evidence_store import EvidenceStore
from pbft.exchange import Exchange
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.messages import ExecutionCertificate, Scope
from pbft.transport import Transport, TransportLimits
from sdk.client import AsyncClient
from sdk.clock import clock_of
from sdk.configuration import LOOPBACK, Configuration, ConfigurationError, load, picked
from sdk.methods import NodeStatus, PeerStatus, TransferStatus, ValidatorRecord
from sdk.process import ending_signals, event_loop_factory, follow_leash, make_socket_path
from sdk.transports import SocketTransport, connect

GC_THRESHOLD = 50_000
"""Allocations between young collections: a block makes many short-lived objects and no cycles."""
MISTAKES = (ConfigurationError, GenesisInvalid, DeploymentInvalid, MeterError, InvalidKey, AuthorityError)
UNUSABLE = (*MISTAKES, DirectoryUnusable, SandboxUnavailable)
CHANNELS = "channels"
NEVER_MS = 31_536_000_000

log = logging.getLogger("wattq.node")


class Seat:
    """Our place in one channel: its ledger with what serves it, and the replica that we run for it."""

    def __init__(self, unit: Unit, home: Path, exchange: Exchange, closed: bool = False) -> None:
        """``home`` may hold the mark of a new place."""
        self.unit, self.closed = unit, closed
        self._site, self._genesis, self._files = unit.site, unit.genesis, DiskFiles(unit.data)
        admits = self._admits if unit.channel else exchange.transport.admits
        self.port = exchange.open(unit.genesis.chain_id, admits)
        self.driver = Driver(
            self._replica_config,
            unit.site.key,
            EpochLogs(self._files.below("wal"), DiskFiles(home)),
            self.port,
            unit.ledger,
            EvidenceStore(unit.data / "evidence", unit.ledger.boundaries),
            clock_of(unit.site.configuration.clock).now_ms,
            damaged=unit.damaged,
        )
        self.driver.execution.on_certified = self._certified
        self.driver.execution.on_ending = unit.projector.end
        self.driver.on_evidence = self._proven
        self.submit, self.hand_over, self.stop = self.driver.submit, self.driver.hand_over, self.driver.stop

    def _admits(self, key: bytes) -> bool:
        """Observers of a channel are nodes that its operators have admitted."""
        ledger = self.unit.ledger
        return authenticate(ledger.reader(), signer_of(key), (Role.NODE,), ledger.time_ms) is None

    def _replica_config(self, epoch: Epoch, index: int) -> ReplicaConfig:
        """The epoch, and every bound that configuration and genesis have under a field's name; genesis wins."""
        own, names = self._site.configuration, [field.name for field in fields(ReplicaConfig)]
        bounds = picked(names, own.timers, own.primary, own.limits, self._genesis.limits)
        return ReplicaConfig(
            scope=Scope(self._genesis.chain_id, self._genesis.channel, epoch.number),
            validators=epoch.keys,
            index=index,
            first_height=epoch.first_height,
            first_primary=epoch.first_primary,
            skipped=tuple(skip.index for skip in epoch.skipped),
            **bounds | ({"block_idle_ms_max": NEVER_MS} if self.closed else {}),
        )

    def rest(self) -> None:
        """The channel is closed: order what is on its way, and no empty blocks any more."""
        self.closed = True
        self.driver.reconfigure()

    async def run(self) -> None:
        """Serve until ``stop``, or until another validator set has taken over."""
        try:
            with marking_damage(self._files):
                await self.unit.run(self.driver.run())
        finally:
            self.port.close()  # nobody takes in what would still come

    def epoch(self) -> int:
        return self.driver.session.epoch.number

    def _certified(self, certificates: Sequence[ExecutionCertificate]) -> None:
        self.unit.submissions.on_certified(certificates[-1].statement.height)

    def _proven(self, evidence: Evidence) -> None:
        place = self.driver.session.config.index
        if self._site.configuration.primary.report_primaries and place != OBSERVER:
            self.unit.report(Report(evidence.scope.epoch, encode_evidence(evidence), place))

    def status(self) -> NodeStatus:
        """This node's own account of itself."""
        core, epoch, transfer = self.driver.replica.core, self.driver.session.epoch, self.driver.transfer
        names = tuple(validator.name for validator in epoch.validators)
        return self.unit.status(
            index=core.config.index,
            view=core.view,
            view_active=core.active,
            primary=names[core.config.primary(core.view)],
            pool_transactions=len(core.pool),
            peers=tuple(self._peer(i, name) for i, name in enumerate(names) if i != core.config.index),
            rejects=dict(sorted((self.driver.rejects + self.port.drops).items())),
            alarms=tuple(f"{alarm.kind}: {alarm.detail}" for alarm in self.driver.alarms),
            epoch=epoch.number,
            boundary=core.boundary,
            validators=tuple(ValidatorRecord(v.name, v.public_key, v.address) for v in epoch.validators),
            observer=core.config.index == OBSERVER,
            votes=core.votes,
            whole=core.whole,
            closed=core.config.block_idle_ms_max == NEVER_MS,
            transfer=None if transfer is None else TransferStatus(*astuple(transfer)),
        )

    def _peer(self, index: int, name: str) -> PeerStatus:
        key, told = self.driver.session.epoch.keys[index], self.driver.replica.core.peers.get(index)
        height = told.executed_height if told is not None else 0
        return PeerStatus(name, self.port.connected(key), self.port.queued_bytes(key), height)


class Node:
    """Everything that one process runs. ``run`` ends when ``stop`` is called, and raises when any part fails."""

    def __init__(self, directory: Path, configuration: Configuration, name: str) -> None:
        self.section = section = configuration.section(name)
        self.home = home = directory / (section.directory or name)
        self.genesis = genesis = load_genesis(directory / GENESIS_FILE_NAME)
        key = SigningKey.load(home / "node.key")
        keys = {validator.name: validator.public_key for validator in genesis.validators}
        if not section.observer and keys.get(name) != key.public_key:
            raise ConfigurationError(f"node.{name}: the genesis file has no such validator; set observer = true")
        self._meters = units_of(section.meter)
        self._gateway_key = directory / "users" / f"gateway-{name}.key"
        self.site = Site(name, key, configuration, make_socket_path(home))
        self.sandbox = choose(configuration.sandbox.mode)
        log.info("%s", self.sandbox)
        self.transport = self._transport()
        self.exchange = Exchange(self.transport)
        self.main = Seat(self._open(genesis, home / "data", ""), home, self.exchange)
        self.submit, self.hand_over, self.epoch = self.main.submit, self.main.hand_over, self.main.epoch
        self.stop, authority = self.main.stop, section.certificate_authority
        self.main.unit.attach(self, Authority.open(directory / authority) if authority else None)
        ledger, most = self.main.unit.ledger, configuration.limits.channels_max
        self.channels = Channels(home / CHANNELS, ledger, most, self._open_channel, self._take_seat)

    def _open(self, genesis: Genesis, data: Path, channel: str) -> Unit:
        check_deployment(genesis.contracts, genesis.parameters)
        storage = partial(disk_storage, data, DiskFiles(data))
        return Unit(self.site, genesis, data, storage, self.sandbox.machine(), MarketValidator(), channel)

    def _open_channel(self, genesis: Genesis) -> Unit:
        return self._open(genesis, self.home / "data" / CHANNELS / genesis.channel, genesis.channel)

    def _take_seat(self, unit: Unit, closed: bool) -> Seat:
        seat = Seat(unit, self.home / CHANNELS / unit.channel, self.exchange, closed)
        unit.attach(seat)
        return seat

    def _transport(self) -> Transport:
        # A newcomer's state, or that of a node that was away, may know fewer roots than the others do.
        certificate, key, roots = self.home / "node.crt", self.home / "node.key", pem_of(self.genesis.roots)
        vouched, limits = read_roots(self.home / "roots.pem"), self.site.configuration.limits
        transport = Transport(
            Hello(PROTOCOL_VERSION, self.genesis.chain_id, self.genesis.channel, self.site.key.public_key),
            lambda: (*roots_of(self.main.unit.ledger.reader()), *vouched),
            server_context(certificate, key, roots),
            client_context(certificate, key, roots),
            TransportLimits(**picked([field.name for field in fields(TransportLimits)], limits)),
        )
        revoked = "governance/revoked/"
        transport.is_revoked = lambda serial: self.main.unit.ledger.reader().get(revoked + serial) is not None
        return transport

    async def run(self) -> None:
        """Serve until ``stop``, or until another validator set has taken over; whatever fails ends everything."""
        section, limits, unit = self.section, self.site.configuration.limits, self.main.unit
        unit.start()
        socket = SocketServer(unit.service.handle, limits.rest_connections_max, self.channels.handler)
        await socket.listen_unix(self.site.socket)
        node, health = (SocketTransport(f"unix:{self.site.socket}") for _ in range(2))  # health never waits for others
        rest = RestServer(node, limits.rest_body_bytes_max, limits.rest_connections_max, health)
        public_tls = public_server_context(self.home / "node.crt", self.home / "node.key")
        try:
            if section.client_port:
                await socket.listen_tls(section.host, section.client_port, public_tls)
            if section.rest_port:  # HTTPS beyond loopback
                await rest.listen(section.host, section.rest_port, None if section.host in LOOPBACK else public_tls)
            await self.transport.start(section.host, section.peer_port)
            log.info("node %s of %s is up at height %d", self.site.name, self.genesis.network, unit.ledger.height)
            await self._run_parts()
        finally:
            await rest.close()
            await node.close()
            await health.close()
            await socket.close()
            await self.transport.stop()
            self.channels.close()
            unit.close()

    async def _run_parts(self) -> None:
        """The main channel, the others, and the gateway if this node has meters; the node ends when the first does."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.channels.run())
            gateway = tasks.create_task(self._run_gateway()) if self._meters else None
            await self.main.run()
            self.channels.stop()
            if gateway is not None:
                gateway.cancel()

    async def _run_gateway(self) -> None:
        key, endpoints = SigningKey.load(self._gateway_key), [connect(f"unix:{self.site.socket}")]
        async with AsyncClient(endpoints, self.genesis, key) as client:
            clock = clock_of(self.site.configuration.clock)
            await run_gateway(self._meters, clock, client, self.home / "readings.buffer")

    def status(self) -> NodeStatus:
        """The main channel's account, with what was dropped on all links."""
        told = self.main.status()
        return replace(told, rejects=dict(sorted((Counter(told.rejects) + self.transport.drops).items())))


async def serve(config: Path, name: str) -> None:
    """Run a node until a signal ends it."""
    configuration = load(config)
    section, limits = configuration.section(name), configuration.limits
    directory = config.parent
    file = directory / (section.directory or name) / "log" / "node.log"
    set_up_logs(file, section.log_level, section.log_format, limits.log_file_bytes_max, limits.log_files_max)
    node = Node(directory, configuration, name)
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, node.stop)
    await node.run()


def main() -> int:
    """The process's entry; see the module's text."""
    parser = argparse.ArgumentParser(prog="node", description="Run one Wattquorum node.")
    parser.add_argument("--config", type=Path, required=True, help="the network's cluster.toml")
    parser.add_argument("--name", required=True, help="which node of it, for example node1")
    options = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    follow_leash()
    try:
        with asyncio.Runner(loop_factory=event_loop_factory()) as run:
            run.run(serve(options.config.resolve(), options.name))
    except UNUSABLE as error:
        print(f"node {options.name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
