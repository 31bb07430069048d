"""Hostile contracts end in a worker as they do elsewhere, gas included, and none of them makes it call the system.

A worker that were killed by what somebody deploys or calls would stop every node at the same block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hostile import GAS, REFUSED, golden, marked, outcome, snippets
from walled import Workers

from contracts.machine import PythonMachine
from contracts.sandbox.machine import WorkerMachine
from contracts.testing import Chain

JUDGE = '@export("*")\ndef run(source: str):\n    return contract_fault("fresh", source)\n'
NO_PYTHON = (
    "def f(:\n", "x = (\n", "def f():\n    x = 'abc\n", "a b\n", "  x\n y\n", "def f():\nreturn 1\n", "x = 08\n",
    "x = 0xg\n",
    "f(a for a in b, c)\n", "'\\N{foo}'\n", "'\\N{SPACE}'\n", "'\\x'\n", "\tx\n        y\n", "((((\n", "class A\n",
    "a = 1\\ \n", "x\x00y\n", "\u00e9 = 1\n", "if x = 1: pass\n", "f'{a b}'\n", "x = 'a' b'c'\n", "0777\n", "$\n",
    "def f(a, a): pass\n", "def f():\n    x = 1\n    global x\n", "nonlocal x\n", "return 1\n", "break\n", "*a\n",
    "async def f(): await = 3\n", "try: pass\n", "match x:\n  case 1: pass\n", "x = " + "1" * 5_000 + "\n",
    "# -*- coding: utf-7 -*-\nx = +\n", "\ufeffx\n",
)  # fmt: skip
WARNED = (
    "return 1 is None",
    "return 'a' is None",
    "x = [1, 2] [0]\n    return x",
    "return '\\\\d'",
    "return 1if True else 2",
)
"""What compiles with a warning, for which the interpreter would quote a file too."""


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers()


@pytest.fixture(scope="module")
def there(workers: Workers) -> Iterator[WorkerMachine]:
    machine = WorkerMachine(workers)
    yield machine
    machine.close()


def test_every_hostile_contract_comes_to_its_golden_outcome(there: WorkerMachine, workers: Workers) -> None:
    wanted = {name: row for name, row in golden().items() if row[0] != REFUSED}
    assert len(wanted) > 50
    found = {name: outcome(snippets()[name], there) for name in wanted}  # type: ignore[arg-type]  # any machine will do
    assert found == wanted
    assert len(workers.all) == 1


@pytest.mark.parametrize("sources", [NO_PYTHON, tuple(map(marked, snippets().values()))], ids=["broken", "hostile"])
def test_judging_a_source_ends_alike(there: WorkerMachine, workers: Workers, sources: Sequence[str]) -> None:
    chains = [Chain({"governance": JUDGE}, {}, machine=machine) for machine in (PythonMachine(), there)]
    for source in sources:
        here, found = (chain.call("governance", "run", {"source": source}, ["a"], 10 * GAS) for chain in chains)
        assert (found.code, found.value, found.gas_used) == (here.code, here.value, here.gas_used), source
    assert len(workers.all) == 1


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("body", WARNED)
def test_what_compiles_with_a_warning_ends_alike(there: WorkerMachine, workers: Workers, body: str) -> None:
    source = {"main": f'@export("*")\ndef run():\n    {body}\n'}
    ends = [Chain(source, {}, machine=machine).call("main", "run", {}, ["a"]) for machine in (PythonMachine(), there)]
    assert (ends[0].code, ends[0].value, ends[0].gas_used) == (ends[1].code, ends[1].value, ends[1].gas_used)
    assert len(workers.all) == 1
