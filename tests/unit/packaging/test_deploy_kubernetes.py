"""deploy/kubernetes: lawful by Kubernetes' own schemas, made from its cluster.toml; each node has its own key alone.

Nothing here runs on a cluster.
"""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from cli.checks import check_configuration
from cli.main import app
from scripts import kubernetes
from sdk.configuration import load

VERSIONS = kubernetes_validate.utils.all_versions()[-3:]
"""The newest three, as many as Kubernetes supports at a time."""
CONFIGURATION = load(kubernetes.HERE / "cluster.toml", {})
TEXT = (kubernetes.HERE / "nodes.yaml").read_text("utf-8")
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(TEXT))
NODES = list(CONFIGURATION.node)


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def node_container(name: str) -> dict[str, Any]:
    containers: list[dict[str, Any]] = of("StatefulSet")[name]["spec"]["template"]["spec"]["containers"]
    return next(each for each in containers if each["name"] == "node")


def test_the_file_is_what_the_configuration_makes() -> None:
    check_configuration(CONFIGURATION, "cluster.toml")
    CONFIGURATION.validate_beginning("cluster.toml")
    assert kubernetes.manifest() == TEXT, "run python scripts/kubernetes.py"
    assert "NOT RUN" in TEXT


@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_objects_keep_the_schema(each: dict[str, Any]) -> None:
    kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_and_so_they_do_in_older_versions_that_are_still_supported(version: str) -> None:
    for kind in ("ConfigMap", "Service", "PodDisruptionBudget", "StatefulSet"):
        kubernetes_validate.validate(next(iter(of(kind).values())), version, strict=True)


def test_the_schema_refuses_what_is_no_such_object() -> None:
    wrong = {**of("StatefulSet")["node1"], "spec": {"replicas": "one"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_node_has_a_stateful_set_of_its_own_that_rolls_by_hand_and_a_headless_service_for_its_peers() -> None:
    assert list(of("StatefulSet")) == NODES
    for name in NODES:
        spec, service = of("StatefulSet")[name]["spec"], of("Service")[name]["spec"]
        assert (spec["replicas"], spec["updateStrategy"]) == (1, {"type": "OnDelete"})
        assert spec["serviceName"] == CONFIGURATION.section(name).host == name
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == service["selector"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True, "a node gets ready by hearing its peers"


def test_ports_and_probes_are_those_of_the_configuration() -> None:
    for name in NODES:
        section, container = CONFIGURATION.section(name), node_container(name)
        told = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert told == {
            "peer": section.peer_port,
            "rest": section.rest_port,
            "client": section.client_port,
            "metrics": section.metrics_port,
        }
        paths = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert [paths[probe]["path"] for probe in paths] == ["/healthz", "/healthz", "/readyz"]
        assert {path["port"] for path in paths.values()} == {"metrics"}
        assert container["args"] == [name]


def test_one_node_at_a_time_may_be_evicted_and_no_two_share_a_machine() -> None:
    spec = of("PodDisruptionBudget")["wattquorum"]["spec"]
    assert spec["maxUnavailable"] == 1
    for name in NODES:
        template = of("StatefulSet")[name]["spec"]["template"]
        (rule,) = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert rule["labelSelector"] == spec["selector"]
        assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_what_pods_name_is_there() -> None:
    """ConfigMaps and volumes; Secrets, and the network's own ConfigMap, come from its directory."""
    for name in NODES:
        spec = of("StatefulSet")[name]["spec"]
        pod = spec["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
        for container in (*pod["initContainers"], *pod["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes | claims
        maps = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        assert maps <= {*of("ConfigMap"), kubernetes.NETWORK}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's directory, made by the command."""
    directory = tmp_path_factory.mktemp("kubernetes") / "network"
    file = str(kubernetes.HERE / "cluster.toml")
    made = CliRunner().invoke(app, ["cluster", "prepare", "--config", file, "--directory", str(directory)])
    assert made.exit_code == 0, made.output
    return directory


def test_a_networks_own_objects_keep_the_schema_and_give_each_node_its_key_alone(network: Path) -> None:
    made = list(yaml.safe_load_all(kubernetes.written(kubernetes.network_objects(network))))
    for each in made:
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
    secrets = {each["metadata"]["name"]: each["data"] for each in made if each["kind"] == "Secret"}
    assert list(secrets) == [kubernetes.identity_of(name) for name in NODES]
    for name in NODES:
        assert (
            b64decode(secrets[kubernetes.identity_of(name)]["node.key"]) == (network / name / "node.key").read_bytes()
        )
        volumes = of("StatefulSet")[name]["spec"]["template"]["spec"]["volumes"]
        assert [v["secret"]["secretName"] for v in volumes if "secret" in v] == [kubernetes.identity_of(name)]
    (files,) = [each["data"] for each in made if each["kind"] == "ConfigMap"]
    assert set(files) == {"cluster.toml", "genesis.json"}
    assert "PRIVATE" not in str(files)


@pytest.mark.parametrize(
    ("founding", "held", "is_new"), [("yes", False, True), ("", False, False), ("yes", True, False)]
)
def test_a_node_counts_as_new_only_while_the_network_is_founded(
    tmp_path: Path, network: Path, founding: str, held: bool, is_new: bool
) -> None:
    """The init container's script, with its one fixed place replaced."""
    home, identity = tmp_path / "home", tmp_path / "identity"
    home.mkdir()
    identity.mkdir()
    for file in ("node.key", "node.crt"):
        (identity / file).write_bytes((network / "node1" / file).read_bytes())
    if held:
        (home / "node.key").write_text("of before")
    script = kubernetes.PREPARE.replace("/identity/", f"{identity}/")
    environment = {**os.environ, "HOME_DIRECTORY": str(home), "FOUNDING": founding}
    subprocess.run(["sh", "-ec", script], check=True, env=environment)
    assert (home / "node.new").exists() == is_new
    assert (home / "node.key").stat().st_mode & 0o777 == 0o600
    assert (home / "node.key").read_bytes() == (network / "node1" / "node.key").read_bytes()
