"""The demo's observer: a section that never votes, and a check that believes only what it proves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from demo.check import Recomputed
from demo.observer import watched
from demo.setting import NODES, OBSERVER, PORTS_NEEDED, Options, Ports, configuration_text, plan_day
from demo.world import World
from sdk.configuration import parse
from sdk.ports import claim_ports

HEIGHT = 40
TODAY = plan_day(Options(Path()), date(2026, 1, 1))


def test_it_is_no_validator_and_has_ports_and_a_couchdb_of_its_own() -> None:
    urls = tuple(f"http://127.0.0.1:{port}" for port in range(5001, 5001 + NODES))
    block = claim_ports(PORTS_NEEDED)
    block.close()
    ports = Ports(block)
    options = Options(Path(), state="couchdb", couchdb_urls=urls)
    configuration = parse(configuration_text(options, TODAY, ports), "demo")
    assert list(configuration.validators) == [f"node{number}" for number in range(1, NODES + 1)]
    observer = configuration.section(OBSERVER)
    assert observer.observer
    assert observer.couchdb_url == urls[-1]
    assert not observer.certificate_authority
    numbers = [port for name in configuration.node for port in _ports(configuration.section(name))]
    assert len(set(numbers)) == 3 * (NODES + 1)
    brokers = {name: section.mqtt_port for name, section in configuration.node.items() if section.mqtt_port}
    assert brokers == {"node1": ports.last}, "one broker, on the last port of the block, for this machine only"
    assert configuration.section("node1").host == "127.0.0.1"


def _ports(section: Any) -> tuple[int, int, int]:
    return section.peer_port, section.rest_port, section.client_port


class Client:
    """Answers queries with pages of two rows."""

    def __init__(self, rows: list[str]) -> None:
        self._rows = rows

    async def query(self, selector: Mapping[str, Any], *, bookmark: str, min_height: int, **_: Any) -> Any:
        assert min_height == HEIGHT
        start = int(bookmark or 0)
        rows = [SimpleNamespace(unproven=each) for each in self._rows[start : start + 2]]
        more = str(start + 2) if start + 2 < len(self._rows) else ""
        return SimpleNamespace(rows=rows, bookmark=more)


def world(rows: list[str], **status: Any) -> World:
    found = {"votes": False, "observer": True, "validators": (), "certified_height": HEIGHT, **status}

    async def ask(name: str) -> Any:
        assert name == OBSERVER
        return SimpleNamespace(**found)

    made = SimpleNamespace(
        cluster=SimpleNamespace(status=ask), operators=[None], client_of=lambda names, key: Client(rows)
    )
    return cast(World, made)


def chain(trades: int) -> Recomputed:
    state = {f"market/trade/{number}": {"type": "trade"} for number in range(trades)}
    return Recomputed(HEIGHT, "00", {**state, "market/list": [1]}, {})


async def test_what_it_shows_and_proves_is_compared_with_the_chain() -> None:
    check = await watched(world([""] * 5), HEIGHT, chain(5))
    assert check.holds, check.detail
    assert "5 trades from its own state database, 5 of them proven; it never votes" in check.detail


@pytest.mark.parametrize(
    ("rows", "status", "told"),
    [
        ([""] * 4, {}, "where the chain has 5"),
        ([""] * 4 + ["CHANGED_SINCE"], {}, "4 of them proven"),
        ([""] * 5, {"votes": True}, "it VOTES"),
        ([""] * 5, {"observer": False}, "it VOTES"),
        ([""] * 5, {"validators": (SimpleNamespace(name=OBSERVER),)}, "it VOTES"),
        ([""] * 5, {"certified_height": HEIGHT - 1}, f"at block {HEIGHT - 1}"),
    ],
)
async def test_it_fails_for_less(rows: list[str], status: dict[str, Any], told: str) -> None:
    check = await watched(world(rows, **status), HEIGHT, chain(5))
    assert not check.holds
    assert told in check.detail
