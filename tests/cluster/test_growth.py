"""A ledger of a million blocks and a million keys: what a block costs on the way, and how soon nodes start over it.

Figures are printed and kept in ``growth.jsonl``. What is asserted does not depend on how busy the machine is.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import growing
import pytest
from restarting import restart

pytestmark = pytest.mark.cluster
SOAK_BLOCKS, BLOCKS = 1_000_000, 1_200
PROCESSOR_S_MAX = 5.0
"""Of a node until it is ready, however long its ledger."""


def grown_and_restarted(directory: Path, blocks: int) -> None:
    """In a process of its own, so that its memory is the ledger's."""
    subprocess.run([sys.executable, growing.__file__, str(directory), "--blocks", str(blocks)], check=True)
    rows = [json.loads(line) for line in (directory / "growth.jsonl").read_text().splitlines()]
    assert rows[-1]["height"] >= blocks
    figures = asyncio.run(restart(directory))
    print(json.dumps(figures, indent=1), flush=True)
    for node in (*figures["all four"], figures["ended"], figures["killed"]):
        assert node["height"] >= rows[-1]["height"]
        assert node["processor_s"] < PROCESSOR_S_MAX


@pytest.mark.full
def test_a_grown_ledger_is_what_four_nodes_start_over(tmp_path: Path) -> None:
    grown_and_restarted(tmp_path / "net", BLOCKS)


@pytest.mark.full
def test_growth_that_is_killed_leaves_what_nodes_go_on_from(tmp_path: Path) -> None:
    """Regression: it left six hundred blocks without a certificate, several times what a node's window lets it have,
    and nodes that were started over them made no more."""
    command = [sys.executable, growing.__file__, str(tmp_path), "--blocks", str(SOAK_BLOCKS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as grown:
        assert grown.stdout is not None
        grown.stdout.readline()  # a row: from here on it fills again
        grown.kill()
    asyncio.run(restart(tmp_path))


@pytest.mark.soak
@pytest.mark.timeout(12 * 3_600)
def test_a_million_blocks_and_keys_too(tmp_path: Path) -> None:
    grown_and_restarted(tmp_path / "net", SOAK_BLOCKS)
