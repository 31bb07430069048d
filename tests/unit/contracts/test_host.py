"""The state API: keys, values, scans, events, deadlines, what it tells of the call, and what it refuses."""

from __future__ import annotations

import pytest
from contract_market import Run

from contracts import reading
from contracts.session import ROW_GAS
from contracts.testing import Chain
from ledger.values import Value, decode_value


def test_values_are_copied_both_ways(run: Run) -> None:
    body = "x = {'b': [1], 'a': None}\nput('k', x)\nx['b'].append(2)\ny = get('k')\ny['b'].append(3)\nreturn get('k')"
    assert run(body).value == {"a": None, "b": [1]}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("{1: 2}", "VALUE_INVALID"), ("range(2)", "VALUE_INVALID"), ("'a' * 65536", "TOO_LARGE"),
        ("[" * 16 + "]" * 16, "OK"), ("[" * 17 + "]" * 17, "TOO_DEEP"), (f"{(1 << 256) - 1}", "OK"),
        ("'a' * 65000", "OK"), ("None", "OK"),
    ],
)  # fmt: skip
def test_only_bounded_canonical_values_are_stored(run: Run, value: str, code: str) -> None:
    assert run(f"x = {value}\nput('k', x)\nrequire(get('k') == x, 'LOST', 'it changed')").code == code


@pytest.mark.parametrize("key", ["", "a b", "a\\n", "x" * 257])
@pytest.mark.parametrize("use", ["get({})", "put({}, 1)", "delete({})", "peek('main', {})", "peek({}, 'a')"])
def test_keys_are_short_printable_text(run: Run, key: str, use: str) -> None:
    assert run(use.format(f"'{key}'")).code == "KEY_INVALID"


@pytest.mark.parametrize("key", ["1", "None", "['a']"])
def test_keys_are_text(run: Run, key: str) -> None:
    assert run(f"put({key}, 1)").code == "KEY_INVALID"


def test_a_contract_writes_below_its_own_name_only() -> None:
    chain = Chain({"main": "@export('*')\ndef run():\n    put('other/k', 1)\n    put('../k', 2)\n"}, {})
    assert chain.call("main", "run", {}, ["a"]).code == "OK"
    assert {key for key in chain.state.entries if not key.startswith("governance/")} == {"main/other/k", "main/../k"}


def test_a_contract_reads_others_by_name_only(run: Run) -> None:
    others = {"other": "@internal('main')\ndef keep():\n    return get('k')\n"}
    body = "put('k', 7)\nreturn [call('other', 'keep', []), peek('main', 'k'), peek('other', 'k')]"
    assert run(body, others=others).value == [None, 7, None]


def test_a_transaction_sees_its_own_writes(run: Run) -> None:
    body = "put('a', 1)\nput('b', 2)\nput('c', 3)\ndelete('b')\nreturn [scan('', '', 9), get('b'), scan('', 'a', 9)]"
    assert run(body).value == [[["a", 1], ["c", 3]], None, [["c", 3]]]


@pytest.mark.parametrize(
    ("args", "value"),
    [
        ("'k', '', 1000", [f"k{i}" for i in range(5)]), ("'k', '', 2", ["k0", "k1"]), ("'k', 'k1', 2", ["k2", "k3"]),
        ("'k', 'k4', 2", []), ("'z', '', 2", []), ("'k3', '', 9", ["k3"]), ("'k', 'a', 1", ["k0"]),
    ],
)  # fmt: skip
def test_a_scan_answers_in_order_after_a_key_and_up_to_a_limit(args: str, value: list[str]) -> None:
    source = (
        "@export('*')\ndef fill():\n    for i in range(5):\n        put('k' + str(4 - i), i)\n    put('x', 1)\n"
        f"@export('*')\ndef run():\n    found = []\n    for k, v in scan({args}):\n        found.append(k)\n"
        "    return found\n"
    )
    chain = Chain({"main": source}, {})
    assert chain.call("main", "fill", {}, ["a"]).code == "OK"
    assert chain.call("main", "run", {}, ["a"]).value == value


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ("'', '', 0", "VALUE_INVALID"), ("'', '', -1", "VALUE_INVALID"), ("'', '', 1001", "VALUE_INVALID"),
        ("'', '', True", "TYPE_MISMATCH"), ("1, '', 1", "TYPE_MISMATCH"), ("'', None, 1", "TYPE_MISMATCH"),
    ],
)  # fmt: skip
def test_a_scan_is_bounded(run: Run, args: str, code: str) -> None:
    assert run(f"scan({args})").code == code


def test_a_scan_pays_for_rows_and_not_for_others_that_were_written(run: Run) -> None:
    def cost(writes: int, limit: int) -> int:
        body = f"for i in range({writes}):\n    put(pad(i, 4), i)\n"
        return run(body + f"scan('', '', {limit})").gas_used - run(body + "pass").gas_used

    assert cost(40, 40) >= 40 * ROW_GAS
    assert cost(400, 1) == cost(8, 1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("emit('e', 1)", "VALUE_INVALID"), ("emit(1, {})", "VALUE_INVALID"), ("emit('', {})", "VALUE_INVALID"),
        ("emit('e' * 65, {})", "VALUE_INVALID"), ("emit('a b', {})", "VALUE_INVALID"),
        ("for i in range(257):\n    emit('e', {})", "TOO_MANY_EVENTS"), ("emit('e', {'x': 'a' * 65536})", "TOO_LARGE"),
        ("schedule(-1, 'f', [])", "VALUE_INVALID"), (f"schedule({10**15}, 'f', [])", "VALUE_INVALID"),
        ("schedule('1', 'f', [])", "TYPE_MISMATCH"), ("schedule(1, 'f', {})", "TYPE_MISMATCH"),
        ("for i in range(1000):\n    schedule(1, 'f', [])", "VALUE_INVALID"),
        ("parameter('none')", "PARAMETER_UNKNOWN"), ("parameter(1)", "KEY_INVALID"),
        ("certificate('???')", "CERTIFICATE_INVALID"), ("certificate('AAAA')", "CERTIFICATE_INVALID"),
        ("certificate(1)", "TYPE_MISMATCH"),
        ("authenticate('nobody', [])", "NOT_REGISTERED"), ("authenticate('a' * 5000, [])", "NOT_REGISTERED"),
        ("authenticate('a b', [])", "NOT_REGISTERED"), ("authenticate(1, [])", "TYPE_MISMATCH"),
        ("authenticate('a', 'b')", "TYPE_MISMATCH"),
        ("require(0, 'NO', 'because')", "NO"), ("require([], 'NO', 'because')", "NO"), ("fail('A_1', '')", "A_1"),
        ("fail(1, '')", "TYPE_MISMATCH"), ("fail('A', 1)", "TYPE_MISMATCH"),
    ],
)  # fmt: skip
def test_what_the_host_refuses(run: Run, body: str, code: str) -> None:
    assert run(body).code == code


@pytest.mark.parametrize("code", ["OK", "", "ok", "A B", "1A", "A" * 65, "A\\n"])
def test_a_failure_cannot_call_itself_a_success(code: str) -> None:
    chain = Chain({"main": f"@export('*')\ndef run():\n    put('k', 1)\n    fail('{code}', 'x')\n"}, {})
    assert chain.call("main", "run", {}, ["a"]).code == "VALUE_INVALID"
    assert chain.get("main/k") is None


@pytest.mark.parametrize("code", ["OUT_OF_GAS", "INTERNAL", "REENTRY", "VALIDATION_MONEY"])
def test_a_failure_cannot_speak_for_the_machine_or_for_the_validation_module(run: Run, code: str) -> None:
    found = run(f"fail('{code}', 'x')")
    assert (found.code, found.message) != (code, "x")
    assert found.code == "VALUE_INVALID"


def test_a_contracts_sentence_is_cut(run: Run) -> None:
    assert run("fail('A', 'x' * 1000)").message == "x" * 256


def test_what_a_contract_learns_of_its_call(run: Run) -> None:
    body = (
        "return [caller(), signers(), block_height(), tx_index(), block_time(), calling_contract(), len(tx_id()), "
        "parameter('fee'), standing('bob', [])]"
    )
    assert run(body).value == ["alice", ["alice", "bob"], 1, 0, 1, "", 64, 7, "NOT_REGISTERED"]


def test_events_leave_a_successful_call_only(run: Run) -> None:
    done, failed = run("emit('e', {'x': 1})"), run("emit('e', {'x': 1})\nfail('A', '')")
    assert [(event.contract, event.name, event.data) for event in done.events] == [("main", "e", {"x": 1})]
    assert failed.events == ()


def test_a_deadline_runs_once_in_the_first_block_that_reaches_its_time() -> None:
    source = (
        "@export('*')\ndef run():\n    schedule(block_time() + 50, 'due', [4])\n    schedule(1000, 'due', [5])\n"
        "@deadline\ndef due(x):\n    put('at', [x, block_time(), caller(), calling_contract()])\n"
    )
    chain = Chain({"main": source}, {})
    assert chain.call("main", "run", {}, ["a"]).code == "OK"
    assert chain.advance(49) == []
    assert [code for code, _ in chain.advance(1)] == ["OK"]
    assert chain.get("main/at") == [4, 51, "", ""]
    assert chain.advance(1) == []


def test_money_for_storage_is_gas(run: Run) -> None:
    small, large = run("put('k', 'a')").gas_used, run("put('k', 'a' * 1001)").gas_used
    assert large - small >= 1_000
    assert run("get('k')").gas_used >= 50


@pytest.mark.parametrize("use", ["get('k')", "scan('', '', 9)"])
def test_a_long_value_is_decoded_only_for_gas_at_hand(monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    """A call that could not pay for the nodes had them made all the same, for a sixteenth of the price of its bytes."""
    source = "@export('*')\ndef fill():\n    put('k', [0] * 60000)\n@export('*')\ndef look():\n    return len({use})\n"
    chain = Chain({"main": source.replace("{use}", use)}, {})
    assert chain.call("main", "fill", {}, ["a"]).code == "OK"
    decoded: list[int] = []

    def counted(data: bytes) -> Value:
        decoded.append(len(data))
        return decode_value(data)

    monkeypatch.setattr(reading, "decode_value", counted)
    poor = chain.call("main", "look", {}, ["a"], gas=200_000)
    assert (poor.code, poor.gas_used, max(decoded, default=0) > 1_024) == ("OUT_OF_GAS", 200_000, False)
    rich = chain.call("main", "look", {}, ["a"], gas=600_000)
    assert (rich.code, max(decoded) > 60_000) == ("OK", True)
    assert rich.gas_used < 600_000
