"""The bench of deep books and large auctions, small: its gas is exact, so the cost of depth can be tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.depth import auction, depths, draw


def test_a_placements_gas_does_not_grow_with_the_book(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.depth.SAMPLES", 5)
    rows = depths((10, 300))
    small, large = rows
    assert abs(large["match_gas"] - small["match_gas"]) < small["match_gas"] // 50
    assert abs(large["rest_gas"] - small["rest_gas"]) < small["rest_gas"] // 50
    pytest.importorskip("matplotlib")
    draw(rows, tmp_path / "depth.png")
    assert (tmp_path / "depth.png").stat().st_size > 1_000


def test_a_large_auction_clears_over_several_blocks_within_their_gas() -> None:
    figures = auction(600)
    assert (figures["stage"], figures["trades"] > 100, figures["blocks"] > 1) == ("done", True, True)
    assert figures["block_gas_most"] < 20_000_000
