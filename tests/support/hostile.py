"""What the hostile contracts come to: outcome, gas, and a digest of result and state; printed as JSON.

`python -m hostile`, with tests/support on PYTHONPATH, runs on any supported Python, with our packages or without;
`python -m hostile --write` records the golden answers anew.
"""

from __future__ import annotations

import json
import logging
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import bare

    bare.prepare(always="--bare" in sys.argv)

from contracts.language import ContractInvalid, check
from contracts.machine import PythonMachine
from contracts.testing import Chain
from ledger.values import encode_value

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = ("hostile_contracts.jsonl", "hostile_more.jsonl")
GOLDEN = DATA / "hostile_golden.json"
GAS = 200_000
BLOCKS = 3
"""As many blocks of deadlines follow each call."""
REFUSED = "refused"
OTHER = """
@internal("main")
def grow(x: list):
    x.append(2)
    return x
@internal("main")
def kept():
    return [1, 2]
@internal("main")
def burn():
    while True:
        pass
@internal("main")
def fails():
    put("k", 1)
    fail("THEIRS", "on purpose")
@internal("main")
def who():
    return [caller(), calling_contract(), signers()]
@internal("main")
def back():
    return call("main", "entered", [])
@internal("main")
def back_to_view():
    return call("main", "peek_in", [])
@internal("market")
def for_market():
    return 1
@export("*")
def exported():
    return 1
@view
def bad_view():
    put("k", 1)
@view
def late_view():
    schedule(0, "later", [])
def helper():
    return 1
"""
"""A contract beside each hostile one, with something of every kind to call."""


def _link(number: int) -> str:
    """One of a row of contracts that call each other."""
    before = "main" if number == 1 else f"c{number - 1}"
    return (
        f'@internal("{before}")\ndef next(n: int):\n'
        f'    return [n, calling_contract(), call("c{number + 1}", "next", [n + 1])]\n'
    )


OTHERS = {"other": OTHER, **{f"c{number}": _link(number) for number in range(1, 9)}}


@cache
def snippets() -> dict[str, str]:
    """Code by name."""
    rows = [json.loads(line) for name in FILES for line in (DATA / name).read_text("utf-8").splitlines()]
    found: dict[str, str] = {row["name"]: row["code"] for row in rows}
    assert len(found) == len(rows), "each name stands once"
    return found


def marked(code: str) -> str:
    """The contract as it is deployed: anybody may call ``run``."""
    return code.replace("def run(", '@export("*")\ndef run(', 1)


def outcome(code: str, machine: PythonMachine) -> list[Any]:
    """Deploy and run on a fresh chain: code, gas, a digest of value and state, codes of the deadlines after it."""
    try:
        check(marked(code))
    except ContractInvalid:
        return [REFUSED, 0, "", []]
    chain = Chain({"main": marked(code), **OTHERS}, {"fee": 7}, machine=machine)
    chain.user("alice", "seller")
    result = chain.call("main", "run", {}, ["alice", "bob"], GAS)
    deadlines = [code for _ in range(BLOCKS) for code, _ in chain.block(1)]
    events = [[event.contract, event.name, event.data] for event in result.events]
    state = {key: entry.value.hex() for key, entry in sorted(chain.state.entries.items())}
    digest = sha256(encode_value([result.value, result.message, events, state])).hexdigest()
    return [result.code, result.gas_used, digest[:16], deadlines]


def outcomes() -> dict[str, list[Any]]:
    machine = PythonMachine()
    return {name: outcome(code, machine) for name, code in snippets().items()}


def golden() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = json.loads(GOLDEN.read_text("utf-8"))
    return found


def main() -> None:
    logging.disable(logging.CRITICAL)
    found = outcomes()
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(found.items())]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if "--write" in sys.argv:
        GOLDEN.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
