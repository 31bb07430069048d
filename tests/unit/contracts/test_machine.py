"""The machine: entry points, arguments, cross-calls, views, upgrades, threads, and its own faults."""

from __future__ import annotations

import logging
import threading
from hashlib import sha256
from typing import Any

import pytest
from contract_market import Run

from contracts import compiler, guards
from contracts.codes import ReplicaFault
from contracts.language import Checked
from contracts.machine import MODULES_CACHED_MAX, PythonMachine
from contracts.rewrite import Pay, rewrite
from contracts.testing import Chain
from ledger.execution import ENGINE_VERSION, Call, CallResult
from ledger.state import Entry, TransactionView
from ledger.values import encode_value

COUNTER = "@export('*')\ndef run():\n    return {}\n"


class AnyWrites:
    """A validator that lets everything through, so that the machine alone decides."""

    def check(self, call: Call, result: CallResult, view: TransactionView) -> None:
        return None


def chain_of(**sources: str) -> Chain:
    return Chain(sources, {}, validator=AnyWrites())


def test_entries_are_marked_functions_only() -> None:
    source = (
        "@export('a', 'b')\ndef e(x: int):\n    pass\n@internal('main')\ndef i(x):\n    pass\n"
        "@deadline\ndef d():\n    pass\n@view\ndef v():\n    pass\ndef h():\n    pass\n"
    )
    chain, machine = chain_of(main=source), PythonMachine()
    found = {name: machine.entry(chain.state, "main", name) for name in "eidvhx"}
    assert {name: entry and entry.kind for name, entry in found.items()} == {
        "e": "export", "i": "internal", "d": "deadline", "v": "view", "h": None, "x": None,
    }  # fmt: skip
    assert found["e"] is not None
    assert (found["e"].names, found["e"].parameters) == (("a", "b"), ("x",))
    assert machine.entry(chain.state, "none", "e") is None
    assert (machine.knows(chain.state, "main"), machine.knows(chain.state, "né")) == (True, False)


@pytest.mark.parametrize(
    ("contract", "function", "code"),
    [
        ("none", "f", "CONTRACT_UNKNOWN"), ("né", "f", "CONTRACT_UNKNOWN"), ("main", "none", "FUNCTION_UNKNOWN"),
        ("main", "helper", "NOT_CALLABLE"), ("main", "inner", "NOT_CALLABLE"), ("main", "due", "NOT_CALLABLE"),
        ("main", "look", "NOT_CALLABLE"), ("main", "__init__", "FUNCTION_UNKNOWN"), ("main", "put", "FUNCTION_UNKNOWN"),
    ],
)  # fmt: skip
def test_transactions_reach_exported_functions_only(contract: str, function: str, code: str) -> None:
    source = (
        "def helper():\n    pass\n@internal('main')\ndef inner():\n    pass\n@deadline\ndef due():\n    pass\n"
        "@view\ndef look():\n    pass\n"
    )
    assert chain_of(main=source).call(contract, function, {}, ["a"]).code == code


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"n": 1, "s": "a"}, "OK"), ({"n": 1}, "ARGUMENTS_INVALID"), ({"n": 1, "s": "a", "t": 1}, "ARGUMENTS_INVALID"),
        ({"n": True, "s": "a"}, "ARGUMENTS_INVALID"), ({"n": "1", "s": "a"}, "ARGUMENTS_INVALID"),
        ({"n": 1, "s": None}, "ARGUMENTS_INVALID"), ({"n": 1.0, "s": "a"}, "VALUE_INVALID"),
        ({"n": 1 << 256, "s": "a"}, "VALUE_INVALID"),
        ({"n": 1, "s": "\ud800"}, "VALUE_INVALID"), ({}, "ARGUMENTS_INVALID"),
    ],
)  # fmt: skip
def test_arguments_fit_the_parameters(args: dict[str, Any], code: str) -> None:
    chain = chain_of(main="@export('*')\ndef f(n: int, s: str):\n    return [n, s]\n")
    assert chain.call("main", "f", args, ["a"]).code == code


MANY = [
    [[] for _ in range(9_000)], [{} for _ in range(9_000)], [0] * 15_000, [{f"{n}": 0 for n in range(3_500)}],
    [[1 << 70], *([] for _ in range(9_000))],
]  # fmt: skip


@pytest.mark.parametrize("many", MANY)
def test_arguments_are_paid_for_before_they_are_copied(many: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that could not pay had as many copied as its payload has room for, a block of them for 0.9 s."""

    def copied(value: Any) -> bytes:
        raise AssertionError("copied")

    chain = chain_of(main="@export('*')\ndef f(many: list):\n    pass\n")
    monkeypatch.setattr("contracts.machine.encode_value", copied)
    result = chain.call("main", "f", {"many": many}, ["a"], gas=24_000)
    assert (result.code, result.gas_used) == ("OUT_OF_GAS", 24_000)


def test_a_call_cannot_change_the_arguments_that_it_is_given() -> None:
    given = {"many": [[1], {"a": 1 << 70}]}
    chain = chain_of(
        main="@export('*')\ndef f(many: list):\n    many.append(1)\n    many[1]['a'] = 2\n    return many\n"
    )
    assert chain.call("main", "f", given, ["a"]).value == [[1], {"a": 2}, 1]
    assert given == {"many": [[1], {"a": 1 << 70}]}


CALLEE = """
@export('*')
def exported():
    return 1
@internal('main')
def inner(x):
    x.append(2)
    put('k', calling_contract())
    return x
@internal('other')
def closed():
    return 1
@view
def look():
    return get('k')
@view
def sly():
    put('k', 1)
@view
def sly_too():
    delete('k')
@view
def sly_later():
    schedule(1, 'x', [])
@view
def sly_word():
    emit('x', {})
@deadline
def due():
    return 1
def helper():
    return 1
@internal('main')
def failing():
    put('k', 1)
    fail('NO', 'no')
@internal('main')
def back():
    return call('main', 'inner', [])
"""


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("'callee', 'inner', [[1]]", "OK"), ("'callee', 'look', []", "OK"),
        ("'callee', 'exported', []", "NOT_CALLABLE"),
        ("'callee', 'closed', []", "NOT_CALLABLE"), ("'callee', 'due', []", "NOT_CALLABLE"),
        ("'callee', 'helper', []", "NOT_CALLABLE"), ("'callee', 'none', []", "FUNCTION_UNKNOWN"),
        ("'none', 'f', []", "CONTRACT_UNKNOWN"), ("'callee', 'inner', []", "ARGUMENTS_INVALID"),
        ("'callee', 'inner', [1]", "TYPE_MISMATCH"), ("'main', 'inner', []", "REENTRY"),
        ("'callee', 'back', []", "REENTRY"),
        ("'callee', 'failing', []", "NO"), ("'callee', 'sly', []", "WRITE_IN_VIEW"),
        ("'callee', 'sly_too', []", "WRITE_IN_VIEW"), ("'callee', 'sly_later', []", "WRITE_IN_VIEW"),
        ("'callee', 'sly_word', []", "WRITE_IN_VIEW"),
        ("1, 'f', []", "TYPE_MISMATCH"), ("'callee', 'inner', {}", "TYPE_MISMATCH"),
    ],
)  # fmt: skip
def test_contracts_reach_views_and_what_is_internal_to_them(target: str, code: str) -> None:
    source = f"@export('*')\ndef run():\n    put('mine', 1)\n    call({target})\n"
    source += "@internal('callee')\ndef inner():\n    pass\n"
    chain = chain_of(main=source, callee=CALLEE)
    assert chain.call("main", "run", {}, ["a"]).code == code
    assert (chain.get("main/mine") == 1) is (code == "OK"), "a failure anywhere undoes everything"
    assert chain.get("callee/k") == ("main" if code == "OK" and "inner" in target else None)


def test_cross_calls_copy_their_arguments_and_results() -> None:
    source = "@export('*')\ndef run():\n    x = [1]\n    y = call('callee', 'inner', [x])\n    return [x, y]\n"
    assert chain_of(main=source, callee=CALLEE).call("main", "run", {}, ["a"]).value == [[1], [1, 2]]


def relay(count: int) -> dict[str, str]:
    """Contracts c0 to c<count-1>, each calling the next."""
    sources = {}
    for i in range(count):
        marker = "export('*')" if i == 0 else f"internal('c{i - 1}')"
        body = f"return call('c{i + 1}', 'f', [])" if i + 1 < count else "return 1"
        sources[f"c{i}"] = f"@{marker}\ndef f():\n    {body}\n"
    return sources


@pytest.mark.parametrize(("count", "code"), [(8, "OK"), (9, "TOO_DEEP")])
def test_contracts_call_each_other_eight_deep(count: int, code: str) -> None:
    assert chain_of(**relay(count)).call("c0", "f", {}, ["a"]).code == code


def test_cross_calls_share_the_gas() -> None:
    callee = "@internal('main')\ndef burn():\n    while True:\n        pass\n"
    chain = chain_of(main="@export('*')\ndef run():\n    call('callee', 'burn', [])\n", callee=callee)
    result = chain.call("main", "run", {}, ["a"], 50_000)
    assert (result.code, result.gas_used) == ("OUT_OF_GAS", 50_000)


def test_after_a_view_the_caller_may_write_again() -> None:
    source = "@export('*')\ndef run():\n    call('callee', 'look', [])\n    put('k', 1)\n"
    chain = chain_of(main=source, callee=CALLEE)
    assert chain.call("main", "run", {}, ["a"]).code == "OK"


@pytest.mark.parametrize(("function", "code"), [("look", "OK"), ("sly", "WRITE_IN_VIEW"), ("exported", "NOT_CALLABLE")])
def test_views_from_outside_cannot_write(function: str, code: str) -> None:
    assert chain_of(callee=CALLEE).view("callee", function, {}).code == code


def deploy(chain: Chain, name: str, source: str) -> None:
    chain.put(f"governance/contract/{name}", {"source": source, "sha256": "", "version": 2})


def test_a_changed_contract_is_picked_up_by_the_next_block_and_can_be_changed_back() -> None:
    chain = chain_of(main=COUNTER.format(1))
    seen = []
    for value in (1, 2, 1):
        deploy(chain, "main", COUNTER.format(value))
        seen.append(chain.call("main", "run", {}, ["a"]).value)
    assert seen == [1, 2, 1]


def test_two_views_of_the_state_run_their_own_versions() -> None:
    machine, chain = PythonMachine(), chain_of(main=COUNTER.format(1))
    old = Chain({"main": COUNTER.format(2)}, {}).state
    call = Call("main", "run", {}, ("a",), "", 10_000, 1, 1, 0, "transaction")
    values = [machine.run(call, TransactionView(state)).value for state in (chain.state, old, chain.state)]
    assert values == [1, 2, 1]


def test_an_unchanged_contract_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    original = rewrite

    def counting(checked: Checked, pay: Pay) -> Any:
        compiled.append(next(iter(checked.functions)))
        return original(checked, pay)

    monkeypatch.setattr(compiler, "rewrite", counting)
    chain = chain_of(main=COUNTER.format(1), other="@view\ndef v():\n    pass\n" + COUNTER.format(2))
    for contract in ("main", "other", "main", "other", "main"):
        assert chain.call(contract, "run", {}, ["a"]).code == "OK"
    assert compiled == ["run", "v"]


def test_threads_share_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, machine = chain_of(main=COUNTER.format(1)), PythonMachine()
    assert machine.knows(chain.state, "main")
    monkeypatch.setattr(compiler, "check", None)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(machine.knows(chain.state, "main")))
    thread.start()
    thread.join()
    assert found == [True]


def test_more_contracts_than_the_cache_holds_still_run() -> None:
    sources = {f"c{i}": COUNTER.format(i) for i in range(MODULES_CACHED_MAX + 5)}
    chain = chain_of(**sources)
    for _ in range(2):
        assert [chain.call(name, "run", {}, ["a"]).value for name in sources] == list(range(len(sources)))


def test_threads_do_not_share_meters() -> None:
    machine, chain = (
        PythonMachine(),
        chain_of(main="@export('*')\ndef run():\n    for i in range(3000):\n        x = i\n"),
    )
    call = Call("main", "run", {}, ("a",), "", 100_000, 1, 1, 0, "transaction")
    gas: list[int] = []
    threads = [
        threading.Thread(target=lambda: gas.append(machine.run(call, TransactionView(chain.state)).gas_used))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gas == [gas[0]] * 4


def test_a_result_is_bounded(run: Run) -> None:
    assert run("return ['a' * 1000] * 100").code == "TOO_LARGE"


@pytest.mark.parametrize(
    ("error", "code"),
    [(MemoryError, None), (RecursionError, None), (OverflowError, "INTERNAL"), (TypeError, "INTERNAL")],
)
def test_a_replicas_fault_is_no_result_and_a_hole_in_the_guards_is_no_dead_node(
    error: type[Exception], code: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = guards.make_guards

    def broken(value: Any) -> int:
        raise error

    monkeypatch.setattr("contracts.machine.make_guards", lambda meter: {**real(meter), "len": broken})
    chain = chain_of(main="@export('*')\ndef run():\n    put('k', 1)\n    return len('a')\n")
    caplog.set_level(logging.CRITICAL + 1)
    if code is None:
        with pytest.raises(ReplicaFault, match=error.__name__):
            chain.call("main", "run", {}, ["a"])
    else:
        assert chain.call("main", "run", {}, ["a"]).code == code
    assert chain.get("main/k") is None


def test_contract_text_that_is_stored_decides_not_its_declared_hash() -> None:
    chain = chain_of(main=COUNTER.format(1))
    value = {"source": COUNTER.format(3), "sha256": "0" * 64, "version": 1}
    chain.state.apply({"governance/contract/main": Entry(0, 0, encode_value(value))})
    assert chain.call("main", "run", {}, ["a"]).value == 3


def test_the_code_of_every_contract_that_is_called_is_a_read() -> None:
    """Regression: a worker that had run an old version of a contract which another one calls was believed."""
    other = "@view\ndef same(x: int):\n    return x\n"
    chain = chain_of(main=COUNTER.format("call('other', 'same', [1])"), other=other)
    chain.state.apply({"governance/contract/other": Entry(5, 2, encode_value({"source": other}))})
    assert chain.call("main", "run", {}, ["a"]).reads["governance/contract/other"] == (5, 2)
    absent = chain_of(main=COUNTER.format("call('absent', 'same', [1])")).state
    call = Call("main", "run", {}, ("a",), "", 100_000, 0, 1, 0, "transaction")
    result = PythonMachine().run(call, TransactionView(absent))
    assert (result.code, result.reads["governance/contract/absent"]) == ("CONTRACT_UNKNOWN", None)


def test_a_result_says_which_code_ran_and_what_it_read_and_wrote() -> None:
    source = COUNTER.format("[get('a'), scan('b', '', 2), put('c', 1)][0]")
    chain = chain_of(main=source)
    chain.put("main/a", 7)
    chain.state.apply({"main/a": Entry(3, 1, encode_value(7))})
    result = chain.call("main", "run", {}, ["a"])
    assert (result.code, result.engine) == ("OK", ENGINE_VERSION)
    assert result.code_hash == sha256(source.encode()).hexdigest()
    assert result.reads == {"governance/contract/main": (0, 0), "main/a": (3, 1)}
    assert [(read.prefix, read.after, read.limit) for read in result.ranges] == [("main/b", "", 2)]
    assert result.writes == {"main/c": encode_value(1)}
