"""The commented cluster.toml says the defaults, wherever it does not mean to differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk.configuration import load

SAMPLE = Path(__file__).resolve().parents[3] / "cluster.toml"


@pytest.mark.parametrize("name", ["useless_per_s_max", "client_requests_per_s_max", "history_blocks"])
def test_a_limit_of_the_sample_is_the_default(name: str) -> None:
    """The sample's useless_per_s_max stayed at 1,000 when the default moved to 4,000."""
    limits = load(SAMPLE, {}).limits
    assert getattr(limits, name) == getattr(type(limits)(), name)
