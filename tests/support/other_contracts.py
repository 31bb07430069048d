"""The shipped contracts with one place changed, as a machine might run them that lies about all that follows."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

Path = list[tuple[str, int | None]]
Change = tuple[Path, str]
"""Where in a contract's tree, and what is changed there."""

OTHER_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
}  # fmt: skip
TEXT_CHARS_MAX = 20
"""Longer texts are sentences."""
PAIRS = (("ask", "bid"), ("seller", "buyer"), ("available", "held"), ("meter", "buyer_meter"), ("owner", "to"))
OPPOSITES = {text: other for pair in PAIRS for text, other in (pair, pair[::-1])}
"""What a text may be taken for, where it is the side or the party that counts."""


def changes_of(source: str) -> list[Change]:
    """All that is tried: statements left out, conditions that always or never hold, or the contrary, other operators,
    numbers and texts, arguments that changed places."""
    return [*_below(ast.parse(source), [])]


def changed(source: str, change: Change) -> str:
    tree = copy.deepcopy(ast.parse(source))
    path, kind = change
    parent: ast.AST = tree
    for step in path[:-1]:
        parent = _at(parent, step)
    new = _instead(_at(parent, path[-1]), kind)
    name, index = path[-1]
    if index is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[index] = new
    return ast.unparse(ast.fix_missing_locations(tree))


def line_of(source: str, change: Change) -> str:
    """The line that is changed, for people."""
    node: ast.AST = ast.parse(source)
    for step in change[0]:
        node = _at(node, step)
    return f"{change[1]}: {source.splitlines()[getattr(node, 'lineno', 1) - 1].strip()}"


def _at(node: ast.AST, step: tuple[str, int | None]) -> ast.AST:
    name, index = step
    found = getattr(node, name)
    return found if index is None else found[index]  # type: ignore[no-any-return]


def _below(node: ast.AST, path: Path) -> Iterator[Change]:
    for name, field in ast.iter_fields(node):
        for index, each in enumerate(field) if isinstance(field, list) else [(None, field)]:
            if isinstance(each, ast.AST):
                here = [*path, (name, index)]
                for kind in _kinds(each):
                    yield here, kind
                yield from _below(each, here)


def _kinds(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return ()  # a docstring
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Return):
        return ("left out",)
    if isinstance(node, ast.If):
        return ("always", "never")
    if isinstance(node, ast.Compare):
        return ("not",)
    if isinstance(node, ast.BinOp) and type(node.op) in OTHER_OPERATORS:
        return ("other operator",)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") not in ("require", "fail"):
        return tuple(f"swapped {first}" for first in range(len(node.args) - 1))
    if isinstance(node, ast.List):
        return tuple(f"swapped {first}" for first in range(len(node.elts) - 1))
    if isinstance(node, ast.Constant):
        if type(node.value) is bool:
            return ("not",)
        if type(node.value) is int:
            return ("one more", "one less")
        if type(node.value) is str and node.value in OPPOSITES:
            return ("other text", "opposite")
        if type(node.value) is str and 0 < len(node.value) < TEXT_CHARS_MAX:
            return ("other text",)
    return ()


def _instead(node: ast.AST, kind: str) -> ast.AST:
    if kind == "left out":
        return ast.Return(ast.Constant(None)) if isinstance(node, ast.Return) else ast.Pass()
    if isinstance(node, ast.If):
        node.test = ast.Constant(kind == "always")
        return node
    if isinstance(node, ast.Call | ast.List):
        items, first = node.args if isinstance(node, ast.Call) else node.elts, int(kind.split()[1])
        items[first : first + 2] = reversed(items[first : first + 2])
        return node
    if isinstance(node, ast.BinOp):
        node.op = OTHER_OPERATORS[type(node.op)]()
        return node
    if isinstance(node, ast.Constant):
        return ast.Constant(_other(node.value, kind))
    assert isinstance(node, ast.expr)
    return ast.UnaryOp(ast.Not(), node)


def _other(value: object, kind: str) -> bool | int | str:
    if kind == "not":
        return not value
    if kind == "opposite":
        return OPPOSITES[str(value)]
    if isinstance(value, int):
        return value + (1 if kind == "one more" else -1)
    return f"{value}x"
