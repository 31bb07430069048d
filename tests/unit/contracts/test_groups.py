"""The names of state groups are written once, in `contracts/rules/groups.py`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from contracts.rules import groups
from contracts.rules.shapes import SHAPES

NAMES = {value for value in vars(groups).values() if isinstance(value, str) and "/" in value and "\n" not in value}
MODULES = sorted(path for path in Path(groups.__file__).parent.glob("*.py") if path != Path(groups.__file__))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_other_module_writes_a_group_out(path: Path) -> None:
    constants = [node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)]
    texts = [text for text in constants if isinstance(text, str) and " " not in text]
    assert not [text for text in texts for name in (*NAMES, *SHAPES) if text.startswith(name)]
