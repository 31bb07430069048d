"""Operations on integers, and on dictionaries by a text that the tree knows, written out in place: what a guard would
find nearly always is looked for there, and it is called only otherwise, with operands that are computed once.

Guards charge nothing for what is written out here, so gas is the same either way.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TypeGuard

from contracts.guards.meter import KEY_CHARS_FREE, LENGTH_MAX, NUMBER_MAX

OPERAND, RESULT, OLD, NEW = "_operand", "_number", "_old", "_new"
"""Where a written-out operation keeps what it computes."""
PLAIN_FUNCTIONS = frozenset(
    {"len", "min", "max", "abs", "sum", "str", "int", "bool", "pad", "sha256", "floor_div", "ceil_div", "half_up_div",
     "is_int", "is_str", "is_list", "is_dict", "caller", "tx_id", "block_time", "block_height", "tx_index", "parameter"}
)  # fmt: skip
"""What never returns a list or a dictionary."""
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_EQUALITIES = (ast.Eq, ast.NotEq)


class Inliner:
    """For one function. ``numbers``: the module's integers below 2^63 by their names, which are nothing else there."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = numbers

    def compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr, guard: str) -> ast.expr:
        """``left op right`` of integers in place, or else the guard's."""
        known = self._is_number(left) or self._is_number(right)
        if not isinstance(op, _ORDERS) and not (known and isinstance(op, _EQUALITIES)):
            return _call(guard, left, right)
        if self._is_number(left) and not is_simple(right):
            tests, right = self._kept(right)
        elif is_simple(right):
            tests, left = self._kept(left)
            tests += self._tests(right)
        else:
            return _call(guard, left, right)
        return _either(tests, ast.Compare(left, [op], [right]), _call(guard, left, right))

    def computed(
        self, left: ast.expr, op: ast.operator, right: ast.expr, guard: str, place: ast.Name | None = None
    ) -> ast.expr:
        """``left op right`` of integers below 2^63 in place, or else the guard's, which ``place`` is given."""
        if not is_simple(right):
            return _call(guard, left, right)
        if isinstance(op, ast.Add | ast.Sub | ast.Mult):
            tests, left = self._kept(left)
            made = _within(ast.NamedExpr(ast.Name(RESULT, ast.Store()), ast.BinOp(left, op, right)))
            tests += [*self._tests(right), made]
            otherwise = _call(guard, left, right)
            if place is not None:
                otherwise = _call("_given", place, otherwise)
            return _either(tests, ast.Name(RESULT, ast.Load()), otherwise)
        if self._is_positive(right):
            tests, left = self._kept(left)
            return _either([*tests, _within(left)], ast.BinOp(left, op, right), _call(guard, left, right))
        return _call(guard, left, right)

    def updated(
        self, place: ast.Name, key: ast.Constant, op: ast.operator, value: ast.expr, guard: str
    ) -> list[ast.stmt]:
        """``place[key] op= value`` of a dictionary. The value is a name or a number."""
        old = ast.Name(OLD, ast.Load())
        return [
            ast.Assign([ast.Name(OLD, ast.Store())], ast.Subscript(place, key, ast.Load())),
            ast.Assign([ast.Subscript(place, key, ast.Store())], self.computed(old, op, value, guard, place)),
        ]

    def _kept(self, value: ast.expr) -> tuple[list[ast.expr], ast.expr]:
        """Tests that it is an integer, and what it can be reached by after them any number of times."""
        if is_simple(value):
            return self._tests(value), value
        kept = ast.NamedExpr(ast.Name(OPERAND, ast.Store()), value)
        return [_is_integer(kept)], ast.Name(OPERAND, ast.Load())

    def _tests(self, value: ast.expr) -> list[ast.expr]:
        return [] if self._is_number(value) else [_is_integer(value)]

    def _is_positive(self, node: ast.expr) -> bool:
        value = self._numbers.get(node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)
        return is_small(value) and value > 0

    def _is_number(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._numbers
        return isinstance(node, ast.Constant) and is_small(node.value)


def is_small(value: object) -> TypeGuard[int]:
    """An integer below 2^63, as nearly all are."""
    return type(value) is int and -NUMBER_MAX < value < NUMBER_MAX


def is_simple(node: ast.expr) -> bool:
    """What can be looked at again and again: nothing happens by it."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and is_small(node.value))


def is_plain_key(node: ast.expr) -> TypeGuard[ast.Constant]:
    """A text that a dictionary is asked for as it is, and for nothing."""
    return isinstance(node, ast.Constant) and type(node.value) is str and len(node.value) <= KEY_CHARS_FREE


def item(place: ast.expr, key: ast.expr) -> ast.expr:
    """``place[key]`` in place by a short text, which only dictionaries know, or a list's by a number that is known;
    or else the guard's. A key that lacks, and what is no dictionary, are found out by the machine."""
    guarded = _call("_item", place, key)
    if isinstance(place, ast.Constant):
        return guarded  # Python warns of it when it compiles
    if is_plain_key(key):
        return ast.Subscript(place, key, ast.Load())
    kept = place
    if not is_simple(place):
        kept, place = ast.NamedExpr(ast.Name(OPERAND, ast.Store()), place), ast.Name(OPERAND, ast.Load())
    if isinstance(key, ast.Constant) and is_small(key.value) and key.value >= 0:
        tests = [_is(kept, "_list_type"), ast.Compare(_call("_length", place), [ast.Gt()], [key])]
    elif isinstance(key, ast.Name) and kept is place:
        short = ast.Compare(_call("_length", key), [ast.LtE()], [ast.Constant(KEY_CHARS_FREE)])
        tests = [_is_dictionary(place), _is(key, "_str_type"), short]
    else:
        return guarded
    return _either(tests, ast.Subscript(place, key, ast.Load()), _call("_item", place, key))


def stored(place: ast.Name, key: ast.Constant, value: ast.expr, plain: bool) -> list[ast.stmt]:
    """``place[key] = value`` in a dictionary. ``plain``: the value is no container."""
    full = ast.Compare(_call("_length", place), [ast.Gt()], [ast.Constant(LENGTH_MAX)])
    targets: list[ast.expr] = [ast.Subscript(place, key, ast.Store())]
    after: list[ast.stmt] = [ast.If(full, [ast.Expr(_call("_full"))], [])]
    if not plain:
        targets.insert(0, ast.Name(NEW, ast.Store()))
        is_container = ast.Compare(
            _call("_type", ast.Name(NEW, ast.Load())), [ast.In()], [ast.Name("_containers", ast.Load())]
        )
        after.insert(0, ast.If(is_container, [ast.Expr(_call("_hold", place))], []))
    return [ast.Assign(targets, value), *after]


def is_plain(node: ast.expr) -> bool:
    """Whether an expression of a contract never comes to a list or a dictionary, as far as the tree says."""
    match node:
        case ast.Constant() | ast.Compare() | ast.UnaryOp():
            return True
        case ast.BinOp(op=ast.Sub() | ast.FloorDiv() | ast.Mod()):
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_plain(left) or is_plain(right)
        case ast.IfExp(body=body, orelse=orelse):
            return is_plain(body) and is_plain(orelse)
        case ast.Call(func=ast.Name(id=name)):
            return name in PLAIN_FUNCTIONS
        case _:
            return False


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _is_integer(value: ast.expr) -> ast.expr:
    return _is(value, "_int_type")


def _is_dictionary(value: ast.expr) -> ast.expr:
    return _is(value, "_dict_type")


def _is(value: ast.expr, type_name: str) -> ast.expr:
    return ast.Compare(_call("_type", value), [ast.Is()], [ast.Name(type_name, ast.Load())])


def _within(value: ast.expr) -> ast.expr:
    return ast.Compare(ast.Constant(-NUMBER_MAX), [ast.Lt(), ast.Lt()], [value, ast.Constant(NUMBER_MAX)])


def _either(tests: list[ast.expr], made: ast.expr, otherwise: ast.expr) -> ast.expr:
    if not tests:
        return made
    return ast.IfExp(tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests), made, otherwise)
