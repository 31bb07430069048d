"""Bugs that Twins, ByzzFuzz and the adversaries found, each as the plan that showed it.

Plans are stored whole, in ``tests/data/plans``: what a seed expands to changes with every adversary that is added.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.plan import decode_plan
from sim.run import run_plan

PLANS = Path(__file__).resolve().parents[1] / "data" / "plans"


def faults_of(name: str) -> tuple[str, ...]:
    """What the stored plan of that name violates."""
    return run_plan(decode_plan((PLANS / f"{name}.json").read_bytes())).faults


@pytest.mark.row(1)
def test_a_primary_that_restarts_above_its_new_view_does_not_propose_there_again() -> None:
    """Its log begins the view at 4, its ledger is at 4: it proposed another batch there, and convicted itself."""
    assert faults_of("primary-restarts-above-its-new-view") == ()


@pytest.mark.row(10)
def test_bytes_that_are_no_text_in_a_batch_end_no_node() -> None:
    assert faults_of("no-text-in-a-batch") == ()


@pytest.mark.row(6)
def test_who_boasts_of_heights_that_nobody_reached_is_not_believed() -> None:
    """Its word alone had the others wait for a snapshot that does not exist."""
    assert faults_of("boast-of-a-snapshot") == ()


@pytest.mark.row(6)
def test_the_giver_of_a_manifest_newer_than_its_last_status_is_asked_for_the_chunks() -> None:
    """Nobody was known to stand that high, so that each honest manifest was given up, and a liar's turn came again."""
    assert faults_of("newest-manifest-given-up") == ()


@pytest.mark.row(20)
def test_every_transaction_gets_a_receipt_though_its_blocks_outcomes_were_lost() -> None:
    """Block 7 had no certificate of its own, and nobody asked for it once block 8 had one."""
    assert faults_of("outcomes-of-a-block-lost") == ()


@pytest.mark.row(20)
def test_every_transaction_below_an_epochs_boundary_gets_a_receipt() -> None:
    """Block 18's outcomes were lost, the epoch ended with block 20, and nobody signs for an epoch that has ended."""
    assert faults_of("outcomes-below-a-boundary-lost") == ()


@pytest.mark.row(11)
def test_a_replica_that_was_left_out_of_a_view_is_heard_by_those_in_it() -> None:
    """It asked for the next view alone, one other complained, and the third was content at the high watermark."""
    assert faults_of("left-out-of-a-view") == ()


@pytest.mark.row(11)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_censor_bears_with_anothers_garbage(number: int) -> None:
    """It read forged requests as if honest clients had made them, and the world ended there."""
    assert faults_of(f"censor-reads-garbage-{number}") == ()


@pytest.mark.row(1)
def test_what_a_primary_said_twice_within_a_millisecond_is_carried_out_in_order() -> None:
    assert faults_of("two-proposals-in-a-millisecond") == ()


@pytest.mark.row(11)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_replica_that_timed_out_alone_keeps_nobody_from_being_well(number: int) -> None:
    """It asks for a later view for ever, and follows by blocks; the others go on with a liar's votes."""
    assert faults_of(f"timed-out-alone-{number}") == ()


@pytest.mark.row(11)
def test_votes_are_sent_again_to_who_has_executed_without_a_certificate() -> None:
    """A silent liar, and one lost PREPARE for a block that the others had executed in an earlier view: a standstill."""
    assert faults_of("executed-without-a-certificate") == ()


def test_every_stored_plan_is_played_by_name() -> None:
    played = Path(__file__).read_text("utf-8")
    for path in PLANS.glob("*.json"):
        assert path.stem.rstrip("0123456789") in played


@pytest.mark.row(13)
def test_a_request_whose_place_became_a_null_request_does_not_wait() -> None:
    """A far proposal prepared, so that the next view began with nulls below; the request in one of them waited 11 s."""
    assert faults_of("null-in-place-of-a-request") == ()


@pytest.mark.row(1)
def test_a_ledger_that_is_younger_than_its_log_is_not_voted_on() -> None:
    """An honest node had lost its ledger and kept its log, which was cut: with one liar and one that lagged it voted
    on the same heights once more, and two chains were certified."""
    assert faults_of("ledger-younger-than-the-log") == ()


@pytest.mark.row(1)
def test_a_primary_that_lost_its_ledger_proposes_above_what_it_fetched() -> None:
    """It fetched 24 certified blocks, was the view's primary again, and proposed for sequence 1 what it had before."""
    assert faults_of("ledger-lost-by-the-primary") == ()


def test_a_retired_node_is_not_judged_by_a_disk_that_it_lost_since() -> None:
    """Its directory was removed after it had retired; the checkers read its chain all the same, and fell over it."""
    assert faults_of("ledger-lost-after-retiring") == ()
