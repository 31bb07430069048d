"""Rewriting a checked contract: gas for each basic block, guards round each operation that could be abused.

Every name that the rewriting adds starts with an underscore, which no contract may use. Gas goes by the tree's nodes,
charged where a block begins, so it is the same on every Python that parses the same tree. Where the tree
itself says that a guard would find nothing, or what it would find nearly always, the operation stands in its place.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from contracts.guards.meter import CALLS_MAX, TEXT_CHARS_FREE
from contracts.guards.methods import METHOD
from contracts.inline import Inliner, is_plain, is_plain_key, is_simple, is_small, item, stored
from contracts.language import Checked, Function
from contracts.weights import weight

CHARGE = "_charge"
ENTER = "_enter"
LEAVE = "_leave"
ENTRY_GAS = 4
"""What a call of a function costs beside its nodes."""

TURN_GAS = 2
"""What a turn of a `for` costs beside its body's nodes."""

Pay = Callable[[int], list[ast.stmt]]
"""Statements that charge so much, where a block begins."""


def rewrite(checked: Checked, pay: Pay) -> ast.Module:
    """The module to compile: the contract's functions, rewritten, and nothing else."""
    deep = nesting(checked) > CALLS_MAX
    numbers = {name: value for name, value in checked.constants.items() if is_small(value)}
    body: list[ast.stmt] = [
        _FunctionRewriter(function, deep, pay, numbers).rewritten() for function in checked.functions.values()
    ]
    module = ast.Module(body=body, type_ignores=[])
    return ast.fix_missing_locations(module)


def nesting(checked: Checked) -> int:
    """How deeply calls of the contract's own functions can nest; more than ``CALLS_MAX`` if there is no end to it."""
    calls = {
        name: {
            node.func.id
            for node in ast.walk(function.node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in checked.functions
        }
        for name, function in checked.functions.items()
    }
    depth = 0
    running = set(calls)
    while running and depth <= CALLS_MAX:
        running = {callee for caller in running for callee in calls[caller]}
        depth += 1
    return depth


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _number(value: int) -> ast.Constant:
    return ast.Constant(value)


def pay_at_once(amount: int) -> list[ast.stmt]:
    """``_left = _gas[0] = _gas[0] - amount``, and the end of it all if less than nothing is left."""
    gas = ast.Subscript(ast.Name("_gas", ast.Load()), _number(0), ast.Load())
    kept = [ast.Name("_left", ast.Store()), ast.Subscript(ast.Name("_gas", ast.Load()), _number(0), ast.Store())]
    left = ast.Compare(ast.Name("_left", ast.Load()), [ast.Lt()], [_number(0)])
    return [
        ast.Assign(kept, ast.BinOp(gas, ast.Sub(), _number(amount))),
        ast.If(left, [ast.Expr(_call("_spent"))], []),
    ]


def pay_by_call(amount: int) -> list[ast.stmt]:
    """The same by a function, for whoever wants to know of each block."""
    return [ast.Expr(_call(CHARGE, _number(amount)))]


_BINARY = {ast.Add: "_add", ast.Sub: "_sub", ast.Mult: "_mul", ast.FloorDiv: "_floordiv", ast.Mod: "_mod"}
_COMPARE = {
    ast.Eq: "_eq", ast.NotEq: "_ne", ast.Lt: "_lt", ast.LtE: "_le", ast.Gt: "_gt", ast.GtE: "_ge",
    ast.In: "_in", ast.NotIn: "_notin",
}  # fmt: skip


class _FunctionRewriter:
    def __init__(self, function: Function, deep: bool, pay: Pay, numbers: Mapping[str, int]) -> None:
        self._function, self._deep, self._pay = function, deep, pay
        stored = {
            node.id
            for node in ast.walk(function.node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        own = stored | set(function.parameters)
        self._inliner = Inliner({name: value for name, value in numbers.items() if name not in own})

    def rewritten(self) -> ast.FunctionDef:
        """``def f(a): _enter(); ...; _leave()``: where calls may nest too deeply, the depth is counted, and each return
        gives it back."""
        node = self._function.node
        body = self._block(node.body, ENTRY_GAS)
        enter: list[ast.stmt] = [ast.Expr(_call(ENTER))] if self._deep else []
        end: list[ast.stmt] = [ast.Expr(_call(LEAVE))] if self._deep else []
        arguments = ast.arguments([], [ast.arg(name) for name in self._function.parameters], None, [], [], None, [])
        made = ast.FunctionDef(name=node.name, args=arguments, body=enter + body + end, decorator_list=[])
        made.type_params = []  # type: ignore[attr-defined]  # needed from Python 3.12 on
        return ast.copy_location(made, node)

    def _block(self, body: list[ast.stmt], extra: int = 0) -> list[ast.stmt]:
        """Charge for a block's statements (and ``extra``) where it begins, then the statements."""
        gas = 1 + extra + sum(weight(statement) for statement in body)
        made: list[ast.stmt] = [ast.copy_location(statement, body[0]) for statement in self._pay(gas)]
        for statement in body:
            made.extend(ast.copy_location(item, statement) for item in self._statement(statement))
        return made

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        match node:
            case ast.Return(value=value):
                returned = ast.Constant(None) if value is None else self._expression(value)
                if not self._deep:
                    return [ast.Return(returned)]
                keep = ast.Assign([ast.Name("_result", ast.Store())], returned)
                return [keep, ast.Expr(_call(LEAVE)), ast.Return(ast.Name("_result", ast.Load()))]
            case ast.Assign(targets=[target], value=value):
                return self._assign(target, self._expression(value), is_plain(value))
            case ast.AugAssign(target=target, op=op, value=value):
                return self._augmented(target, op, value)
            case ast.For(target=target, iter=iterable, body=body):
                turn = self._block(body, TURN_GAS)
                return [ast.For(self._names(target), self._iterated(target, iterable), turn, [])]
            case ast.While(test=test, body=body):
                # Each turn pays for its test with its body; the last test was paid for by the block around it.
                return [ast.While(self._expression(test), self._block(body, weight(test)), [])]
            case ast.If(test=test, body=body, orelse=orelse):
                return [ast.If(self._expression(test), self._block(body), self._block(orelse) if orelse else [])]
            case ast.Expr(
                value=ast.Call(func=ast.Name(id="require"), args=[test, ast.Constant() as code, ast.Constant() as why])
            ):
                return [
                    ast.If(ast.UnaryOp(ast.Not(), self._expression(test)), [ast.Expr(_call("fail", code, why))], [])
                ]
            case ast.Expr(value=ast.Constant()):
                return [ast.Pass()]
            case ast.Expr(value=value):
                return [ast.Expr(self._expression(value))]
            case _:
                return [node]

    def _assign(self, target: ast.expr, value: ast.expr, plain: bool) -> list[ast.stmt]:
        match target:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant() as key) if is_plain_key(key):
                return stored(ast.Name(name, ast.Load()), key, value, plain)
            case ast.Subscript(value=place, slice=index):
                return [ast.Expr(_call("_set", self._expression(place), self._expression(index), value))]
            case ast.Tuple(elts=elements):
                return [ast.Assign([self._names(target)], _call("_unpack", value, _number(len(elements))))]
            case _:
                return [ast.Assign([self._names(target)], value)]

    def _augmented(self, target: ast.expr, op: ast.operator, value: ast.expr) -> list[ast.stmt]:
        guard = _BINARY[type(op)]
        value = self._expression(value)
        if isinstance(target, ast.Subscript):
            place, index = self._expression(target.value), self._expression(target.slice)
            if isinstance(place, ast.Name) and is_plain_key(index) and is_simple(value):
                return self._inliner.updated(place, index, op, value, guard)
            load = ast.Name("_place", ast.Load())
            at = ast.Name("_index", ast.Load())
            old = _call("_item", load, at)
            return [
                ast.Assign([ast.Name("_place", ast.Store())], place),
                ast.Assign([ast.Name("_index", ast.Store())], index),
                ast.Expr(_call("_set", load, at, _call(guard, old, value))),
            ]
        assert isinstance(target, ast.Name), "the checker lets only names and subscripts through"
        name = ast.Name(target.id, ast.Load())
        new = self._inliner.computed(name, op, value, guard)
        return [ast.Assign([ast.Name(target.id, ast.Store())], new)]

    def _names(self, target: ast.expr) -> ast.expr:
        if isinstance(target, ast.Tuple):
            return ast.Tuple([self._names(element) for element in target.elts], ast.Store())
        assert isinstance(target, ast.Name), "the checker lets only names through"
        return ast.Name(target.id, ast.Store())

    def _iterated(self, target: ast.expr, iterable: ast.expr) -> ast.expr:
        made = self._expression(iterable)
        if isinstance(target, ast.Tuple):
            return _call("_pairs", made, _number(len(target.elts)))
        return _call("_iter", made)

    def _expression(self, node: ast.expr) -> ast.expr:
        return ast.copy_location(self._made(node), node)

    def _made(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BinOp(left=ast.BinOp(op=ast.Add()), op=ast.Add()):
                parts = _summands(node)
                guard = "_joined" if any(map(_is_text, parts)) else "_summed"
                return _call(guard, *map(self._expression, parts))
            case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_text(left) or _is_text(right):
                return _call("_text", self._expression(left), self._expression(right))
            case ast.BinOp(left=left, op=op, right=right):
                return self._inliner.computed(self._expression(left), op, self._expression(right), _BINARY[type(op)])
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
                return ast.Constant(-number)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _call("_neg", self._expression(operand))
            case ast.UnaryOp(op=op, operand=operand):
                return ast.UnaryOp(op, self._expression(operand))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                if isinstance(op, ast.Is | ast.IsNot) and _is_negative(left):
                    return ast.Constant(isinstance(op, ast.IsNot))  # Python warns of it when it compiles
                if isinstance(op, ast.Is | ast.IsNot) or (isinstance(op, ast.Eq | ast.NotEq) and _is_short(right)):
                    return ast.Compare(self._expression(left), [op], [right])
                return self._inliner.compared(self._expression(left), op, self._expression(right), _COMPARE[type(op)])
            case ast.BoolOp(op=op, values=values):
                return ast.BoolOp(op, [self._expression(value) for value in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return ast.IfExp(self._expression(test), self._expression(body), self._expression(orelse))
            case ast.Dict(keys=keys, values=values):
                pairs = [self._expression(item) for pair in zip(keys, values, strict=True) for item in pair if item]
                if all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in keys):
                    return ast.Dict(list(keys), [self._expression(value) for value in values])
                return _call("_dict", *pairs)
            case ast.List(elts=elements):
                return ast.List([self._expression(element) for element in elements], ast.Load())
            case ast.Tuple(elts=elements):
                return ast.List([self._expression(element) for element in elements], ast.Load())
            case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper)):
                low = ast.Constant(None) if lower is None else self._expression(lower)
                high = ast.Constant(None) if upper is None else self._expression(upper)
                return _call("_slice", self._expression(value), low, high)
            case ast.Subscript(value=value, slice=index):
                return item(self._expression(value), self._expression(index))
            case ast.Call(func=ast.Attribute(value=value, attr=name), args=args):
                rest = [self._expression(argument) for argument in args]
                return _call(METHOD + name, self._expression(value), *rest)
            case ast.Call(func=ast.Name(id=name), args=args):
                return _call(name, *(self._expression(argument) for argument in args))
            case ast.Name(id=name):
                return ast.Name(name, ast.Load())
            case _:
                return node


def _summands(node: ast.expr) -> list[ast.expr]:
    """What ``a + b + c`` adds up, from left to right."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), node.right]
    return [node]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is str


def _is_negative(node: ast.expr) -> bool:
    """A literal below nothing, which is not `None`."""
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
        and type(node.operand.value) is int
    )


def _is_short(node: ast.expr) -> bool:
    """A text so short that comparing it is not charged for. It equals no value of another type."""
    return _is_text(node) and len(node.value) < TEXT_CHARS_FREE  # type: ignore[attr-defined]
