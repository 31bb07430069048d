"""Governance: who must sign, what a change of validators must be, whom evidence convicts, and what the validation
module refuses whatever a contract says."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from governed import (
    GENESIS,
    INTERVAL,
    MACHINE,
    NODES,
    OPERATORS,
    ROOT_DER,
    START_MS,
    WINDOW,
    Network,
    certificate,
    validator_value,
)

from ca.keys import SigningKey
from ca.signatures import verify
from contracts.validation import MarketValidator, Violation
from ledger.blocks import Result
from ledger.epochs import NEXT_KEY, Pending, epoch_value, pending_value
from ledger.execution import OK, Call, CallResult
from ledger.state import Entry, MemoryState, TransactionView
from ledger.values import Value, decode_value, encode_value
from pbft.epoch import Epoch, Skip
from pbft.evidence import Evidence, EvidenceKind, conflict, encode_evidence, verify_evidence
from pbft.messages import Complaint, Outcome, Prepare, Scope, Statement

FOUR = [validator_value(index) for index in range(4)]
MOVED = [validator_value(index) for index in (1, 2, 3, 4)]


def state(network: Network, key: str) -> Any:
    entry = network.ledger.reader().get(key)
    return None if entry is None else decode_value(entry.value)


def act(network: Network, function: str, *signers: SigningKey, **args: Any) -> Result:
    ran = network.block(network.envelope(signers or OPERATORS[:2], "governance", function, args))
    return ran.executed.results[-1]


@pytest.fixture
def network() -> Network:
    return Network()


# ------------------------------------------------------------------------------------------- who must sign

ACTS: dict[str, dict[str, Any]] = {
    "revoke": {"serial": "abc", "reason": "lost"},
    "set_parameter": {"name": "skip_blocks", "value": 7},
    "add_root": {"certificate_der": "AAAA"},
    "remove_root": {"fingerprint": "00"},
    "set_organisations": {"names": ["north", "west"], "threshold": 2},
    "set_validators": {"validators": MOVED, "first_primary": 0, "at_height": 0},
    "cancel_change": {},
}


@pytest.mark.parametrize("function", ACTS)
def test_one_organisation_is_not_enough_however_many_sign(network: Network, function: str) -> None:
    assert act(network, function, OPERATORS[0], **ACTS[function]).code == "CONSENT_LACKING"
    assert act(network, function, OPERATORS[0], OPERATORS[3], **ACTS[function]).code == "CONSENT_LACKING"
    # A node's certificate is of an organisation too, but a node is no operator.
    assert act(network, function, OPERATORS[0], NODES[0], **ACTS[function]).code == "CONSENT_LACKING"


@pytest.mark.parametrize("function", ACTS)
def test_operators_of_two_organisations_are(network: Network, function: str) -> None:
    assert act(network, function, OPERATORS[2], OPERATORS[0], **ACTS[function]).code != "CONSENT_LACKING"


@pytest.mark.row(16)
def test_a_revoked_operator_counts_no_longer(network: Network) -> None:
    serial = state(network, "registry/user/" + OPERATORS[1].signer)["serial"]
    assert act(network, "revoke", serial=serial, reason="lost").code == "OK"
    assert act(network, "set_parameter", name="skip_blocks", value=7).code == "CERTIFICATE_REVOKED"
    assert act(network, "set_parameter", OPERATORS[0], OPERATORS[2], name="skip_blocks", value=7).code == "OK"


# ------------------------------------------------------------------------------------------- organisations


def test_who_decides_can_be_changed_but_nobody_locked_out(network: Network) -> None:
    for names, threshold, code in (
        ([], 1, "ORGANISATIONS_INVALID"),
        (["north"], 2, "ORGANISATIONS_INVALID"),
        (["north"], 0, "ORGANISATIONS_INVALID"),
        (["north", "north"], 1, "ORGANISATIONS_INVALID"),
        (["north", ""], 1, "ORGANISATIONS_INVALID"),
        (["north", 5], 1, "ORGANISATIONS_INVALID"),
        (["east", "far"], 1, "CONSENT_LACKING"),  # those who sign would decide nothing any more
        (["north", "south", "west"], 3, "CONSENT_LACKING"),
    ):
        assert act(network, "set_organisations", names=names, threshold=threshold).code == code
    assert act(network, "set_organisations", names=["north", "south", "east"], threshold=1).code == "OK"
    assert act(network, "set_parameter", OPERATORS[0], name="skip_blocks", value=7).code == "OK"
    assert act(network, "set_parameter", OPERATORS[2], name="skip_blocks", value=8).code == "CONSENT_LACKING"


# -------------------------------------------------------------------------------------------------- validators


@pytest.mark.row(16)
def test_validators_take_over_behind_a_checkpoint_a_window_away(network: Network) -> None:
    network.run_to(5)
    result = act(network, "set_validators", validators=MOVED, first_primary=2, at_height=0)
    assert decode_value(result.value) == 16
    assert 16 % INTERVAL == 0
    assert 6 + WINDOW <= 16
    pending = state(network, NEXT_KEY)
    assert (pending["boundary"], pending["epoch"]["first_height"], pending["epoch"]["number"]) == (16, 17, 1)
    assert act(network, "set_validators", validators=FOUR, first_primary=0, at_height=0).code == "CHANGE_PENDING"
    network.run_to(16)
    assert network.ledger.epoch.first_primary == 2
    assert act(network, "set_validators", validators=FOUR, first_primary=0, at_height=0).code == "OK"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"validators": FOUR[:3]}, "TOO_FEW_VALIDATORS"),
        ({"validators": FOUR[:3] + FOUR[:1]}, "EPOCH_INVALID"),
        ({"validators": [*FOUR[:3], {**FOUR[3], "public_key": "AAAA"}]}, "EPOCH_INVALID"),
        ({"validators": [*FOUR[:3], {**FOUR[3], "address": "nowhere"}]}, "EPOCH_INVALID"),
        ({"validators": [*FOUR[:3], {"name": "node4"}]}, "EPOCH_INVALID"),
        ({"validators": [*FOUR[:3], 7]}, "EPOCH_INVALID"),
        ({"first_primary": 4}, "EPOCH_INVALID"),
        ({"first_primary": -1}, "EPOCH_INVALID"),
        ({"at_height": 10**7}, "TOO_FAR_AHEAD"),
    ],
)
def test_what_can_be_no_epoch_is_refused(network: Network, changes: dict[str, Any], code: str) -> None:
    args: dict[str, Any] = {"validators": FOUR, "first_primary": 0, "at_height": 0, **changes}
    assert act(network, "set_validators", **args).code == code
    assert state(network, NEXT_KEY) is None


def test_a_pending_change_can_be_cancelled(network: Network) -> None:
    assert act(network, "cancel_change").code == "NOTHING_PENDING"
    act(network, "set_validators", validators=MOVED, first_primary=0, at_height=0)
    assert act(network, "cancel_change").code == "OK"
    assert state(network, NEXT_KEY) is None


# ------------------------------------------------------------------------------------------------------- roots


def test_roots_come_and_go_but_the_last_stays(network: Network) -> None:
    other = SigningKey.from_seed(b"another root")
    der = certificate(other, "root 2", "south", "root", 7, ca=True)
    text = base64.b64encode(der).decode()
    first = state_roots(network)
    assert act(network, "remove_root", fingerprint=first[0]).code == "LAST_ROOT"
    assert act(network, "add_root", certificate_der=base64.b64encode(ROOT_DER).decode()).code == "ROOT_KNOWN"
    for bad in ("AAAA", "?", base64.b64encode(certificate(NODES[0], "n", "north", "node", 9)).decode()):
        assert act(network, "add_root", certificate_der=bad).code == "CERTIFICATE_INVALID"
    assert act(network, "add_root", certificate_der=text).code == "OK"
    assert len(state_roots(network)) == 2
    assert act(network, "remove_root", fingerprint="00").code == "NOT_FOUND"
    assert act(network, "remove_root", fingerprint=first[0]).code == "OK"
    assert len(state_roots(network)) == 1


def state_roots(network: Network) -> list[str]:
    return [key.rsplit("/", 1)[1] for key, _ in network.ledger.reader().scan("governance/root/", "", 10)]


# ----------------------------------------------------------------------------------------------------- reports


def scope_of(network: Network, epoch: int | None = None) -> Scope:
    return Scope(GENESIS.chain_id, "main", network.ledger.epoch.number if epoch is None else epoch)


def lie(scope: Scope, index: int, key: SigningKey | None = None) -> Evidence:
    """Two prepares for one place by the validator ``index``, which ``key`` signed."""
    made = []
    for digest in (bytes(31) + b"1", bytes(31) + b"2"):
        vote = Prepare(0, 9, digest, index)
        made.append(Prepare(0, 9, digest, index, (key or NODES[index]).sign(vote.signed(scope))))
    return conflict(EvidenceKind.TWO_PREPARES, scope, made[0], made[1])


def complaints(
    scope: Scope, accused: int, senders: tuple[int, ...], view: int, heights: tuple[int, ...] = (0, 0)
) -> Evidence:
    made = []
    for sender, height in zip(senders, heights, strict=False):
        complaint = Complaint(view, sender, height=height)
        made.append(Complaint(view, sender, NODES[sender].sign(complaint.signed(scope)), height))
    return Evidence(EvidenceKind.COMPLAINTS, scope, accused, (), tuple(made))


def reported(network: Network, evidence: Evidence, signer: SigningKey = NODES[3]) -> Result:
    return act(network, "report", signer, evidence=base64.b64encode(encode_evidence(evidence)).decode())


def test_a_liar_is_skipped_from_the_next_epoch_on_and_leads_again_later(network: Network) -> None:
    network.run_to(2)
    result = reported(network, lie(scope_of(network), 1))
    assert result.code == "OK", result.message
    network.run_to(12)
    epoch = network.ledger.epoch
    assert (epoch.number, epoch.skipped, epoch.first_primary) == (1, (Skip(1, 23),), 2)
    network.run_to(23)
    assert network.boundary() is None
    network.run_to(24)
    assert network.boundary() == 32
    network.run_to(33)
    assert network.ledger.epoch.skipped == ()


def test_complaints_of_one_honest_replica_at_least_convict_a_primary(network: Network) -> None:
    scope = scope_of(network)
    assert reported(network, complaints(scope, 2, (0,), 2)).code == "EVIDENCE_INVALID"
    assert reported(network, complaints(scope, 1, (0, 3), 2)).code == "EVIDENCE_INVALID"
    assert reported(network, complaints(scope, 2, (0, 3), 2)).code == "OK"
    assert state(network, NEXT_KEY)["epoch"]["skipped"][0]["index"] == 2


def test_complaints_of_an_epoch_that_has_ended_convict_nobody(network: Network) -> None:
    """Found by a tester: kept back and reported one by one, they ended one epoch after another."""
    old = scope_of(network)
    network.change(0, 1, 2, 4)
    assert reported(network, complaints(old, 2, (0, 1), 2), NODES[0]).code == "EVIDENCE_INVALID"


def test_complaints_about_far_apart_heights_convict_nobody(network: Network) -> None:
    """One of them was withdrawn when its view went on."""
    scope = scope_of(network)
    near, far = (complaints(scope, 2, (0, 3), 2, heights=(9, 9 + spread)) for spread in (128, 129))
    assert reported(network, far).code == "EVIDENCE_INVALID"
    assert reported(network, near).code == "OK"


def test_two_outcomes_of_one_height_convict_nobody(network: Network) -> None:
    """Found by an attacker: a replica whose ledger operators rolled back signs another outcome lawfully."""
    scope, made = scope_of(network), []
    for root in (bytes(31) + b"1", bytes(31) + b"2"):
        vote = Outcome(Statement(9, bytes(32), root, bytes(32), bytes(32)), 1)
        made.append(Outcome(vote.statement, 1, NODES[1].sign(vote.signed(scope))))
    evidence = conflict(EvidenceKind.TWO_OUTCOMES, scope, made[0], made[1])
    assert verify_evidence(evidence, tuple(key.public_key for key in NODES[:4]), lambda view: 0, verify)
    assert reported(network, evidence).code == "EVIDENCE_INVALID"


def test_only_nodes_report(network: Network) -> None:
    assert reported(network, lie(scope_of(network), 1), OPERATORS[0]).code == "ROLE_REQUIRED"


def test_what_proves_nothing_convicts_nobody(network: Network) -> None:
    scope = scope_of(network)
    good = lie(scope, 1)
    first, second = good.messages
    for evidence in (
        lie(scope, 1, NODES[2]),
        lie(Scope(bytes(32), "main", 0), 1),
        lie(Scope(GENESIS.chain_id, "other", 0), 1),
        lie(Scope(GENESIS.chain_id, "main", 1), 1),
        Evidence(good.kind, scope, 2, good.messages),
        Evidence(good.kind, scope, 1, (first, first)),
        Evidence(EvidenceKind.TWO_COMMITS, scope, 1, (first, second)),
        Evidence(good.kind, scope, 9, good.messages),
    ):
        assert reported(network, evidence).code == "EVIDENCE_INVALID"
    for text in ("", "?", "AAAA"):
        assert act(network, "report", NODES[3], evidence=text).code == "EVIDENCE_INVALID"
    assert reported(network, good).code == "OK"


def test_reports_wait_for_a_pending_change_and_count_once(network: Network) -> None:
    old = scope_of(network)
    act(network, "set_validators", validators=FOUR, first_primary=0, at_height=0)
    assert reported(network, lie(old, 1)).code == "CHANGE_PENDING"
    network.run_to(12)
    assert reported(network, lie(old, 1)).code == "OK"  # the epoch in which it lied is remembered
    network.run_to(24)
    assert reported(network, lie(old, 1)).code == "ALREADY_SKIPPED"
    assert reported(network, lie(old, 2)).code == "TOO_MANY_SKIPPED"
    network.run_to(60)
    assert network.ledger.epoch.skipped == ()
    assert reported(network, lie(old, 1)).code == "ALREADY_REPORTED"


def test_who_has_left_cannot_be_reported(network: Network) -> None:
    old = scope_of(network)
    network.change(1, 2, 3, 4)
    assert reported(network, lie(old, 0)).code == "NOT_A_VALIDATOR"


def test_a_skip_goes_with_its_validator_into_another_set(network: Network) -> None:
    reported(network, lie(scope_of(network), 1))
    network.run_to(12)
    moved = [validator_value(index) for index in (2, 3, 1, 4)]
    assert act(network, "set_validators", validators=moved, first_primary=2, at_height=0).code == "EPOCH_INVALID"
    assert act(network, "set_validators", validators=moved, first_primary=0, at_height=0).code == "OK"
    assert state(network, NEXT_KEY)["epoch"]["skipped"] == [{"index": 2, "until_height": 21}]


# ------------------------------------------------------------------------------------- the validation module


def judged(
    writes: dict[str, Value], contract: str = "governance", height: int = 1, function: str = "f", **args: Value
) -> str | None:
    view = TransactionView(Network().ledger.reader())
    view.writes = {key: None if value is None else encode_value(value) for key, value in writes.items()}
    signers = tuple(operator.signer for operator in OPERATORS[:2])
    call = Call(contract, function, args, signers, "", 1, 1, height, 0, "transaction")
    return MarketValidator().check(call, CallResult(OK, "", None, 1, ()), view)


def test_no_contract_writes_what_only_genesis_or_the_executor_may() -> None:
    for key in (
        "governance/epoch",
        "governance/past_epoch/000000000000",
        "governance/limits",
        "governance/network",
        "governance/contract/market",
    ):
        assert judged({key: {}}) == Violation.NAMESPACE
        assert judged({key: None}) == Violation.NAMESPACE
    assert judged({NEXT_KEY: None}, "market") == Violation.NAMESPACE


def test_a_next_epoch_that_cannot_be_never_gets_into_the_state() -> None:
    validators = GENESIS.epoch.validators
    good = pending_value(Pending(12, Epoch(1, 13, validators)))
    said = {"validators": good["epoch"]["validators"], "first_primary": 0, "at_height": 12}
    assert judged({NEXT_KEY: good}, function="set_validators", **said) is None
    for changed in ({"validators": said["validators"][:-1]}, {"first_primary": 1}, {"at_height": 13}):
        assert judged({NEXT_KEY: good}, function="set_validators", **{**said, **changed}) == Violation.SIGNATURES
    assert judged({NEXT_KEY: None}, function="cancel_change") is None
    assert judged({NEXT_KEY: None}, function="set_validators", **said) == Violation.SIGNATURES
    for value in (
        {},
        7,
        {**good, "boundary": 11},
        {**good, "boundary": 8},
        {**good, "epoch": epoch_value(Epoch(2, 13, validators))},
        {**good, "epoch": epoch_value(Epoch(1, 14, validators))},
        {**good, "epoch": {**good["epoch"], "validators": []}},
    ):
        assert judged({NEXT_KEY: value}) == Violation.EPOCH
    assert judged({NEXT_KEY: good}, height=5) == Violation.EPOCH


def test_those_who_govern_can_always_reach_their_threshold() -> None:
    key = "governance/organisations"
    rule: dict[str, Value] = {"names": ["north", "south"], "threshold": 2}
    assert judged({key: rule}, function="set_organisations", **rule) is None
    assert judged({key: rule}, function="set_organisations", names=["north"], threshold=1) == Violation.SIGNATURES
    for value in (
        None,
        {"names": [], "threshold": 0},
        {"names": ["a"], "threshold": 2},
        {"names": ["a", "a"], "threshold": 1},
    ):
        assert judged({key: value}) == Violation.ORGANISATIONS
    for value in ({}, {"names": ["a"], "threshold": True}, {"names": ["a"], "threshold": 1, "more": 1}):
        assert judged({key: value}) == Violation.SHAPE


def test_roots_are_roots_and_one_remains() -> None:
    (known,) = (key for key, _ in Network().ledger.reader().scan("governance/root/", "", 10))
    assert judged({known: None}) == Violation.ROOTS
    wrong = {"certificate": base64.b64encode(certificate(NODES[0], "n", "north", "node", 9)).decode()}
    assert judged({"governance/root/" + "0" * 64: wrong}) == Violation.ROOTS
    assert judged({"governance/root/" + "0" * 64: state(Network(), known)}) == Violation.ROOTS
    root = state(Network(), known)
    assert judged({known: root}, function="add_root", certificate_der=root["certificate"]) is None
    assert judged({known: root}, function="add_root", certificate_der="x") == Violation.SIGNATURES


def test_a_report_skips_whom_its_evidence_convicts_and_nobody_else(network: Network) -> None:
    """One node's word could have any validator skipped, for ever, and drop a change that operators had agreed on."""
    network.run_to(5)
    evidence = base64.b64encode(encode_evidence(lie(scope_of(network), 1))).decode()
    base = MemoryState(dict(network.ledger.reader().scan("", "", 100_000)))
    height = network.ledger.height + 1
    call = Call(
        "governance", "report", {"evidence": evidence}, (NODES[3].signer,), "ab" * 32, 2_000_000, START_MS + height,
        height, 0, "transaction",
    )  # fmt: skip
    view = TransactionView(base)
    result = MACHINE.run(call, view)
    lawful = dict(view.writes)
    (place,) = [key for key in lawful if key.startswith("governance/report/")]
    judged = MarketValidator().check
    assert (result.code, judged(call, result, view)) == (OK, None)
    pending, report = decode_value(lawful[NEXT_KEY] or b""), decode_value(lawful[place] or b"")
    epoch, (skip,) = pending["epoch"], pending["epoch"]["skipped"]
    for changed in (
        {NEXT_KEY: {**pending, "epoch": {**epoch, "skipped": [{**skip, "index": 2}]}}},
        {NEXT_KEY: {**pending, "epoch": {**epoch, "skipped": [{**skip, "until_height": 2 * 10**9}]}}},
        {NEXT_KEY: {**pending, "epoch": {**epoch, "skipped": [], "first_primary": 1}}},
        {NEXT_KEY: {"boundary": 4 * 10**8, "epoch": {**epoch, "first_height": 4 * 10**8 + 1}}},
        {place: {**report, "validator": "other"}}, {place[:-1] + "x": report}, {place: None}, {NEXT_KEY: None},
    ):  # fmt: skip
        view.writes = {key: data for key, data in lawful.items() if key not in changed}
        view.writes |= {key: encode_value(value) for key, value in changed.items() if value is not None}
        assert judged(call, result, view) is not None, changed
    view.writes = dict(lawful)
    assert judged(replace(call, args={"evidence": "AAAA"}), result, view) is not None
    base.apply({NEXT_KEY: Entry(1, 0, lawful[NEXT_KEY] or b"")})
    assert judged(call, result, view) is not None
