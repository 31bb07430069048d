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
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ca.authority import Authority, Issued
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ledger.genesis import (
    Genesis,
    GenesisLimits,
    GenesisOrganisations,
    GenesisValidator,
    load_genesis,
    write_genesis,
)
from sdk.configuration import PORT_KEYS, Configuration, ConfigurationError, NodeSection, load, parse, picked
from sdk.errors import Refused, TransportError
from sdk.methods import NodeStatus
from sdk.ports import port_fault, port_is_free
from sdk.process import leashed_environment
from sdk.transports import HttpTransport

CONFIGURATION_FILE = "cluster.toml"
GENESIS_FILE = "genesis.json"
CERTIFICATE_DAYS = 365
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05
NODE, LAB_NODE = "node", "faults.real.node"
"""What a node's process runs."""

NEW_MARK = "node.new"
"""In a node's home until its first log is durable: so a lost log is told from one that never was."""

OPERATORS = 3
GOVERNANCE_THRESHOLD = 2
"""Operators of this many organisations act together; each operator is of an organisation of its own."""
GENESIS_USERS: tuple[tuple[str, Role], ...] = (("arbiter1", Role.ARBITER), ("regulator1", Role.REGULATOR))
"""Identities that exist from the first block, beside operators, gateways and nodes."""


def no_network(directory: Path) -> str:
    """What to say of a directory that holds none."""
    return f"{directory} is no prepared network; run `wattq cluster up` (or `prepare`) or `wattq init` first"


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
    _check_path(directory)
    organisation = configuration.network.organisation
    configuration.validate_beginning(CONFIGURATION_FILE)
    directory.mkdir(parents=True, exist_ok=True)
    maker = _Maker(directory, organisation, Authority.init(directory / "ca", organisation))
    organisations = [f"{organisation} {number + 1}" for number in range(OPERATORS)]
    users = [maker.user(f"operator{n + 1}", Role.OPERATOR, name) for n, name in enumerate(organisations)]
    users += [maker.user(name, role) for name, role in GENESIS_USERS]
    users += [maker.user(gateway_name(node), Role.GATEWAY) for node in configuration.node]
    nodes = {name: maker.node(name, section) for name, section in configuration.node.items()}
    (directory / CONFIGURATION_FILE).write_text(text, encoding="utf-8")
    write_genesis(
        directory / GENESIS_FILE,
        Genesis(
            network=configuration.network.name,
            channel=configuration.network.channel,
            lab=configuration.network.lab,
            time_ms=configuration.clock.start_ms or int(time.time() * 1000),
            validators=tuple(nodes[name][0] for name in configuration.validators),
            roots=(maker.authority.root_der,),
            users=(*users, *(certificate for _, certificate in nodes.values())),
            parameters={**contracts.parameters, **_checked_market(configuration, contracts)},
            contracts=dict(contracts.sources),
            limits=GenesisLimits(**picked(GenesisLimits.__struct_fields__, configuration.limits)),
            organisations=GenesisOrganisations(tuple(organisations), GOVERNANCE_THRESHOLD),
            first_primary=configuration.first_primary,
        ),
    )


def check_ports(nodes: Mapping[str, NodeSection], file: str) -> None:
    """``ClusterError`` naming the key, to be changed in ``file``, if one of these nodes cannot listen on its port."""
    for name, node in nodes.items():
        for key in PORT_KEYS:
            port = getattr(node, key)
            if port and (fault := port_fault(node.host, port)):
                raise ClusterError(f"node.{name}.{key}: {fault}; end what uses it, or change it in {file}")


def gateway_name(node: str) -> str:
    """The name of the gateway identity that signs the readings taken at ``node``."""
    return f"gateway-{node}"


def _checked_market(configuration: Configuration, contracts: ContractSet) -> dict[str, int]:
    for name in configuration.market:
        if name not in contracts.parameters:
            raise ConfigurationError(f"market.{name}: unknown key; there are {', '.join(sorted(contracts.parameters))}")
    return configuration.market


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes keys and certificates in a network's directory."""

    directory: Path
    organisation: str
    authority: Authority

    def user(self, name: str, role: Role, organisation: str = "") -> bytes:
        """A user's key and certificate (DER, which is returned)."""
        key = SigningKey.generate()
        users = self.directory / "users"
        users.mkdir(exist_ok=True)
        key.save(users / f"{name}.key")
        issued = self._issue(key, name, organisation or self.organisation, role)
        (users / f"{name}.crt").write_bytes(issued.certificate_pem)
        return issued.certificate_der

    def node(self, name: str, section: NodeSection) -> tuple[GenesisValidator, bytes]:
        """A node's home with key, certificate (DER, returned with the validator that it would be), and mark."""
        key = SigningKey.generate()
        home = node_home(self.directory, name, section)
        home.mkdir(parents=True, exist_ok=True)
        key.save(home / "node.key")
        (home / NEW_MARK).touch()
        hosts = tuple(dict.fromkeys((section.host, "localhost", "127.0.0.1")))
        issued = self._issue(key, name, self.organisation, Role.NODE, hosts)
        (home / "node.crt").write_bytes(issued.certificate_pem)
        return GenesisValidator(name, key.public_key, peer_address(section)), issued.certificate_der

    def _issue(self, key: SigningKey, name: str, organisation: str, role: Role, hosts: tuple[str, ...] = ()) -> Issued:
        request = create_request(key, name, organisation, role)
        return self.authority.issue(request, name, organisation, role, CERTIFICATE_DAYS, hosts)


def peer_address(section: NodeSection) -> str:
    """Where a node's peers reach it."""
    return f"{section.host}:{section.peer_port}"


def _check_path(directory: Path) -> None:
    path = str(directory.absolute())
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ClusterError(f"{path!a} is no path in UTF-8, which nodes need; choose another directory") from None


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
            raise ClusterError(no_network(directory))
        self._chain = load_genesis(self.directory / GENESIS_FILE).chain_id.hex()
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

    # --------------------------------------------------------------------------- the file of the network

    def add_node(self, name: str) -> None:
        """Make key, certificate and section of a further node, an observer as yet, on free ports."""
        if name in self.configuration.node:
            raise ClusterError(f"there is a node {name} already")
        peer, rest, client = self._free_ports()
        lines = ("", f"[node.{name}]", "observer = true", f"peer_port = {peer}", f"rest_port = {rest}")
        text = self._text().rstrip("\n") + "\n".join(("", *lines, f"client_port = {client}", ""))
        configuration = parse(text, CONFIGURATION_FILE)
        organisation = configuration.network.organisation
        maker = _Maker(self.directory, organisation, Authority.open(self.directory / "ca"))
        try:
            maker.node(name, configuration.node[name])
            maker.user(gateway_name(name), Role.GATEWAY)
        except FileExistsError as error:
            raise ClusterError(f"{error.filename} is left from an earlier node {name}; move it away first") from None
        self._replace_text(text)

    def forget_node(self, name: str) -> None:
        """Take a node's section out of the file; its directory stays."""
        self._replace_text(without_section(self._text(), name))

    def reload(self) -> None:
        """Read the file again: another process may have added or taken out nodes."""
        self.configuration = load(self.directory / CONFIGURATION_FILE)

    def _text(self) -> str:
        return (self.directory / CONFIGURATION_FILE).read_text(encoding="utf-8")

    def _replace_text(self, text: str) -> None:
        parse(text, CONFIGURATION_FILE)
        draft = self.directory / f"{CONFIGURATION_FILE}.draft"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.directory / CONFIGURATION_FILE)
        self.reload()

    def _free_ports(self) -> tuple[int, int, int]:
        """The first three ports in a row, above all those in the file, that nobody uses."""
        sections = self.configuration.node.values()
        first = 1 + max(getattr(node, key) for node in sections for key in PORT_KEYS)
        for port in range(first, 65_533):
            if all(port_is_free("127.0.0.1", port + step) for step in range(3)):
                return port, port + 1, port + 2
        raise ClusterError("there are no free ports above those of the network")

    # ---------------------------------------------------------------------------------------- processes

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

    def exit_code(self, name: str) -> int | None:
        """How a process that this very object started has ended; None if it has not, or somebody else started it."""
        child = self._children.get(name)
        return None if child is None else child.poll()

    def check_ports(self) -> None:
        """``ClusterError`` naming the key if a stopped node cannot listen on its port."""
        stopped = {name: self.section(name) for name in self.names if self.pid(name) is None}
        check_ports(stopped, str(self.directory / CONFIGURATION_FILE))

    def start(self, name: str, module: str = NODE, options: Sequence[str] = ()) -> None:
        """Start one node process, detached, its standard error in ``stderr.log``. ``module``: ``LAB_NODE`` for one
        that takes a lab's ``options``."""
        if self.pid(name) is not None:
            return
        home = self.home(name)
        with (home / "stderr.log").open("ab") as errors:
            process = self._children[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    module,
                    "--config",
                    str(self.directory / CONFIGURATION_FILE),
                    *options,
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

    async def up(self, names: list[str] | None = None, lab: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start nodes and wait until each answers; ``ClusterError`` with its last words if one dies. ``lab``: as nodes
        of a lab, with the options that are given for each."""
        self.check_ports()
        for name in names or self.names:
            if lab is None:
                self.start(name)
            else:
                self.start(name, LAB_NODE, lab.get(name, ()))
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
        """A node's own status, or None if it does not answer, or another network's node does in its place."""
        transport = HttpTransport(self.rest_url(name))
        try:
            found = await transport.status()
        except (TransportError, Refused):
            return None
        finally:
            await transport.close()
        return found if (found.name, found.chain) == (name, self._chain) else None

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
        for child in self._children.values():
            child.poll()  # those of nodes that are not in the file any more have ended by themselves

    def _last_words(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.home(name) / "stderr.log").read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else "it said nothing"
        return "it said nothing"


def without_section(text: str, name: str) -> str:
    """A configuration's text without ``[node.NAME]`` and what belongs to it."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            title = line.strip().strip("[]").split("#")[0].strip().strip("[]").strip()
            inside = title == f"node.{name}" or title.startswith(f"node.{name}.")
        if not inside:
            kept.append(line)
    return "".join(kept)


def _is_our_node(pid: int, name: str) -> bool:
    words = _command_line(pid)
    return bool({NODE, LAB_NODE} & set(words)) and words[-2:] == ["--name", name]


def _command_line(pid: int) -> list[str]:
    """The arguments of a process, none if it is gone: from /proc on Linux, from ps on macOS."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
        except OSError:
            return []
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.split()
