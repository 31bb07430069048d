"""A lab network of real processes on a fast clock, whose nodes read real Modbus TCP meters: a market that delivers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from network import INTERVAL_MS, Network, Person, configuration_text, free_ports

from ca.keys import SigningKey
from cluster import gateway_name
from meter.simulation import MeterServer, Plan, PlannedClock, PlannedMeter, servers_of
from sdk.configuration import parse
from sdk.methods import NodeStatus

NODES = 4
TOLERANCE_MS = 10_000
"""How far nodes' real clocks may be from each other."""


@dataclass(frozen=True, slots=True)
class LabMeter:
    """A meter read by the node ``node`` (0-based): what it exports and imports each interval, over and over, in Wh."""

    serial: str
    node: int
    export_wh: int = 0
    import_wh: int = 0
    zone: str = "zone-1"
    capacity_w: int = 20_000


class LabMarket:
    """``rate``: how many times as fast as a clock block time runs; ``market``: parameters. ``close`` ends all."""

    def __init__(
        self, directory: Path, meters: Sequence[LabMeter], rate: float = 60.0, market: Mapping[str, int] | None = None
    ) -> None:
        self.meters = tuple(meters)
        self.rate = rate
        self._market = market or {}
        self._start = _quarter_after(datetime.now(UTC) + timedelta(days=1))
        self._wall_start_ms = int(time.time() * 1000)
        self._ports = free_ports(len(self.meters))
        self.network = Network(directory, text=self._text())
        self._servers: list[MeterServer] = []

    def _text(self) -> str:
        """As a user would write it: nodes poll their meters themselves."""
        lines = [
            "[clock]", f'start = "{self._start:%Y-%m-%dT%H:%M:%SZ}"', f"rate = {self.rate}",
            f"wall_start_ms = {self._wall_start_ms}", "[market]",
            *(f"{name} = {value}" for name, value in self._market.items()),
        ]  # fmt: skip
        tolerance = f"clock_tolerance_ms = {int(TOLERANCE_MS * self.rate)}"
        text = configuration_text(NODES, "\n".join(lines), network="lab = true", timers=tolerance)
        ca_port = parse(text, "lab").node["node1"].rest_port
        # The first node has the CA; the others pass enrolment on to it.
        text = text.replace("lab = true", f'lab = true\nca_url = "http://127.0.0.1:{ca_port}"')
        return text + "\n".join(self._meter_lines()) + "\n"

    def _meter_lines(self) -> Iterator[str]:
        for meter, port in zip(self.meters, self._ports, strict=True):
            yield f"[[node.node{meter.node + 1}.meter]]"
            yield f'serial = "{meter.serial}"'
            yield f'address = "127.0.0.1:{port}"'
            yield f"rated_power_w = {meter.capacity_w}"

    async def start(self) -> None:
        """Serve the meters over Modbus TCP, then start the nodes."""
        start_ms = int(self._start.timestamp() * 1000)
        planned = [
            PlannedMeter(serial=meter.serial, port=port, import_wh=(meter.import_wh,), export_wh=(meter.export_wh,))
            for meter, port in zip(self.meters, self._ports, strict=True)
        ]
        clock = PlannedClock(start_ms=start_ms, rate=self.rate, wall_start_ms=self._wall_start_ms)
        first = start_ms // INTERVAL_MS
        self._servers = servers_of(Plan(clock=clock, first_interval=first, repeat=True, meters=tuple(planned)))
        for server in self._servers:
            await server.start()
        await self.network.start()

    async def close(self) -> None:
        await self.network.close()
        for server in self._servers:
            await server.stop()

    async def admit(self, name: str, role: str, meter: LabMeter, amount: int) -> Person:
        """Register somebody over the SDK, with a meter and money."""
        person = await self.network.enter(name, role, meter.node)
        await self.equip(person.key.signer, meter, amount)
        return person

    async def equip(self, signer: str, meter: LabMeter, amount: int) -> None:
        """Bind a meter to somebody, and pay money into the account."""
        users = self.network.cluster.directory / "users"
        gateway = SigningKey.load(users / f"{gateway_name(f'node{meter.node + 1}')}.key").signer
        binding = {
            "meter": meter.serial, "owner": signer, "zone": meter.zone, "capacity_w": meter.capacity_w,
            "gateway": gateway,
        }  # fmt: skip
        operator = self.network.operator
        await operator.invoke("registry", "bind_meter", binding)
        deposit = {"account": signer, "amount": amount}
        await operator.invoke("credit", "deposit", deposit, co_signers=[self.network.second_operator])

    async def status(self) -> NodeStatus:
        return await self.network.operator.client.status()


def _quarter_after(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
