"""Whatever a machine writes otherwise than a contract says is refused, in any one place; and what it writes besides.

What is let through is named here: what another mechanism than the auction's own answers, and what a call leaves undone
as a whole, which is no more than if it had failed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from deadline_calls import DEADLINES
from forgery import Outcome
from signed_calls import CASES, Case
from single_changes import DELETED, DROPPED, accepted, of_what_is_left_alone, of_what_is_written

from contracts.catalog import shipped_sources
from contracts.language import check

RUN = "auction/run/"
ANSWERED = {
    ("work_mechanism_of_its_own", *what)
    for what in ((RUN, ".seller_price"), ("auction/shares/", ".bid[0]"), ("auction/shares/", ".ask[0]"))
}
"""What another mechanism says within its orders' limits, or besides its shares, is not reckoned again."""
SAME = ("market/sold/", DELETED)
"""Nothing sold is none, or 0."""
UNDONE = {
    "auction_amend_order": "auction/side/", "market_gate_in_part": "market/top/",
    "rescue_of_what_goes_on": "system/deadline/",
}  # fmt: skip
"""The one record of a call that does nothing else, or one of several that may wait for the next call."""
ALSO = {("market_gate_in_part", "market/top/", DELETED), ("work_to_the_end", "auction/shares/", DROPPED)}
"""What a later step would delete, and the deletion of what is not there."""


def is_free(name: str, group: str, what: str) -> bool:
    if what == DROPPED and (UNDONE.get(name) == group or (name, group) == ("auction_amend_order", RUN)):
        return True
    return (group, what) == SAME or (name, group, what) in ANSWERED | ALSO


def signed(make: Callable[[], Case]) -> Outcome:
    market, contract, function, args, signers = make()
    return Outcome(market, contract, function, args, *signers)


@pytest.mark.parametrize("name", [*CASES, *DEADLINES])
def test_no_single_change_of_what_a_call_writes_is_let_through(name: str) -> None:
    outcome = DEADLINES[name]() if name in DEADLINES else signed(CASES[name])
    assert outcome.verdict() is None
    for changes in (of_what_is_written(outcome), of_what_is_left_alone(outcome)):
        assert [found for found in accepted(outcome, changes) if not is_free(name, *found)] == []


def test_every_deadline_of_the_shipped_contracts_is_tried() -> None:
    tried = {(outcome.call.contract, outcome.call.function) for outcome in (make() for make in DEADLINES.values())}
    shipped = {
        (name, function.name)
        for name, source in shipped_sources().items()
        for function in check(source).functions.values()
        if function.marker == "deadline"
    }
    assert tried == shipped
