"""What the nodes of a contract's tree cost, charged where their block begins: a unit each, and more for operations that
take longer than a node whatever they are given. What depends on operands the guards charge.
"""

from __future__ import annotations

import ast

FUNCTION_GAS = {
    "sorted": 4, "min": 30, "max": 30, "sum": 28, "reversed": 14, "enumerate": 26, "range": 16, "list": 14, "dict": 10,
    "int": 14, "str": 3, "pad": 10, "sha256": 10, "floor_div": 5, "len": 2, "signers": 8,
}  # fmt: skip
LOOP_GAS, PAIRS_GAS = 14, 16
"""What going through something costs beside its items, and what unpacking them adds."""
STORE_GAS, UPDATE_GAS, REACH_GAS = 5, 18, 4
"""Storing under, updating under and reaching by a key that the tree does not know, or that is no text."""
DIVIDE_GAS, MEMBER_GAS, NOT_GAS = 4, 4, 3
LIST_GAS, DICT_GAS = 4, 6
"""An empty list is 56 bytes and a dictionary with one entry 184, beside its node; whoever keeps them has the collector
look at them, too."""


def weight(node: ast.AST) -> int:
    """Gas of an expression or of a statement's own expressions; blocks inside charge for themselves."""
    total = 1 + _extra(node)
    for field, value in ast.iter_fields(node):
        if field in ("body", "orelse") and isinstance(value, list):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr | ast.keyword | ast.operator | ast.cmpop | ast.unaryop | ast.boolop):
                total += weight(child)
    return total


def _extra(node: ast.AST) -> int:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTION_GAS.get(name, 0)
        case ast.For(target=target):
            return LOOP_GAS + (PAIRS_GAS if isinstance(target, ast.Tuple) else 0)
        case ast.AugAssign(target=ast.Subscript(slice=index), value=value):
            return 0 if _is_text(index) and (isinstance(value, ast.Name) or _is_number(value)) else UPDATE_GAS
        case ast.Subscript(ctx=ast.Store(), slice=index):
            return 0 if _is_text(index) else STORE_GAS
        case ast.Subscript(slice=index):
            return 0 if isinstance(index, ast.Constant | ast.Slice) else REACH_GAS
        case ast.FloorDiv() | ast.Mod():
            return DIVIDE_GAS
        case ast.In():
            return MEMBER_GAS
        case ast.NotIn():
            return MEMBER_GAS + NOT_GAS
        case ast.NotEq():
            return NOT_GAS
        case ast.List() | ast.Tuple(ctx=ast.Load()):
            return LIST_GAS
        case ast.Dict():
            return DICT_GAS
        case _:
            return 0


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is str
