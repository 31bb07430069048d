"""Golden vectors: fixed calls whose results, writes, events and gas every machine of this engine version must give.

A node runs them before it takes part: one whose Python, library or hardware computes differently ends here, in well
under a second, instead of disagreeing with the others later. ``python -m contracts.golden`` prints them anew.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

from contracts.machine import PythonMachine
from ledger.execution import ENGINE_VERSION, Call, Machine
from ledger.state import Entry, MemoryState, TransactionView
from ledger.values import Value, encode_value

GAS_LIMIT = 20_000

MAIN = """
BIG = 1000000007


@export("*")
def arithmetic():
    x = BIG
    for turn in range(20):
        x = (x * x + turn) % 340282366920938463463374607431768211297
    return [x, -7 // 2, -7 % 3, ceil_div(-7, 2), half_up_div(5, 2), half_up_div(-5, 2), abs(-3), pad(42, 6)]


@export("*")
def too_large():
    x = 2
    while True:
        x *= x


@export("*")
def texts():
    t = "Wattquorum,Zurich,kWh"
    return [t.split(","), t.lower(), t.upper(), t.replace("u", "uu"), t.find("Z"), t[3:8], t * 2, sha256(t), str(-12)]


@export("*")
def sorting():
    rows = []
    for n in range(30):
        rows.append([n * 7919 % 31, "k" + str(n), n])
    return [sorted(rows), sorted(["b", "B", "a", "A", ""]), reversed([1, 2, 3]), max([3, 9, 2]), sum([1, 2, 3])]


@export("*")
def dictionaries():
    d = {"z": 1, "a": [True, None, 1]}
    d["m"] = {}
    for n in range(9):
        d["m"]["k" + str(n * 5 % 9)] = n
    d.pop("z")
    d.setdefault("q", [])
    return [d, d.keys(), d.get("none", 0), "a" in d, True == 1, [1] == [1], {"a": 1} == {"a": 1}]


@export("*")
def state():
    put("k/2", {"b": 1, "a": "x"})
    put("k/9", [1, -1, BIG * BIG * BIG * BIG])
    delete("k/1")
    emit("seen", {"rows": scan("k/", "", 10), "after": scan("k/", "k/2", 1), "none": get("none")})
    return [get("k/2"), block_time(), block_height(), tx_index(), caller(), signers(), tx_id()]


@export("*")
def calls():
    schedule(1000, "late", [1, "a"])
    return [call("other", "double", [[21]]), call("other", "look", []), peek("other", "n")]


@export("*")
def recursion():
    return down(1)


def down(n):
    return down(n + 1)


@export("*")
def gas():
    while True:
        pass


@export("*")
def missing():
    return {"a": 1}["b"]


@export("*")
def outside():
    return [1, 2][2]


@export("*")
def zero():
    return 1 // (BIG - BIG)


@export("*")
def mixed():
    return "1" + 1


@export("*")
def unbound():
    if BIG == 0:
        x = 1
    return x


@export("*")
def refused():
    put("k", 1)
    require(BIG == 0, "NOT_SO", "It is not so.")


@export("*")
def deep():
    x = []
    for turn in range(17):
        x = [x]
    return x


@deadline
def late(a, b):
    pass
"""
OTHER = """
@internal("main")
def double(values):
    put("n", values[0])
    return [values[0] * 2, calling_contract()]


@view
def look():
    return get("n")
"""

EXPECTED: dict[str, tuple[str, int, str]] = {
    "arithmetic": ("OK", 1594, "749e2d305b067e9d"),
    "too_large": ("INTEGER_TOO_LARGE", 109, "1e1509f576955acc"),
    "texts": ("OK", 546, "0b626f5ff75576f8"),
    "sorting": ("OK", 6906, "e529d65e9bff87c0"),
    "dictionaries": ("OK", 1328, "aec13dd1f90513e9"),
    "state": ("OK", 3284, "55e118fd03c2ae28"),
    "calls": ("OK", 3328, "c5d14e4c85f5214d"),
    "recursion": ("TOO_DEEP", 381, "1e1509f576955acc"),
    "gas": ("OUT_OF_GAS", 20000, "1e1509f576955acc"),
    "missing": ("KEY_MISSING", 17, "1e1509f576955acc"),
    "outside": ("INDEX_OUT_OF_RANGE", 15, "1e1509f576955acc"),
    "zero": ("DIVISION_BY_ZERO", 17, "1e1509f576955acc"),
    "mixed": ("TYPE_MISMATCH", 10, "1e1509f576955acc"),
    "unbound": ("NAME_UNBOUND", 12, "1e1509f576955acc"),
    "refused": ("NOT_SO", 224, "0bbf3391a1e2ba8c"),
    "deep": ("TOO_DEEP", 476, "1e1509f576955acc"),
}
"""By function: code, gas, and a digest of value, events and writes."""


class EngineDiffers(Exception):
    """This machine computes something else than the others; the message says which vector, and what."""


def check_engine(machine: Machine | None = None) -> None:
    """Run every vector; raises ``EngineDiffers`` at the first that is not as expected."""
    found = outcomes(PythonMachine() if machine is None else machine)
    for name, outcome in found.items():
        if outcome != EXPECTED.get(name):
            raise EngineDiffers(
                f"contracts would not run here as on other nodes: engine {ENGINE_VERSION}'s vector {name!r} "
                f"gave {outcome}, not {EXPECTED.get(name)}; is the installation complete and unchanged?"
            )
    if found.keys() != EXPECTED.keys():
        raise EngineDiffers("vectors and expectations are of different releases")


def outcomes(machine: Machine) -> dict[str, tuple[str, int, str]]:
    """What each vector comes to on ``machine``."""
    values: dict[str, Value] = {
        f"governance/contract/{name}": {"source": source, "sha256": "", "version": 1}
        for name, source in (("main", MAIN), ("other", OTHER))
    }
    values |= {f"main/k/{n}": n for n in range(4)}
    state = MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})
    names = [line[4:-3] for last, line in pairwise(MAIN.splitlines()) if last.startswith("@export")]
    return {name: _outcome(machine, state, name) for name in names}


def _outcome(machine: Machine, state: MemoryState, name: str) -> tuple[str, int, str]:
    view = TransactionView(state)
    result = machine.run(Call("main", name, {}, ("ann", "bob"), "ab" * 32, GAS_LIMIT, 900, 7, 3, "transaction"), view)
    events = [[event.contract, event.name, event.data] for event in result.events]
    writes = [[key, None if data is None else data.hex()] for key, data in sorted(view.writes.items())]
    digest = sha256(encode_value([result.value, events, writes])).hexdigest()[:16]
    return result.code, result.gas_used, digest


if __name__ == "__main__":
    for function, expected in outcomes(PythonMachine()).items():
        print(f'    "{function}": {expected!r},'.replace("'", '"'))
