"""Faults and links' weather of a run: what a sweep's file asks for, and what is done to whom, and when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest

from bench import lab
from bench.attack import ATTACKS
from bench.fault import SLOW_MS, Fault
from bench.flooders import PeerFlood
from bench.lab import Lab, hosts_of, needs_lab, timed
from bench.options import BenchOptions
from bench.sweep import named
from bench.workload import BadWorkload, read_workload
from cluster import Cluster

NAMES = ["node1", "node2", "node3", "node4"]
WEATHER = BenchOptions(link_delay_ms=20, link_jitter_ms=5, link_loss=0.01)


class Status:
    primary = "node2"


class Network:
    """A network of four of which only what was done to it is real."""

    names = NAMES

    def __init__(self) -> None:
        self.killed: list[str] = []

    def home(self, name: str) -> Path:
        return Path(name)

    def kill(self, name: str) -> bool:
        self.killed.append(name)
        return True

    async def status(self, name: str) -> Status:
        return Status()


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What lab nodes are told of their links."""
    told: list[tuple[str, Any]] = []

    async def order_links(home: Path, faults: dict[str, Any]) -> None:
        told.append((home.name, faults["*"]))

    monkeypatch.setattr(lab, "order_links", order_links)
    return told


def made(fault: Fault, network: Network, **options: Any) -> Lab:
    return Lab(cast(Cluster, network), BenchOptions(fault=fault, **options))


def test_faults_and_links_are_axes_of_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('[sweep]\nfault = ["none", "slow replica"]\nlink_delay_ms = [0, 20]\nlink_loss = [0.01]')
    runs = read_workload(path).runs()
    assert [(run.fault, run.link_delay_ms, run.link_loss) for run in runs] == [
        (fault, delay_ms, 0.01) for fault in (Fault.NONE, Fault.SLOW_REPLICA) for delay_ms in (0, 20)
    ]
    assert named(runs[-1]).endswith("slow replica, 20 ms of delay, 1.00% lost")


@pytest.mark.parametrize("text", ['fault = ["tired primary"]', "link_delay_ms = [-1]", "link_loss = [1.0]"])
def test_what_there_is_not_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(f"[sweep]\n{text}")
    with pytest.raises(BadWorkload, match=text.partition(" ")[0]):
        read_workload(path)


def test_what_attacks_are_called_faults_are_called() -> None:
    assert set(ATTACKS) <= {str(fault) for fault in Fault}


def test_only_what_needs_a_lab_runs_in_one_and_clients_are_where_no_fault_is() -> None:
    assert not needs_lab(BenchOptions())
    assert needs_lab(WEATHER)
    assert needs_lab(BenchOptions(fault=Fault.CRASHED_PRIMARY))
    network = cast(Cluster, Network())
    assert hosts_of(network, WEATHER) == NAMES
    assert hosts_of(network, BenchOptions(fault=Fault.SLOW_REPLICA)) == ["node2", "node3"]


async def test_weather_is_the_same_on_all_links(orders: list[tuple[str, Any]]) -> None:
    await Lab(cast(Cluster, Network()), WEATHER).begin("unix:x")
    assert orders == [(name, {"delay_ms": 20, "jitter_ms": 5, "loss": 0.01}) for name in NAMES]


async def test_fair_weather_is_no_order(orders: list[tuple[str, Any]]) -> None:
    await made(Fault.CRASHED_PRIMARY, Network()).begin("unix:x")
    assert orders == []


@pytest.mark.parametrize(("fault", "whom"), [(Fault.CRASHED_PRIMARY, "node2"), (Fault.CRASHED_REPLICA, "node4")])
async def test_a_crash_is_of_who_leads_then_or_of_the_last(fault: Fault, whom: str) -> None:
    network, at_s = Network(), time.time() + 0.05
    await made(fault, network).befall(at_s, at_s)
    assert network.killed == [whom]
    assert time.time() >= at_s


@pytest.mark.parametrize(("fault", "whom"), [(Fault.SLOW_PRIMARY, "node2"), (Fault.SLOW_REPLICA, "node4")])
async def test_who_is_slow_is_slow_on_top_of_the_weather(
    fault: Fault, whom: str, orders: list[tuple[str, Any]]
) -> None:
    network = Network()
    await made(fault, network, link_delay_ms=20).befall(0.0, 0.0)
    assert orders == [(whom, {"delay_ms": SLOW_MS + 20, "jitter_ms": 0, "loss": 0.0})]
    assert network.killed == []


async def test_no_fault_is_nothing(orders: list[tuple[str, Any]]) -> None:
    network = Network()
    await made(Fault.NONE, network).befall(0.0, 0.0)
    assert (orders, network.killed) == ([], [])


def test_a_flood_has_the_times_of_the_measurement() -> None:
    plan = PeerFlood("fetches", Path("g"), Path("h"), 1, (), 0.0, 0.0)
    found = timed(plan, 5.0, 9.0)
    assert (found.from_s, found.until_s) == (5.0, 9.0)
