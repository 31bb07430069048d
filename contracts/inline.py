"""Operations on integers, written out in place: what a guard would find nearly always is looked for there, and it is
called only otherwise, with operands that are computed once.

Guards charge nothing for what is written out here, so gas is the same either way.
"""

from __future__ import annotations

import ast
from collections.abc import Set

from contracts.guards.meter import NUMBER_MAX

OPERAND, RESULT = "_operand", "_number"
"""Where a written-out operation keeps what it computes."""
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_EQUALITIES = (ast.Eq, ast.NotEq)


class Inliner:
    """For one function. ``numbers``: its names of the module's integers below 2^63, which are nothing else there."""

    def __init__(self, numbers: Set[str]) -> None:
        self._numbers = numbers

    def compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr, guard: str) -> ast.expr:
        """``left op right`` of integers in place, or else the guard's."""
        known = self._is_number(left) or self._is_number(right)
        if not isinstance(op, _ORDERS) and not (known and isinstance(op, _EQUALITIES)):
            return _call(guard, left, right)
        if self._is_number(left) and not _is_simple(right):
            tests, right = self._kept(right)
        elif _is_simple(right):
            tests, left = self._kept(left)
            tests += self._tests(right)
        else:
            return _call(guard, left, right)
        return _either(tests, ast.Compare(left, [op], [right]), _call(guard, left, right))

    def computed(self, left: ast.expr, op: ast.operator, right: ast.expr, guard: str) -> ast.expr:
        """``left op right`` of integers below 2^63 in place, or else the guard's."""
        if not _is_simple(right):
            return _call(guard, left, right)
        if isinstance(op, ast.Add | ast.Sub | ast.Mult):
            tests, left = self._kept(left)
            made = _within(ast.NamedExpr(ast.Name(RESULT, ast.Store()), ast.BinOp(left, op, right)))
            tests += [*self._tests(right), made]
            return _either(tests, ast.Name(RESULT, ast.Load()), _call(guard, left, right))
        if isinstance(right, ast.Constant) and self._is_number(right) and right.value > 0:  # type: ignore[operator]
            tests, left = self._kept(left)
            return _either([*tests, _within(left)], ast.BinOp(left, op, right), _call(guard, left, right))
        return _call(guard, left, right)

    def _kept(self, value: ast.expr) -> tuple[list[ast.expr], ast.expr]:
        """Tests that it is an integer, and what it can be reached by after them any number of times."""
        if _is_simple(value):
            return self._tests(value), value
        kept = ast.NamedExpr(ast.Name(OPERAND, ast.Store()), value)
        return [_is_integer(kept)], ast.Name(OPERAND, ast.Load())

    def _tests(self, value: ast.expr) -> list[ast.expr]:
        return [] if self._is_number(value) else [_is_integer(value)]

    def _is_number(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._numbers
        return isinstance(node, ast.Constant) and is_small(node.value)


def is_small(value: object) -> bool:
    """An integer below 2^63, as nearly all are."""
    return type(value) is int and -NUMBER_MAX < value < NUMBER_MAX


def _is_simple(node: ast.expr) -> bool:
    """What can be looked at again and again: nothing happens by it."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and is_small(node.value))


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _is_integer(value: ast.expr) -> ast.expr:
    return ast.Compare(_call("_type", value), [ast.Is()], [ast.Name("_int_type", ast.Load())])


def _within(value: ast.expr) -> ast.expr:
    return ast.Compare(ast.Constant(-NUMBER_MAX), [ast.Lt(), ast.Lt()], [value, ast.Constant(NUMBER_MAX)])


def _either(tests: list[ast.expr], made: ast.expr, otherwise: ast.expr) -> ast.expr:
    if not tests:
        return made
    return ast.IfExp(tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests), made, otherwise)
