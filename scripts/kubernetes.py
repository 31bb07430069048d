"""Manifests for Kubernetes, from a network's configuration: plain objects, for ``kubectl apply -f``.

``python scripts/kubernetes.py`` writes deploy/kubernetes/nodes.yaml from the cluster.toml beside it; a test compares.
``python scripts/kubernetes.py NETWORK`` prints the ConfigMap and the Secrets of a network's directory, as
`wattq cluster prepare` makes it: each node's Secret holds its own key and certificate, and no other's.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sdk.configuration import Configuration, NodeSection, load

HERE = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
HEAD = """\
# Made by scripts/kubernetes.py from cluster.toml beside it. NOT RUN where it was written: checked against the schemas
# of Kubernetes by a test. deploy/README.md says how to begin.
"""
APP = {"app.kubernetes.io/name": "wattquorum"}
USER, COUCHDB_USER = 10_001, 5_984
"""Whom the two images run as."""
IMAGE, COUCHDB_IMAGE = "wattquorum:latest", "docker.io/library/couchdb:3.5.1"
NETWORK, COUCHDB, FOUNDING = "wattquorum-network", "wattquorum-couchdb", "wattquorum-founding"
COUCHDB_INI = "[couchdb]\nsingle_node = true\n[cluster]\nq = 1\nn = 1\n"
STARTING_S, PROBE_S = 3_600, 10
"""A node answers once it has opened its ledger; executing a long chain again takes a while."""
ENDING_S = 60
PREPARE = """\
if [ ! -e "$HOME_DIRECTORY/node.key" ] && [ "$FOUNDING" = yes ]; then touch "$HOME_DIRECTORY/node.new"; fi
install -m 600 /identity/node.key "$HOME_DIRECTORY/node.key"
install -m 644 /identity/node.crt "$HOME_DIRECTORY/node.crt"
"""
"""A node whose volume was lost must not count as new: it may have voted. So only while the network is founded."""


def named(kind: str, version: str, name: str, labels: dict[str, str], **parts: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, **parts}


def objects(configuration: Configuration) -> Iterator[dict[str, Any]]:
    """Everything but what is secret, or a network's own."""
    settings = {"wattquorum.ini": COUCHDB_INI}
    yield named("ConfigMap", "v1", COUCHDB, APP, data=settings)
    port = next(iter(configuration.node.values())).rest_port
    ready = {"selector": APP, "ports": [{"name": "rest", "port": port, "targetPort": "rest"}]}
    yield named("Service", "v1", "wattquorum", APP, spec=ready)
    spare = {"maxUnavailable": 1, "selector": {"matchLabels": APP}}
    yield named("PodDisruptionBudget", "policy/v1", "wattquorum", APP, spec=spare)
    for name, section in configuration.node.items():
        yield _peers_service(name, section)
        yield _stateful_set(name, section, configuration)


def labels_of(name: str) -> dict[str, str]:
    return {**APP, "app.kubernetes.io/instance": name}


def _ports(section: NodeSection) -> list[tuple[str, int]]:
    return [
        ("peer", section.peer_port),
        ("rest", section.rest_port),
        ("client", section.client_port),
        ("metrics", section.metrics_port),
    ]


def _peers_service(name: str, section: NodeSection) -> dict[str, Any]:
    """Headless: ``host`` is the pod's own address, on which the node listens; also before it is ready, since it gets
    ready by hearing its peers."""
    ports = [{"name": label, "port": port} for label, port in _ports(section)]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": labels_of(name), "ports": ports}
    return named("Service", "v1", section.host, labels_of(name), spec=spec)


def _stateful_set(name: str, section: NodeSection, configuration: Configuration) -> dict[str, Any]:
    spec = {
        "serviceName": section.host,
        "replicas": 1,
        # Nodes are upgraded one after another, by hand: docs/OPERATIONS.md.
        "updateStrategy": {"type": "OnDelete"},
        "selector": {"matchLabels": labels_of(name)},
        "template": {"metadata": {"labels": labels_of(name)}, "spec": _pod(name, section, configuration)},
        "volumeClaimTemplates": [_claim("home", "20Gi"), _claim("documents", "20Gi")],
    }
    return named("StatefulSet", "apps/v1", name, labels_of(name), spec=spec)


def _claim(name: str, size: str) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def _pod(name: str, section: NodeSection, configuration: Configuration) -> dict[str, Any]:
    elsewhere = {"labelSelector": {"matchLabels": APP}, "topologyKey": "kubernetes.io/hostname"}
    return {
        "terminationGracePeriodSeconds": ENDING_S,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # Two validators on one machine fall together.
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [elsewhere]}},
        "initContainers": [_preparing(name)],
        "containers": [_node(name, section, configuration), _couchdb(configuration)],
        "volumes": [
            {"name": "network", "configMap": {"name": NETWORK}},
            {"name": "couchdb", "configMap": {"name": COUCHDB}},
            {"name": "identity", "secret": {"secretName": identity_of(name)}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }


def identity_of(name: str) -> str:
    return f"{name}-identity"


WALLS = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _preparing(name: str) -> dict[str, Any]:
    founding = {"configMapKeyRef": {"name": FOUNDING, "key": "founding", "optional": True}}
    return {
        "name": "prepare",
        "image": IMAGE,
        "command": ["sh", "-ec", PREPARE],
        "env": [{"name": "HOME_DIRECTORY", "value": f"/network/{name}"}, {"name": "FOUNDING", "valueFrom": founding}],
        "securityContext": WALLS,
        "volumeMounts": [
            {"name": "home", "mountPath": f"/network/{name}"},
            {"name": "identity", "mountPath": "/identity", "readOnly": True},
        ],
    }


def _node(name: str, section: NodeSection, configuration: Configuration) -> dict[str, Any]:
    state = configuration.state
    return {
        "name": "node",
        "image": IMAGE,
        "args": [name],
        "env": [_secret(state.user_variable, "user"), _secret(state.password_variable, "password")],
        "ports": [{"name": label, "containerPort": port} for label, port in _ports(section)],
        "startupProbe": {**_probe("/healthz"), "failureThreshold": STARTING_S // PROBE_S},
        "livenessProbe": {**_probe("/healthz"), "failureThreshold": 6},
        "readinessProbe": _probe("/readyz"),
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": WALLS,
        "volumeMounts": [
            {"name": "home", "mountPath": f"/network/{name}"},
            {"name": "network", "mountPath": "/network/cluster.toml", "subPath": "cluster.toml", "readOnly": True},
            {"name": "network", "mountPath": "/network/genesis.json", "subPath": "genesis.json", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": PROBE_S, "timeoutSeconds": 5}


def _couchdb(configuration: Configuration) -> dict[str, Any]:
    ini = "/opt/couchdb/etc/local.d/wattquorum.ini"
    return {
        "name": "couchdb",
        "image": COUCHDB_IMAGE,
        "env": [_secret("COUCHDB_USER", "user"), _secret("COUCHDB_PASSWORD", "password")],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        # It writes its administrator's hashed password beside its settings: its root file system stays writable.
        "securityContext": {
            "runAsUser": COUCHDB_USER,
            "runAsGroup": COUCHDB_USER,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "documents", "mountPath": "/opt/couchdb/data"},
            {"name": "couchdb", "mountPath": ini, "subPath": "wattquorum.ini"},
        ],
    }


def _secret(variable: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": COUCHDB, "key": key}}}


def network_objects(directory: Path) -> Iterator[dict[str, Any]]:
    """What is a network's own: its files, and an identity a node."""
    files = {name: (directory / name).read_text("utf-8") for name in ("cluster.toml", "genesis.json")}
    yield named("ConfigMap", "v1", NETWORK, APP, data=files)
    for name, section in load(directory / "cluster.toml", {}).node.items():
        home = directory / (section.directory or name)
        identity = {file: b64encode((home / file).read_bytes()).decode() for file in ("node.key", "node.crt")}
        yield named("Secret", "v1", identity_of(name), labels_of(name), type="Opaque", data=identity)


class _Plain(yaml.SafeDumper):
    """Without references, and with texts of several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def written(all_objects: Iterator[dict[str, Any]]) -> str:
    return yaml.dump_all(all_objects, Dumper=_Plain, sort_keys=False, width=120, explicit_start=True)


def manifest() -> str:
    return HEAD + written(objects(load(HERE / "cluster.toml", {})))


if __name__ == "__main__":
    if sys.argv[1:]:
        print(written(network_objects(Path(sys.argv[1]))))
    else:
        (HERE / "nodes.yaml").write_text(manifest(), "utf-8")
