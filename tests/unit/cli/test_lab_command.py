"""`wattq lab` without a network that runs: what it refuses, and what it says of lies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from network import configuration_text
from typer.testing import CliRunner

from cli.lab import options_of
from cli.main import app
from faults.real.liar import LIES
from sdk.configuration import ConfigurationError

NAMES = ("node1", "node2")


def test_a_liar_gets_its_lies_and_everybody_the_seed() -> None:
    told = options_of(NAMES, ["node2=equivocate,mute"], 7)
    assert told == {"node1": ["--seed", "7"], "node2": ["--byzantine", "equivocate,mute", "--seed", "7"]}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("node3=mute", "NODE=LIE is wanted, of node1, node2"), ("node1", "NODE=LIE is wanted"),
        ("node1=", "no lie ''"), ("node1=mute,truth", "no lie 'truth'; wattq lab lies names them"),
    ],
)  # fmt: skip
def test_no_liar_is_made_of_what_is_not_there(item: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        options_of(NAMES, [item], 0)


def test_every_lie_is_told_in_a_sentence() -> None:
    told = json.loads(CliRunner().invoke(app, ["lab", "lies", "--json"]).stdout)
    assert set(told) == set(LIES)
    assert all(told.values())


def test_a_network_in_earnest_use_has_no_lab_nodes(tmp_path: Path) -> None:
    config = tmp_path / "cluster.toml"
    config.write_text(configuration_text(4))
    result = CliRunner().invoke(app, ["lab", "up", "-c", str(config), "-d", str(tmp_path / "net")])
    assert (result.exit_code, "only a network with network.lab = true" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (("--loss", "2"), 2, "loss is a share from 0 to 1"),
        (("--delay-ms", "-1"), 2, "delay_ms is from 0"),
        ((), 2, "is no prepared network"),
    ],
)
def test_links_that_cannot_be_are_refused(tmp_path: Path, options: tuple[str, ...], code: int, why: str) -> None:
    result = CliRunner().invoke(app, ["lab", "links", "node1", "-d", str(tmp_path / "none"), *options])
    assert (result.exit_code, why in result.stderr) == (code, True)
