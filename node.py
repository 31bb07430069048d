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
from collections.abc import Sequence
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path

from api.logs import set_up_logs
from api.reporter import Report, Reporter
from api.rest import RestServer
from api.service import NodeService
from api.sessions import Sessions
from api.socket import SocketServer
from api.submissions import Submissions
from ca.authority import Authority, AuthorityError, read_roots
from ca.keys import InvalidKey, SigningKey
from ca.tls import client_context, pem_of, public_server_context, server_context
from contracts.deployment import DeploymentInvalid, check_deployment
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.authentication import roots_of
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope
from ledger.genesis import GENESIS_FILE_NAME, Genesis, GenesisInvalid, load_genesis
from ledger.intake import request_of
from ledger.ledger import CommittedBlock, DirectoryUnusable
from ledger.opening import marking_damage, open_ledger
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.projector import Projector
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
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.messages import ExecutionCertificate, Scope
from pbft.transport import Transport, TransportLimits
from sdk.client import AsyncClient
from sdk.clock import clock_of
from sdk.configuration import Configuration, ConfigurationError, NodeSection, load, picked
from sdk.methods import NodeStatus, PeerStatus, TransferStatus, ValidatorRecord
from sdk.process import ending_signals, event_loop_factory, follow_leash, make_socket_path
from sdk.transports import SocketTransport, connect

LOOPBACK = ("127.0.0.1", "::1", "localhost")
GC_THRESHOLD = 50_000
"""Allocations between young collections: a block makes many short-lived objects and no cycles."""
MISTAKES = (ConfigurationError, GenesisInvalid, DeploymentInvalid, MeterError, InvalidKey, AuthorityError)
UNUSABLE = (*MISTAKES, DirectoryUnusable)

log = logging.getLogger("wattq.node")


class Node:
    """Everything that one process runs. ``run`` ends when ``stop`` is called, and raises when any part fails."""

    def __init__(self, directory: Path, configuration: Configuration, name: str) -> None:
        self.name = name
        self.configuration = configuration
        self.section: NodeSection = configuration.section(name)
        self.home = directory / (self.section.directory or name)
        self.genesis: Genesis = load_genesis(directory / GENESIS_FILE_NAME)
        self._key = SigningKey.load(self.home / "node.key")
        self._check_place()
        check_deployment(self.genesis.contracts, self.genesis.parameters)
        self._meters = units_of(self.section.meter)
        self._socket_file = make_socket_path(self.home)
        self._loop = asyncio.get_running_loop()
        self._directory = directory
        authority = self.section.certificate_authority
        self.clock = clock_of(configuration.clock)
        self.files = files = DiskFiles(self.home / "data")
        self.ledger, damaged = open_ledger(
            lambda: disk_storage(files.path, files), self.genesis, PythonMachine(), MarketValidator()
        )
        self.database = EmbeddedDatabase(self.home / "data" / "documents.sqlite")
        self.projector = Projector(self.database, self.ledger.snapshot, configuration.limits.projector_lag_blocks_max)
        self.transport = self._transport()
        self.driver = Driver(
            self._replica_config,
            self._key,
            EpochLogs(files.below("wal"), DiskFiles(self.home)),
            self.transport,
            self.ledger,
            EvidenceStore(files.path / "evidence", self.ledger.boundaries),
            self.clock.now_ms,
            damaged=damaged,
        )
        client = AsyncClient([connect(f"unix:{self._socket_file}")], self.genesis, self._key)
        self.reporter = Reporter(client, lambda: self.driver.session.epoch.number)
        self.submissions = Submissions(self.ledger, self._order, configuration.limits.client_requests_per_s_max)
        self.ledger.on_commit.append(self._committed)
        self.ledger.on_install.append(self.projector.resync)
        self.driver.execution.on_certified = self._certified
        self.driver.on_evidence = self._proven
        self.service = NodeService(
            ledger=self.ledger,
            database=self.database,
            projector=self.projector,
            submissions=self.submissions,
            sessions=Sessions(self.genesis.chain_id, configuration.limits.sessions_max),
            status=self.status,
            authority=Authority.open(directory / authority) if authority else None,
            hand_over=self.driver.hand_over,
        )

    def _check_place(self) -> None:
        """The key of a node that votes from the beginning is the one that the genesis file has for its name."""
        keys = {validator.name: validator.public_key for validator in self.genesis.validators}
        if not self.section.observer and keys.get(self.name) != self._key.public_key:
            raise ConfigurationError(f"node.{self.name}: the genesis file has no such validator; set observer = true")

    def _replica_config(self, epoch: Epoch, index: int) -> ReplicaConfig:
        """The epoch, and every bound that configuration and genesis have under a field's name; genesis wins."""
        own, names = self.configuration, [field.name for field in fields(ReplicaConfig)]
        return ReplicaConfig(
            scope=Scope(self.genesis.chain_id, self.genesis.channel, epoch.number),
            validators=epoch.keys,
            index=index,
            first_height=epoch.first_height,
            first_primary=epoch.first_primary,
            skipped=tuple(skip.index for skip in epoch.skipped),
            **picked(names, own.timers, own.primary, own.limits, self.genesis.limits),
        )

    def _transport(self) -> Transport:
        # A newcomer's state, or that of a node that was away, may know fewer roots than the others do.
        certificate, key, roots = self.home / "node.crt", self.home / "node.key", pem_of(self.genesis.roots)
        vouched = read_roots(self.home / "roots.pem")
        names = [field.name for field in fields(TransportLimits)]
        transport = Transport(
            Hello(PROTOCOL_VERSION, self.genesis.chain_id, self.genesis.channel, self._key.public_key),
            lambda: (*roots_of(self.ledger.reader()), *vouched),
            server_context(certificate, key, roots),
            client_context(certificate, key, roots),
            TransportLimits(**picked(names, self.configuration.limits)),
        )
        transport.is_revoked = lambda serial: self.ledger.reader().get(f"governance/revoked/{serial}") is not None
        return transport

    # --------------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Serve until ``stop``, or until another validator set has taken over; whatever fails ends everything."""
        section, limits = self.section, self.configuration.limits
        self.projector.start()
        socket = SocketServer(self.service.handle, limits.rest_connections_max)
        await socket.listen_unix(self._socket_file)
        node = SocketTransport(f"unix:{self._socket_file}")
        rest = RestServer(node, limits.rest_body_bytes_max)
        public_tls = public_server_context(self.home / "node.crt", self.home / "node.key")
        try:
            if section.client_port:
                await socket.listen_tls(section.host, section.client_port, public_tls)
            if section.rest_port:  # HTTPS beyond loopback
                await rest.listen(section.host, section.rest_port, None if section.host in LOOPBACK else public_tls)
            await self.transport.start(section.host, section.peer_port)
            log.info("node %s of %s is up at height %d", self.name, self.genesis.network, self.ledger.height)
            with marking_damage(self.files):
                await self._run_parts()
        finally:
            await rest.close()
            await node.close()
            await socket.close()
            await self.transport.stop()
            self.projector.stop()
            self.database.close()
            self.ledger.close()

    async def _run_parts(self) -> None:
        """Consensus, the gateway if this node has meters, and reports; the node ends when consensus does."""
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self.reporter.run())]
            if self._meters:
                others.append(tasks.create_task(self._run_gateway()))
            await self.driver.run()
            for task in others:
                task.cancel()

    async def _run_gateway(self) -> None:
        key = SigningKey.load(self._directory / "users" / f"gateway-{self.name}.key")
        async with AsyncClient([connect(f"unix:{self._socket_file}")], self.genesis, key) as client:
            await run_gateway(self._meters, self.clock, client, self.home / "readings.buffer")

    # ---------------------------------------------------------------------------------------------- ports

    async def _order(self, envelopes: Sequence[Envelope]) -> list[Refusal | None]:
        taken = await self.driver.submit([request_of(envelope) for envelope in envelopes])
        return [None if good else Refusal(RefusalCode.POOL_FULL) for good in taken]

    def _committed(self, block: CommittedBlock) -> None:
        """On the execution thread."""
        self.projector.offer(block.height, block.changes)
        self._loop.call_soon_threadsafe(self.submissions.on_commit, block.height, block.tx_ids)

    def _certified(self, certificates: Sequence[ExecutionCertificate]) -> None:
        self.submissions.on_certified(certificates[-1].statement.height)

    def _proven(self, evidence: Evidence) -> None:
        if self.configuration.primary.report_primaries and (place := self.driver.session.config.index) != OBSERVER:
            self.reporter.offer(Report(evidence.scope.epoch, encode_evidence(evidence), place))

    def status(self) -> NodeStatus:
        """This node's own account of itself."""
        core, epoch, transfer = self.driver.replica.core, self.driver.session.epoch, self.driver.transfer
        names = tuple(validator.name for validator in epoch.validators)
        return NodeStatus(
            name=self.name,
            index=core.config.index,
            version=version("wattquorum"),
            chain=self.genesis.chain_id.hex(),
            channel=self.genesis.channel,
            view=core.view,
            view_active=core.active,
            primary=names[core.config.primary(core.view)],
            executed_height=self.ledger.height,
            certified_height=self.ledger.certified_height,
            state_root=self.ledger.state_root.hex(),
            block_time_ms=self.ledger.time_ms,
            state_database_height=self.projector.height,
            pool_transactions=len(core.pool),
            peers=tuple(self._peer(i, name) for i, name in enumerate(names) if i != core.config.index),
            rejects=dict(sorted((self.driver.rejects + self.transport.drops).items())),
            alarms=tuple(f"{alarm.kind}: {alarm.detail}" for alarm in self.driver.alarms),
            epoch=epoch.number,
            boundary=core.boundary,
            validators=tuple(ValidatorRecord(v.name, v.public_key, v.address) for v in epoch.validators),
            observer=core.config.index == OBSERVER,
            votes=core.votes,
            whole=core.whole,
            first_height=self.ledger.first_height,
            transfer=None if transfer is None else TransferStatus(*astuple(transfer)),
        )

    def _peer(self, index: int, name: str) -> PeerStatus:
        session = self.driver.session
        told, key = session.replica.core.peers.get(index), session.epoch.keys[index]
        return PeerStatus(
            name=name,
            connected=self.transport.connected(key),
            queued_bytes=self.transport.queued_bytes(key),
            executed_height=told.executed_height if told is not None else 0,
        )


async def serve(config: Path, name: str) -> None:
    """Run a node until a signal ends it."""
    configuration = load(config)
    section, limits = configuration.section(name), configuration.limits
    directory = config.parent
    file = directory / (section.directory or name) / "log" / "node.log"
    set_up_logs(file, section.log_level, section.log_format, limits.log_file_bytes_max, limits.log_files_max)
    node = Node(directory, configuration, name)
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, node.driver.stop)
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
