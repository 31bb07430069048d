"""The start-up check that a foreign `node`, `ledger` or `meter` does not stand in for one of our rooms."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
ROOMS = (
    "api", "bench", "ca", "cluster", "contracts", "demo", "ledger", "meter", "node", "pbft", "sdk", "seat", "sim",
    "witness",
)  # fmt: skip


def place_of(spec: ModuleSpec) -> Path:
    """The directory that holds a top-level module or package."""
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin or "").resolve().parent


def foreign_rooms(home: Path = HOME) -> dict[str, Path]:
    """The rooms that Python would import from anywhere but `home`, with the place they would come from."""
    found = ((name, importlib.util.find_spec(name)) for name in ROOMS)
    places = {name: place_of(spec) for name, spec in found if spec is not None}
    return {name: place for name, place in places.items() if place != home}


def check_rooms(home: Path = HOME) -> None:
    """Ends the process with a sentence that helps if a room is not ours."""
    foreign = foreign_rooms(home)
    if foreign:
        lines = (f"    {name} would come from {place}" for name, place in sorted(foreign.items()))
        raise SystemExit(
            "wattq: other modules stand in front of Wattquorum's own:\n"
            + "\n".join(lines)
            + f"\nWattquorum is in {home}. Install it into an environment of its own, and clear PYTHONPATH."
        )
