"""Setting the stage: network, meters, gateways, and every household enrolled, registered, bound and funded."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cluster import Cluster, ContractSet, gateway_name, prepare
from demo.agent import Agent
from demo.journal import Journal
from demo.profiles import DayProfile
from demo.setting import (
    NODES,
    OBSERVER,
    PARTICIPANTS,
    SELF_POLLING_NODES,
    Day,
    DemoError,
    Options,
    Participant,
    Ports,
    configuration_text,
    meters_of,
)
from ledger.genesis import Genesis, load_genesis
from sdk.client import AsyncClient
from sdk.configuration import parse
from sdk.process import leashed_environment
from sdk.transports import connect

DEPOSIT = 50_000_000
"""50 currency units: plenty for a day, little enough that a careless bid is refused."""
ZONE = "zone-1"
STOP_TIMEOUT_S = 10.0


@dataclass(slots=True)
class Process:
    """A helper process that this demo started and ends."""

    name: str
    popen: subprocess.Popen[bytes]

    def end(self) -> None:
        if self.popen.poll() is not None:
            return
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class World:
    """Everything that a demo runs. ``close`` ends every process, whatever happened before.

    Should this process be killed, its children see the end of the pipe that is their standard input, and end too.
    """

    def __init__(self, options: Options, day: Day, ports: Ports, contracts: ContractSet) -> None:
        self.options = options
        self._leash, self._held = os.pipe()
        self._clients: list[AsyncClient] = []
        self.day = day
        self.ports = ports
        self.directory = options.directory / "network"
        text = configuration_text(options, day, ports)
        prepare(self.directory, parse(text, "demo"), text, contracts)
        self.cluster = Cluster(self.directory, self._leash)
        self.genesis: Genesis = load_genesis(self.directory / "genesis.json")
        self.journal = Journal(self.directory / "journal.jsonl")
        self.processes: list[Process] = []
        self.operators = [self._user_key(name) for name in ("operator1", "operator2")]
        self.operator = self.client(0, self.operators[0])
        self.agents: list[Agent] = []

    def _user_key(self, name: str) -> SigningKey:
        return SigningKey.load(self.directory / "users" / f"{name}.key")

    @property
    def voters(self) -> list[str]:
        """The nodes that vote: all but the observer."""
        return [name for name in self.cluster.names if name != OBSERVER]

    def client(self, node: int, key: SigningKey | None) -> AsyncClient:
        """A client of node ``node`` that fails over to the following ones."""
        names = self.voters
        return self.client_of(names[node:] + names[:node], key)

    def client_of(self, names: list[str], key: SigningKey | None) -> AsyncClient:
        client = AsyncClient([connect(self.cluster.rest_url(name)) for name in names], self.genesis, key)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for process in self.processes:
            process.end()
        await asyncio.gather(*(client.close() for client in self._clients))
        await self.cluster.down()
        for end in (self._held, self._leash):
            os.close(end)

    # ----------------------------------------------------------------------------------- processes

    def start_meters(self, profiles: Mapping[str, DayProfile]) -> None:
        """One process with a real Modbus TCP server a meter, playing what the households really do."""
        meters = [
            {
                "serial": participant.meter,
                "port": self.ports.meters[index],
                "unit": 1,
                "profile": participant.device,
                "import_wh": list(profiles[participant.meter].import_wh),
                "export_wh": list(profiles[participant.meter].export_wh),
            }
            for index, participant in enumerate(PARTICIPANTS)
            if not (index == 0 and self.options.meter is not None)
        ]
        plan = {
            "clock": self._clock(),
            "first_interval": self.day.first_interval,
            "seed": self.options.seed,
            "repeat": not self.options.once,
            "meters": meters,
        }
        path = self.directory / "meters.json"
        path.write_text(json.dumps(plan), encoding="utf-8")
        self._start("meters", ["meter", "simulate", "--plan", str(path)])

    def _clock(self) -> dict[str, float | int]:
        return {"start_ms": self.day.clock_start_ms, "wall_start_ms": self.day.wall_start_ms, "rate": self.day.rate}

    def start_gateways(self) -> None:
        """A gateway process for every node that does not poll meters itself."""
        for node in range(NODES):
            if node in SELF_POLLING_NODES or not (meters := meters_of(node, self.options, self.ports)):
                continue
            name = self.cluster.names[node]
            path = self.directory / f"gateway-{name}.toml"
            path.write_text(self._gateway_text(node, meters), encoding="utf-8")
            self._start(f"gateway-{name}", ["gateway", "--config", str(path)])

    def _gateway_text(self, node: int, meters: list[tuple[int, str, int, str, Participant]]) -> str:
        names = self.voters
        urls = [self.cluster.rest_url(name) for name in names[node:] + names[:node]]
        start = datetime.fromtimestamp(self.day.clock_start_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        identity = gateway_name(names[node])
        lines = [
            f"endpoints = {json.dumps(urls)}",
            f"genesis = {json.dumps(str(self.directory / 'genesis.json'))}",
            f"key = {json.dumps(str(self.directory / 'users' / f'{identity}.key'))}",
            f"buffer = {json.dumps(str(self.directory / f'{identity}.buffer'))}",
            "[clock]",
            f'start = "{start}"',
            f"rate = {self.day.rate}",
            f"wall_start_ms = {self.day.wall_start_ms}",
        ]
        for _, address, unit, profile, participant in meters:
            lines += [
                "[[meter]]",
                f'serial = "{participant.meter}"',
                f'address = "{address}"',
                f"unit = {unit}",
                f'profile = "{profile}"',
                f"rated_power_w = {participant.capacity_w}",
            ]
        return "\n".join(lines) + "\n"

    def _start(self, name: str, arguments: list[str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli", *arguments],
                stdin=self._leash,
                stdout=log,
                stderr=log,
                env=leashed_environment(),
                start_new_session=True,
            )
        self.processes.append(Process(name, popen))

    def check_processes(self) -> None:
        """``DemoError`` if a meter or gateway process has ended by itself."""
        for process in self.processes:
            code = process.popen.poll()
            if code is not None:
                raise DemoError(
                    f"{process.name} ended with exit code {code}; see {self.directory / f'{process.name}.log'}"
                )

    # ----------------------------------------------------------------------------------- participants

    async def admit_everybody(self) -> None:
        """S1 for every household, then its meter and its money."""
        self.agents = list(await asyncio.gather(*(self._admit(participant) for participant in PARTICIPANTS)))
        await asyncio.gather(*(self._equip(agent) for agent in self.agents))

    async def _admit(self, participant: Participant) -> Agent:
        """Key, request, one-time code, certificate over REST, registration on the chain."""
        key = SigningKey.generate()
        key.save(self.directory / "users" / f"{participant.name}.key")
        organisation = self.cluster.configuration.network.organisation
        request = create_request(key, participant.name, organisation, Role(participant.role))
        code = await asyncio.to_thread(self._admission_code, participant)
        async with self.client(0, None) as stranger:
            certificate = await stranger.enrol(request, code)
        agent = Agent(participant, self.client(participant.node, key), self.journal, self.options.seed)
        await agent.client.invoke("registry", "register", {"certificate_der": base64.b64encode(certificate).decode()})
        return agent

    def _admission_code(self, participant: Participant) -> str:
        return Authority.open(self.directory / "ca").new_admission_code(Role(participant.role), participant.name)

    async def _equip(self, agent: Agent) -> None:
        participant = agent.participant
        gateway = self._user_key(gateway_name(self.cluster.names[participant.node])).signer
        binding = {
            "meter": participant.meter,
            "owner": agent.client.signer,
            "zone": ZONE,
            "capacity_w": participant.capacity_w,
            "gateway": gateway,
        }
        await self.operator.invoke("registry", "bind_meter", binding)
        deposit = {"account": agent.client.signer, "amount": DEPOSIT}
        await self.operator.invoke("credit", "deposit", deposit, co_signers=[self.operators[1]])
