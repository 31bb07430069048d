"""Every package says that its hints are to be believed: without ``py.typed`` type checkers ignore all of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_each_package_of_the_wheel_is_marked_as_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = [name for name in project["packages"]["find"]["include"] if not name.endswith(".*")]
    assert [name for name in packages if not (ROOT / name / "py.typed").is_file()] == []
    assert "py.typed" in project["package-data"]["*"], "and the wheel carries the marks"
