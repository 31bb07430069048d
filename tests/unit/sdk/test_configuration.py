"""cluster.toml: every mistake is an error that names file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdk.configuration import Configuration, ConfigurationError, Limits, Timers, load, parse

NODES = "\n".join(
    f"[node.node{n}]\npeer_port = {27000 + 3 * n}\nrest_port = {27001 + 3 * n}\nclient_port = {27002 + 3 * n}"
    for n in range(1, 5)
)


def error(text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "c.toml", environment)
    return str(caught.value)


def read(text: str = NODES, environment: dict[str, str] | None = None) -> Configuration:
    return parse(text, "c.toml", environment)


def test_a_file_of_four_nodes_is_enough() -> None:
    configuration = read()
    assert list(configuration.node) == ["node1", "node2", "node3", "node4"]
    assert (configuration.limits, configuration.timers) == (Limits(), Timers())
    assert list(configuration.validators) == list(configuration.node)


def test_the_shipped_file_is_good() -> None:
    assert len(load(Path(__file__).parents[3] / "cluster.toml", {}).node) >= 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limits = 3", "limits: expected `object`"),
        ("[limits]\npool = 1", "limits.pool: unknown key"),
        (
            '[node.node5]\npeer_port = 1\nrest_port = 2\nclient_port = 3\naddresses = ["https://power.example"]',
            "node.node5.addresses[0]: expected `str` matching",
        ),
        ("[limits]\npool_bytes_max = 5", "limits.pool_bytes_max: expected `int` >= 1024"),
        ('[limits]\npool_bytes_max = "many"', "limits.pool_bytes_max: expected `int`, got `str`"),
        ("[timers]\nrequest_timeout_ms = 0", "timers.request_timeout_ms: expected `int` >= 1"),
        ('[network]\nname = "no good"', "network.name: expected `str` matching"),
        ("[network]\nlab = 5", "network.lab: expected `bool`"),
        ('[network]\nca_url = "http://ca.example:26590"', "network.ca_url: https://HOST:PORT is expected"),
        ('[network]\nca_url = "https://me:secret@ca.example"', "network.ca_url: https://HOST:PORT is expected"),
        ('[network]\nca_url = "https://ca.example:many"', "network.ca_url: no URL"),
        ("colour = 1", "colour: unknown key"),
        ("[clock]\nrate = 2.0", "clock: only a network with network.lab"),
        ("[clock]\nrate = nan", "clock.rate: expected `float`"),
        ("[clock]\nrate = 2.0\n[network]\nlab = true", "clock.rate: a clock that runs faster needs clock.start"),
        ('[clock]\nstart = "noon"\n[network]\nlab = true', "clock.start: 'noon' is no RFC 3339 time"),
        ("[limits]\nwindow_blocks = 100", "limits.window_blocks: must be at least twice"),
        ("[limits]\nwindow_blocks = 400", "limits.peer_queue_bytes_max: must be at least 1"),
        ("[limits]\npeer_queue_bytes_max = 1_000_000", "limits.peer_queue_bytes_max: must be at least 6"),
        ("[timers]\nview_change_timeout_ms = 20_000", "timers.view_change_timeout_ms_max: must not be below"),
        ("[market]\nprice = []", "market[...]: expected `int`"),
        ("[node.node5]\npeer_port = 1\nrest_port = 2", "node.node5.client_port: is missing"),
        ("[node.node5]\npeer_port = 1\nrest_port = 2\nclient_port = 70000", "node.node5.client_port: expected `int`"),
        ("[node.node5]\npeer_port = 1\nrest_port = 2\nclient_port = 3\ncolour = 1", "node.node5.colour: unknown key"),
        ("[node.node5]\npeer_port = 27003\nrest_port = 2\nclient_port = 3", "node.node5.peer_port: port 27003 is also"),
        ('[node."no good"]\npeer_port = 1\nrest_port = 2\nclient_port = 3', "node.no good: expected `str` matching"),
        (
            '[node.node5]\npeer_port = 1\nrest_port = 2\nclient_port = 3\n[[node.node5.meter]]\nserial = "a"',
            "node.node5.meter[0].address: is missing",
        ),
        ("[node]\nnode5 = 3", "node.node5: expected `object`"),
        ("[limits]\nrest_body_bytes_max = 1_048_577", "limits.rest_body_bytes_max: must not be above 1048576"),
        ("a = = 1", "not TOML"),
    ],
)
def test_a_mistake_is_named_by_file_and_key(text: str, expected: str) -> None:
    split = "[node.node1]"
    whole = text + "\n" + NODES if not text.startswith("[node") else NODES + "\n" + text
    if text.startswith("[node]"):
        whole = NODES.replace(split, text + "\n" + split, 1)
    assert error(whole).startswith(f"c.toml: {expected}")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_than_four_nodes_are_no_network(count: int) -> None:
    lines = NODES.splitlines()[: 4 * count]
    assert "node: " in error("\n".join(lines))


def test_a_port_may_be_zero_more_than_once_and_shared_by_hosts() -> None:
    text = "\n".join(
        f'[node.n{n}]\nhost = "10.0.0.{n}"\npeer_port = 1\nrest_port = 0\nclient_port = 0' for n in range(1, 5)
    )
    assert [node.rest_port for node in read(text).node.values()] == [0] * 4


def test_an_unknown_node_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"node\.node9.*node1, node2"):
        read().section("node9")


@pytest.mark.parametrize(
    ("variable", "value", "place", "expected"),
    [
        ("WATTQ_LIMITS__POOL_BYTES_MAX", "4096", ("limits", "pool_bytes_max"), 4096),
        ("WATTQ_NETWORK__LAB", "true", ("network", "lab"), True),
        ("WATTQ_NETWORK__NAME", "other", ("network", "name"), "other"),
        ("WATTQ_LIMITS__SESSIONS_MAX", "7", ("limits", "sessions_max"), 7),
    ],
)
def test_the_environment_overrides_single_values(
    variable: str, value: str, place: tuple[str, str], expected: Any
) -> None:
    found = read(environment={variable: value, "PATH": "/bin", "WATTQ_TEST_WORKERS": "2"})
    assert getattr(getattr(found, place[0]), place[1]) == expected


def test_the_environment_reaches_a_nodes_own_keys() -> None:
    assert read(environment={"WATTQ_NODE__NODE2__REST_PORT": "5"}).node["node2"].rest_port == 5


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("WATTQ_LIMITS__POOL_BYTES_MAX", "many", "limits.pool_bytes_max: expected `int`, got `str`"),
        ("WATTQ_LIMITS__POOL", "1", "limits.pool: unknown key"),
        ("WATTQ_COLOUR__X", "1", "colour: unknown key"),
        ("WATTQ_NODE__NODE1__PEER_PORT", "99999", "node.node1.peer_port: expected `int` <= 65535"),
        ("WATTQ_NODE__NODE1__PEER_PORT__X", "1", "WATTQ_NODE__NODE1__PEER_PORT__X: node.node1.peer_port is a value"),
        ("WATTQ_NETWORK__NAME__X", "1", "WATTQ_NETWORK__NAME__X: network.name is a value"),
    ],
)
def test_a_mistake_in_the_environment_is_named_too(variable: str, value: str, expected: str) -> None:
    assert expected in error('[network]\nname = "x"\n' + NODES, {variable: value})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml: cannot be read"):
        load(tmp_path / "missing.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"# gr\xfcn")
    with pytest.raises(ConfigurationError, match=r"latin\.toml: cannot be read"):
        load(tmp_path / "latin.toml", {})
