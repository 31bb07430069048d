"""What takes time costs gas: each case here once took far more time for its gas than everything else."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import Run

from contracts.guards import Meter, make_guards
from ledger.execution import CallResult

GAS = 2_000_000


def gas_of(run: Run, before: str, body: str) -> int:
    """What ``body`` costs after ``before``."""
    with_it: CallResult = run(f"{before}\n{body}", GAS)
    without: CallResult = run(before, GAS)
    assert (with_it.code, without.code) == ("OK", "OK"), with_it
    return with_it.gas_used - without.gas_used


def test_nobody_can_choose_integer_keys_that_collide() -> None:
    # 43,000 keys in one run of the hash table made each look-up of another walk all of it: 13 s for a transaction.
    meter = Meter()
    meter.gas[0] = GAS
    guards = make_guards(meter)
    places: list[dict[Any, Any]] = [guards["_dict"](1, "a"), {}, {}, {}]
    guards["_set"](places[1], 7, "b")
    guards["_method"]("setdefault", places[2], -7, "c")
    guards["_method"]("update", places[3], places[2])
    assert all(type(key) is bytes for place in places for key in place)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("d = {2: 'a', -1: 'b', 'x': 'c'}\nd[2] = 'd'\nreturn d.keys()", [2, -1, "x"]),
        ("d = {2: 'a', 0: 'b'}\nmade = []\nfor k in d:\n    made.append(k)\nreturn made", [2, 0]),
        ("d = {1: 5, -3: 6}\nreturn [d.items(), d.pop(1), d.get(1), d.get(-3), 1 in d, -3 in d]",
         [[[1, 5], [-3, 6]], 5, None, 6, False, True]),
        ("return [sorted({3: 1, 2: 1}), sum({3: 1, 2: 1}), max({3: 1, 2: 1}), list({9: 1})]", [[2, 3], 5, 3, [9]]),
        ("d = {1: 2}\ne = dict(d)\ne.update({1: 3, 4: 5})\nreturn [e.items(), d == {1: 2}, d == e, d == {'1': 2}]",
         [[[1, 3], [4, 5]], True, False, False]),
        ("d = {1152921504606846975: 1, -1152921504606846975: 2}\nreturn d.keys()", [2**60 - 1, 1 - 2**60]),
    ],
)  # fmt: skip
def test_integer_keys_are_integers_to_a_contract(run: Run, body: str, value: object) -> None:
    assert run(body).value == value


def test_a_search_costs_by_both_lengths(run: Run) -> None:
    # CPython's search is quadratic on texts of a few thousand characters.
    texts = "x = 'a' * 2499\ny = 'a' * 1249 + 'ba'"
    for search in ("y in x", "x.find(y)", "x.count(y)", "x.split(y)", "x.replace(y, '')"):
        assert gas_of(run, texts, f"z = {search}") >= 2499 * 1251 // 1024


@pytest.mark.parametrize("function", ["min", "max"])
def test_the_least_of_long_texts_costs_by_their_lengths(run: Run, function: str) -> None:
    texts = "x = []\nfor i in range(20):\n    x.append('a' * 32000 + pad(i, 3))"
    assert gas_of(run, texts, f"z = {function}(x)") >= 20 * 32_000 // 32


def test_a_long_key_costs_by_its_length(run: Run) -> None:
    assert gas_of(run, "x = {}\nk = 'a' * 64000", "x[k] = 1") >= 64_000 // 32
    assert gas_of(run, "k = 'a' * 64000\nx = {'b': 1}", "y = k in x") >= 64_000 // 32


@pytest.mark.parametrize("body", ["standing('alice', x)", "y = standing('alice', x)"])
def test_looking_for_a_role_costs_by_the_number_of_roles(run: Run, body: str) -> None:
    # A list of 100,000 roles was looked through for the price of one: 6 s for a transaction.
    assert gas_of(run, "x = ['q'] * 50000", body) >= 50_000


def test_a_scan_has_keys_of_a_key_s_length(run: Run) -> None:
    # A prefix of 99,000 characters was copied and searched for at the price of an empty one.
    assert run("return scan('a' * 257, '', 1)").code == "KEY_INVALID"
    assert run("return scan('', 'a' * 257, 1)").code == "KEY_INVALID"
    assert run("return scan('a' * 256, 'a' * 256, 1)").value == []


def test_comparing_containers_costs_by_all_their_nodes(run: Run) -> None:
    before = "t = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]] * 50"
    assert gas_of(run, before, "x = t == t") > 5 * 2 * 50 * 13


@pytest.mark.parametrize(("body", "least"), [("d.items()", 4 * 500), ("','.join(k)", 2 * 500 + 250)])
def test_what_makes_an_object_an_item_costs_by_items(run: Run, body: str, least: int) -> None:
    before = "d = {}\nfor n in range(500):\n    d['k' + str(n)] = n\nk = d.keys()"
    assert gas_of(run, before, f"x = {body}") > least
