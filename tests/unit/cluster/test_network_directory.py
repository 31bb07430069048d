"""A network's directory: what is made, and how nodes are added to and taken out of its file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from network import configuration_text

from ca.keys import SigningKey
from cli.contracts import shipped_contracts
from cluster import NEW_MARK, Cluster, ClusterError, prepare, without_section
from ledger.genesis import Genesis, load_genesis
from sdk import methods
from sdk.configuration import ConfigurationError, parse
from sdk.methods import NodeStatus


def made(directory: Path, text: str) -> Genesis:
    prepare(directory, parse(text, "test"), text, shipped_contracts())
    return load_genesis(directory / "genesis.json")


def with_observer(text: str) -> str:
    return text + "[node.node5]\nobserver = true\npeer_port = 1\nrest_port = 2\nclient_port = 3\n"


def test_genesis_names_validators_with_their_addresses_and_no_observers(tmp_path: Path) -> None:
    genesis = made(tmp_path / "net", with_observer(configuration_text(4)))
    configuration = Cluster(tmp_path / "net").configuration
    assert [v.name for v in genesis.validators] == ["node1", "node2", "node3", "node4"]
    for validator in genesis.validators:
        section = configuration.section(validator.name)
        assert validator.address == f"127.0.0.1:{section.peer_port}"
        assert validator.public_key == SigningKey.load(tmp_path / "net" / validator.name / "node.key").public_key


def test_a_path_that_is_not_utf_8_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """Four nodes were started, and each ended in a stack trace of its store's."""
    home = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(ClusterError, match=r"caf\\udce9/net' is no path in UTF-8, .* choose another directory"):
        made(home / "net", configuration_text(4))
    assert not home.exists()


def test_every_node_may_sign_and_is_marked_as_new(tmp_path: Path) -> None:
    genesis = made(tmp_path / "net", with_observer(configuration_text(4)))
    roles = {facts.name: facts.role for facts in genesis.facts}
    for name in Cluster(tmp_path / "net").names:
        assert roles[name] == "node"
        assert (tmp_path / "net" / name / NEW_MARK).exists()


def test_each_operator_is_of_another_organisation_and_two_act_together(tmp_path: Path) -> None:
    genesis = made(tmp_path / "net", configuration_text(4))
    operators = {facts.name: facts.organisation for facts in genesis.facts if facts.role == "operator"}
    assert operators == {f"operator{n}": f"Wattquorum {n}" for n in (1, 2, 3)}
    assert set(genesis.organisations.names) == set(operators.values())
    assert genesis.organisations.threshold == 2


def test_the_first_primary_and_rotation_are_fixed_in_genesis(tmp_path: Path) -> None:
    text = configuration_text(4, "rotation_blocks = 100").replace("[network]", '[network]\nfirst_primary = "node3"')
    genesis = made(tmp_path / "net", text)
    assert (genesis.epoch.first_primary, genesis.limits.rotation_blocks) == (2, 100)


def test_a_network_begins_with_at_least_four_that_vote(tmp_path: Path) -> None:
    text = with_observer(configuration_text(4)).replace("[node.node4]", "[node.node4]\nobserver = true")
    with pytest.raises(ConfigurationError, match="3 nodes that vote"):
        made(tmp_path / "net", text)


def test_the_first_primary_is_one_that_votes(tmp_path: Path) -> None:
    text = with_observer(configuration_text(4)).replace("[network]", '[network]\nfirst_primary = "node5"')
    with pytest.raises(ConfigurationError, match="first_primary"):
        made(tmp_path / "net", text)


def test_a_further_node_gets_key_certificate_ports_and_an_observers_section(tmp_path: Path) -> None:
    made(tmp_path / "net", configuration_text(4))
    network = Cluster(tmp_path / "net")
    network.add_node("node5")
    section = Cluster(tmp_path / "net").section("node5")
    ports = [section.peer_port, section.rest_port, section.client_port]
    others = [network.section(name).client_port for name in network.names if name != "node5"]
    assert section.observer
    assert min(ports) > max(others)
    assert len(set(ports)) == 3
    assert {path.name for path in (tmp_path / "net" / "node5").iterdir()} == {"node.key", "node.crt", NEW_MARK}
    with pytest.raises(ClusterError, match="already"):
        network.add_node("node5")


@pytest.mark.parametrize("name", ["", "no/de", "a b", "]x", "x" * 70])
def test_a_name_that_cannot_be_is_refused_and_changes_nothing(tmp_path: Path, name: str) -> None:
    made(tmp_path / "net", configuration_text(4))
    network = Cluster(tmp_path / "net")
    before = (tmp_path / "net" / "cluster.toml").read_text()
    with pytest.raises(ConfigurationError):
        network.add_node(name)
    assert (tmp_path / "net" / "cluster.toml").read_text() == before
    assert Cluster(tmp_path / "net").names == ["node1", "node2", "node3", "node4"]


def test_a_node_added_and_forgotten_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    made(tmp_path / "net", configuration_text(4))
    before = (tmp_path / "net" / "cluster.toml").read_text()
    network = Cluster(tmp_path / "net")
    network.add_node("node5")
    network.forget_node("node5")
    assert (tmp_path / "net" / "cluster.toml").read_text().rstrip() == before.rstrip()
    with pytest.raises(ClusterError, match="left from an earlier"):
        network.add_node("node5")


def test_a_section_goes_with_what_belongs_to_it_and_nothing_else() -> None:
    text = "[a]\nx = 1\n[node.n1]\np = 1\n[[node.n1.meter]]\nq = 2\n[node.n10] # ten\nr = 3\n"
    assert without_section(text, "n1") == "[a]\nx = 1\n[node.n10] # ten\nr = 3\n"
    assert without_section(text, "n10") == "[a]\nx = 1\n[node.n1]\np = 1\n[[node.n1.meter]]\nq = 2\n"


async def test_another_networks_node_on_our_port_is_not_ours(tmp_path: Path) -> None:
    """Found in CI: a network seemed to run whose nodes had found their ports taken by another's."""
    chain = made(tmp_path / "net", configuration_text(4)).chain_id.hex()
    cluster = Cluster(tmp_path / "net")
    found: NodeStatus

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(body=msgspec.json.encode(found))

    application = web.Application()
    application.router.add_get(methods.STATUS.path, answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", cluster.section("node1").rest_port).start()
    try:
        for name, of, ours in (("node1", chain, True), ("node1", "00" * 32, False), ("node2", chain, False)):
            found = NodeStatus(name, 0, "0", of, "main", 2, True, "n", 9, 8, "", 0, 9, 0, (), {}, ())
            assert await cluster.status("node1") == (found if ours else None)
    finally:
        await runner.cleanup()
