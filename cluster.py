"""The local cluster for researchers: several node processes on one machine, from one ``cluster.toml``.

``prepare`` makes a directory with a root CA, every certificate, the genesis file and the resolved
configuration; ``Cluster`` starts, watches, kills and ends the node processes of such a directory. A process
is known by its pid file *and* by its command line, so that nothing else is ever signalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ledger.genesis import Genesis, GenesisLimits, GenesisValidator, write_genesis
from sdk.configuration import Configuration, ConfigurationError, NodeSection, load
from sdk.errors import Refused, TransportError
from sdk.methods import NodeStatus
from sdk.process import leashed_environment
from sdk.transports import HttpTransport

CONFIGURATION_FILE = "cluster.toml"
GENESIS_FILE = "genesis.json"
CERTIFICATE_DAYS = 365
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05

GENESIS_USERS: tuple[tuple[str, Role], ...] = (
    ("operator1", Role.OPERATOR),
    ("operator2", Role.OPERATOR),
    ("arbiter1", Role.ARBITER),
    ("regulator1", Role.REGULATOR),
)
"""Identities that exist from the first block: two operators, since deposits take two signatures."""


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class ContractSet:
    """What genesis deploys: sources by contract name, market parameters by name (units in the names)."""

    sources: Mapping[str, str]
    parameters: Mapping[str, int]


# ---------------------------------------------------------------------------------------------- preparing


def prepare(directory: Path, configuration: Configuration, text: str, contracts: ContractSet) -> None:
    """Make ``directory`` a network's home. Keeps an existing one as it is; raises ``ClusterError`` on a broken one."""
    if (directory / GENESIS_FILE).exists():
        return
    if directory.exists() and any(directory.iterdir()):
        raise ClusterError(f"{directory} holds files but no {GENESIS_FILE}; choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority.init(directory / "ca", configuration.network.organisation)
    users = [_issue_user(authority, directory, name, role, configuration) for name, role in GENESIS_USERS]
    users += [
        _issue_user(authority, directory, gateway_name(node), Role.GATEWAY, configuration)
        for node in configuration.node
    ]
    validators = [_issue_node(authority, directory, name, configuration) for name in configuration.node]
    (directory / CONFIGURATION_FILE).write_text(text, encoding="utf-8")
    write_genesis(
        directory / GENESIS_FILE,
        Genesis(
            network=configuration.network.name,
            channel=configuration.network.channel,
            lab=configuration.network.lab,
            time_ms=configuration.clock.start_ms or int(time.time() * 1000),
            validators=tuple(validators),
            roots=(authority.root_der,),
            users=tuple(users),
            parameters={**contracts.parameters, **_checked_market(configuration, contracts)},
            contracts=dict(contracts.sources),
            limits=_genesis_limits(configuration),
        ),
    )


def gateway_name(node: str) -> str:
    """The name of the gateway identity that signs the readings taken at ``node``."""
    return f"gateway-{node}"


def _checked_market(configuration: Configuration, contracts: ContractSet) -> dict[str, int]:
    for name in configuration.market:
        if name not in contracts.parameters:
            raise ConfigurationError(f"market.{name}: unknown key; there are {', '.join(sorted(contracts.parameters))}")
    return configuration.market


def _genesis_limits(configuration: Configuration) -> GenesisLimits:
    limits = configuration.limits
    return GenesisLimits(
        envelope_bytes_max=limits.envelope_bytes_max,
        batch_transactions_max=limits.batch_transactions_max,
        batch_bytes_max=limits.batch_bytes_max,
        block_gas_max=limits.block_gas_max,
        checkpoint_interval_blocks=limits.checkpoint_interval_blocks,
        window_blocks=limits.window_blocks,
    )


def _issue_user(authority: Authority, directory: Path, name: str, role: Role, configuration: Configuration) -> bytes:
    key = SigningKey.generate()
    users = directory / "users"
    users.mkdir(exist_ok=True)
    key.save(users / f"{name}.key")
    organisation = configuration.network.organisation
    request = create_request(key, name, organisation, role)
    issued = authority.issue(request, name, organisation, role, CERTIFICATE_DAYS)
    (users / f"{name}.crt").write_bytes(issued.certificate_pem)
    return issued.certificate_der


def _issue_node(authority: Authority, directory: Path, name: str, configuration: Configuration) -> GenesisValidator:
    key = SigningKey.generate()
    home = node_home(directory, name, configuration.node[name])
    home.mkdir(parents=True, exist_ok=True)
    key.save(home / "node.key")
    organisation = configuration.network.organisation
    request = create_request(key, name, organisation, Role.NODE)
    hosts = tuple(dict.fromkeys((configuration.node[name].host, "localhost", "127.0.0.1")))
    issued = authority.issue(request, name, organisation, Role.NODE, CERTIFICATE_DAYS, hosts)
    (home / "node.crt").write_bytes(issued.certificate_pem)
    return GenesisValidator(name=name, public_key=key.public_key)


def node_home(directory: Path, name: str, node: NodeSection) -> Path:
    """Where a node keeps key, certificate, data and logs."""
    return directory / (node.directory or name)


# ------------------------------------------------------------------------------------------------ running


class Cluster:
    """The node processes of a prepared directory.

    They outlive this process, unless ``leash`` is the reading end of a pipe whose other end this process alone holds.
    """

    def __init__(self, directory: Path, leash: int | None = None) -> None:
        self._leash = leash
        self.directory = directory.resolve()
        if not (self.directory / GENESIS_FILE).exists():
            raise ClusterError(f"{directory} is no prepared network; run `wattq cluster up` or `wattq init` first")
        self.configuration = load(self.directory / CONFIGURATION_FILE)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> list[str]:
        return list(self.configuration.node)

    def section(self, name: str) -> NodeSection:
        if name not in self.configuration.node:
            raise ClusterError(f"no node {name!r}; there are {', '.join(self.names)}")
        return self.configuration.node[name]

    def home(self, name: str) -> Path:
        return node_home(self.directory, name, self.section(name))

    def rest_url(self, name: str) -> str:
        node = self.section(name)
        return f"http://{node.host}:{node.rest_port}"

    def pid(self, name: str) -> int | None:
        """The process id of a running node, or None."""
        child = self._children.get(name)
        if child is not None:
            return child.pid if child.poll() is None else None
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.home(name) / "node.pid").read_text())
            if _is_our_node(pid, name):
                return pid
        return None

    def check_ports(self) -> None:
        """``ClusterError`` naming key and port if a stopped node's port is taken."""
        for name in self.names:
            node = self.section(name)
            if self.pid(name) is not None:
                continue
            for key in ("peer_port", "rest_port", "client_port"):
                port = getattr(node, key)
                if port and not port_is_free(node.host, port):
                    raise ClusterError(f"node.{name}.{key}: port {port} is in use; change it in {CONFIGURATION_FILE}")

    def start(self, name: str) -> None:
        """Start one node process, detached, its standard error in ``stderr.log``."""
        if self.pid(name) is not None:
            return
        home = self.home(name)
        with (home / "stderr.log").open("ab") as errors:
            process = self._children[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "node",
                    "--config",
                    str(self.directory / CONFIGURATION_FILE),
                    "--name",
                    name,
                ],
                stdin=subprocess.DEVNULL if self._leash is None else self._leash,
                stdout=errors,
                stderr=errors,
                cwd=home,
                env=None if self._leash is None else leashed_environment(),
                start_new_session=True,
            )
        (home / "node.pid").write_text(str(process.pid))

    async def up(self, names: list[str] | None = None) -> None:
        """Start nodes and wait until each answers; ``ClusterError`` with its last words if one dies."""
        self.check_ports()
        for name in names or self.names:
            self.start(name)
        await asyncio.gather(*(self.wait_ready(name) for name in names or self.names))

    async def wait_ready(self, name: str, timeout_s: float = START_TIMEOUT_S) -> NodeStatus:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = await self.status(name)
            if status is not None:
                return status
            if self.pid(name) is None:
                raise ClusterError(f"{name} ended while starting: {self._last_words(name)}")
            await asyncio.sleep(POLL_S)
        raise ClusterError(f"{name} did not answer within {timeout_s:.0f} s: {self._last_words(name)}")

    async def status(self, name: str) -> NodeStatus | None:
        """A node's own status, or None if it does not answer."""
        transport = HttpTransport(self.rest_url(name))
        try:
            return await transport.status()
        except (TransportError, Refused):
            return None
        finally:
            await transport.close()

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> bool:
        """Signal a node's process; False if it does not run."""
        pid = self.pid(name)
        if pid is None:
            return False
        os.kill(pid, how)
        return True

    async def stop(self, name: str) -> None:
        """End a node: SIGTERM, then SIGKILL after ``STOP_TIMEOUT_S``."""
        if not self.kill(name, signal.SIGTERM):
            return
        if not await self.wait_gone(name, STOP_TIMEOUT_S):
            self.kill(name)
            await self.wait_gone(name, STOP_TIMEOUT_S)

    async def wait_gone(self, name: str, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.pid(name) is not None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def down(self) -> None:
        await asyncio.gather(*(self.stop(name) for name in self.names))

    def _last_words(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.home(name) / "stderr.log").read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else "it said nothing"
        return "it said nothing"


def port_is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _is_our_node(pid: int, name: str) -> bool:
    words = _command_line(pid)
    return "node" in words and words[-2:] == ["--name", name]


def _command_line(pid: int) -> list[str]:
    """The arguments of a process, none if it is gone: from /proc on Linux, from ps on macOS."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
        except OSError:
            return []
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.split()
