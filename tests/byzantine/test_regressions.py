"""Bugs that Twins, ByzzFuzz and the adversaries found, each as the scenario that showed it."""

from __future__ import annotations

import pytest

from sim.run import run_seed


@pytest.mark.row(1)
def test_a_primary_that_restarts_above_its_new_view_does_not_propose_there_again() -> None:
    """Its log begins the view at 4, its ledger is at 4: it proposed another batch there, and convicted itself."""
    assert run_seed(5, 4, "silent").faults == ()


@pytest.mark.row(10)
def test_bytes_that_are_no_text_in_a_batch_end_no_node() -> None:
    assert run_seed(1, 4, "flood").faults == ()


@pytest.mark.row(6)
def test_who_boasts_of_heights_that_nobody_reached_is_not_believed() -> None:
    """Its word alone had the others wait for a snapshot that does not exist."""
    assert run_seed(0, 4, "boast").faults == ()


@pytest.mark.row(20)
def test_every_transaction_gets_a_receipt_though_its_blocks_outcomes_were_lost() -> None:
    """Block 7 had no certificate of its own, and nobody asked for it once block 8 had one."""
    assert run_seed(0, 4, "lying-replies").faults == ()


@pytest.mark.row(20)
def test_every_transaction_below_an_epochs_boundary_gets_a_receipt() -> None:
    """Block 18's outcomes were lost, the epoch ended with block 20, and nobody signs for an epoch that has ended."""
    assert run_seed(159, 4, "traitors").faults == ()


@pytest.mark.row(11)
def test_a_replica_that_was_left_out_of_a_view_is_heard_by_those_in_it() -> None:
    """It asked for the next view alone, one other complained, and the third was content at the high watermark."""
    assert run_seed(7280, 4, "mixed").faults == ()


@pytest.mark.row(11)
@pytest.mark.parametrize(("adversary", "seed"), [("liars", 2359), ("traitors", 3524), ("liars", 4869)])
def test_a_censor_bears_with_anothers_garbage(adversary: str, seed: int) -> None:
    """It read forged requests as if honest clients had made them, and the world ended there."""
    assert run_seed(seed, 10, adversary).faults == ()


@pytest.mark.row(1)
def test_what_a_primary_said_twice_within_a_millisecond_is_carried_out_in_order() -> None:
    assert run_seed(13, 4, "equivocate").faults == ()


@pytest.mark.row(11)
@pytest.mark.parametrize(
    ("adversary", "seed"), [("stale-view-change", 3), ("forgotten-p-set", 4), ("wrong-new-view", 4)]
)
def test_a_replica_that_timed_out_alone_keeps_nobody_from_being_well(adversary: str, seed: int) -> None:
    """It asks for a later view for ever, and follows by blocks; the others go on with a liar's votes."""
    assert run_seed(seed, 4, adversary).faults == ()


@pytest.mark.row(11)
def test_votes_are_sent_again_to_who_has_executed_without_a_certificate() -> None:
    """A silent liar, and one lost PREPARE for a block that the others had executed in an earlier view: a standstill."""
    assert run_seed(105, 4, "liars").faults == ()
