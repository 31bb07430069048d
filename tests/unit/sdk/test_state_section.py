"""The [state] and [sandbox] sections: what is wrong with them is named by its key."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.statedb import couchdb_access
from ledger.statedb.couchdb import Owner, database_name
from sdk.configuration import ConfigurationError, parse

NODES = "".join(f"[node.node{n}]\npeer_port = {n}\nrest_port = 0\nclient_port = 0\n" for n in (1, 2, 3, 4))
COUCHDB = '[state]\nbackend = "couchdb"\n'


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (COUCHDB, "node.node1.couchdb_url"),
        (COUCHDB + 'couchdb_url = "http://admin:secret@127.0.0.1:5984"\n', "state.couchdb_url"),
        (COUCHDB + 'couchdb_url = "http://db.example:5984"\n', "state.couchdb_url"),
        (COUCHDB + 'couchdb_url = "couch:5984"\n', "state.couchdb_url"),
        ('[state]\nbackend = "mongo"\n', "state.backend"),
        ("[state]\nlag_blocks_max = -1\n", "state.lag_blocks_max"),
        ('[state]\ndatabase_prefix = "Upper"\n', "state.database_prefix"),
        ('[sandbox]\nmode = "docker"\n', "sandbox.mode"),
    ],
)
def test_a_bad_value_is_named_by_its_key(text: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=key.replace(".", r"\.")) as caught:
        parse(text + NODES, "cluster.toml")
    assert "secret" not in str(caught.value)


def test_a_nodes_own_url_comes_first_and_the_user_from_the_environment() -> None:
    text = COUCHDB + 'couchdb_url = "https://all.example"\n' + NODES + 'couchdb_url = "http://127.0.0.1:5984/"\n'
    configuration = parse(text, "cluster.toml")
    environment = {"WATTQ_COUCHDB_USER": "admin", "WATTQ_COUCHDB_PASSWORD": "secret"}
    own, common = (couchdb_access(configuration, name, environment) for name in ("node4", "node1"))
    assert (own.url, own.url_setting, own.tls) == ("http://127.0.0.1:5984", "node.node4.couchdb_url", None)
    assert (common.url, common.url_setting) == ("https://all.example", "state.couchdb_url")
    assert common.tls is not None
    assert common.tls.check_hostname


@pytest.mark.parametrize("missing", ["WATTQ_COUCHDB_USER", "WATTQ_COUCHDB_PASSWORD"])
def test_a_missing_variable_is_named(missing: str) -> None:
    configuration = parse(COUCHDB + 'couchdb_url = "https://all.example"\n' + NODES, "cluster.toml")
    environment = {"WATTQ_COUCHDB_USER": "admin", "WATTQ_COUCHDB_PASSWORD": "secret"}
    with pytest.raises(ConfigurationError, match=missing):
        couchdb_access(configuration, "node1", {k: v for k, v in environment.items() if k != missing})


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True) | st.sampled_from(["x", "x-y", "y-z", "z"])


@given(first=st.tuples(NAMES, NAMES), second=st.tuples(NAMES, NAMES))
def test_no_two_channels_and_nodes_have_one_database(first: tuple[str, str], second: tuple[str, str]) -> None:
    names = [database_name("wattquorum", Owner("ab" * 32, *each)) for each in (first, second)]
    assert (names[0] == names[1]) is (first == second)
    assert all(re.fullmatch(r"[a-z][a-z0-9_$()+/-]*", name) for name in names)


def test_the_names_of_databases_are_easily_read() -> None:
    owners = [Owner("", "main", "node-1"), Owner("", "north-east", "Node1")]
    names = ["wattquorum-main-node-1", "wattquorum-north$2deast-$4eode1"]
    assert [database_name("wattquorum", owner) for owner in owners] == names
