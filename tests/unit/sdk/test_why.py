"""``wattq why``: sentences out of what nodes tell; each says who, since when, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from sdk.diagnosis import Diagnosis, Divergence, Finding, OpenBlock, Side, ViewChange, Votes, Write
from sdk.why import KEYS_TOLD_MAX, explain

NAMES = ("node1", "node2", "node3", "node4")


def told_by(name: str, **changes: Any) -> Diagnosis:
    """A validator of four that has stood still for 14 s."""
    parts: dict[str, Any] = {
        "name": name,
        "channel": "main",
        "chain": "ab",
        "epoch": 0,
        "validators": NAMES,
        "quorum": 3,
        "observer": False,
        "view": 0,
        "primary": "node1",
        "ordered_height": 20,
        "executed_height": 20,
        "certified_height": 20,
        "certified_ms": 14_000,
        "patience_ms": 4_000,
        "pool_transactions": 0,
        "waiting_ms": 0,
        "votes": True,
        "diverged": False,
        "whole": True,
        "closed": False,
        "unreachable": (),
        "complaints": (),
        "alarms": (),
    }
    return Diagnosis(**{**parts, **changes})


def found(*facts: Diagnosis, silent: dict[str, str] | None = None) -> dict[str, Finding]:
    return {finding.code: finding for finding in explain({each.name: each for each in facts}, silent or {})}


def test_a_network_that_commits_says_so_and_who_is_away_all_the_same() -> None:
    facts = [told_by(name, certified_ms=300, unreachable=("node4",)) for name in NAMES[:3]]
    said = found(*facts, silent={"node4": "refused"})
    assert list(said) == ["COMMITS", "UNREACHABLE"]
    assert said["COMMITS"].text == "Block 20 was certified 0.3 s ago, in view 0 under node1."
    assert said["UNREACHABLE"].text == "node4 is not reachable from node1, node2 and node3."


def test_nobody_answers() -> None:
    assert explain({}, {"node1": "refused"})[0].text == "No node answers (node1)."
    assert explain({}, {})[0].code == "NOBODY_ANSWERS"


def test_too_few_left_are_named_and_counted_and_so_are_the_votes_that_miss() -> None:
    gone = ("node3", "node4")
    votes = Votes(("node2",), gone, 2)
    facts = [
        told_by("node1", unreachable=gone, open_block=OpenBlock(21, 0, "prepare", votes, 13_000), pool_transactions=2),
        told_by("node2", unreachable=gone, open_block=OpenBlock(21, 0, "prepare", votes, 12_000), waiting_ms=9_000),
    ]
    said = found(*facts, silent=dict.fromkeys(gone, "connection refused"))
    assert list(said) == ["STANDS_STILL", "QUORUM_UNREACHABLE", "VOTES_MISSING"]
    assert "for 14 s: block 20 was the last" in said["STANDS_STILL"].text
    assert "requests that wait: 2, the oldest for 9.0 s" in said["STANDS_STILL"].text
    assert "node3 and node4 are not reachable from node1 and node2. 2 of 4" in said["QUORUM_UNREACHABLE"].text
    assert said["QUORUM_UNREACHABLE"].advice.startswith("Start node3 and node4")
    assert said["VOTES_MISSING"].text == (
        "Block 21 has 1 of the 2 prepares that it takes in view 0, for 13 s: node2 voted; missing are those of node3 "
        "and node4."
    )
    assert said["VOTES_MISSING"].advice == "It needs 1 more: bring node3 and node4 back, or see why not."


def test_a_vote_that_anybody_has_is_cast() -> None:
    first = OpenBlock(21, 3, "commit", Votes(("node1",), ("node2", "node3", "node4"), 3), 1_000)
    second = OpenBlock(21, 3, "commit", Votes(("node2",), ("node1", "node3", "node4"), 3), None)
    said = found(told_by("node1", open_block=first), told_by("node2", open_block=second))
    assert "has 2 of the 3 commits" in said["VOTES_MISSING"].text
    assert "node1 and node2 voted; missing are those of node3 and node4" in said["VOTES_MISSING"].text


def test_a_view_change_under_way_names_who_asks_who_does_not_and_when_it_goes_on() -> None:
    wait = ViewChange(5, "node2", Votes(("node1", "node2"), ("node3", "node4"), 3), 3_000, 1_500)
    said = found(told_by("node1", view=5, view_change=wait), told_by("node2", view=5, view_change=wait))
    assert said["VIEW_CHANGE"].text == (
        "View 5, which node2 would lead, has not begun for 3.0 s: node1 and node2 asked for it, node3 and node4 did "
        "not; it takes 3. The next view is tried in 1.5 s."
    )


def test_a_primary_that_proposes_nothing_is_named() -> None:
    waiting = OpenBlock(21, 0, "proposal", Votes((), ("node1",), 1), 14_000)
    said = found(told_by("node2", open_block=waiting, complaints=("node2",)))
    assert said["NO_PROPOSAL"].text == "node1 has not proposed block 21, for 14 s."
    assert said["COMPLAINTS"].text.startswith("node2 has complained about node1")


def divided(*keys: tuple[str, str, str]) -> list[Diagnosis]:
    """Two against two about block 21; of each key what the one and the other side wrote."""
    sides = (Side("aa", "11" * 32, "33" * 32, NAMES[:2]), Side("aa", "22" * 32, "33" * 32, NAMES[2:]))
    divergence = Divergence(21, sides, (), True)
    writes = [tuple(Write(key, both[index]) for key, *both in keys) for index in range(2)]
    return [told_by(name, divergence=divergence, writes=writes[place // 2]) for place, name in enumerate(NAMES)]


def test_two_against_two_name_the_sides_and_the_keys_that_differ() -> None:
    said = found(*divided(("credit/account/a", "01", "02"), ("market/order/1", "03", "03"), ("gone", "", "04")))
    text = said["OUTCOMES_DIFFER"].text
    assert "node1 and node2: state 111111111111" in text
    assert "node3 and node4: state 222222222222" in text
    assert text.endswith("It left different values under credit/account/a, gone.")
    assert "wattq ledger rollback" in said["OUTCOMES_DIFFER"].advice


def test_keys_beyond_the_bound_are_counted() -> None:
    keys = [(f"k{number:02d}", "01", "02") for number in range(KEYS_TOLD_MAX + 3)]
    assert found(*divided(*keys))["OUTCOMES_DIFFER"].text.endswith("k11 and 3 more.")


@pytest.mark.parametrize(
    ("changes", "code"), [({"diverged": True}, "DIVERGED"), ({"whole": False}, "NOT_WHOLE"), ({"votes": False}, "MUTE")]
)
def test_what_is_wrong_with_one_node_is_told(changes: dict[str, Any], code: str) -> None:
    assert "node1" in found(told_by("node1", **changes), told_by("node2"))[code].text


def test_an_observer_is_never_mute_and_a_closed_channel_lacks_nothing() -> None:
    assert "MUTE" not in found(told_by("watcher", votes=False, observer=True))
    assert list(found(told_by("node1", closed=True))) == ["CLOSED"]


def test_one_that_is_left_behind_while_others_go_on() -> None:
    said = found(told_by("node1", certified_ms=10), told_by("node2", unreachable=NAMES[2:]))
    assert "node2 has certified nothing for 14 s" in said["LEFT_BEHIND"].text
