"""What must hold of a run on real processes: judged from outside, by clients' histories and nodes' files alone.

The chains are executed anew from genesis; no node is asked, and no store of one is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ca.signatures import verify
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from faults.observation import Accusation
from faults.real.records import Records
from faults.scenario import Scenario
from ledger.blocks import StoredBlock, decode_result
from ledger.certificates import CertificateInvalid, follow
from ledger.chain import ChainCorrupt, read_blocks
from ledger.envelope import Payload
from ledger.genesis import Genesis
from ledger.replay import ChainInvalid, Replay
from ledger.storage import chain_name, generation_of
from ledger.values import decode_value
from pbft.disk import DiskFiles
from pbft.events import AlarmKind
from pbft.evidence import EvidenceKind, verify_evidence
from pbft.evidence_store import SUFFIX, EvidenceUnreadable, StoredEvidence, read_evidence
from pbft.quorum import faulty_max, leaders_of, primary_of
from sim import contract
from sim.checkers.linearizable import has_order
from sim.faults import LOSSES
from sim.history import Operation
from sim.market_day import MARKET_DAY, faults_of
from sim.plan import CALM_TIMEOUTS_MAX, HEALED_TIMEOUTS, SERVED_TIMEOUTS, TIMEOUT_MS_MAX
from sim.transcript import encoded_evidence, told_evidence

IN_FLIGHT_BLOCKS_MAX = 8
"""That may reach an observer while nodes come to the block that has it sent away."""
MONEY = contract.ENDOWMENT * len(contract.ACCOUNTS)


@dataclass(slots=True)
class Took:
    """A transaction that took effect, or failed at the cost of its nonce."""

    height: int
    code: str
    payload: Payload


@dataclass(slots=True)
class Remains:
    """What a run has left on disk. ``chains``: the blocks of each honest place, by height."""

    genesis: Genesis
    chains: dict[int, dict[int, StoredBlock]]
    evidence: dict[int, list[StoredEvidence]]
    faults: list[str] = field(default_factory=list)
    took: dict[bytes, list[Took]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


def read_remains(genesis: Genesis, homes: dict[int, Path], damaged: frozenset[int]) -> Remains:
    """Of honest nodes that have ended. ``damaged``: places whose files a fault has rotted."""
    remains = Remains(genesis, {}, {place: _evidence(home) for place, home in homes.items()})
    for place, home in homes.items():
        blocks = remains.chains[place] = {}
        data = home / "data"
        try:
            for block in read_blocks(data / chain_name(generation_of(DiskFiles(data)))):
                blocks[block.header.height] = block
        except ChainCorrupt as error:
            if place not in damaged:
                remains.faults.append(f"kept: node {place}'s chain cannot be read: {error}")
    _replay(remains)
    return remains


def _evidence(home: Path) -> list[StoredEvidence]:
    found = []
    for path in sorted((home / "data" / "evidence").glob(f"*{SUFFIX}")):
        try:
            found.append(read_evidence(path))
        except EvidenceUnreadable:
            continue
    return found


def _replay(remains: Remains) -> None:
    """Execute again what any honest node holds, and note what took effect. That they agree is checked elsewhere."""
    union: dict[int, StoredBlock] = {}
    for blocks in remains.chains.values():
        union = {**blocks, **union}
    run = Replay(remains.genesis, PythonMachine(), MarketValidator())
    try:
        while (block := union.get(run.height + 1)) is not None:
            ran = run.block(block)
            results = [decode_result(result) for result in block.results[block.deadlines :]]
            for tx_id, envelope, result in zip(ran.tx_ids, ran.envelopes, results, strict=True):
                if result.gas_used:
                    took = Took(run.height, result.code, envelope.payload)
                    remains.took.setdefault(tx_id, []).append(took)
    except ChainInvalid as error:
        remains.faults.append(f"agreement: executing the chain again: {error}")
    remains.state = {key: decode_value(entry.value) for key, entry in run.state.entries.items()}


# ------------------------------------------------------------------------------------------------- properties


def violations(scenario: Scenario, records: Records, remains: Remains, settled_ms: int | None) -> tuple[str, ...]:
    """Every sentence about something that does not hold, each beginning with its property."""
    found = [*remains.faults, *records.ended]
    found += _agreement(remains)
    found += _executions(records)
    found += _effects(records, remains)
    found += _revocations(records, remains)
    found += _linearizable(records.history)
    found += _money(scenario, records, remains) if scenario.workload.kind == contract.BANK else []
    found += faults_of(remains.state, records.history) if scenario.workload.kind == MARKET_DAY else []
    found += _acknowledged(records, remains)
    found += _kept(records)
    found += _waits(scenario, records, settled_ms)
    found += _innocent(records, remains)
    found += _quiet(scenario, records)
    return tuple(found)


def _agreement(remains: Remains) -> Iterator[str]:
    """No two honest nodes hold different blocks, or outcomes, of one height."""
    seen: dict[int, tuple[int, StoredBlock]] = {}
    for place, blocks in remains.chains.items():
        for height, block in blocks.items():
            other, known = seen.setdefault(height, (place, block))
            if (known.header, known.statement) != (block.header, block.statement):
                yield f"agreement: nodes {other} and {place} differ at height {height}"
                break


def _executions(records: Records) -> Iterator[str]:
    """No honest node comes to another outcome than a quorum has signed: at most f lie, and the rest execute alike. What
    it executed wrongly is gone from its disk once it has mended itself."""
    for cry in records.cries:
        if cry.kind == AlarmKind.DIVERGED:
            yield f"agreement: node {cry.node} executed otherwise: {cry.detail}"
            break


def _effects(records: Records, remains: Remains) -> Iterator[str]:
    """What took effect was asked for, once; and the counter that clients add one to counts it."""
    nodes_may = {("governance", "report")}
    for tx_id, all_took in remains.took.items():
        called = all_took[0].payload.contract, all_took[0].payload.function
        if tx_id not in records.submitted and called not in nodes_may:
            yield f"validity: nobody submitted {tx_id.hex()[:12]}, executed at height {all_took[0].height}"
        if len(all_took) > 1:
            yield f"exactly once: {tx_id.hex()[:12]} took effect at heights {[took.height for took in all_took]}"
    ones = sum(1 for (took, *_) in remains.took.values() if took.code == "OK" and _adds_one(took.payload))
    total = remains.state.get(contract.CELL_KEY + contract.TOTAL, {"value": 0})["value"]
    if total != ones:
        yield f"exactly once: the counter says {total} for {ones} additions"


def _revocations(records: Records, remains: Remains) -> Iterator[str]:
    """Above the block as of which a certificate is revoked, nothing that its key signs takes effect, and a node that
    has it is served no more, unless it votes."""
    for number, (signer, height) in sorted(records.barred.items()):
        late = sorted(
            took.height
            for all_took in remains.took.values()
            for took in all_took
            if took.height > height and signer in took.payload.signers
        )
        if late:
            yield f"validity: client {number}'s certificate was revoked at height {height}, and took effect at {late}"
    for place, height in sorted(records.sent_away.items()):
        if (came := records.latest[place].height) > height + IN_FLIGHT_BLOCKS_MAX:
            yield f"membership: node {place}'s certificate was revoked at height {height}, and it was served to {came}"


def _adds_one(payload: Payload) -> bool:
    return payload.function == "add" and payload.args.get("cell") == contract.TOTAL


def _linearizable(history: Sequence[Operation]) -> Iterator[str]:
    cells: dict[str, list[Operation]] = {}
    for operation in history:
        if operation.is_of_a_cell:
            cells.setdefault(operation.cell, []).append(operation)
    for cell, operations in sorted(cells.items()):
        if not has_order(operations):
            yield f"linearizable: no order of the operations on cell {cell} explains what clients saw"


def _money(scenario: Scenario, records: Records, remains: Remains) -> Iterator[str]:
    held = [
        remains.state.get(contract.ACCOUNT_KEY + account, {"balance": contract.ENDOWMENT})["balance"]
        for account in contract.ACCOUNTS
    ]
    if sum(held) != MONEY or min(held) < 0:
        yield f"money: the accounts hold {held}, of {MONEY}"
    for operation in records.history:
        if operation.function == "total" and operation.answered is not None and operation.value != MONEY:
            yield f"money: client {operation.client} was told of {operation.value}, of {MONEY}"


def _acknowledged(records: Records, remains: Remains) -> Iterator[str]:
    """Each receipt's transaction is at the receipt's height, and nobody's chain ends below it."""
    promised = {o.tx_id: o.height for o in records.history if o.answered is not None}
    for tx_id, height in promised.items():
        if [took.height for took in remains.took.get(tx_id, ())] != [height]:
            yield f"acknowledged: {tx_id.hex()[:12]} is not at height {height}, where a receipt proves it"
    top = max(promised.values(), default=0)
    for place, blocks in remains.chains.items():
        if max(blocks, default=0) < top and records.latest[place].height < top:
            yield f"acknowledged: node {place} ends at height {max(blocks, default=0)}, below a promise at {top}"


def _kept(records: Records) -> Iterator[str]:
    """Nothing that is certified is contradicted by another certificate."""
    if broken := sorted(records.promises.broken):
        yield f"kept: clients hold two certificates that differ, of height {broken[0]} and of {len(broken) - 1} others"


def _waits(scenario: Scenario, records: Records, settled_ms: int | None) -> Iterator[str]:
    if settled_ms is None:
        stood = ", ".join(
            f"{place}: view {seen.view}{'' if seen.active else '?'} height {seen.height} certified {seen.certified}"
            f"{'' if seen.votes else ' without a vote'}"
            for place, seen in sorted(records.latest.items())
        )
        yield f"termination: not settled {CALM_TIMEOUTS_MAX} timeouts after the last fault ({stood})"
    fair, limit_ms = served(scenario)
    from_ms = 0 if fair else records.calm_ms or scenario.faults_end_ms
    for operation in records.history:
        if operation.client in records.barred:
            continue
        until_ms = records.watch.ms() if operation.waited_ms is None else operation.asked_ms + operation.waited_ms
        if (waited_ms := until_ms - max(operation.asked_ms, from_ms)) > limit_ms:
            yield f"censorship: client {operation.client} waited {waited_ms} ms for its {operation.function}"


def served(scenario: Scenario) -> tuple[bool, int]:
    """Whether nothing but liars keeps anybody waiting, and how long a client may then wait, or after the faults."""
    topology = scenario.topology
    weather, disks = topology.weather, topology.disks
    good = not (weather.loss or weather.slow or disks.power_cut)
    fair = good and not (scenario.timeline or topology.clocks_ms)
    timeouts = SERVED_TIMEOUTS if fair else HEALED_TIMEOUTS
    return fair, (timeouts + faulty_max(topology.nodes)) * TIMEOUT_MS_MAX


def _quiet(scenario: Scenario, records: Records) -> Iterator[str]:
    """Honest nodes raise alarms only when somebody lies or has lost what was on disk."""
    excused = records.liars or any(fault.fault in LOSSES for fault in scenario.timeline)
    for cry in () if excused else records.cries[:1]:
        yield f"quiet: alarm at node {cry.node} without a liar: {cry.kind}: {cry.detail}"


# --------------------------------------------------------------------------------------------------- evidence


def _innocent(records: Records, remains: Remains) -> Iterator[str]:
    """What nodes keep as proof convicts, and never an honest replica. Complaints are no proof of a lie."""
    for place, stored in _all_evidence(records, remains):
        what = f"{'clients' if place is None else f'node {place}'}' evidence of {stored.evidence.kind}"
        accused = _accused(remains.genesis, stored)
        if accused is None:
            yield f"innocent: {what} does not convict"
        elif stored.evidence.kind is not EvidenceKind.COMPLAINTS and accused not in records.liars:
            yield f"innocent: {what} is against node {accused}, which is honest"


def accusations(records: Records, remains: Remains) -> Iterator[Accusation]:
    """Who is accused of what by whom, with one proof each."""
    holders: dict[tuple[int, str], set[int]] = {}
    proofs: dict[tuple[int, str], StoredEvidence] = {}
    for place, stored in _all_evidence(records, remains):
        accused = _accused(remains.genesis, stored)
        if accused is not None:
            case = (accused, str(stored.evidence.kind))
            holders.setdefault(case, set()).update(() if place is None else (place,))
            proofs.setdefault(case, stored)
    for case, held in sorted(holders.items()):
        evidence = proofs[case].evidence
        yield Accusation(*case, tuple(sorted(held)), told_evidence(evidence), encoded_evidence(evidence))


def _all_evidence(records: Records, remains: Remains) -> Iterator[tuple[int | None, StoredEvidence]]:
    """And the place of the node that keeps it; None: it lies in what clients have been given."""
    for place, kept in remains.evidence.items():
        for stored in kept:
            yield place, stored
    for stored in records.promises.evidence(remains.genesis):
        yield None, stored


def _accused(genesis: Genesis, stored: StoredEvidence) -> int | None:
    """The place of whom the proof convicts, checked from genesis on; None if it convicts nobody."""
    evidence = stored.evidence
    try:
        epoch = follow(genesis, stored.boundaries)
    except CertificateInvalid:
        return None
    leaders = leaders_of(len(epoch.validators), epoch.first_primary, tuple(skip.index for skip in epoch.skipped))
    if not verify_evidence(evidence, epoch.keys, partial(primary_of, leaders=leaders), verify):
        return None
    return int(epoch.validators[evidence.accused].name.removeprefix("node")) - 1
