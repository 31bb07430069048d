"""deploy/: the compose file and its cluster.toml fit each other and the schema; nothing is open beyond loopback."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.checks import check_configuration
from cli.main import app
from cluster import Cluster, ClusterError
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
        sharing = [
            other for other, service in services.items() if set(couch["networks"]) & set(service.get("networks", ()))
        ]
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
        assert f"http://{name}:{section.metrics_port}/readyz" in service["healthcheck"]["test"][-1]
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        assert set(service["environment"]) == {
            configuration.state.user_variable,
            configuration.state.password_variable,
        }


def test_every_published_port_is_on_loopback_and_once(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(published) == len(set(published))


def test_what_services_name_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("networks", ())) <= set(compose["networks"])
        assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(compose["volumes"])
        assert {config["source"] for config in service.get("configs", ())} <= set(compose["configs"])


def test_the_networks_directory_is_made_in_the_volume_before_a_node_starts_by_the_user_that_runs_them(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    """By the command that the container runs, with its places replaced: nothing is started, no name resolved."""
    services = compose["services"]
    for service in services.values():
        if "build" in service:
            assert service["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
            assert service["volumes"] == services["prepare"]["volumes"]
            assert service["image"] == services["prepare"]["image"]
            assert "user" not in service
    assert compose["configs"]["cluster"]["file"] == "./cluster.toml"
    assert services["prepare"]["configs"] == [{"source": "cluster", "target": "/deploy.toml"}]
    places = {"/deploy.toml": str(DEPLOY / "cluster.toml"), "/network": str(tmp_path / "network")}
    program, *words = [places.get(word, word) for word in services["prepare"]["entrypoint"]]
    assert program == "wattq"
    for _ in range(2):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    network = Cluster(tmp_path / "network")
    assert network.names == ["node1", "node2", "node3", "node4", "observer1"]
    with pytest.raises(ClusterError, match=r"node\.node1\.peer_port: host node1 "):
        network.check_ports()


def test_only_what_the_wheel_is_built_of_reaches_the_image() -> None:
    lines = (DEPLOY.parent / ".dockerignore").read_text("utf-8").splitlines()
    everything, *rules = [line for line in lines if line and not line.startswith("#")]
    assert everything == "*"
    taken = {rule[1:] for rule in rules if rule.startswith("!")}
    setuptools = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    packages = {name for name in setuptools["packages"]["find"]["include"] if "." not in name}
    modules = {f"{name}.py" for name in setuptools["py-modules"]}
    assert packages | modules | {"pyproject.toml", "constraints.txt", "scripts", "cluster.toml"} <= taken
    assert not taken & {"tests", "deploy", "data", ".git", ".venv"}


def test_no_password_is_in_the_files(compose: dict[str, Any]) -> None:
    values = [
        value
        for service in compose["services"].values()
        for key, value in service.get("environment", {}).items()
        if key.endswith("PASSWORD")
    ]
    assert values
    assert all(value.startswith("${") for value in values)
