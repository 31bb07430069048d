"""The contract language: Python's grammar, checked against a whitelist before anything is compiled.

Whatever is not named here is refused with line and sentence. The checker looks at the tree that CPython's own
parser makes, under a fixed feature version, so that it and the compiler can't disagree on what the text means.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

SOURCE_BYTES_MAX = 65_536
NODES_MAX = 20_000
DEPTH_MAX = 48
LOOPS_MAX = 12
BRACKETS_MAX = 64
TEXT_MAX = 4_096
INTEGER_BITS_MAX = 256
PARAMETERS_MAX = 16
FEATURE_VERSION = (3, 11)
NO_FILE = "\ud800"
"""A name that no file can have: at a syntax error the interpreter would open the file of the name that it was given, to
quote its line, and a worker behind walls is killed for that."""

_BAD_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\(?![\\'\"nt])")
_TOKEN = re.compile(
    r"""(?xs)
    \#[^\n]*
    | \"{3} (?:[^\\]|\\.)*? (?:\"{3}|\Z) | '{3} (?:[^\\]|\\.)*? (?:'{3}|\Z)
    | \" (?:[^\\\n"]|\\.)* (?:\"|\n|\Z) | ' (?:[^\\\n']|\\.)* (?:'|\n|\Z)
    | [A-Za-z_][A-Za-z0-9_]*
    | (?P<number>[0-9][0-9A-Za-z_]*)
    | (?P<bracket>[()\[\]{}])"""
)
"""Comments, texts and words, in which a bracket is none, and numbers. Linear: it never tries a text twice."""
_NUMBER_THEN_WORD = re.compile(r"[0-9].*(?:and|else|for|if|in|is|not|or)")
MARKERS = frozenset({"export", "internal", "deadline", "view"})
MIGRATE = "migrate"
"""What runs once, when a version takes over from another."""
PYTHON_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool, "list": list, "dict": dict}
TYPES = frozenset(PYTHON_TYPES)
HOST: dict[str, tuple[int, int]] = {
    "get": (1, 1), "put": (2, 2), "delete": (1, 1), "scan": (3, 3), "peek": (2, 2), "emit": (2, 2), "caller": (0, 0),
    "calling_contract": (0, 0), "signers": (0, 0), "tx_id": (0, 0), "block_time": (0, 0), "block_height": (0, 0),
    "tx_index": (0, 0), "call": (3, 3), "require": (3, 3), "fail": (2, 2), "authenticate": (2, 2), "standing": (2, 2),
    "certificate": (1, 1), "schedule": (3, 3), "parameter": (1, 1),
    "root_certificate": (1, 1), "accused": (1, 1), "epoch_fault": (1, 1), "contract_fault": (2, 2),
    "contract_hash": (1, 1), "gas_left": (0, 0),
}  # fmt: skip
"""The host's functions, with how few and how many arguments each takes."""
BUILTINS: dict[str, tuple[int, int]] = {
    "len": (1, 1), "min": (1, 16), "max": (1, 16), "abs": (1, 1), "sum": (1, 1), "sorted": (1, 1), "reversed": (1, 1),
    "range": (1, 3), "enumerate": (1, 1), "str": (1, 1), "int": (1, 1), "bool": (1, 1), "list": (0, 1),
    "dict": (0, 1), "is_int": (1, 1), "is_str": (1, 1), "is_list": (1, 1), "is_dict": (1, 1), "pad": (2, 2),
    "sha256": (1, 1), "floor_div": (2, 2), "ceil_div": (2, 2), "half_up_div": (2, 2),
}  # fmt: skip
"""Pure functions, with their numbers of arguments."""
METHODS = frozenset(
    {
        "append", "extend", "insert", "pop", "index", "count", "remove", "get", "keys", "values", "items",
        "setdefault", "update", "startswith", "endswith", "split", "join", "strip", "find", "replace", "isdigit",
        "lower", "upper",
    }
)  # fmt: skip

_STATEMENTS = (
    ast.Return, ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.Expr, ast.Pass, ast.Break, ast.Continue,
)  # fmt: skip
_EXPRESSIONS = (
    ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Compare, ast.Call, ast.Constant, ast.Attribute,
    ast.Subscript, ast.Name, ast.List, ast.Tuple, ast.Slice,
)  # fmt: skip
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the language does not allow."""

    line: int
    sentence: str
    column: int = 1


class ContractInvalid(Exception):
    """A source that is no contract; ``faults`` in order of lines."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"line {fault.line}: {fault.sentence}" for fault in faults[:5]))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Function:
    """A top-level function: its marker ('' for a private helper), the marker's names, parameters and their types."""

    name: str
    marker: str
    names: tuple[str, ...]
    parameters: tuple[str, ...]
    types: tuple[str, ...]
    node: ast.FunctionDef
    python_types: tuple[type | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that passed: its tree, functions by name, and constants by name."""

    tree: ast.Module
    functions: dict[str, Function]
    constants: dict[str, int | str | bool | None]


def check(source: str) -> Checked:
    """Parse and check a contract; raises ``ContractInvalid``."""
    _check_text(source)
    try:
        tree = ast.parse(source, NO_FILE, feature_version=FEATURE_VERSION)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        raise ContractInvalid([Fault(line, "this is not Python", column)]) from None
    checker = _Checker(tree)
    if checker.faults:
        raise ContractInvalid(sorted(checker.faults, key=lambda fault: (fault.line, fault.column)))
    return Checked(tree, checker.functions, checker.constants)


def _check_text(source: str) -> None:
    if len(source) > SOURCE_BYTES_MAX:
        raise ContractInvalid([Fault(1, f"a contract is at most {SOURCE_BYTES_MAX} bytes")])
    if not source.isascii() or "\r" in source or "\0" in source or "\f" in source:
        raise ContractInvalid([Fault(1, "only ASCII text with LF line ends is allowed")])
    escape = _BAD_ESCAPE.search(source)
    if escape:
        raise ContractInvalid(
            [_fault_at(source, escape.start(), "a backslash stands only before another, a quote, n or t")]
        )
    depth = 0
    for token in _TOKEN.finditer(source):
        if token["bracket"]:
            depth = max(0, depth + (1 if token["bracket"] in "([{" else -1))
            if depth > BRACKETS_MAX:
                raise ContractInvalid(
                    [_fault_at(source, token.start(), f"brackets are nested deeper than {BRACKETS_MAX}")]
                )
        elif token["number"] and _NUMBER_THEN_WORD.fullmatch(token["number"]):
            # Python only warns of it, and where warnings are errors it is none.
            raise ContractInvalid([_fault_at(source, token.start(), "a space belongs between a number and a word")])


def _fault_at(source: str, position: int, sentence: str) -> Fault:
    line_start = source.rfind("\n", 0, position) + 1
    return Fault(source.count("\n", 0, position) + 1, sentence, position - line_start + 1)


class _Checker:
    def __init__(self, tree: ast.Module) -> None:
        self.faults: list[Fault] = []
        self.functions: dict[str, Function] = {}
        self.constants: dict[str, int | str | bool | None] = {}
        self._depths: dict[ast.AST, int] = {}
        if not self._size_is_fine(tree):
            return
        for index, statement in enumerate(tree.body):
            self._top(statement, index)
        known = set(self.functions) | set(self.constants) | set(HOST) | set(BUILTINS)
        for function in self.functions.values():
            _Body(self, function, known)

    def fault(self, node: ast.AST, sentence: str) -> None:
        self.faults.append(Fault(getattr(node, "lineno", 1), sentence, getattr(node, "col_offset", 0) + 1))

    def _size_is_fine(self, tree: ast.Module) -> bool:
        count = 0
        pending: list[tuple[ast.AST, int]] = [(tree, 0)]
        while pending:
            node, depth = pending.pop()
            count += 1
            if depth > DEPTH_MAX or count > NODES_MAX:
                self.fault(node, f"at most {NODES_MAX} nodes, nested at most {DEPTH_MAX} deep")
                return False
            pending.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
        return True

    def _top(self, node: ast.stmt, index: int) -> None:
        if isinstance(node, ast.FunctionDef):
            self._function(node)
        elif isinstance(node, ast.Assign):
            self._constant(node)
        elif not (index == 0 and _is_docstring(node)):
            self.fault(node, "a module holds only functions and literal constants")

    def _constant(self, node: ast.Assign) -> None:
        target, value = node.targets[0], node.value
        if _is_negative(value):
            value = value.operand
        if len(node.targets) != 1 or not isinstance(target, ast.Name) or not isinstance(value, ast.Constant):
            self.fault(node, "a module constant is NAME = literal")
            return
        self._new_name(node, target.id)
        self.check_constant(value)
        literal = value.value
        if value is not node.value and isinstance(literal, int):
            literal = -literal
        if isinstance(literal, int | str | bool) or literal is None:
            self.constants[target.id] = literal

    def check_constant(self, node: ast.Constant) -> None:
        value = node.value
        if type(value) is int and value.bit_length() > INTEGER_BITS_MAX:
            self.fault(node, f"an integer of more than {INTEGER_BITS_MAX} bits")
        elif type(value) is str and (len(value) > TEXT_MAX or not value.isascii()):
            self.fault(node, f"a text literal is at most {TEXT_MAX} ASCII characters")
        elif type(value) not in (int, str, bool, type(None)):
            self.fault(node, f"{type(value).__name__} literals are not allowed")

    def _new_name(self, node: ast.AST, name: str) -> None:
        if name.startswith("_") or name in HOST or name in BUILTINS or name in MARKERS:
            self.fault(node, f"the name {name!r} is reserved")
        if name in self.functions or name in self.constants:
            self.fault(node, f"the name {name!r} is defined twice")

    def _function(self, node: ast.FunctionDef) -> None:
        self._new_name(node, node.name)
        arguments = node.args
        extra = arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg
        if extra or arguments.defaults or arguments.kw_defaults or len(arguments.args) > PARAMETERS_MAX:
            self.fault(node, f"parameters are plain names, at most {PARAMETERS_MAX}, without defaults")
        if getattr(node, "type_params", None) or node.type_comment:
            self.fault(node, "type parameters are not allowed")
        marker, names = self._marker(node)
        types = tuple(self._type(argument, marker) for argument in arguments.args)
        if node.returns is not None and not _is_type(node.returns):
            self.fault(node, f"a return annotation is one of {', '.join(sorted(TYPES))} or None")
        parameters = tuple(argument.arg for argument in arguments.args)
        if node.name == MIGRATE and (node.decorator_list or parameters):
            self.fault(node, f"{MIGRATE} has no marker and no parameters: the ledger calls it when a version begins")
        if len(set(parameters)) != len(parameters):
            self.fault(node, "a parameter is named twice")
        self.functions[node.name] = Function(
            node.name, marker, names, parameters, types, node, tuple(map(PYTHON_TYPES.get, types))
        )

    def _type(self, argument: ast.arg, marker: str) -> str:
        annotation = argument.annotation
        if annotation is None:
            if marker in ("export", "view"):
                self.fault(argument, "parameters of exported functions and views carry a type")
            return ""
        if not (isinstance(annotation, ast.Name) and annotation.id in TYPES):
            self.fault(argument, f"a parameter's type is one of {', '.join(sorted(TYPES))}")
            return ""
        return annotation.id

    def _marker(self, node: ast.FunctionDef) -> tuple[str, tuple[str, ...]]:
        if not node.decorator_list:
            return "", ()
        decorator = node.decorator_list[0]
        call = decorator if isinstance(decorator, ast.Call) else None
        target = call.func if call else decorator
        if len(node.decorator_list) > 1 or not isinstance(target, ast.Name) or target.id not in MARKERS:
            self.fault(node, f"the only decorators are {', '.join(sorted(MARKERS))}, one a function")
            return "", ()
        arguments = call.args if call else []
        names = tuple(a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str))
        if call and (call.keywords or len(names) != len(arguments)):
            self.fault(node, "a marker takes text literals")
        if (target.id in ("export", "internal")) != (call is not None):
            self.fault(node, f"write @{target.id}{'(...)' if call is None else ''}")
        return target.id, names


class _Body:
    """Checks one function's statements and expressions."""

    def __init__(self, checker: _Checker, function: Function, known: set[str]) -> None:
        self._checker = checker
        self._known = known
        self._functions = checker.functions
        node = function.node
        self._locals = set(function.parameters) | {name for name, _ in _bound(node)}
        for name, place in [*_bound(node), *((p, node) for p in function.parameters)]:
            if name.startswith("_") or name in known or name in MARKERS:
                checker.fault(place, f"the name {name!r} is reserved or taken")
        body = node.body[1:] if node.body and _is_docstring(node.body[0]) else node.body
        self._block(body, 0)

    def _fault(self, node: ast.AST, sentence: str) -> None:
        self._checker.fault(node, sentence)

    def _block(self, body: list[ast.stmt], loops: int) -> None:
        for statement in body:
            self._statement(statement, loops)

    def _statement(self, node: ast.stmt, loops: int) -> None:
        if not isinstance(node, _STATEMENTS):
            self._fault(node, f"{_shown(node)} is not part of the language")
            return
        match node:
            case ast.Assign(targets=targets, value=value):
                if len(targets) != 1:
                    self._fault(node, "one target at a time")
                self._target(targets[0])
                self._expression(value)
            case ast.AugAssign(target=target, op=op, value=value):
                if not isinstance(op, _OPERATORS):
                    self._fault(node, f"{_shown(op)} is not part of the language")
                if isinstance(target, ast.Tuple | ast.List):
                    self._fault(node, "an augmented assignment has one target")
                self._target(target)
                self._expression(value)
            case ast.For(target=target, iter=iterable, body=body, orelse=orelse):
                self._loop(node, orelse, loops)
                self._target(target, plain=True)
                self._expression(iterable)
                self._block(body, loops + 1)
            case ast.While(test=test, body=body, orelse=orelse):
                self._loop(node, orelse, loops)
                self._expression(test)
                self._block(body, loops + 1)
            case ast.If(test=test, body=body, orelse=orelse):
                self._expression(test)
                self._block(body, loops)
                self._block(orelse, loops)
            case ast.Return(value=returned):
                if returned is not None:
                    self._expression(returned)
            case ast.Expr(value=value):
                if not isinstance(value, ast.Call):
                    self._fault(node, "an expression that is no call does nothing")
                self._expression(value)
            case ast.Break() | ast.Continue() if loops == 0:
                self._fault(node, f"{_shown(node)} stands in a loop")
            case _:
                pass

    def _loop(self, node: ast.AST, orelse: list[ast.stmt], loops: int) -> None:
        if orelse:
            self._fault(node, "loops have no else")
        if loops >= LOOPS_MAX:
            self._fault(node, f"loops are nested deeper than {LOOPS_MAX}")
        if getattr(node, "type_comment", None):
            self._fault(node, "type comments are not allowed")

    def _target(self, node: ast.expr, *, plain: bool = False) -> None:
        match node:
            case ast.Name():
                pass
            case ast.Tuple(elts=elements):
                if not elements or not all(isinstance(element, ast.Name) for element in elements):
                    self._fault(node, "only names are unpacked into")
            case ast.Subscript(value=value, slice=index) if not plain and not isinstance(index, ast.Slice):
                self._expression(value)
                self._expression(index)
            case _:
                self._fault(node, f"{_shown(node)} cannot be assigned to")

    def _expression(self, node: ast.expr) -> None:
        if not isinstance(node, _EXPRESSIONS):
            self._fault(node, f"{_shown(node)} is not part of the language")
            return
        match node:
            case ast.Constant():
                self._checker.check_constant(node)
                if getattr(node, "kind", None):
                    self._fault(node, "text literals have no prefix")
            case ast.Name(id=name):
                self._name(node, name)
            case ast.Call():
                self._call(node)
            case ast.Attribute():
                self._fault(node, "attributes are only for calling methods")
            case ast.Compare(ops=operators, comparators=comparators, left=left):
                self._compare(node, left, operators, comparators)
            case ast.BinOp(op=op) if not isinstance(op, _OPERATORS):
                self._fault(node, f"the operator {_shown(op)} is not part of the language")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()) if not _is_negative(node):
                self._fault(node, "only integers have a sign")
            case ast.UnaryOp(op=op) if not isinstance(op, ast.Not | ast.USub):
                self._fault(node, f"the operator {_shown(op)} is not part of the language")
            case ast.Slice():
                self._fault(node, "a slice stands alone between brackets")
            case ast.Subscript(value=value, slice=ast.Slice(lower=low, upper=high, step=step)):
                if step is not None:
                    self._fault(node, "slices have no step")
                for part in (value, low, high):
                    if part is not None:
                        self._expression(part)
            case ast.Dict(keys=keys) if any(key is None for key in keys):
                self._fault(node, "dictionaries are not unpacked")
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self._expression(child)

    def _name(self, node: ast.Name, name: str) -> None:
        if name in self._locals or name in self._checker.constants:
            return
        if name in self._functions or name in HOST or name in BUILTINS:
            self._fault(node, f"{name!r} can only be called")
        else:
            self._fault(node, f"the name {name!r} is unknown")

    def _call(self, node: ast.Call) -> None:
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            self._fault(node, "arguments are positional")
            return
        match node.func:
            case ast.Name(id=name):
                if name in self._locals or name not in self._known or name in self._checker.constants:
                    self._fault(node, f"{name!r} is no function")
                else:
                    self._count(node, name)
            case ast.Attribute(value=value, attr=name):
                if name not in METHODS:
                    self._fault(node, f"there is no method {name!r}")
                self._expression(value)
            case _:
                self._fault(node, "only names and methods are called")
        for argument in node.args:
            self._expression(argument)

    def _count(self, node: ast.Call, name: str) -> None:
        """The number of arguments is known beforehand, so a wrong one never runs."""
        function = self._functions.get(name)
        exact = len(function.parameters) if function is not None else 0
        few, many = (exact, exact) if function is not None else (HOST | BUILTINS)[name]
        if not few <= len(node.args) <= many:
            wanted = f"{few}" if few == many else f"{few} to {many}"
            self._fault(node, f"{name} takes {wanted} argument{'' if many == 1 else 's'}")

    def _compare(
        self, node: ast.Compare, left: ast.expr, operators: list[ast.cmpop], comparators: list[ast.expr]
    ) -> None:
        if len(operators) != 1:
            self._fault(node, "one comparison at a time")
        operator, right = operators[0], comparators[0]
        if not isinstance(operator, _COMPARISONS):
            self._fault(node, f"{_shown(operator)} is not part of the language")
        if isinstance(operator, ast.Is | ast.IsNot) and not (isinstance(right, ast.Constant) and right.value is None):
            self._fault(node, "`is` compares with None only")
        if isinstance(operator, ast.Is | ast.IsNot) and isinstance(left, ast.Constant):
            self._fault(node, "a literal is not compared with None")
        self._expression(left)
        self._expression(right)


def _bound(function: ast.FunctionDef) -> list[tuple[str, ast.AST]]:
    """Names that a function's statements bind, with their places."""
    return [
        (node.id, node)
        for statement in function.body
        for node in _walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield from ast.walk(node)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_negative(node: ast.expr) -> TypeGuard[ast.UnaryOp]:
    """A minus before an integer literal; to Python True is an integer too."""
    if not (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)):
        return False
    return isinstance(node.operand, ast.Constant) and type(node.operand.value) is int


def _is_type(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id in TYPES) or (isinstance(node, ast.Constant) and node.value is None)


def _shown(node: ast.AST) -> str:
    return type(node).__name__.lower()
