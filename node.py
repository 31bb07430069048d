"""One node process: reads its section of ``cluster.toml`` and wires the rooms together. Sockets, disk, clock; no rules.

``python -m node --config cluster.toml --name node1`` runs until SIGTERM or SIGINT. Exit codes: 0 ended as asked,
1 failed, 2 unusable configuration, keys or directory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import ssl
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api.logs import set_up_logs
from api.rest import RestServer
from api.service import NodeService
from api.sessions import Sessions
from api.socket import SocketServer
from api.submissions import Submissions
from ca.authority import Authority, AuthorityError
from ca.keys import InvalidKey, SigningKey
from ca.tls import client_context, public_server_context, server_context
from contracts.deployment import DeploymentInvalid, check_deployment
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.chain import ChainCorrupt
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope
from ledger.genesis import GENESIS_FILE_NAME, Genesis, GenesisInvalid, load_genesis
from ledger.intake import request_of
from ledger.ledger import CommittedBlock, DirectoryUnusable, Ledger
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.projector import Projector
from meter.errors import MeterError
from meter.service import run_gateway
from meter.units import units_of
from pbft.config import ReplicaConfig
from pbft.driver import Driver
from pbft.messages import ExecutionCertificate, Scope
from pbft.replica import Replica
from pbft.transport import PROTOCOL_VERSION, Address, Hello, Transport
from pbft.wal import WalCorrupt, WriteAheadLog
from sdk.client import AsyncClient
from sdk.clock import Clock
from sdk.configuration import Configuration, ConfigurationError, NodeSection, load
from sdk.methods import NodeStatus, PeerStatus
from sdk.process import ending_signals, follow_leash, make_socket_path
from sdk.transports import connect

uvloop: Any
try:
    import uvloop
except ImportError:  # optional: faster where a wheel exists
    uvloop = None

GC_THRESHOLD = 50_000
"""Allocations between young collections: a block makes many short-lived objects and no cycles."""
DAMAGED = (ChainCorrupt, WalCorrupt, DeploymentInvalid, MeterError)
UNUSABLE = (ConfigurationError, GenesisInvalid, InvalidKey, AuthorityError, DirectoryUnusable, *DAMAGED)

log = logging.getLogger("wattq.node")


class Node:
    """Everything that one process runs. ``run`` ends when ``stop`` is called, and raises when any part fails."""

    def __init__(self, directory: Path, configuration: Configuration, name: str) -> None:
        self.name = name
        self.index = configuration.index_of(name)
        self.configuration = configuration
        self.section: NodeSection = configuration.node[name]
        self.home = directory / (self.section.directory or name)
        self.genesis: Genesis = load_genesis(directory / GENESIS_FILE_NAME)
        self._names = [validator.name for validator in self.genesis.validators]
        self._check_place()
        check_deployment(self.genesis.contracts, self.genesis.parameters)
        self._meters = units_of(self.section.meter)
        self._socket_file = make_socket_path(self.home)
        self._loop = asyncio.get_running_loop()
        self._directory = directory
        start_ms, clock = configuration.clock.start_ms, configuration.clock
        self.clock = Clock() if start_ms is None else Clock(start_ms, clock.rate, clock.wall_start_ms)
        key = SigningKey.load(self.home / "node.key")
        self.ledger = Ledger(self.home / "data", self.genesis, PythonMachine(), MarketValidator())
        self.database = EmbeddedDatabase(self.home / "data" / "documents.sqlite")
        self.projector = Projector(self.database, self.ledger.snapshot, configuration.limits.projector_lag_blocks_max)
        replica_config = self._replica_config()
        self.transport = self._transport(replica_config)
        self.driver = Driver(
            replica_config,
            Replica(replica_config, key.sign),
            WriteAheadLog(self.home / "data" / "wal"),
            self.transport,
            self.ledger,
            self.clock.now_ms,
        )
        self.submissions = Submissions(self.ledger, self._order)
        self.ledger.on_commit.append(self._committed)
        self.driver.on_certified = self._certified
        self.service = NodeService(
            ledger=self.ledger,
            database=self.database,
            projector=self.projector,
            submissions=self.submissions,
            sessions=Sessions(self.genesis.chain_id, configuration.limits.sessions_max),
            status=self.status,
            authority=self._authority(),
        )

    def _check_place(self) -> None:
        if self._names != list(self.configuration.node):
            validators = ", ".join(self._names)
            raise ConfigurationError(f"node: the genesis file has the validators {validators}, in this order")

    def _authority(self) -> Authority | None:
        where = self.section.certificate_authority
        return Authority.open(self._directory / where) if where else None

    def _replica_config(self) -> ReplicaConfig:
        timers, limits, fixed = self.configuration.timers, self.configuration.limits, self.genesis.limits
        return ReplicaConfig(
            scope=Scope(self.genesis.chain_id, self.genesis.channel, 0),
            validators=tuple(validator.public_key for validator in self.genesis.validators),
            index=self.index,
            checkpoint_interval_blocks=fixed.checkpoint_interval_blocks,
            window_blocks=fixed.window_blocks,
            pipeline_depth=limits.pipeline_depth,
            batch_transactions_max=fixed.batch_transactions_max,
            batch_bytes_max=fixed.batch_bytes_max,
            block_gas_max=fixed.block_gas_max,
            batch_delay_ms_max=timers.batch_delay_ms_max,
            block_idle_ms_max=timers.block_idle_ms_max,
            request_timeout_ms=timers.request_timeout_ms,
            view_change_timeout_ms=timers.view_change_timeout_ms,
            view_change_timeout_ms_max=timers.view_change_timeout_ms_max,
            status_interval_ms=timers.status_interval_ms,
            clock_tolerance_ms=timers.clock_tolerance_ms,
            pool_transactions_max=limits.pool_transactions_max,
            pool_bytes_max=limits.pool_bytes_max,
        )

    def _transport(self, config: ReplicaConfig) -> Transport:
        certificate, key = self.home / "node.crt", self.home / "node.key"
        roots = "".join(
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode() for der in self.genesis.roots
        )
        return Transport(
            hello=Hello(PROTOCOL_VERSION, self.genesis.chain_id, self.genesis.channel, self.index),
            keys=config.validators,
            addresses=[Address(node.host, node.peer_port) for node in self.configuration.node.values()],
            server_tls=server_context(certificate, key, roots),
            client_tls=client_context(certificate, key, roots),
            queue_bytes_max=self.configuration.limits.peer_queue_bytes_max,
        )

    # --------------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Serve until ``stop``; whatever fails ends everything, loudly."""
        section, limits = self.section, self.configuration.limits
        self.projector.start()
        socket = SocketServer(self.service.handle, limits.rest_connections_max)
        await socket.listen_unix(self._socket_file)
        node = connect(f"unix:{self._socket_file}")
        rest = RestServer(node, limits.rest_body_bytes_max)
        try:
            if section.client_port:
                await socket.listen_tls(section.host, section.client_port, self._public_tls())
            if section.rest_port:
                await rest.listen(section.host, section.rest_port, self._rest_tls())
            await self.transport.start(section.host, section.peer_port)
            log.info("node %s of %s is up at height %d", self.name, self.genesis.network, self.ledger.height)
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
        """Consensus, and the gateway if this node has meters; the node ends when consensus does."""
        async with asyncio.TaskGroup() as tasks:
            gateway = tasks.create_task(self._run_gateway()) if self._meters else None
            await self.driver.run()
            if gateway is not None:
                gateway.cancel()

    async def _run_gateway(self) -> None:
        key = SigningKey.load(self._directory / "users" / f"gateway-{self.name}.key")
        async with AsyncClient([connect(f"unix:{self._socket_file}")], self.genesis, key) as client:
            await run_gateway(self._meters, self.clock, client, self.home / "readings.buffer")

    def _public_tls(self) -> ssl.SSLContext:
        return public_server_context(self.home / "node.crt", self.home / "node.key")

    def _rest_tls(self) -> ssl.SSLContext | None:
        """Beyond loopback REST is HTTPS."""
        return None if self.section.host in ("127.0.0.1", "::1", "localhost") else self._public_tls()

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

    def status(self) -> NodeStatus:
        """This node's own account of itself."""
        core = self.driver.replica.core
        others = [i for i in range(len(self._names)) if i != self.index]
        return NodeStatus(
            name=self.name,
            index=self.index,
            version=version("wattquorum"),
            chain=self.genesis.chain_id.hex(),
            channel=self.genesis.channel,
            view=core.view,
            view_active=core.active,
            primary=self._names[core.config.primary(core.view)],
            executed_height=self.ledger.height,
            certified_height=self.ledger.certified_height,
            state_root=self.ledger.state_root.hex(),
            block_time_ms=self.ledger.time_ms,
            state_database_height=self.projector.height,
            pool_transactions=len(core.pool),
            peers=tuple(self._peer(index) for index in others),
            rejects=dict(sorted((self.driver.rejects + self.transport.drops).items())),
            alarms=tuple(f"{alarm.kind}: {alarm.detail}" for alarm in self.driver.alarms),
        )

    def _peer(self, index: int) -> PeerStatus:
        told = self.driver.replica.core.peers.get(index)
        return PeerStatus(
            name=self._names[index],
            connected=self.transport.connected(index),
            queued_bytes=self.transport.queued_bytes(index),
            executed_height=told.executed_height if told is not None else 0,
        )


async def serve(config: Path, name: str) -> None:
    """Run a node until a signal ends it."""
    configuration = load(config)
    configuration.index_of(name)
    section = configuration.node[name]
    directory = config.parent
    limits = configuration.limits
    set_up_logs(
        directory / (section.directory or name) / "log" / "node.log",
        section.log_level,
        section.log_format,
        limits.log_file_bytes_max,
        limits.log_files_max,
    )
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
        with asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as run:
            run.run(serve(options.config.resolve(), options.name))
    except UNUSABLE as error:
        print(f"node {options.name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
