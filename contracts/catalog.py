"""The shipped contracts, as text: what genesis deploys."""

from __future__ import annotations

from importlib.resources import files

SHIPPED = ("auction", "channels", "credit", "governance", "market", "offers", "origin", "registry", "settlement")
MAIN_ONLY = ("channels",)
"""What only a network's main ledger has."""


def shipped_sources() -> dict[str, str]:
    """Source by contract name."""
    folder = files("contracts") / "shipped"
    return {name: (folder / f"{name}.py").read_text(encoding="ascii") for name in SHIPPED}


def channel_sources() -> dict[str, str]:
    """What a channel's genesis deploys if its founders choose nothing else."""
    return {name: source for name, source in shipped_sources().items() if name not in MAIN_ONLY}
