"""Epochs: when a change of validators takes effect, what a block's outcome says of the next, and what proves it."""

from __future__ import annotations

import msgspec
import pytest
from governed import GENESIS, INTERVAL, NODES, OPERATORS, WINDOW, Network, certify, make_genesis, validator
from hypothesis import given
from hypothesis import strategies as st

from ledger.certificates import CertificateInvalid, follow
from ledger.epochs import (
    EPOCH_KEY,
    NEXT_KEY,
    EpochInvalid,
    EpochLimits,
    Pending,
    boundary_for,
    check_epoch,
    check_pending,
    end_block,
    epoch_from,
    epoch_of,
    epoch_value,
    past_epoch_of,
    pending_of,
    pending_value,
)
from ledger.genesis import GenesisInvalid, GenesisLimits, GenesisOrganisations, parse_genesis
from ledger.layout import pack, read_boundary
from ledger.receipts import ReceiptFault, ReceiptInvalid, receipt_from_json, receipt_to_json, verify_receipt
from ledger.state import Entry, MemoryState, Overlay
from ledger.values import encode_value
from pbft.epoch import Boundary, Epoch, Skip, Validator
from pbft.messages import Handover, Scope

LIMITS = EpochLimits(INTERVAL, WINDOW)


@given(st.integers(0, 500), st.integers(1, 400), st.integers(1, 20), st.integers(2, 4))
def test_a_boundary_is_the_first_checkpoint_at_the_requested_height_and_a_window_away(
    requested: int, height: int, interval: int, intervals: int
) -> None:
    limits = EpochLimits(interval, interval * intervals)
    boundary = boundary_for(requested, height, limits)
    assert boundary % interval == 0
    assert boundary >= max(requested, height + limits.window_blocks) > boundary - interval


def test_an_epoch_survives_its_value() -> None:
    epoch = Epoch(3, 65, tuple(validator(index) for index in range(4)), 2, (Skip(1, 900),))
    assert epoch_from(epoch_value(epoch)) == epoch


GOOD = epoch_value(Epoch(1, 17, tuple(validator(index) for index in range(4))))


@pytest.mark.parametrize(
    "changes",
    [
        {"number": -1},
        {"number": True},
        {"first_height": 0},
        {"validators": []},
        {"validators": GOOD["validators"] + GOOD["validators"][:1]},
        {"validators": [{**GOOD["validators"][0], "public_key": "AAAA"}]},
        {"validators": [{**GOOD["validators"][0], "public_key": GOOD["validators"][0]["public_key"] + "\n"}]},
        {"validators": [{**GOOD["validators"][0], "name": ""}]},
        {"validators": [{**GOOD["validators"][0], "name": "two words"}]},
        {"validators": [{**GOOD["validators"][0], "address": "nowhere"}]},
        {"validators": [{**GOOD["validators"][0], "address": "host:70000"}]},
        {"validators": [{**GOOD["validators"][0], "more": 1}]},
        {"first_primary": 4},
        {"skipped": [{"index": 0, "until_height": 9}]},  # the first primary
        {"skipped": [{"index": 1, "until_height": 9}, {"index": 2, "until_height": 9}]},  # more than f
        {"skipped": [{"index": 7, "until_height": 9}]},
        {"more": 1},
    ],
)
def test_what_is_no_epoch_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EpochInvalid):
        epoch_from({**GOOD, **changes})


def test_a_next_epoch_must_follow_far_enough_ahead() -> None:
    current = GENESIS.epoch
    following = Epoch(1, 17, current.validators)
    check_pending(pending_value(Pending(16, following)), current, 8, LIMITS)
    for boundary, epoch in (
        (16, Epoch(2, 17, current.validators)),
        (16, Epoch(1, 16, current.validators)),
        (15, Epoch(1, 16, current.validators)),
        (12, Epoch(1, 13, current.validators)),
    ):
        with pytest.raises(EpochInvalid):
            check_pending(pending_value(Pending(boundary, epoch)), current, 8, LIMITS)


# ---------------------------------------------------------------------------------------- at a block's end


def state_of(epoch: Epoch, pending: Pending | None = None) -> MemoryState:
    values = {
        EPOCH_KEY: epoch_value(epoch),
        "governance/limits": {"checkpoint_interval_blocks": INTERVAL, "window_blocks": WINDOW},
    }
    if pending is not None:
        values[NEXT_KEY] = pending_value(pending)
    return MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})


def test_the_next_epoch_comes_into_force_at_its_boundary_and_not_before() -> None:
    first, second = GENESIS.epoch, Epoch(1, 17, GENESIS.epoch.validators, 2)
    overlay = Overlay(state_of(first, Pending(16, second)))
    end_block(overlay, 12, 0)
    assert not overlay.changes
    end_block(overlay, 16, 3)
    assert epoch_of(overlay) == second
    assert pending_of(overlay) is None
    assert past_epoch_of(overlay, 0) == first


def test_a_skip_that_has_run_out_is_dropped_by_an_epoch_scheduled_at_a_checkpoint() -> None:
    skipping = Epoch(5, 1, GENESIS.epoch.validators, 0, (Skip(1, 20),))
    overlay = Overlay(state_of(skipping))
    for height in (16, 21):
        end_block(overlay, height, 0)
        assert pending_of(overlay) is None
    end_block(overlay, 20, 0)
    assert pending_of(overlay) == Pending(28, Epoch(6, 29, skipping.validators, 0, ()))
    end_block(overlay, 24, 0)
    assert pending_of(overlay) is not None
    end_block(overlay, 28, 0)
    assert epoch_of(overlay).skipped == ()


def test_a_skip_waits_while_another_change_is_pending() -> None:
    skipping = Epoch(5, 1, GENESIS.epoch.validators, 0, (Skip(1, 20),))
    pending = Pending(40, Epoch(6, 41, skipping.validators, 0, (Skip(1, 20),)))
    overlay = Overlay(state_of(skipping, pending))
    end_block(overlay, 20, 0)
    assert not overlay.changes


# -------------------------------------------------------------------------------------------- in a ledger


def test_outcomes_name_the_next_blocks_validators_and_headers_their_own_epoch() -> None:
    network = Network()
    boundary = network.change(1, 2, 3, 4)
    assert boundary % INTERVAL == 0
    assert boundary >= 1 + WINDOW
    network.run_to(boundary + 1)
    ledger = network.ledger
    before, at, behind = (ledger.block(height) for height in (boundary - 1, boundary, boundary + 1))
    old, new = GENESIS.epoch.hash(), ledger.epoch.hash()
    assert (before.statement.next_validators_hash, at.statement.next_validators_hash) == (old, new)
    assert (before.header.epoch, at.header.epoch, behind.header.epoch) == (0, 0, 1)
    assert ledger.epoch == Epoch(1, boundary + 1, tuple(validator(index) for index in (1, 2, 3, 4)))


def test_the_boundary_is_told_from_the_change_until_it_is_reached() -> None:
    network = Network()
    assert network.block().boundary is None
    ran = network.block(
        network.envelope(
            OPERATORS[:2],
            "governance",
            "set_validators",
            {"validators": epoch_value(GENESIS.epoch)["validators"], "first_primary": 1, "at_height": 14},
        )
    )
    assert ran.boundary == network.boundary() == 16
    while network.ledger.height < 15:
        assert network.block().boundary == 16
    assert network.block().boundary == 16
    assert network.boundary() is None
    assert network.block().boundary is None
    assert network.ledger.epoch.first_primary == 1


def test_until_its_last_block_is_certified_an_epoch_goes_on() -> None:
    """A replica that restarts there still owes the others of that epoch its outcome."""
    network = Network()
    network.govern("set_validators", validators=epoch_value(GENESIS.epoch)["validators"], first_primary=1, at_height=0)
    network.run_to(11)
    ran = network.block(certified=False)
    assert ran.boundary == 12
    network.reopen()
    assert (network.ledger.epoch.number, network.ledger.boundary) == (0, 12)
    network.ledger.certify([certify(ran.statement, GENESIS.epoch)])
    assert (network.ledger.epoch.number, network.ledger.boundary) == (1, None)
    network.reopen()
    assert (network.ledger.epoch.number, network.ledger.boundary) == (1, None)


def test_a_change_that_is_cancelled_has_no_boundary() -> None:
    network = Network()
    validators = epoch_value(GENESIS.epoch)["validators"]
    assert network.govern("set_validators", validators=validators, first_primary=1, at_height=0).code == "OK"
    assert network.govern("cancel_change").code == "OK"
    assert network.boundary() is None
    network.run_to(20)
    assert network.ledger.epoch == GENESIS.epoch


# ------------------------------------------------------------------------------- what later epochs rest on


@pytest.fixture(scope="module")
def travelled() -> tuple[Network, bytes]:
    """A network two epochs on, and a transaction of its third."""
    network = Network()
    network.change(1, 2, 3, 4)
    network.block()
    network.change(2, 3, 4, 5, first_primary=2)
    envelope = network.envelope(OPERATORS[:2], "governance", "set_parameter", {"name": "skip_blocks", "value": 9})
    network.block(envelope)
    return network, envelope.tx_id


def test_a_receipt_of_a_later_epoch_verifies_from_the_genesis_file_alone(travelled: tuple[Network, bytes]) -> None:
    network, tx_id = travelled
    receipt = network.ledger.receipt(tx_id)
    assert receipt is not None
    assert len(receipt.boundaries) == receipt.certificate.epoch == 2
    again = receipt_from_json(receipt_to_json(receipt))
    assert verify_receipt(again, parse_genesis(GENESIS.raw)).code == "OK"


def test_a_receipt_whose_boundaries_lack_one_or_are_out_of_order_proves_nothing(
    travelled: tuple[Network, bytes],
) -> None:
    network, tx_id = travelled
    receipt = network.ledger.receipt(tx_id)
    assert receipt is not None
    first, second = receipt.boundaries
    for boundaries in ((), (first,), (second,), (second, first), (first, second, second), (first, b"\xc1")):
        with pytest.raises(ReceiptInvalid) as error:
            verify_receipt(msgspec.structs.replace(receipt, boundaries=boundaries), GENESIS)
        assert error.value.fault is ReceiptFault.BOUNDARY


def test_boundaries_with_anything_changed_lead_nowhere(travelled: tuple[Network, bytes]) -> None:
    network, _ = travelled
    raws = network.ledger._books.boundaries(2)
    assert follow(GENESIS, raws) == network.ledger.epoch
    first = read_boundary(raws[0])
    epoch, certificate = first.epoch, first.certificate
    replace = msgspec.structs.replace
    statement = certificate.statement
    foreign = (*epoch.validators[:3], Validator("node1", NODES[0].public_key, "127.0.0.1:1"))
    changed = [
        Boundary(replace(epoch, validators=foreign), certificate),
        Boundary(replace(epoch, first_primary=1), certificate),
        Boundary(replace(epoch, skipped=(Skip(1, 100),)), certificate),
        Boundary(replace(epoch, number=2), certificate),
        Boundary(replace(epoch, first_height=epoch.first_height + 1), certificate),
        Boundary(epoch, replace(certificate, epoch=1)),
        Boundary(epoch, replace(certificate, signatures=certificate.signatures[:2])),
        Boundary(epoch, replace(certificate, signatures=certificate.signatures[:2] * 2)),
        Boundary(epoch, replace(certificate, signatures=(*certificate.signatures[:2], (2, bytes(64))))),
        Boundary(epoch, replace(certificate, statement=replace(statement, state_root=bytes(32)))),
        Boundary(epoch, replace(certificate, statement=replace(statement, height=statement.height - 1))),
        Boundary(epoch, certify(replace(statement, next_validators_hash=bytes(32)), GENESIS.epoch)),
        # Signed by a quorum of the *new* validators: they have no say in who they are.
        Boundary(epoch, replace(certify(statement, replace(epoch, number=0)), epoch=0)),
    ]
    for boundary in changed:
        with pytest.raises(CertificateInvalid):
            follow(GENESIS, [pack(boundary), *raws[1:]])


def test_a_boundary_lies_in_the_epoch_that_it_ends(travelled: tuple[Network, bytes]) -> None:
    """Even where a quorum of old signatures would have it otherwise."""
    network, _ = travelled
    raws = network.ledger._books.boundaries(2)
    first, second = (read_boundary(raw) for raw in raws)
    replace = msgspec.structs.replace
    height = first.certificate.statement.height
    earlier = replace(second.epoch, first_height=height)
    statement = replace(second.certificate.statement, height=height - 1, next_validators_hash=earlier.hash())
    with pytest.raises(CertificateInvalid, match="before epoch 1"):
        follow(GENESIS, [raws[0], pack(Boundary(earlier, certify(statement, first.epoch)))])


# ------------------------------------------------------------------------------------------------ hand-over


def handover(*signers: int, view: int = 3, to: int = 1, epoch: int = 0) -> Handover:
    made = Handover(view, to)
    signed = made.signed(Scope(GENESIS.chain_id, "main", epoch))
    pairs = sorted((OPERATORS[index].public_key, OPERATORS[index].sign(signed)) for index in signers)
    return Handover(view, to, tuple(pairs))


def test_a_hand_over_takes_operators_of_enough_organisations() -> None:
    ledger = Network().ledger
    assert ledger.check_handover(handover(0, 1))
    assert ledger.check_handover(handover(0, 1, 2))
    assert not ledger.check_handover(handover(0))
    assert not ledger.check_handover(handover(0, 3))
    assert not ledger.check_handover(handover())
    assert not ledger.check_handover(handover(0, 1, epoch=1))
    good = handover(0, 1)
    assert not ledger.check_handover(Handover(good.view + 1, good.to, good.signatures))
    assert not ledger.check_handover(Handover(good.view, good.to, good.signatures[:1] * 2))
    assert not ledger.check_handover(Handover(good.view, good.to, good.signatures[::-1]))
    node = Handover(good.view, good.to, tuple(sorted((*good.signatures[:1], (NODES[0].public_key, bytes(64))))))
    assert not ledger.check_handover(node)


# -------------------------------------------------------------------------------------------------- genesis


def test_genesis_says_who_governs_and_how_far_apart_checkpoints_are() -> None:
    assert parse_genesis(GENESIS.raw).organisations == GenesisOrganisations(("north", "south", "west"), 2)
    assert make_genesis(organisations=None).organisations == GenesisOrganisations(("north", "south", "west"), 2)
    check_epoch(GENESIS.epoch)
    for changes in (
        {"organisations": GenesisOrganisations(("north",), 2)},
        {"organisations": GenesisOrganisations(("north", "north"), 1)},
        {"organisations": GenesisOrganisations(("north",), 0)},
        {"first_primary": 4},
        {"limits": GenesisLimits(40_960, 100, 200_000, 100_000_000, 8, 15)},
        {"limits": GenesisLimits(40_960, 100, 200_000, 100_000_000, 8, 16, rotation_blocks=-1)},
        {"limits": GenesisLimits(40_960, 100, 200_000, 100_000_000, 8, 16, snapshot_depth=5)},
    ):
        with pytest.raises(GenesisInvalid):
            make_genesis(**changes)


def test_a_window_whose_new_view_might_not_fit_a_frame_once_there_are_more_validators_is_refused() -> None:
    make_genesis(limits=GenesisLimits(40_960, 100, 200_000, 100_000_000, 8, 700))
    with pytest.raises(GenesisInvalid, match="window_blocks: a NEW-VIEW about 800 blocks"):
        make_genesis(limits=GenesisLimits(40_960, 100, 200_000, 100_000_000, 8, 800))
