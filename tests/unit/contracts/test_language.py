"""What the language lets through and what it refuses, and that refusals name line and reason."""

from __future__ import annotations

import pytest

from contracts.catalog import shipped_sources
from contracts.language import BRACKETS_MAX, DEPTH_MAX, LOOPS_MAX, SOURCE_BYTES_MAX, ContractInvalid, check


def refused(source: str) -> ContractInvalid:
    with pytest.raises(ContractInvalid) as caught:
        check(source)
    return caught.value


def body(*lines: str) -> str:
    return "def f(a, b):\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize("name", sorted(shipped_sources()))
def test_the_shipped_contracts_pass(name: str) -> None:
    assert check(shipped_sources()[name]).functions


@pytest.mark.parametrize(
    "lines",
    [
        ["x = [1, 'a', None, True, {'k': a}]", "return x[0:2]"],
        ["x, y = a", "x += 1", "b['k'] -= y", "return (x, y)"],
        ["for i, v in enumerate(a):", "    if v is None or not i:", "        continue", "    break", "return -1"],
        ["while a < b and a != 3:", "    a = a + 1 if b else a * 2", "return a // b % 7"],
        ["return 'x'.join([str(a), pad(b, 4)])"],
    ],
)
def test_the_language_holds_what_contracts_need(lines: list[str]) -> None:
    assert check(body(*lines)).functions["f"].parameters == ("a", "b")


@pytest.mark.parametrize(
    "line",
    [
        "return a / b", "return a ** b", "return a << 1", "return a | b", "return a @ b", "return ~a", "return +a",
        "return 1.5", "return 1j", "return b'x'", "return ...", "return f'{a}'", "return u'a'",
        "return [x for x in a]", "return {x for x in a}", "return (x for x in a)", "return {1, 2}",
        "return lambda: a", "x = yield a", "return (x := a)", "await a", "return [*a]", "return {**a}",
        "return a.b", "a.b = 1", "return a.__class__", "return a.format(b)", "return a[::2]", "a[0:1] = b",
        "return a[0:1, 2]", "return a < b < 1", "return a is b", "return 'a' is None", "return -True", "return -'a'",
        "return sorted(a, key=b)", "return max(*a)", "x = y = a", "[x, y] = a", "x, *y = a", "x: int = a",
        "assert a", "del a", "global a", "import os", "from os import path", "raise a", "pass; a", "a == b",
        "return print(a)", "return eval(a)", "return open(a)", "return getattr(a, b)", "return type(a)",
        "x = len", "return f", "return a(b)", "return (len)(a)(b)", "return _gas(0)", "_x = 1", "len = a",
        "break", "continue", "return unknown", "return export('x')",
    ],
)  # fmt: skip
def test_what_is_not_named_is_refused(line: str) -> None:
    assert refused(body(line)).faults[0].line == 2


@pytest.mark.parametrize(
    "lines",
    [
        ["try:", "    pass", "except a:", "    pass"],
        ["with a:", "    pass"],
        ["class C:", "    pass"],
        ["def g():", "    pass"],
        ["match a:", "    case int(b):", "        pass"],
        ["for i in a:", "    pass", "else:", "    pass"],
        ["while a:", "    pass", "else:", "    pass"],
        ["for a[0] in b:", "    pass"],
        ["if a:", "    break"],
    ],
)
def test_statements_that_are_not_part_of_the_language_are_refused(lines: list[str]) -> None:
    refused(body(*lines))


@pytest.mark.parametrize(
    "source",
    [
        "x = [1]\n", "x = -'a'\n", "x = -True\n", "x = 1 + 1\n", "x = y = 1\n", "if True:\n    pass\n", "run = len\n",
        "async def f():\n    pass\n", "def f(a=1):\n    pass\n", "def f(*a):\n    pass\n", "def f(**a):\n    pass\n",
        "def f(a, /):\n    pass\n", "def f(*, a):\n    pass\n", "def _f():\n    pass\n", "def get():\n    pass\n",
        "def f():\n    pass\ndef f():\n    pass\n", "x = 1\ndef x():\n    pass\n", "def f(f):\n    pass\n",
        "@property\ndef f():\n    pass\n", "@export\ndef f():\n    pass\n", "@view()\ndef f():\n    pass\n",
        "@view\n@deadline\ndef f():\n    pass\n", "@export(role)\ndef f():\n    pass\n",
        "@export('*')\ndef f(a):\n    pass\n", "@view\ndef f(a: float):\n    pass\n",
        "def f() -> object:\n    pass\n",
    ],
)  # fmt: skip
def test_a_module_holds_functions_and_literals_only(source: str) -> None:
    refused(source)


@pytest.mark.parametrize(
    "source",
    [
        "# é\ndef f():\n    pass\n",
        "def f():\n    return 'é'\n", "def f():\r\n    pass\n", "def f():\n    return '\\x41'\n", "\0", "\f", "(",
        "def f():\n    return '" + "a" * 5_000 + "'\n", f"def f():\n    return {1 << 256}\n",
        "# " + "a" * SOURCE_BYTES_MAX, "def f():\n    return " + "-" * 200 + "1\n",
        "def f():\n    return " + "+".join("1" * 100) + "\n",
        "def f():\n    return " + "[" * (BRACKETS_MAX + 1) + "]" * (BRACKETS_MAX + 1) + "\n",
        "x = ')" + ")" * 500 + "'\ny = " + "(" * 150 + "1" + ")" * 150 + "\n",
        "def f(" + ", ".join(f"a{i}" for i in range(17)) + "):\n    pass\n",
    ],
)  # fmt: skip
def test_text_and_sizes_are_bounded(source: str) -> None:
    refused(source)


def test_loops_nest_only_so_deep() -> None:
    def nested(count: int) -> str:
        lines = [f"{'    ' * i}for i{i} in a:" for i in range(count)] + ["    " * count + "pass"]
        return body(*lines)

    check(nested(LOOPS_MAX))
    refused(nested(LOOPS_MAX + 1))
    refused(nested(DEPTH_MAX))


@pytest.mark.parametrize("call", ["get()", "get(a, b)", "put(a)", "len()", "len(a, b)", "f(a)", "range()", "caller(a)"])
def test_a_wrong_number_of_arguments_is_refused_beforehand(call: str) -> None:
    assert "argument" in refused(body(f"return {call}")).faults[0].sentence


def test_faults_come_in_order_of_lines() -> None:
    assert [fault.line for fault in refused(body("return 1.5", "return 2.5")).faults] == [2, 3]


def test_brackets_that_comments_and_texts_close_are_still_open() -> None:
    # A closing bracket in a comment once made room for another open one, up to what the interpreter bears.
    for trick in ("#)\n", "')' and\n"):
        source = "def run():\n    return " + ("(" + trick) * 65 + "1" + ")" * 65 + "\n"
        with pytest.raises(ContractInvalid, match="nested deeper"):
            check(source)
    check("def run():\n    return '" + "(" * 70 + "'  # " + "[" * 70 + "\n")


@pytest.mark.parametrize("source", ['"""' + '\\"""' * 8000, '"' * 65_000, "'" + "\\'" * 30_000, "#" * 65_000])
def test_a_source_is_looked_through_once(source: str) -> None:
    with pytest.raises(ContractInvalid):
        check(source + "\nx")


def test_a_number_that_runs_into_a_word_is_refused_whatever_python_does_with_warnings() -> None:
    # Python warns of `1if`; started with -W error it refuses, so replicas would have disagreed.
    for text in ("1if x else 2", "x if x else 0x1for", "1or x", "0xfor x"):
        with pytest.raises(ContractInvalid, match="a space belongs"):
            check(f"def run():\n    x = 1\n    return {text}\n")
    check("def run():\n    x1if = 0xbeef + 1_000\n    return '1if' + str(x1if)  # 1if\n")


def test_a_fault_says_line_and_column() -> None:
    with pytest.raises(ContractInvalid) as caught:
        check("def run():\n    x = 1 ** 2\n    y = 3 / 1\n")
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [(2, 9), (3, 9)]
