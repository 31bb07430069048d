"""`wattq cluster up` where a port is in use, and where another file is named than the network's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from network import configuration_text
from typer.testing import CliRunner, Result

from cli import cluster
from cli.main import app


def up(directory: Path, config: Path | None = None) -> Result:
    named = ["--config", str(config)] if config else []
    return CliRunner().invoke(app, ["cluster", "up", "-d", str(directory), *named])


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Path]:
    """A configuration of which a port is in use."""
    file = tmp_path / "mine.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        lines = configuration_text(4).splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith("rest_port"))
        file.write_text("\n".join([*lines[:first], f"rest_port = {port}", *lines[first + 1 :]]))
        yield file


def test_a_port_in_use_leaves_no_network_behind_and_names_the_file(taken: Path, tmp_path: Path) -> None:
    """What was left behind made every later --config count for nothing, without a word."""
    told = up(tmp_path / "net", taken)
    assert told.exit_code == 1
    assert "node.node1.rest_port" in told.stderr
    assert f"change it in {taken}" in told.stderr
    assert not (tmp_path / "net").exists()


def test_without_a_file_of_ones_own_it_is_told_how_to_have_one(
    taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SAMPLE", taken)
    told = up(tmp_path / "net", taken)
    assert (told.exit_code, "wattq init cluster.toml" in told.stderr) == (1, True)


def test_another_file_than_the_networks_own_is_not_ignored_silently(taken: Path, tmp_path: Path) -> None:
    directory = tmp_path / "net"
    made = CliRunner().invoke(app, ["cluster", "prepare", "-d", str(directory), "--config", str(taken)])
    assert made.exit_code == 0, made.output
    other = tmp_path / "other.toml"
    other.write_text(configuration_text(4))
    told = up(directory, other)
    assert f"{directory / 'cluster.toml'} says how it runs; not {other}" in told.stderr
    assert (told.exit_code, f"change it in {directory / 'cluster.toml'}" in told.stderr) == (1, True)
