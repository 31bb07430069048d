"""deploy/: the compose file and its cluster.toml fit each other and the schema; nothing is open beyond loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.checks import check_configuration
from sdk.configuration import Configuration, load

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "compose.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    found = load(DEPLOY / "cluster.toml", {})
    check_configuration(found, "deploy/cluster.toml")
    found.validate_beginning("deploy/cluster.toml")
    return found


def test_four_nodes_and_an_observer_each_have_a_couchdb_of_their_own(
    compose: dict[str, Any], configuration: Configuration
) -> None:
    assert configuration.state.backend == "couchdb"
    assert [node.observer for node in configuration.node.values()] == [False] * 4 + [True]
    services = compose["services"]
    for name, section in configuration.node.items():
        couch = services[section.couchdb_url.removeprefix("http://").removesuffix(":5984")]
        assert couch["image"].endswith("couchdb:3.5.1")
        assert set(couch["networks"]) < set(services[name]["networks"])
        sharing = [other for other, service in services.items() if set(service["networks"]) & set(couch["networks"])]
        assert len(sharing) == 2, "nobody else reaches that CouchDB"


def test_containers_run_the_nodes_of_the_configuration_under_their_names(
    compose: dict[str, Any], configuration: Configuration
) -> None:
    nodes = {name: service for name, service in compose["services"].items() if "build" in service}
    assert set(nodes) == set(configuration.node)
    for name, service in nodes.items():
        section = configuration.section(name)
        assert service["command"] == [name]
        assert section.host == name
        inside = {int(port.rpartition(":")[2]) for port in service["ports"]}
        assert inside == {section.rest_port, section.client_port}
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        assert set(service["environment"]) == {
            configuration.state.user_variable,
            configuration.state.password_variable,
        }


def test_every_published_port_is_on_loopback_and_once(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(published) == len(set(published))


def test_what_services_name_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service["networks"]) <= set(compose["networks"])
        assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(compose["volumes"])
        assert {config["source"] for config in service.get("configs", ())} <= set(compose["configs"])


def test_no_password_is_in_the_files(compose: dict[str, Any]) -> None:
    values = [
        value
        for service in compose["services"].values()
        for key, value in service.get("environment", {}).items()
        if key.endswith("PASSWORD")
    ]
    assert values
    assert all(value.startswith("${") for value in values)
