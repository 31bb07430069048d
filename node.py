"""One node process: reads its section of ``cluster.toml`` and wires the rooms together. Sockets, disk, clock; no rules.

``python -m node --config cluster.toml --name node1`` runs until SIGTERM or SIGINT. Exit codes: 0 ended as asked,
1 failed, 2 unusable configuration, keys or directory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from api.addresses import addresses_of
from api.affairs import Affairs, LivePower
from api.buckets import Paces
from api.certificates import CertificateWatch
from api.channels import Channels
from api.enrolment import office_of
from api.logs import reset_levels, set_up_logs
from api.operations import Operations, OperationsServer
from api.options import options_of
from api.rest import RestServer
from api.socket import SocketServer
from api.socket_streams import StreamDoor
from api.stream_doors import stream_routes
from api.unit import Site, Unit
from ca.authority import AuthorityError, read_roots
from ca.keys import InvalidKey, SigningKey
from ca.tls import client_context, pem_of, public_server_context, server_context, welcoming_server_context
from contracts.deployment import DeploymentInvalid, check_deployment
from contracts.sandbox.choice import SandboxUnavailable, choose
from contracts.validation import MarketValidator
from ledger.authentication import roots_of
from ledger.genesis import GENESIS_FILE_NAME, Genesis, GenesisInvalid, load_genesis
from ledger.ledger import DirectoryUnusable
from ledger.storage import disk_storage
from meter.errors import MeterError
from meter.metering import Metering
from pbft.disk import DiskFiles
from pbft.exchange import Exchange
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.transport import Transport, TransportLimits
from sdk.client import AsyncClient
from sdk.configuration import LOOPBACK, Configuration, ConfigurationError, load, picked
from sdk.methods import NodeStatus
from sdk.process import ending_signals, event_loop_factory, follow_leash, make_socket_path
from sdk.transports import SocketTransport, connect
from seat import Seat

GC_THRESHOLD = 50_000
"""Allocations between young collections: a block makes many short-lived objects and no cycles."""
MISTAKES = (ConfigurationError, GenesisInvalid, DeploymentInvalid, MeterError, InvalidKey, AuthorityError)
UNUSABLE = (*MISTAKES, DirectoryUnusable, SandboxUnavailable)
CHANNELS = "channels"

log = logging.getLogger("wattq.node")


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
        self.metering = Metering(configuration, name, genesis.network, home)
        self._gateway_key = directory / "users" / f"gateway-{name}.key"
        addresses = addresses_of(section, home / "node.crt")
        self.site = Site(name, key, configuration, make_socket_path(home), addresses)
        self.rest_options = options_of(configuration)
        self.paces = Paces(self.rest_options)
        self.sandbox = choose(configuration.sandbox.mode)
        log.info("%s", self.sandbox)
        self.site.watch.tell_sandbox(self.sandbox.mode)
        self.transport = self._transport()
        self.exchange = self._exchange()
        self.main = Seat(self._open(genesis, home / "data", ""), home, self.exchange)
        self.submit, self.hand_over, self.epoch = self.main.submit, self.main.hand_over, self.main.epoch
        self.diagnosis, self.rounds = self.main.diagnosis, self.main.rounds
        own, url = section.certificate_authority, configuration.network.ca_url
        self.office = office_of(directory / own if own else None, url, self._roots, self._is_revoked)
        self.stop = self.main.stop
        self.main.unit.attach(self, self.office)
        watched, shown = (home / "node.crt", home / "node.key"), (*self._peer_tls, self._public_tls, self._client_tls)
        self.watch = CertificateWatch(
            *watched, key.public_key, self._roots, shown, self.site.watch.measures.certificate_days
        )
        ledger, most = self.main.unit.ledger, configuration.limits.channels_max
        self.channels = Channels(home / CHANNELS, ledger, most, self._open_channel, self._take_seat, addresses)

    def _open(self, genesis: Genesis, data: Path, channel: str) -> Unit:
        check_deployment(genesis.contracts, genesis.parameters)
        storage = partial(disk_storage, data, DiskFiles(data))
        machine = self.sandbox.machine(self.site.watch.measuring(genesis.channel).worker_replaced)
        return Unit(self.site, genesis, data, storage, machine, MarketValidator(), channel)

    def _open_channel(self, genesis: Genesis) -> Unit:
        return self._open(genesis, self.home / "data" / CHANNELS / genesis.channel, genesis.channel)

    def _take_seat(self, unit: Unit, closed: bool) -> Seat:
        seat = Seat(unit, self.home / CHANNELS / unit.channel, self.exchange, closed)
        unit.attach(seat)
        return seat

    def _transport(self) -> Transport:
        certificate, key, roots = self.home / "node.crt", self.home / "node.key", pem_of(self.genesis.roots)
        self._vouched, limits = read_roots(self.home / "roots.pem"), self.site.configuration.limits
        self._peer_tls = server_context(certificate, key, roots), client_context(certificate, key, roots)
        self._public_tls = public_server_context(certificate, key)
        self._client_tls = welcoming_server_context(certificate, key, roots)
        transport = Transport(
            Hello(PROTOCOL_VERSION, self.genesis.chain_id, self.genesis.channel, self.site.key.public_key),
            self._roots,
            *self._peer_tls,
            TransportLimits(**picked([field.name for field in fields(TransportLimits)], limits)),
        )
        transport.is_revoked = self._is_revoked
        return transport

    def _exchange(self) -> Exchange:
        return Exchange(self.transport)

    def _whose(self, channel: str, token: str) -> str:
        """The signer whose session a token is."""
        sessions = self.main.unit.sessions
        return self.channels.whose(channel, token) if channel else sessions.whose(token, time.time_ns() // 1_000_000)

    def _charge(self, address: str, channel: str, token: str, signer: str) -> None:
        self.paces.charge(address, self._whose(channel, token) if token else signer)

    def _door(self, channel: str) -> StreamDoor:
        return self.channels.door(channel) if channel else self.main.unit.service

    def _roots(self) -> tuple[bytes, ...]:
        """A newcomer's state, or that of a node that was away, may know fewer roots than the others do."""
        return (*roots_of(self.main.unit.ledger.reader()), *self._vouched)

    def _is_revoked(self, serial: str) -> bool:
        return self.main.unit.ledger.reader().get("governance/revoked/" + serial) is not None

    async def run(self) -> None:
        """Serve until ``stop``, or until another validator set has taken over; whatever fails ends everything."""
        section, limits, unit = self.section, self.site.configuration.limits, self.main.unit
        unit.start()
        service, most = unit.service, limits.rest_connections_max
        socket = SocketServer(service.handle, most, self.channels.handler, self._door, service.identify, self._charge)
        await socket.listen_unix(self.site.socket)
        # Health never waits for others, nor does anybody for streams.
        node, health, streams = (SocketTransport(f"unix:{self.site.socket}") for _ in range(3))
        rest = RestServer(node, self.rest_options, health, whose=self._whose, paces=self.paces)
        operations = Operations(health, self.site.metrics, self.site.watch.measures)
        operations.attach(rest.app)
        self.site.watch.measures.connections.set_function(lambda: rest.hall.count)
        rest.app.add_routes(stream_routes(streams))
        probed = OperationsServer(operations)
        try:
            if section.metrics_port:
                await probed.listen(section.host, section.metrics_port)
            if section.client_port:
                await socket.listen_tls(
                    section.host, section.client_port, self._client_tls, lambda: roots_of(unit.ledger.reader())
                )
            if section.rest_port:  # HTTPS beyond loopback
                tls = None if section.host in LOOPBACK else self._public_tls
                await rest.listen(section.host, section.rest_port, tls)
            await self.transport.start(section.host, section.peer_port)
            log.info("node %s of %s is up at height %d", self.site.name, self.genesis.network, unit.ledger.height)
            await self._run_parts()
        finally:
            await streams.close()
            await rest.close()
            await probed.close()
            await node.close()
            await health.close()
            await socket.close()
            await self.office.close()
            await self.transport.stop()
            self.channels.close()
            unit.close()

    async def _run_parts(self) -> None:
        """The main channel, the others, and meters and MQTT if this node has them; it ends when the first does."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.channels.run())
            watch = tasks.create_task(self.watch.run())
            metering = tasks.create_task(self._run_metering())
            await self.main.run()
            self.channels.stop()
            watch.cancel()
            metering.cancel()

    async def _run_metering(self) -> None:
        key = SigningKey.load(self._gateway_key) if self.metering.units else None
        unit, site, chain = self.main.unit, self.site, self.genesis.chain_id.hex()
        affairs = Affairs(unit.service.hub, unit.ledger, site.key.signer)
        power = LivePower(unit.service.hub, unit.ledger)
        async with AsyncClient([connect(f"unix:{site.socket}")], self.genesis, key) as client:
            await self.metering.run(client, chain, self._public_tls, self.status, affairs, [power], site.metrics)

    def status(self) -> NodeStatus:
        """The main channel's account, with what was dropped on all links and how long certificates still hold."""
        told, watch = self.main.status(), self.watch
        rejects = dict(sorted((Counter(told.rejects) + self.transport.drops).items()))
        alarms, ends = (*told.alarms, *watch.alarms()), watch.certificates()
        return replace(told, rejects=rejects, alarms=alarms, certificates=ends, warnings=watch.warnings())


async def serve(config: Path, name: str, make: Callable[[Path, Configuration, str], Node]) -> None:
    """Run a node until a signal ends it."""
    configuration = load(config)
    section, limits = configuration.section(name), configuration.limits
    directory = config.parent
    file = directory / (section.directory or name) / "log" / "node.log"
    set_up_logs(file, section.log_level, section.log_format, limits.log_file_bytes_max, limits.log_files_max)
    node = make(directory, configuration, name)
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, node.stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, reread_log_level, config, name)
    await node.run()


def reread_log_level(config: Path, name: str) -> None:
    """Log from now on what the file says: it was changed while the node runs. (A hang-up ends a node.)"""
    try:
        level = load(config).section(name).log_level
    except ConfigurationError as error:
        log.error("the log level stays as it is: %s", error)
        return
    reset_levels(level)
    log.warning("the log level is %s now", level)


def arguments(prog: str) -> argparse.ArgumentParser:
    """What every node process is told."""
    parser = argparse.ArgumentParser(prog=prog, description="Run one Wattquorum node.")
    parser.add_argument("--config", type=Path, required=True, help="the network's cluster.toml")
    parser.add_argument("--name", required=True, help="which node of it, for example node1")
    return parser


def run(config: Path, name: str, make: Callable[[Path, Configuration, str], Node] = Node) -> int:
    """A node's process from begin to end; the exit code."""
    gc.set_threshold(GC_THRESHOLD)
    follow_leash()
    try:
        with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
            runner.run(serve(config.resolve(), name, make))
    except UNUSABLE as error:
        print(f"node {name}: {error}", file=sys.stderr)
        return 2
    return 0


def main() -> int:
    """The process's entry; see the module's text."""
    options = arguments("node").parse_args()
    return run(options.config, options.name)


if __name__ == "__main__":
    sys.exit(main())
