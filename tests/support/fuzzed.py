"""Programs of the contract language, and near-misses, made from draws; and what each comes to.

`python -m fuzzed FIRST_SEED COUNT`, with tests/support on PYTHONPATH, prints the outcomes as JSON, on any supported
Python. Hypothesis draws the same programs, and makes those that fail small.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

if __name__ == "__main__":
    import bare

    bare.prepare(always="--bare" in sys.argv)

from draws import Draws

from contracts.language import ContractInvalid, check
from contracts.machine import PythonMachine
from contracts.testing import Chain
from ledger.values import encode_value

GAS = 20_000
REFUSED = "refused"
Draw = Callable[[int], int]
"""A number below a bound."""
NAMES = {"i": ("a", "n"), "t": ("b", "t"), "l": ("c", "l"), "d": ("d", "e")}
"""Variables, by what they usually hold: integers, texts, lists, dictionaries."""
EVERY_NAME = tuple(name for names in NAMES.values() for name in names)
ATOMS = {
    "i": ("0", "1", "-1", "2", "7", "255", "1152921504606846975", "LIMIT", "block_height()", "block_time()",
          "57896044618658097711785492504343953926634992332820282019728792003956564819967"),
    "t": ("''", "'a'", "'abc'", "'a,b'", "'12'", "'k'", "caller()", "tx_id()", "'x' * 300"),
    "l": ("[]", "[1, 2]", "['b', 'a']", "[[1, 'x'], [0, 'y']]", "range(5)", "range(0, 9, 2)", "signers()", "[0] * 99"),
    "d": ("{}", "{'k': 1}", "{3: 'x', -2: []}", "{'a': {'b': [1]}}"),
    "x": ("None", "True", "False"),
}  # fmt: skip
EXPRESSIONS = {
    "i": ("@i + @i", "@i - @i", "@i * @i", "@i // @i", "@i % @i", "-@i", "len(@l)", "len(@t)", "len(@d)", "min(@i, @i)",
          "max(@l)", "min(@l)", "abs(@i)", "sum(@l)", "int(@t)", "int(@x)", "floor_div(@i, @i)", "ceil_div(@i, @i)",
          "half_up_div(@i, @i)", "@l[@i]", "@l.index(@x)", "@l.count(@x)", "@t.find(@t)", "@t.count(@t)",
          "@d.get(@t, @i)", "@l.pop(@i)", "@l.pop()", "@i if @x else @i", "parameter('fee')", "helper(@i)"),
    "t": ("@t + @t", "@t * @i", "str(@i)", "pad(@i, @i)", "sha256(@t)", "@t[@i]", "@t[@i:@i]", "@t[:@i]", "@t.upper()",
          "@t.lower()", "@t.strip()", "@t.replace(@t, @t)", "@t.join(@l)", "standing(@t, @l)", "@t if @x else @t",
          "calling_contract()", "epoch_fault(@d)"),
    "l": ("@l + @l", "@l * @i", "[@x, @x]", "[@i, @i, @i]", "[@t, @t]", "sorted(@l)", "reversed(@l)", "list(@l)",
          "enumerate(@l)", "range(@i)", "@l[@i:@i]", "@d.keys()", "@d.values()", "@d.items()", "@t.split(@t)",
          "scan(@t, @t, @i)", "call('other', 'echo', [@x])", "list(@t)", "list(@d)", "sorted(@d)"),
    "d": ("{'k': @x, 'l': @x}", "{@i: @x}", "{@t: @x, @i: @x}", "dict(@d)", "{'x': @l}"),
    "x": ("@i == @i", "@x != @x", "@i < @i", "@t <= @t", "@i > @i", "@t >= @t", "@x in @l", "@t in @t", "@t not in @d",
          "@i in @d", "@l == @l", "@d == @d", "not @x", "@x and @x", "@x or @x", "@x is None", "bool(@x)", "is_int(@x)",
          "is_str(@x)", "is_list(@x)", "is_dict(@x)", "@t.isdigit()", "@t.startswith(@t)", "@t.endswith(@t)", "get(@t)",
          "peek(@t, @t)", "@d[@t]", "@d[@i]", "@d.pop(@i)", "@d.pop(@t, @x)", "@d.setdefault(@t, @x)"),
}  # fmt: skip
STATEMENTS = (
    "put(@t, @x)", "put('k' + str(@i), @d)", "delete(@t)", "emit('e', @d)", "schedule(@i, 'later', [@x])",
    "require(@x, 'CODE', @t)", "@l.append(@x)", "@l.extend(@l)", "@l.insert(@i, @x)", "@l.remove(@x)", "@d.update(@d)",
    "helper(@i)", "authenticate(@t, @l)", "l.append(l)", "d['d'] = d", "put('l', l)",
)  # fmt: skip
NEAR_MISSES = (
    "lambda: %s", "f'{%s}'", "%s ** %s", "%s / %s", "%s.__class__", "(x := %s)", "[x for x in %s]", "{%s, %s}",
    "%s < %s < %s", "%s is %s", "print(%s)", "len", "get", "_gas(%s)", "1.5", "b'a'", "...", "%s[%s::%s]", "*%s",
    "max(*%s)", "dict(k=%s)", "'%%s' %% %s", "1if %s else 2", "%s @ %s", "~%s", "%s << %s", "await %s", "yield %s",
    "'a'.format(%s)", "unknown", "%s and (yield)", "'\\x41'", "(" * 70 + "%s" + ")" * 70, "9" * 5000,
)  # fmt: skip
NEAR_STATEMENTS = (
    "try:\n    pass\nexcept ValueError as _gas:\n    pass", "global a", "del a", "import os as b", "assert %s",
    "class A:\n    pass", "def f():\n    pass", "match %s:\n    case [a, *_gas]:\n        pass",
    "with %s as a:\n    pass",
    "raise %s", "a: int = %s", "a = b = %s", "a, *b = %s", "[a, b] = %s", "a.b = %s", "a[0:1] = %s", "a @= %s", "%s",
    "while %s:\n    pass\nelse:\n    pass", "break", "type a = %s", "async def g():\n    pass",
    "for a.b in %s:\n    pass",
)  # fmt: skip
OTHER = '@internal("main")\ndef echo(x):\n    return [x, calling_contract()]\n@export("*")\ndef run():\n    return 1\n'


class Program:
    """One program; one in four has near-misses in it."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._odd = 30 if draw(4) == 3 else 0
        self._left = 70

    def source(self) -> str:
        run, helper = self._block(1, 0), self._block(1, 0)
        start = "".join(f"    {name} = {self._one(ATOMS[kind])}\n" for kind, names in NAMES.items() for name in names)
        return (
            "LIMIT = 100000\n"
            f'@export("*")\ndef run():\n{start}{run}    return {self._expression("x", 2)}\n'
            f"def helper(a):\n{start.replace('    a = ', '    n = ')}{helper}    return {self._expression('i', 2)}\n"
            f"@deadline\ndef later(a):\n    put('late', a)\n"
        )

    def _is_odd(self) -> bool:
        return self._odd > 0 and self._draw(self._odd) == 0

    def _one(self, items: Sequence[str]) -> str:
        return items[self._draw(len(items))]

    def _filled(self, text: str, depth: int) -> str:
        """The text with an expression in the place of each `@` and letter."""
        return re.sub("@([itldx])", lambda found: self._expression(found[1], depth), text)

    def _expression(self, kind: str, depth: int) -> str:
        self._left -= 1
        if self._left > 0 and self._is_odd():
            return self._filled(self._one(NEAR_MISSES).replace("%s", "@x").replace("%%", "%"), 0)
        if self._draw(25) == 0:
            kind = self._one("itldx")
        if kind == "x" and self._draw(2):
            kind = self._one("itld")
        if depth > 0 and self._left > 0 and self._draw(3):
            return "(" + self._filled(self._one(EXPRESSIONS[kind]), depth - 1) + ")"
        return self._one(NAMES[kind]) if kind in NAMES and self._draw(3) else self._one(ATOMS[kind])

    def _block(self, level: int, loops: int) -> str:
        return "".join(self._statement(level, loops) for _ in range(1 + self._draw(4)))

    def _statement(self, level: int, loops: int) -> str:
        indent = "    " * level
        self._left -= 1
        if self._is_odd():
            lines = self._filled(self._one(NEAR_STATEMENTS).replace("%s", "@x"), 1).split("\n")
            return "".join(f"{indent}{line}\n" for line in lines)
        kind = self._draw(12)
        if kind >= 8 and level < 4 and self._left > 0:
            return self._compound(kind, level, loops)
        if kind == 0 and loops:
            return f"{indent}{self._one(('break', 'continue'))}\n"
        if kind <= 3:
            return f"{indent}{self._filled(self._one(STATEMENTS), 2)}\n"
        return f"{indent}{self._assignment()}\n"

    def _assignment(self) -> str:
        kind = self._one("itld")
        name = self._one(NAMES[kind])
        match self._draw(6):
            case 0:
                return f"{self._one(EVERY_NAME)}, {self._one(EVERY_NAME)} = [{self._expression(kind, 2)}, {name}]"
            case 1:
                return f"n {self._one(('+', '-', '*', '//', '%'))}= {self._expression('i', 2)}"
            case 2:
                place = self._filled(self._one(("d[@t]", "d[@i]", "l[@i]", "c[@i]")), 1)
                return f"{place} {self._one(('', '', '+'))}= {self._expression(self._one('itx'), 2)}"
            case _:
                return f"{name} = {self._expression(kind, 3)}"

    def _compound(self, kind: int, level: int, loops: int) -> str:
        indent, body = "    " * level, self._block(level + 1, loops + (kind != 8))
        if kind == 8:
            otherwise = f"{indent}else:\n{self._block(level + 1, loops)}" if self._draw(2) else ""
            return f"{indent}if {self._expression('x', 2)}:\n{body}{otherwise}"
        if kind == 9:
            return f"{indent}while {self._expression('x', 2)}:\n{body}"
        if kind == 10:
            return f"{indent}for {self._one(NAMES['i'])} in {self._expression('l', 2)}:\n{body}"
        names = f"{self._one(EVERY_NAME)}, {self._one(EVERY_NAME)}"
        return f"{indent}for {names} in enumerate({self._expression('l', 2)}):\n{body}"


def outcome(source: str, machine: PythonMachine) -> list[Any]:
    """Code, gas, and a digest of value, sentence, events and state; deadlines' codes."""
    try:
        check(source)
    except ContractInvalid:
        return [REFUSED, 0, "", []]
    chain = Chain({"main": source, "other": OTHER}, {"fee": 7}, machine=machine)
    chain.user("alice", "seller")
    result = chain.call("main", "run", {}, ["alice", "bob"], GAS)
    late = [code for code, _ in chain.block(1)]
    events = [[event.name, event.data] for event in result.events]
    state = {key: entry.value.hex() for key, entry in sorted(chain.state.entries.items())}
    digest = sha256(encode_value([result.value, result.message, events, state])).hexdigest()
    return [result.code, result.gas_used, digest[:16], late]


def program(seed: int) -> str:
    return Program(Draws(seed).below).source()


def outcomes(first: int, count: int) -> list[list[Any]]:
    machine = PythonMachine()
    return [outcome(program(seed), machine) for seed in range(first, first + count)]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(outcomes(int(sys.argv[1]), int(sys.argv[2]))))
