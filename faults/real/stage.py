"""The network that a scenario is played on with real processes: its directory, its configuration, everybody's keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ca.keys import SigningKey
from cluster import Cluster, ContractSet, gateway_name, prepare
from contracts.catalog import shipped_sources
from contracts.parameters import MARKET_PARAMETERS
from faults.scenario import Scenario
from ledger.genesis import Genesis, load_genesis
from sdk.configuration import Configuration, parse
from sim import contract
from sim.plan import TIMEOUT_MS, TIMEOUT_MS_MAX
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
    stranger: SigningKey
    """A registered client that does nothing right."""


def configuration_text(scenario: Scenario, pace: float, first_port: int) -> str:
    """``cluster.toml`` of the scenario's network, whose every time is ``pace`` times as long."""
    topology = scenario.topology
    tuning: dict[str, int] = msgspec.to_builtins(topology.tuning)
    limits = {**LIMITS, **BOUNDS, **{name: value for name, value in tuning.items() if name in _LIMITS}}
    timers = {**TIMERS_MS, **{name: value for name, value in tuning.items() if name in TIMERS_MS}}
    primary = {name: value for name, value in tuning.items() if name not in (*_LIMITS, *TIMERS_MS)}
    lines = ["[network]", 'name = "lab"', "lab = true", "", "[timers]"]
    lines += [f"{name} = {int(value * pace)}" for name, value in timers.items()]
    lines += ["", "[primary]", f"report_primaries = {str(topology.reports).lower()}"]
    lines += [f"{name} = {value}" for name, value in primary.items()]
    lines += ["", "[limits]", *(f"{name} = {value}" for name, value in limits.items())]
    for place in range(topology.nodes + topology.observers):
        peer = first_port + PORTS * place
        lines += ["", f"[node.{name_of(place)}]", f"peer_port = {peer}", f"rest_port = {peer + 1}"]
        lines += [f"client_port = {peer + 2}", *(["observer = true"] if place >= topology.nodes else [])]
    return "\n".join(lines) + "\n"


def configuration_of(scenario: Scenario, pace: float, first_port: int) -> Configuration:
    """The same, read; ``ConfigurationError`` if the scenario's tuning is none that nodes take."""
    return parse(configuration_text(scenario, pace, first_port), scenario.name, {})


def set_up(directory: Path, scenario: Scenario, pace: float, first_port: int, leash: int) -> Stage:
    """Make the network in ``directory``. Its processes end with whoever holds the other end of ``leash``."""
    text = configuration_text(scenario, pace, first_port)
    prepare(directory, parse(text, scenario.name, {}), text, ContractSet(_sources(), PARAMETERS))
    users = directory / "users"
    gateways = [gateway_name(name_of(place)) for place in range(scenario.topology.nodes)]
    clients = [SigningKey.load(users / f"{name}.key") for name in ("arbiter1", "regulator1", *gateways)]
    genesis = load_genesis(directory / "genesis.json")
    operators = [SigningKey.load(users / f"operator{n + 1}.key") for n in range(genesis.organisations.threshold)]
    return Stage(
        Cluster(directory, leash), genesis, tuple(clients[: scenario.workload.clients]), tuple(operators), clients[-1]
    )


def _sources() -> dict[str, str]:
    ours = {contract.NAME: contract.SOURCE, contract.BANK: contract.BANK_SOURCE}
    return {**shipped_sources(), **{name: text.replace('@export("operator")', ROLES) for name, text in ours.items()}}


def ports_for(scenario: Scenario) -> int:
    """How many ports its nodes listen on."""
    return PORTS * (scenario.topology.nodes + scenario.topology.observers)
