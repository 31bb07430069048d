"""The library of scenarios that comes with the lab, and finding scenarios by name or file."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from faults.reading import SUFFIX, BadScenario, parse_scenario, read_scenario
from faults.scenario import Scenario

TEMPLATE = "template.toml"


def library() -> dict[str, Scenario]:
    """Every scenario of the library by its name, in the order of names."""
    return dict(_library())


@cache
def _library() -> dict[str, Scenario]:
    found = [path for path in files("faults").joinpath("library").iterdir() if path.name.endswith(SUFFIX)]
    texts = {path.name.removesuffix(SUFFIX): path.read_text("utf-8") for path in found}
    return {name: parse_scenario(texts[name], name + SUFFIX) for name in sorted(texts)}


def template() -> str:
    """The commented file that a new scenario begins as; ``NAME`` stands where its name goes."""
    return files("faults").joinpath(TEMPLATE).read_text("utf-8")


def find(wanted: Sequence[str]) -> list[Scenario]:
    """Scenarios by name or file, in this order; the whole library if none is named. Raises ``BadScenario``: all are
    read before any is run."""
    known = library()
    return [_find(item, known) for item in wanted] or list(known.values())


def _find(item: str, known: dict[str, Scenario]) -> Scenario:
    if item in known:
        return known[item]
    if item.endswith(SUFFIX) or "/" in item:
        return read_scenario(Path(item))
    if Path(item + SUFFIX).exists():
        raise BadScenario(f"{item}: no scenario of the library; did you mean {item + SUFFIX}?")
    near = get_close_matches(item, known, 3)
    hint = f"did you mean {', '.join(near)}?" if near else "wattq faults list shows all"
    raise BadScenario(f"{item}: neither a scenario of the library nor a file; {hint}")
