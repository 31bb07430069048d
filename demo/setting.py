"""What a trading day is made of: options, households, the lab clock and the network's configuration."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sdk.ports import PortBlock

INTERVAL_S = 900
INTERVALS_A_DAY = 96
NODES = 4
"""Those that vote."""
OBSERVER = "observer1"
"""A user's own node: it follows the chain, answers queries from its own state database, and never votes."""
PORTS_A_NODE = 3
LEAD_S_MIN, LEAD_S_MAX = 22.0, 180.0
"""Real seconds between the clock's start and the first interval played: for certificates, nodes and registrations."""
LEAD_PROCESS_STARTS = 9
"""How many times as long as one process takes to start here that should be: slow machines need longer."""
LEAD_INTERVALS_MIN = 3
TAIL_INTERVALS = 14
"""Intervals after the last one played for late readings, settlement and confirmations."""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class ExternalMeter:
    """A real meter given on the command line as HOST:PORT:UNIT:PROFILE."""

    host: str
    port: int
    unit: int
    profile: str


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chose. ``beside_others``: next to ``directory``, should another demo live there."""

    directory: Path
    once: bool = False
    intervals: int = INTERVALS_A_DAY
    seconds_per_interval: float = 1.0
    seed: int = 1
    kill_primary_at: int | None = None
    profiles: Path | None = None
    meter: ExternalMeter | None = None
    json: bool = False
    beside_others: bool = False
    state: str = "embedded"
    couchdb_urls: tuple[str, ...] = ()
    """One for each node that votes; the observer's database is beside the last one's. With ``state`` couchdb and none
    given, the demo starts its own."""

    @property
    def played(self) -> range:
        """The quarter-hours that are played: round mid-day, if not all of them."""
        first = (INTERVALS_A_DAY - self.intervals) // 2
        return range(first, first + self.intervals)

    @property
    def is_own_whole_day(self) -> bool:
        """Whether the demo plays a whole day of its own, of which it knows what has to happen."""
        return self.intervals == INTERVALS_A_DAY and self.profiles is None and self.meter is None


@dataclass(frozen=True, slots=True)
class Participant:
    """A household: its BDEW profile, yearly energy, meter and the node it goes through (0-based)."""

    name: str
    role: str
    profile: str
    annual_kwh: int
    capacity_w: int
    node: int
    meter: str
    device: str = "sdm630"


PARTICIPANTS: tuple[Participant, ...] = (
    Participant("anna", "prosumer", "p25", 6_000, 12_000, 0, "MTR-1001"),
    Participant("bashir", "prosumer", "s25", 5_000, 10_000, 1, "MTR-1002", "sunspec203"),
    Participant("chen", "prosumer", "p25", 9_000, 15_000, 2, "MTR-1003"),
    Participant("dora", "buyer", "h25", 3_500, 10_000, 3, "MTR-1004"),
    Participant("emeka", "buyer", "h25", 4_200, 10_000, 0, "MTR-1005"),
    Participant("feng", "buyer", "h25", 2_800, 10_000, 2, "MTR-1006"),
)
PORTS_NEEDED = (NODES + 1) * PORTS_A_NODE + len(PARTICIPANTS) + 1
SELF_POLLING_NODES = (0, 1)
"""Nodes that poll their meters themselves; the others are fed by a gateway process."""


@dataclass(frozen=True, slots=True)
class Day:
    """The day in block time. ``first_interval`` is UTC seconds // 900."""

    date: date
    first_interval: int
    clock_start_ms: int
    wall_start_ms: int
    rate: float

    def time_ms(self, interval: int, fraction: float = 0.0) -> int:
        """Block time at ``fraction`` of the day's ``interval`` (0-based)."""
        return int((self.first_interval + interval + fraction) * INTERVAL_S * 1000)


def day_after(today: date) -> date:
    """The next 21 June, when the sun shines longest and every certificate made today is still valid."""
    chosen = date(today.year, 6, 21)
    return chosen if chosen > today else date(today.year + 1, 6, 21)


def check_options(options: Options) -> None:
    """``DemoError`` if they contradict each other."""
    at, played = options.kill_primary_at, options.played
    if at is not None and at not in played:
        raise DemoError(f"--kill-primary-at {at}: the intervals played are {played[0]} to {played[-1]}")


def lead_intervals(seconds_per_interval: float, process_start_s: float) -> int:
    """How many intervals before the first one played the clock starts."""
    lead_s = min(LEAD_S_MAX, max(LEAD_S_MIN, LEAD_PROCESS_STARTS * process_start_s))
    return max(LEAD_INTERVALS_MIN, math.ceil(lead_s / seconds_per_interval))


def plan_day(options: Options, today: date, process_start_s: float = 0.0) -> Day:
    """The day, on a machine on which a process takes so long to start.

    The clock starts shortly before the first interval that is played.
    """
    played = options.played
    chosen = day_after(today)
    midnight = datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC)
    lead = lead_intervals(options.seconds_per_interval, process_start_s)
    start = midnight + timedelta(seconds=(played[0] - lead) * INTERVAL_S)
    return Day(
        date=chosen,
        first_interval=int(midnight.timestamp()) // INTERVAL_S,
        clock_start_ms=int(start.timestamp() * 1000),
        wall_start_ms=int(time.time() * 1000),
        rate=INTERVAL_S / options.seconds_per_interval,
    )


@dataclass(frozen=True, slots=True)
class Ports:
    """Three ports a node, the observer's last, then one a meter and one for MQTT, of a block that no other demo has."""

    block: PortBlock

    @property
    def first(self) -> int:
        return self.block.first

    @property
    def last(self) -> int:
        return self.first + PORTS_NEEDED - 1

    @property
    def nodes(self) -> list[tuple[int, int, int]]:
        """Each node's ports for peers, REST and clients."""
        firsts = range(self.first, self.first + (NODES + 1) * PORTS_A_NODE, PORTS_A_NODE)
        return [(port, port + 1, port + 2) for port in firsts]

    @property
    def meters(self) -> range:
        first = self.first + (NODES + 1) * PORTS_A_NODE
        return range(first, first + len(PARTICIPANTS))

    @property
    def mqtt(self) -> int:
        """The embedded broker's, at the first node."""
        return self.meters.stop


def configuration_text(options: Options, day: Day, ports: Ports) -> str:
    """The ``cluster.toml`` of the demo's network, as a user would write it."""
    start = datetime.fromtimestamp(day.clock_start_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [
        "[network]",
        'name = "wattquorum-demo"',
        'organisation = "Wattquorum demo"',
        "lab = true",
        "",
        "[clock]",
        f'start = "{start}"',
        f"rate = {day.rate}",
        f"wall_start_ms = {day.wall_start_ms}",
        "",
        "[timers]",
        "block_idle_ms_max = 250",
        "request_timeout_ms = 1500",
        "view_change_timeout_ms = 1500",
        f"clock_tolerance_ms = {min(86_400_000, int(10_000 * day.rate))}",
        "",
        "[market]",
        "gate_closure_s = 300",
        *(["", "[state]", 'backend = "couchdb"'] if options.couchdb_urls else []),
    ]
    for node, (peer, rest, client) in enumerate(ports.nodes):
        name = f"node{node + 1}" if node < NODES else OBSERVER
        lines += ["", f"[node.{name}]", f"peer_port = {peer}", f"rest_port = {rest}", f"client_port = {client}"]
        lines += ["observer = true"] if name == OBSERVER else []
        lines += [f"mqtt_port = {ports.mqtt}"] if node == 0 else []
        lines += ['certificate_authority = "ca"'] if node == NODES - 1 else []
        lines += [f'couchdb_url = "{options.couchdb_urls[min(node, NODES - 1)]}"'] if options.couchdb_urls else []
        if node in SELF_POLLING_NODES:
            for _, address, unit, profile, participant in meters_of(node, options, ports):
                lines += [
                    "",
                    f"[[node.node{node + 1}.meter]]",
                    f'serial = "{participant.meter}"',
                    f'address = "{address}"',
                    f"unit = {unit}",
                    f'profile = "{profile}"',
                    f"rated_power_w = {participant.capacity_w}",
                ]
    return "\n".join(lines) + "\n"


def meters_of(node: int, options: Options, ports: Ports) -> list[tuple[int, str, int, str, Participant]]:
    """(index, HOST:PORT, unit, device profile, participant) of every meter read at ``node``."""
    found = []
    for index, participant in enumerate(PARTICIPANTS):
        if participant.node != node:
            continue
        if index == 0 and options.meter is not None:
            real = options.meter
            found.append((index, f"{real.host}:{real.port}", real.unit, real.profile, participant))
        else:
            found.append((index, f"127.0.0.1:{ports.meters[index]}", 1, participant.device, participant))
    return found
