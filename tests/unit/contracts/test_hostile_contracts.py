"""Hostile and non-deterministic snippets: refused at deployment, trapped with a code, or harmless; always the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from contracts.codes import TrapCode
from contracts.language import ContractInvalid, check
from contracts.testing import Chain

ROOT = Path(__file__).resolve().parents[3]
SNIPPETS = {
    row["name"]: row["code"]
    for row in map(json.loads, (ROOT / "tests/data/hostile_contracts.jsonl").read_text().splitlines())
}
GAS = 200_000
REFUSED = "refused"
HARMLESS = frozenset(
    {"escape/encoding-cookie", "gas/extend-self-iter", "parse/many-functions", "state/mutate-get"}
)  # fmt: skip
"""What does no harm in this language: a comment, a bounded loop, unused functions, a change to one's own copy."""
OTHER_PYTHONS = [name for name in ("python3.11", "python3.12", "python3.13", "python3.14") if shutil.which(name)]

DRIVER = """
import json, sys
from contracts.codes import Trap
from contracts.guards import Meter, make_guards
from contracts.language import HOST, ContractInvalid, check
from contracts.rewrite import rewrite

def outcome(code, gas):
    meter = Meter()
    try:
        checked = check(code)
    except ContractInvalid:
        return ["refused", 0, None]
    def host(*args):
        meter.charge(10)
    space = {"__builtins__": {}, **make_guards(meter), **dict.fromkeys(HOST, host), **checked.constants}
    exec(compile(rewrite(checked), "<contract>", "exec", dont_inherit=True, optimize=0), space)
    meter.gas[0] = gas
    try:
        value, how = space["run"](), "OK"
    except UnboundLocalError:
        value, how = None, "NAME_UNBOUND"
    except Trap as trap:
        value, how = None, str(trap.code)
    return [how, gas - max(0, meter.gas[0]), value if type(value) in (int, str, bool, list) else None]

given = json.load(sys.stdin)
json.dump({name: outcome(code, given["gas"]) for name, code in given["code"].items()}, sys.stdout)
"""
"""The language alone, without the packages that the state needs, so that any interpreter can run it."""

LEGAL = {
    "sort": "def run():\n    x = []\n    for i in range(300):\n        x.append('key' * 30 + pad(i * 7919 % 300, 4))\n"
    "    return [sorted(x)[0], sorted(reversed(x))[299]]\n",
    "arithmetic": "def run():\n    x = 1\n    for i in range(500):\n        x = (x * 6364136223 + i) % 18446744073\n"
    "    return [x, x // -7, x % -7, half_up_div(x, 3), ceil_div(-x, 3)]\n",
    "text": "def run():\n    return 'aXbXc'.replace('X', '--').upper().split('--')\n",
    "many": "def run():\n    x = {}\n    for i in range(200):\n        x[pad(i, 3)] = [i, {'a': i}]\n"
    "    return len(x.items()) + sum(range(9))\n",
}  # fmt: skip


def marked(code: str) -> str:
    return code.replace("def run(", '@export("*")\ndef run(', 1)


def outcome(code: str) -> tuple[str, int, object, object]:
    """Deploy and run on a fresh machine and chain: code, gas, value and the state afterwards."""
    try:
        check(marked(code))
    except ContractInvalid:
        return REFUSED, 0, None, None
    chain = Chain({"main": marked(code)}, {})
    result = chain.call("main", "run", {}, ["alice"], GAS)
    return result.code, result.gas_used, result.value, dict(chain.state.entries)


@cache
def outcomes() -> dict[str, tuple[str, int, object, object]]:
    return {name: outcome(code) for name, code in SNIPPETS.items()}


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_a_hostile_contract_is_refused_trapped_or_harmless(name: str) -> None:
    code, gas, _, _ = outcomes()[name]
    trapped = code in set(TrapCode) - {TrapCode.INTERNAL}
    assert code == REFUSED or trapped or (code == "OK" and name in HARMLESS)
    assert gas <= GAS


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_a_hostile_contract_ends_the_same_on_a_fresh_machine(name: str) -> None:
    first = outcomes()[name]
    assert first[0] == REFUSED or outcome(SNIPPETS[name]) == first


def test_most_are_refused_before_they_run() -> None:
    refused = [name for name, (code, *_) in outcomes().items() if code == REFUSED]
    assert len(SNIPPETS) == 156
    assert len(refused) >= 140


def language_alone(python: str) -> object:
    given = json.dumps({"gas": GAS, "code": SNIPPETS | LEGAL})
    done = subprocess.run(
        [python, "-c", DRIVER], input=given, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


@pytest.mark.skipif(not OTHER_PYTHONS, reason="no other supported Python on the path")
def test_every_python_here_gives_the_same_outcomes_and_gas() -> None:
    usable = [name for name in OTHER_PYTHONS if subprocess.run([name, "-c", ""], capture_output=True).returncode == 0]
    expected = language_alone(sys.executable)
    assert isinstance(expected, dict)
    assert {expected[name][0] for name in LEGAL} == {"OK"}
    for python in usable:
        assert language_alone(python) == expected, python
