"""Every property that is checked of a run on real processes can be seen to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from faults.observation import Cry
from faults.real.checks import IN_FLIGHT_BLOCKS_MAX, Remains, Took, accusations, violations
from faults.real.promises import Promise
from faults.real.records import Barred, Records, Stopwatch
from faults.real.watch import Seen
from faults.scenario import Fault, Scenario, Workload
from ledger.blocks import Header, StoredBlock
from ledger.envelope import Payload
from pbft.messages import ExecutionCertificate, Scope, Statement, statement_bytes
from sim.history import Operation
from sim.setting import make_genesis, node_keys, operator_keys

TX = b"t" * 32
GENESIS = make_genesis(node_keys(4), 4, operator_keys(), {}, {})
SCENARIO = Scenario(name="made-up", title="Made up", covers=(20,))
MARKET = msgspec.structs.replace(SCENARIO, workload=Workload(kind="market-day"))
BANK = msgspec.structs.replace(SCENARIO, workload=Workload(kind="bank"))


def payload(function: str = "add", contract: str = "cells", **args: Any) -> Payload:
    return Payload("c", "main", ("s",), contract, function, args or {"cell": "total", "amount": 1}, 1, 9, 9)


def block(height: int, root: bytes = b"r") -> StoredBlock:
    header = Header(b"c", "main", 0, height, b"p", 1, b"b", b"t")
    return StoredBlock(header, b"", 0, 0, 0, (), b"", Statement(height, b"h", root, b"x", b"v"))


def seen(height: int) -> Seen:
    return Seen(0, 0, 0, True, "node1", height, height, 1, True, True)


class Case:
    """A run in which all is well: one addition, acknowledged at height 2, which all hold."""

    def __init__(self) -> None:
        self.scenario = SCENARIO
        self.settled_ms: int | None = 10
        self.records = Records(4, (3,), Stopwatch(1.0))
        self.operation = Operation(0, "add", {"cell": "total", "amount": 1}, TX, 1, 2, "OK", 1, 2, 5, 6)
        self.records.history.append(self.operation)
        self.records.submitted.add(TX)
        self.records.latest = {place: seen(2) for place in range(3)}
        chains = {place: {height: block(height) for height in (1, 2)} for place in range(3)}
        self.remains = Remains(GENESIS, chains, {})
        self.remains.took = {TX: [Took(2, "OK", payload())]}
        self.remains.state = {"cells/cell/total": {"value": 1}}

    @property
    def broken(self) -> set[str]:
        found = violations(self.scenario, self.records, self.remains, self.settled_ms)
        return {sentence.partition(":")[0] for sentence in found}


def differ(case: Case) -> None:
    case.remains.chains[1][2] = block(2, b"other")


def lose(case: Case) -> None:
    case.remains.took.clear()
    case.remains.state.clear()


def move(case: Case) -> None:
    case.operation.height = 1


def fall_behind(case: Case) -> None:
    del case.remains.chains[2][2]
    case.records.latest[2] = seen(1)


def repeat(case: Case) -> None:
    case.remains.took[TX].append(Took(1, "OK", payload()))


def miscount(case: Case) -> None:
    case.remains.state["cells/cell/total"] = {"value": 2}


def invent(case: Case) -> None:
    case.remains.took[b"u" * 32] = [Took(1, "OK", payload("write", cell="a", value=1))]


def misread(case: Case) -> None:
    case.records.history.append(Operation(1, "read", {"cell": "a"}, b"v" * 32, 3, 4, "OK", 7, 2))
    case.remains.took[b"v" * 32] = [Took(2, "OK", payload("read", cell="a"))]
    case.records.submitted.add(b"v" * 32)


def rob(case: Case) -> None:
    case.scenario = BANK
    case.remains.state["bank/account/a"] = {"balance": 99}


def coin(case: Case) -> None:
    case.scenario = MARKET
    case.remains.state["credit/account/a"] = {"available": 1, "held": 0}


def deliver_unmeasured(case: Case) -> None:
    case.scenario = MARKET
    trade = {"id": "t", "meter": "m", "interval": 1, "energy_wh": 5, "delivered_wh": 5, "source": "listing"}
    listing = {"meter": "m", "interval": 1, "energy_wh": 5, "remaining_wh": 0}
    case.remains.state |= {"settlement/trade/t": trade, "market/listing/l": listing}


def tell_a_wrong_sum(case: Case) -> None:
    case.scenario = BANK
    case.records.history.append(Operation(1, "total", {}, b"v" * 32, 3, 4, "OK", 399, 2))
    case.remains.took[b"v" * 32] = [Took(2, "OK", payload("total", "bank"))]
    case.records.submitted.add(b"v" * 32)


def stall(case: Case) -> None:
    case.settled_ms = None


def keep_waiting(case: Case) -> None:
    case.operation.waited_ms = 60_000


def wait_from_the_calm_on(case: Case) -> None:
    case.scenario = msgspec.structs.replace(SCENARIO, timeline=(Fault(fault="crash", at_ms=1, nodes=(0,)),))
    case.records.calm_ms, case.operation.waited_ms = 50_000, 90_000


def cry(case: Case) -> None:
    case.records.liars = frozenset()
    case.records.cries.append(Cry(1, 0, "amnesia", "so"))


def promise(case: Case, root: bytes, *signers: int) -> None:
    """A client is given a certificate of height 1."""
    statement, genesis = block(1, root).statement, case.remains.genesis
    signed = statement_bytes(Scope(genesis.chain_id, genesis.channel, 0), statement)
    signatures = tuple((signer, node_keys(4)[signer].sign(signed)) for signer in signers)
    case.records.promises.hold(Promise(ExecutionCertificate(0, statement, signatures), ()))


def certify_twice(case: Case) -> None:
    promise(case, b"r", 0, 1, 3)
    promise(case, b"other", 1, 2, 3)


def execute_otherwise(case: Case) -> None:
    case.records.cries.append(Cry(1, 0, "diverged", "a certificate contradicts our execution of block 2"))


def go_on_though_revoked(case: Case) -> None:
    case.records.barred[0] = Barred("s", 1)


def serve_though_revoked(case: Case) -> None:
    case.records.sent_away[2] = 1
    case.records.latest[2] = seen(2 + IN_FLIGHT_BLOCKS_MAX)


def end(case: Case) -> None:
    case.records.ended.append("error: node1 ended by itself with exit code 1: it said nothing")


@pytest.mark.parametrize(
    ("harm", "property_"),
    [
        (differ, "agreement"),
        (execute_otherwise, "agreement"),
        (lose, "acknowledged"),
        (move, "acknowledged"),
        (fall_behind, "acknowledged"),
        (certify_twice, "kept"),
        (certify_twice, "innocent"),
        (repeat, "exactly once"),
        (miscount, "exactly once"),
        (invent, "validity"),
        (go_on_though_revoked, "validity"),
        (serve_though_revoked, "membership"),
        (misread, "linearizable"),
        (rob, "money"),
        (tell_a_wrong_sum, "money"),
        (coin, "money"),
        (deliver_unmeasured, "energy"),
        (stall, "termination"),
        (keep_waiting, "censorship"),
        (wait_from_the_calm_on, "censorship"),
        (cry, "quiet"),
        (end, "error"),
    ],
)
def test_each_property_is_seen_to_fail(harm: Callable[[Case], None], property_: str) -> None:
    assert Case().broken == set()
    case = Case()
    harm(case)
    assert property_ in case.broken


def test_whoever_signed_both_of_two_certificates_is_convicted_by_what_clients_hold() -> None:
    case = Case()
    for _ in range(2):
        promise(case, b"r", 0, 1, 3)
    assert case.broken == set()
    promise(case, b"other", 2, 3)
    assert case.broken == {"kept"}
    (accusation,) = accusations(case.records, case.remains)
    assert (accusation.node, accusation.of, accusation.holders) == (3, "two_outcomes", "clients")


def test_alarms_are_excused_where_a_disk_lost_something() -> None:
    case = Case()
    cry(case)
    case.scenario = msgspec.structs.replace(SCENARIO, timeline=(Fault(fault="lose_log", at_ms=1, nodes=(0,)),))
    assert case.broken == set()
