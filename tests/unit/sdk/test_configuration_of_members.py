"""The keys about primaries, observers and faulty peers: their ranges, and what names them when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from network import configuration_text

import cluster
from sdk.configuration import ConfigurationError, load, parse


def test_the_sample_says_the_defaults() -> None:
    sample = load(Path(cluster.__file__).with_name("cluster.toml"), {})
    plain = parse(configuration_text(4), "test")
    assert sample.primary == plain.primary
    for name in ("observers_max", "observer_bytes_per_s_max", "faults_per_s_max", "penalty_ms", "snapshot_gap_blocks"):
        assert getattr(sample.limits, name) == getattr(plain.limits, name)
    assert (sample.limits.rotation_blocks, sample.limits.snapshot_depth) == (0, 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("primary.primary_share_percent_min", "101"),
        ("primary.primary_window_ms", "0"),
        ("primary.report_primaries", "3"),
        ("limits.rotation_blocks", "-1"),
        ("limits.snapshot_depth", "5"),
        ("limits.observers_max", "-1"),
        ("limits.observer_bytes_per_s_max", "10"),
        ("limits.faults_per_s_max", "0"),
        ("limits.penalty_ms", "0"),
        ("limits.snapshot_gap_blocks", "0"),
        ("limits.snapshot_gap_blocks", "63"),
        ("limits.client_pool_share_percent", "0"),
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_its_key(key: str, value: str) -> None:
    section, _, name = key.partition(".")
    variable = f"WATTQ_{section}__{name}".upper()
    with pytest.raises(ConfigurationError, match=name):
        parse(configuration_text(4), "test", {variable: value})


def test_observers_do_not_count_among_those_that_vote() -> None:
    text = configuration_text(5).replace("[node.node5]", "[node.node5]\nobserver = true")
    configuration = parse(text, "test")
    assert list(configuration.validators) == ["node1", "node2", "node3", "node4"]
    assert list(configuration.node)[-1] == "node5"
