"""A long chain's life: made, verified, exported, pruned, restarted, its state in a file, verified with its archive.

Figures are printed. The same code runs small with every `make test`, and with 200,000 blocks in `make soak`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from long_chains import LONG_GENESIS, grow, make_home, open_home, peak_mib
from typer.testing import CliRunner

from cli.main import app
from ledger import chain as chains

SOAK_BLOCKS = 200_000
BLOCKS = 200
SEGMENTS = 8
"""About how many segments the chain has: enough that some can go."""
BLOCK_BYTES = 2_000
SOAK_MIB_MAX = 600
"""No stage keeps the chain in memory; a state of four accounts takes next to nothing."""


@contextmanager
def timed(stage: str, blocks: int) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    print(f"{stage}: {took:.1f} s, {blocks / took:.0f} blocks/s, peak memory {peak_mib():.0f} MiB", flush=True)


def run(*command: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    told: dict[str, object] = json.loads(result.stdout)
    return told


def live(place: Path, blocks: int, form: str) -> None:
    home, archive, genesis = place / "node1", place / "archive", ("--genesis", str(place / "genesis.json"))
    with timed("made", blocks):
        make_home(home, blocks, LONG_GENESIS)
    with timed("verified", blocks):
        found = run("verify", "chain", str(home), *genesis)
    assert (found["height"], found["transactions"], found["certificates"]) == (blocks, blocks, blocks)
    with timed(f"exported as {form}", blocks):
        exported = run("ledger", "export", str(home), "--format", form, "--out", str(place / "tables"))
    assert exported["rows"] == {
        "blocks": blocks, "transactions": blocks, "results": blocks, "events": blocks, "trades": 0,
    }  # fmt: skip
    with timed("pruned", blocks):
        pruned = run("ledger", "prune", str(home), "--below", str(blocks // 2), "--archive", str(archive))
    first = pruned["first_height"]
    assert isinstance(first, int)
    assert 1 < first <= blocks // 2
    with timed("restarted", blocks), closing(open_home(home, LONG_GENESIS)) as ledger:
        assert (ledger.first_height, ledger.height) == (first, blocks)
        assert ledger.state_root.hex() == found["state_root"]
        grow(ledger, 1)
    snapshot = place / "state.snapshot"
    with timed("snapshot of the pruned one", blocks):
        assert run("ledger", "snapshot", str(home), "--out", str(snapshot))["height"] == blocks + 1
    with timed("snapshot verified", blocks):
        assert run("verify", "snapshot", str(snapshot), *genesis)["height"] == blocks + 1
    with timed("verified with its archive", blocks):
        again = run("verify", "chain", str(home), "--archive", str(archive), *genesis)
    assert again["height"] == blocks + 1


def test_a_long_chain_is_verified_exported_pruned_and_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "SEGMENT_BYTES_MAX", BLOCKS * BLOCK_BYTES // SEGMENTS)
    live(tmp_path, BLOCKS, "jsonl")


@pytest.mark.soak
@pytest.mark.timeout(6 * 3_600)
def test_two_hundred_thousand_blocks_are_too_in_bounded_memory(tmp_path: Path) -> None:
    live(tmp_path, SOAK_BLOCKS, "parquet")
    assert peak_mib() < SOAK_MIB_MAX
