"""The network that a scenario is played on with real processes: its directory, its configuration, everybody's keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cluster import Cluster, ContractSet, gateway_name, prepare
from contracts.catalog import shipped_sources
from contracts.parameters import MARKET_PARAMETERS
from faults.real import services
from faults.scenario import Scenario
from ledger.genesis import Genesis, load_genesis
from sdk.clock import clock_of
from sdk.configuration import Configuration, parse
from sim import contract
from sim.market_day import CLOCK_TOLERANCE_MS, INTERVAL_MS, MARKET_DAY, RATE, Board, Trader
from sim.plan import TIMEOUT_MS, TIMEOUT_MS_MAX, chance_of
from sim.setting import LIMITS, SKIP_BLOCKS, name_of

PORTS = 3
"""That a node listens on."""
TIMERS_MS = {
    "block_idle_ms_max": 1_500,
    "request_timeout_ms": TIMEOUT_MS,
    "view_change_timeout_ms": TIMEOUT_MS,
    "view_change_timeout_ms_max": TIMEOUT_MS_MAX,
    "status_interval_ms": 400,
}
"""As in the simulator (``sim/world.py``), which expectations count on."""
_LIMITS = frozenset({"rotation_blocks", "snapshot_gap_blocks", "checkpoint_interval_blocks", "window_blocks"})
"""Keys of a scenario's tuning that stand among the limits; what is neither there nor a timer is about primaries."""
BOUNDS = {"pipeline_depth": 4, "snapshot_gap_blocks": 64}
ROLES = '@export("arbiter", "regulator", "gateway")'
"""Of the clients, whose keys are those of genesis that nobody else uses here."""
PARAMETERS = {**MARKET_PARAMETERS, "skip_blocks": SKIP_BLOCKS}


@dataclass(frozen=True, slots=True)
class Stage:
    """A prepared network. ``operators``: one of each organisation that an act of governance takes."""

    cluster: Cluster
    genesis: Genesis
    clients: tuple[SigningKey, ...]
    operators: tuple[SigningKey, ...]
    validators: int
    """How many there are at first, from place 0 on."""
    stranger: SigningKey
    """A registered client that does nothing right."""
    services: services.Hanging
    traders: tuple[Trader, ...] = ()
    """What the clients are on a market day."""


def configuration_text(scenario: Scenario, pace: float, first_port: int) -> str:
    """``cluster.toml`` of the scenario's network, whose every time is ``pace`` times as long."""
    topology = scenario.topology
    tuning: dict[str, int] = msgspec.to_builtins(topology.tuning)
    limits = {**LIMITS, **BOUNDS, **{name: value for name, value in tuning.items() if name in _LIMITS}}
    on_market = scenario.workload.kind == MARKET_DAY
    timers = {**TIMERS_MS, **{name: value for name, value in tuning.items() if name in TIMERS_MS}}
    primary = {name: value for name, value in tuning.items() if name not in (*_LIMITS, *TIMERS_MS)}
    lines = ["[network]", 'name = "lab"', "lab = true", "", "[timers]"]
    lines += [f"{name} = {int(value * pace)}" for name, value in timers.items()]
    lines += [f"clock_tolerance_ms = {CLOCK_TOLERANCE_MS}", *_clock_lines(pace)] if on_market else []
    lines += ["", "[primary]", f"report_primaries = {str(topology.reports).lower()}"]
    lines += [f"{name} = {value}" for name, value in primary.items()]
    lines += ["", "[limits]", *(f"{name} = {value}" for name, value in limits.items())]
    lines += services.sections(topology.services, services_first(scenario, first_port))
    for place in range(topology.nodes + topology.observers):
        peer = first_port + PORTS * place
        lines += ["", f"[node.{name_of(place)}]", f"peer_port = {peer}", f"rest_port = {peer + 1}"]
        lines += [f"client_port = {peer + 2}", *(["observer = true"] if place >= topology.nodes else [])]
    return "\n".join(lines) + "\n"


def _clock_lines(pace: float) -> Iterator[str]:
    """A clock on which a second of the scenario is a quarter of an hour."""
    now_s = int(time.time())
    yield from ("", "[clock]", f'start = "{datetime.fromtimestamp(now_s, UTC):%Y-%m-%dT%H:%M:%SZ}"')
    yield from (f"rate = {RATE / pace}", f"wall_start_ms = {now_s * 1_000}")


def configuration_of(scenario: Scenario, pace: float, first_port: int) -> Configuration:
    """The same, read; ``ConfigurationError`` if the scenario's tuning is none that nodes take."""
    return parse(configuration_text(scenario, pace, first_port), scenario.name, {})


def set_up(directory: Path, scenario: Scenario, pace: float, first_port: int, leash: int, seed: int) -> Stage:
    """Make the network in ``directory``. Its processes end with whoever holds the other end of ``leash``."""
    text = configuration_text(scenario, pace, first_port)
    configuration = parse(text, scenario.name, {})
    prepare(directory, configuration, text, ContractSet(_sources(), PARAMETERS))
    users = directory / "users"
    gateways = [gateway_name(name_of(place)) for place in range(scenario.topology.nodes)]
    clients = [SigningKey.load(users / f"{name}.key") for name in ("arbiter1", "regulator1", *gateways)]
    genesis = load_genesis(directory / "genesis.json")
    operators = [SigningKey.load(users / f"operator{n + 1}.key") for n in range(genesis.organisations.threshold)]
    traders: list[Trader] = []
    if scenario.workload.kind == MARKET_DAY:
        now_ms, board = clock_of(configuration.clock).now_ms, Board()
        traders = [
            _trader(directory, number, operators, board, seed, lambda: now_ms() // INTERVAL_MS)
            for number in range(scenario.workload.clients)
        ]
    return Stage(
        Cluster(directory, leash),
        genesis,
        tuple(clients[: scenario.workload.clients]),
        tuple(operators),
        scenario.topology.nodes,
        clients[-1],
        services.hanging(scenario.topology.services, services_first(scenario, first_port)),
        tuple(traders),
    )


def _trader(
    directory: Path, number: int, operators: list[SigningKey], board: Board, seed: int, interval_now: Callable[[], int]
) -> Trader:
    """Somebody with keys and certificates of its own, whom nobody has registered yet."""
    authority, keys, certificates = Authority.open(directory / "ca"), {}, {}
    for who, role in (("trader", Role.PROSUMER), ("gateway", Role.GATEWAY)):
        key, name = SigningKey.generate(), f"{who}{number}"
        request = create_request(key, name, "lab", role)
        keys[who], certificates[who] = key, authority.issue(request, name, "lab", role).certificate_der
    keys |= {"operator": operators[0], "second": operators[1]}
    return Trader(number, keys, certificates, board, chance_of(seed, f"trader/{number}"), interval_now)


def _sources() -> dict[str, str]:
    ours = {contract.NAME: contract.SOURCE, contract.BANK: contract.BANK_SOURCE}
    return {**shipped_sources(), **{name: text.replace('@export("operator")', ROLES) for name, text in ours.items()}}


def ports_for(scenario: Scenario) -> int:
    """How many ports its nodes listen on, and what stands beside them."""
    return services_first(scenario, 0) + len(services.NAMES)


def services_first(scenario: Scenario, first_port: int) -> int:
    """The first port of what stands beside the nodes."""
    return first_port + PORTS * (scenario.topology.nodes + scenario.topology.observers)
