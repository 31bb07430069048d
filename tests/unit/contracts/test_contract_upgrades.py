"""Contracts decided on by the organisations: deployment, versions that begin at a height, migrations, what stays."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import governed
import pytest
from governed import GENESIS, MACHINE, OPERATORS, Network
from walled import needs_seccomp

from contracts import compiler
from contracts.catalog import shipped_sources
from contracts.language import Checked, check
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process
from contracts.validation import MarketValidator, Violation
from ledger.envelope import PAYLOAD_BYTES_MAX, SIGNERS_MAX
from ledger.execution import OK, Call, CallResult
from ledger.state import TransactionView
from ledger.values import Value, decode_value, encode_value
from sdk.configuration import Limits

FIRST = """
@export("operator")
def add(n: int):
    put("sum", n)


@view
def total():
    return get("sum")
"""
SECOND = FIRST.replace('return get("sum")', 'return get("sum")["sum"]')
MIGRATION = """

def migrate():
    require(get("sum") is not None, "NOTHING_TO_MIGRATE", "There is no sum.")
    put("sum", {"sum": get("sum") * 2})
    emit("migrated", {"at": block_height()})
"""


@pytest.fixture
def net() -> Network:
    return Network()


def digest(source: str) -> str:
    return sha256(source.encode()).hexdigest()


def value_of(net: Network, key: str) -> Any:
    entry = net.ledger.reader().get(key)
    return None if entry is None else decode_value(entry.value)


def total(net: Network) -> CallResult:
    call = Call("tally", "total", {}, (), "", 100_000, 1, net.ledger.height, 0, "view")
    return MACHINE.run(call, TransactionView(net.ledger.reader()))


def add(net: Network, number: int) -> str:
    ran = net.block(net.envelope(OPERATORS[:1], "tally", "add", {"n": number}))
    return ran.executed.results[-1].code


def test_a_deployed_contract_is_in_force_at_once(net: Network) -> None:
    assert net.govern("deploy", name="tally", source=FIRST).code == OK
    assert value_of(net, "governance/contract/tally") == {"source": FIRST, "sha256": digest(FIRST), "version": 1}
    assert value_of(net, f"governance/source/{digest(FIRST)}") == {"source": FIRST}
    assert add(net, 7) == OK
    assert total(net).value == 7


@pytest.mark.parametrize(
    ("operators", "name", "source", "code"),
    [
        (1, "tally", FIRST, "CONSENT_LACKING"),
        (2, "market", FIRST, "CONTRACT_KNOWN"),
        (2, "tally", "import os", "CONTRACT_INVALID"),
        (2, "tally", "def f(:", "CONTRACT_INVALID"),
        (2, "system", FIRST, "NAME_INVALID"),
        (2, "Tally", FIRST, "NAME_INVALID"),
        (2, "a/b", FIRST, "NAME_INVALID"),
        (2, "", FIRST, "NAME_INVALID"),
    ],
)
def test_what_cannot_be_deployed(net: Network, operators: int, name: str, source: str, code: str) -> None:
    assert net.govern("deploy", operators=operators, name=name, source=source).code == code
    assert code == "CONTRACT_KNOWN" or net.ledger.reader().get(f"governance/contract/{name}") is None


def test_checking_a_source_takes_gas_by_bytes_and_nodes(net: Network) -> None:
    more = "\n".join(f"def f{n}():\n    return [1, 2, 3, 4]" for n in range(40))
    used = [net.govern("deploy", name=f"c{n}", source=text).gas_used for n, text in enumerate((FIRST, FIRST + more))]
    stored = 2 * len(more)  # as the contract, and among the sources
    assert used[1] - used[0] > stored + len(more) + 5 * 40 * 7


def test_a_source_is_read_once_however_many_ask(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: machine and validation module parsed and checked it three times, 70 ms each, and once more as its
    version began."""
    read: list[str] = []

    def counted(source: str) -> Checked:
        if source.endswith("# once\n"):  # and no contract that is shipped
            read.append(source)
        return check(source)

    monkeypatch.setattr(compiler, "check", counted)
    first, second = f"{FIRST}\n# once\n", f"{SECOND}{MIGRATION}\n# once\n"
    assert net.govern("deploy", name="tally", source=first).code == OK
    assert net.govern("deploy", name="tally2", source=first).code == OK
    assert read == [first]
    add(net, 7)
    assert read == [first, first]  # to compile it
    height = net.ledger.height + 2
    assert net.govern("upgrade", name="tally", source=second, at_height=height).code == OK
    assert read[2:] == [second]
    net.run_to(height)
    assert value_of(net, "governance/contract/tally")["version"] == 2
    assert read[2:] == [second, second]


def test_a_version_begins_at_its_height_and_migrates_once(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    add(net, 7)
    height = net.ledger.height + 4
    assert net.govern("upgrade", name="tally", source=SECOND + MIGRATION, at_height=height).code == OK
    net.run_to(height - 1)
    assert total(net).value == 7
    ran = net.block()
    (result,) = ran.executed.results
    assert (ran.executed.deadlines, result.id, result.code) == (1, b"governance/upgrade/tally", OK)
    assert [(event.contract, event.name) for event in result.events] == [
        ("governance", "upgraded"),
        ("tally", "migrated"),
    ]
    assert result.gas_used > 0
    assert total(net).value == 14
    net.run_to(height + 3)
    assert (total(net).value, value_of(net, "governance/upgrade/tally")) == (14, None)
    assert value_of(net, "governance/contract/tally")["version"] == 2
    assert [value_of(net, f"governance/version/tally/00000{n}")["sha256"] for n in (1, 2)] == [
        digest(FIRST),
        digest(SECOND + MIGRATION),
    ]
    assert value_of(net, "governance/version/tally/000002")["from_height"] == height


def test_a_failing_migration_leaves_the_old_version_in_force(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    height = net.ledger.height + 2
    net.govern("upgrade", name="tally", source=SECOND + MIGRATION, at_height=height)
    (result,) = net.block().executed.results
    assert (result.code, [event.name for event in result.events]) == ("NOTHING_TO_MIGRATE", ["upgrade_failed"])
    assert decode_value(result.events[0].data)["code"] == "NOTHING_TO_MIGRATE"
    assert value_of(net, "governance/contract/tally") == {"source": FIRST, "sha256": digest(FIRST), "version": 1}
    assert value_of(net, "governance/upgrade/tally") is None
    assert net.govern("upgrade", name="tally", source=SECOND, at_height=height + 5).code == OK


def test_a_version_without_a_migration_takes_over_as_it_is(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    net.govern("upgrade", name="tally", source=SECOND, at_height=net.ledger.height + 2)
    (result,) = net.block().executed.results
    assert (result.code, value_of(net, "governance/contract/tally")["sha256"]) == (OK, digest(SECOND))


def test_a_migration_that_never_ends_runs_out_of_gas(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    endless = FIRST + "\n\ndef migrate():\n    while True:\n        pass\n"
    net.govern("upgrade", name="tally", source=endless, at_height=net.ledger.height + 2)
    assert net.block().executed.results[0].code == "OUT_OF_GAS"
    assert value_of(net, "governance/contract/tally")["version"] == 1


def test_an_upgrade_can_be_called_off(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    net.govern("upgrade", name="tally", source=SECOND, at_height=net.ledger.height + 4)
    assert net.govern("cancel_upgrade", name="tally").code == OK
    assert net.govern("cancel_upgrade", name="tally").code == "NOTHING_PENDING"
    net.run_to(net.ledger.height + 4)
    assert value_of(net, "governance/contract/tally")["version"] == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"operators": 1}, "CONSENT_LACKING"),
        ({"name": "none"}, "NOT_FOUND"),
        ({"at_height": 0}, "HEIGHT_INVALID"),
        ({"at_height": 1}, "HEIGHT_INVALID"),
        ({"at_height": 1 << 40}, "HEIGHT_INVALID"),
        ({"source": "x = [1]"}, "CONTRACT_INVALID"),
    ],
)
def test_what_is_no_upgrade(net: Network, changes: dict[str, Any], code: str) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    terms: dict[str, Any] = {"name": "tally", "source": SECOND, "at_height": net.ledger.height + 9, **changes}
    assert net.govern("upgrade", **terms).code == code


def test_one_upgrade_of_a_contract_is_pending_at_a_time(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    assert net.govern("upgrade", name="tally", source=SECOND, at_height=50).code == OK
    assert net.govern("upgrade", name="tally", source=SECOND, at_height=60).code == "UPGRADE_PENDING"


@pytest.mark.parametrize("name", ["credit", "registry"])
def test_what_others_rely_on_keeps_every_way_in(net: Network, name: str) -> None:
    source = shipped_sources()[name]
    assert net.govern("upgrade", name=name, source=FIRST, at_height=50).code == "INTERFACE_LOST"
    assert net.govern("upgrade", name=name, source=source + "\n\nMORE = 1\n", at_height=50).code == OK


def test_a_chain_with_upgrades_opens_again(net: Network) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    add(net, 7)
    net.govern("upgrade", name="tally", source=SECOND + MIGRATION, at_height=net.ledger.height + 2)
    net.block()
    root = net.ledger.reader().get("governance/contract/tally")
    net.reopen()
    assert net.ledger.reader().get("governance/contract/tally") == root
    assert total(net).value == 14


def test_a_contract_can_insist_on_the_code_that_it_calls(net: Network) -> None:
    source = "@view\ndef of(name: str):\n    return contract_hash(name)\n"
    net.govern("deploy", name="pins", source=source)
    view = TransactionView(net.ledger.reader())
    found = [
        MACHINE.run(Call("pins", "of", {"name": name}, (), "", 100_000, 1, 1, 0, "view"), view).value
        for name in ("pins", "none", "credit")
    ]
    assert found == [digest(source), "", digest(GENESIS.contracts["credit"])]


def test_every_shipped_contract_can_be_upgraded_and_grow(net: Network) -> None:
    """Regression: the two largest did not fit into a transaction."""
    for name, source in shipped_sources().items():
        longer = source + "# more\n" * (len(source) // 70)
        result = net.govern("upgrade", name=name, source=longer, at_height=net.ledger.height + 100)
        assert (name, result.code) == (name, OK)
    assert Limits().envelope_bytes_max >= PAYLOAD_BYTES_MAX + SIGNERS_MAX * 200


def test_only_governance_checks_sources(net: Network) -> None:
    source = '@view\ndef of():\n    return contract_fault("a", "")\n'
    net.govern("deploy", name="asks", source=source)
    call = Call("asks", "of", {}, (), "", 100_000, 1, 1, 0, "view")
    assert MACHINE.run(call, TransactionView(net.ledger.reader())).code == "NOT_CALLABLE"


SIGNERS = tuple(operator.signer for operator in OPERATORS[:2])
CONTRACT = {"source": FIRST, "sha256": digest(FIRST), "version": 1}
UPGRADE = {"type": "upgrade", "contract": "credit", "sha256": digest(FIRST), "version": 2, "at_height": 50}


@pytest.mark.parametrize(
    ("function", "writes", "verdict"),
    [
        ("deploy", {"contract/tally": CONTRACT}, None),
        ("upgrade", {"contract/tally": CONTRACT}, Violation.NAMESPACE),
        ("deploy", {"contract/credit": CONTRACT}, Violation.CONTRACTS),
        ("deploy", {"contract/credit": None}, Violation.CONTRACTS),
        ("deploy", {"contract/tally": {**CONTRACT, "version": 2}}, Violation.CONTRACTS),
        ("deploy", {"contract/tally": {**CONTRACT, "sha256": digest(SECOND)}}, Violation.CONTRACTS),
        ("deploy", {"contract/tally": {**CONTRACT, "source": "import os"}}, Violation.CONTRACTS),
        ("deploy", {"contract/tally": {**CONTRACT, "more": 1}}, Violation.SHAPE),
        ("deploy", {"contract/tally": 1}, Violation.SHAPE),
        ("upgrade", {"upgrade/credit": UPGRADE}, Violation.CONTRACTS),
        ("upgrade", {"upgrade/credit": None}, Violation.CONTRACTS),
        ("cancel_upgrade", {"upgrade/credit": None}, None),
        ("upgrade", {f"source/{digest(FIRST)}": {"source": SECOND}}, Violation.CONTRACTS),
        ("upgrade", {f"source/{digest(FIRST)}": None}, Violation.CONTRACTS),
        ("upgrade", {"version/credit/000002": UPGRADE}, Violation.NAMESPACE),
    ],
)
def test_no_governance_contract_can_write_a_contract_that_is_none(
    net: Network, function: str, writes: dict[str, Value], verdict: str | None
) -> None:
    view = TransactionView(net.ledger.reader())
    for key, value in writes.items():
        if value is None:
            view.delete("governance/" + key)
        else:
            view.put("governance/" + key, encode_value(value))
    args = {"name": "credit" if "upgrade/credit" in writes else "tally", "source": FIRST}
    call = Call("governance", function, args, SIGNERS, "", 1, 1, 5, 0, "transaction")
    assert MarketValidator().check(call, CallResult(OK, "", None, 1, ()), view) == verdict


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, None),
        ({"version": 3}, Violation.CONTRACTS),
        ({"at_height": 5}, Violation.CONTRACTS),
        ({"more": 1}, Violation.SHAPE),
    ],
)
def test_a_pending_upgrade_follows_the_version_in_force(
    net: Network, changed: dict[str, Value], verdict: str | None
) -> None:
    net.govern("deploy", name="tally", source=FIRST)
    view = TransactionView(net.ledger.reader())
    record = {**UPGRADE, "contract": "tally", "sha256": digest(SECOND), **changed}
    view.put(f"governance/source/{digest(SECOND)}", encode_value({"source": SECOND}))
    view.put("governance/upgrade/tally", encode_value(record))
    args = {"name": "tally", "source": SECOND, "at_height": record["at_height"]}
    call = Call("governance", "upgrade", args, SIGNERS, "", 1, 1, 5, 0, "transaction")
    assert MarketValidator().check(call, CallResult(OK, "", None, 1, ()), view) == verdict


@needs_seccomp
def test_upgrades_come_to_the_same_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerMachine(Process)
    try:
        found = []
        for machine in (MACHINE, worker):
            monkeypatch.setattr(governed, "MACHINE", machine)
            net = Network()
            net.govern("deploy", name="tally", source=FIRST)
            add(net, 7)
            for source in (SECOND + MIGRATION, FIRST + "\n\ndef migrate():\n    fail('NO', 'no')\n"):
                net.govern("upgrade", name="tally", source=source, at_height=net.ledger.height + 2)
                ran = net.block(net.envelope(OPERATORS[:1], "tally", "add", {"n": 3}))
                found.append([(result.id, result.code, result.gas_used) for result in ran.executed.results])
            found.append([(ran.statement.state_root, "", 0)])
    finally:
        worker.close()
    assert found[:3] == found[3:]
    assert [code for results in found[:2] for _, code, _ in results] == [OK, OK, "NO", OK]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("origin", 'put("certificate/x", {"v": 1})'),
        ("registry", 'put("user/nobody", {"v": 1})'),
    ],
)
def test_a_migration_that_the_validation_module_refuses_leaves_the_version_before(name: str, body: str) -> None:
    """The block could not be executed, on no node and never: the code of the refusal was no value."""
    network = Network()
    network.run_to(5)
    source = shipped_sources()[name] + f"\n\ndef migrate():\n    {body}\n"
    assert network.govern("upgrade", name=name, source=source, at_height=9).code == OK
    network.run_to(9)
    assert network.ledger.height == 9
    entry = network.ledger.reader().get(f"governance/contract/{name}")
    assert entry is not None
    assert decode_value(entry.value)["version"] == 1
