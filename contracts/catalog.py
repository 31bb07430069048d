"""The shipped contracts, as text: what genesis deploys."""

from __future__ import annotations

from importlib.resources import files

SHIPPED = ("credit", "governance", "market", "registry", "settlement")


def shipped_sources() -> dict[str, str]:
    """Source by contract name."""
    folder = files("contracts") / "shipped"
    return {name: (folder / f"{name}.py").read_text(encoding="ascii") for name in SHIPPED}
