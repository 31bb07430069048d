"""deploy/systemd: units that systemd itself finds good, where it is there; and that start what there is to start."""

from __future__ import annotations

import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

import node

UNITS = Path(__file__).resolve().parents[3] / "deploy" / "systemd"
NODE = UNITS / "wattquorum@.service"


def unit() -> RawConfigParser:
    """Its sections; no key is twice in one."""
    parser = RawConfigParser(strict=True, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(NODE.read_text("utf-8"))
    return parser


def test_it_starts_a_node_by_its_name_and_ends_and_reloads_it_by_the_signals_that_nodes_know() -> None:
    service = unit()["Service"]
    words = service["ExecStart"].split()
    assert words[1:4] == ["-P", "-m", node.__spec__.name]
    assert words[4:] == ["--config", "/var/lib/wattquorum/cluster.toml", "--name", "%i"]
    assert service["ExecReload"] == "/bin/kill -USR1 $MAINPID"
    assert "KillSignal" not in service, "SIGTERM, systemd's own, ends a node in order"
    assert service["RestartPreventExitStatus"] == "2", "the exit code of what no restart mends"
    assert service["ReadWritePaths"] == "/var/lib/wattquorum/%i"


def test_the_node_has_no_rights_beyond_its_home() -> None:
    service = unit()["Service"]
    assert service["User"] != "root"
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
        assert service[key] == "yes", key
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_finds_them_good(tmp_path: Path) -> None:
    """With a Python that is there in the place of the one that is to be installed."""
    text = NODE.read_text("utf-8").replace("/opt/wattquorum/bin/python", sys.executable)
    (tmp_path / NODE.name).write_text(text)
    shutil.copy(UNITS / "wattquorum.target", tmp_path)
    units = [str(tmp_path / "wattquorum@node1.service"), str(tmp_path / "wattquorum.target")]
    (tmp_path / "wattquorum@node1.service").symlink_to(NODE.name)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
