"""Sentences out of facts: why nothing is certified, whom it takes, and what to do (``wattq why``).

``explain`` takes what one node or all nodes of a network told. What several of them tell of the same matter is joined:
a vote counts as cast if anybody has it, a node as unreachable if nobody has a link with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from sdk.diagnosis import Diagnosis, Finding, OpenBlock, Side

KEYS_TOLD_MAX = 12
"""Keys that differ which a sentence names; it counts the others."""
NOUNS = {"prepare": "prepares", "commit": "commits", "outcome": "signed outcomes"}
ROOT_LETTERS = 12


def explain(told: Mapping[str, Diagnosis], silent: Mapping[str, str]) -> tuple[Finding, ...]:
    """What ``told`` comes to. ``silent``: who was asked and did not answer, and why. The gravest comes first."""
    if not told:
        who = _listed(silent)
        text = f"No node answers ({who})." if who else "No node was asked."
        return (Finding("NOBODY_ANSWERS", text, "Start the nodes, or look into their logs."),)
    facts = list(told.values())
    if all(each.closed for each in facts):
        return (Finding("CLOSED", f"The channel {facts[0].channel} is closed and rests: nothing is missing."),)
    moving = [each for each in facts if not each.stands_still]
    if moving:
        return (_commits(moving), *_stragglers(facts), *_unreachable(facts, silent, stands=False), *_unwell(facts))
    return (
        _stands_still(facts),
        *_divergence(facts),
        *_unreachable(facts, silent, stands=True),
        *_view_changes(facts),
        *_open_blocks(facts),
        *_unwell(facts),
    )


def _commits(moving: Sequence[Diagnosis]) -> Finding:
    newest = max(moving, key=lambda each: each.certified_height)
    return Finding(
        "COMMITS",
        f"Block {newest.certified_height} was certified {_time(newest.certified_ms)} ago, in view {newest.view} under "
        f"{newest.primary}.",
    )


def _stands_still(facts: Sequence[Diagnosis]) -> Finding:
    newest = max(facts, key=lambda each: (each.certified_height, each.view))
    pool = max(each.pool_transactions for each in facts)
    waiting = max(each.waiting_ms for each in facts)
    waits = f"; requests that wait: {pool}, the oldest for {_time(waiting)}" if pool else ""
    since = _time(min(each.certified_ms for each in facts))
    return Finding(
        "STANDS_STILL",
        f"Nothing has been certified for {since}: block {newest.certified_height} was the last, epoch {newest.epoch}, "
        f"view {newest.view}{waits}.",
    )


# ----------------------------------------------------------------------------------------------- who is away


def _unreachable(facts: Sequence[Diagnosis], silent: Mapping[str, str], *, stands: bool) -> list[Finding]:
    validators, quorum = facts[0].validators, facts[0].quorum
    present = {each.name for each in facts}
    away = [name for name in validators if name not in present and all(name in each.unreachable for each in facts)]
    found = []
    if away:
        left = len(validators) - len(away)
        short = f" {left} of {len(validators)} validators are left, and it takes {quorum}." if left < quorum else ""
        text = f"{_listed(away)} {_are(away)} not reachable from {_listed(sorted(present))}.{short}"
        advice = f"Start {_listed(away)}, or mend the network between the nodes; the logs say more."
        found.append(Finding("QUORUM_UNREACHABLE" if left < quorum else "UNREACHABLE", text, advice))
    found += [
        Finding("NO_ANSWER", f"{name} does not answer: {why}.", "Others have a link with it: look at its REST port.")
        for name, why in silent.items()
        if name not in away and name in validators and stands
    ]
    cut = [each for each in facts if not each.observer and any(name in present for name in each.unreachable)]
    found += [
        Finding(
            "LINKS_MISSING",
            f"{each.name} has no link with {_listed(name for name in each.unreachable if name in present)}.",
            "Both run: look at the network between them, at their certificates, and at wattq_consensus_rejects_total.",
        )
        for each in cut
    ]
    return found


def _stragglers(facts: Sequence[Diagnosis]) -> list[Finding]:
    """Nodes that stand still while the network goes on."""
    return [
        Finding(
            "LEFT_BEHIND",
            f"{each.name} has certified nothing for {_time(each.certified_ms)}: it is at block "
            f"{each.certified_height}, and the others go on.",
            "See whether it has links with the others, and what its log says.",
        )
        for each in facts
        if each.stands_still
    ]


def _unwell(facts: Sequence[Diagnosis]) -> list[Finding]:
    """What is wrong with single nodes, whether or not it holds the others up."""
    found = []
    for each in facts:
        if each.diverged:
            advice = "It repairs itself by a snapshot; if it happens again, its software or its disk is not sound."
            found.append(Finding("DIVERGED", f"A certificate contradicts what {each.name} executed.", advice))
        elif not each.whole:
            advice = "It takes a peer's snapshot; until then it neither votes nor serves."
            found.append(Finding("NOT_WHOLE", f"{each.name}'s ledger is damaged.", advice))
        elif not each.votes and not each.observer:
            advice = "It lost its log, and votes again once nothing is open that it may have voted on."
            found.append(Finding("MUTE", f"{each.name} is a validator and does not vote.", advice))
    return found


# -------------------------------------------------------------------------------------------- what is missing


def _view_changes(facts: Sequence[Diagnosis]) -> list[Finding]:
    """One sentence for each view that is waited for."""
    waits = {each.view_change.view: each.view_change for each in facts if each.view_change is not None}
    found = []
    for view, change in sorted(waits.items()):
        ours = [each.view_change.votes for each in facts if each.view_change and each.view_change.view == view]
        cast = [name for name in facts[0].validators if any(name in votes.cast for votes in ours)]
        missing = [name for name in facts[0].validators if name not in cast]
        since = "" if change.for_ms is None else f" for {_time(change.for_ms)}"
        text = (
            f"View {view}, which {change.primary} would lead, has not begun{since}: {_listed(cast) or 'nobody'} "
            f"asked for it, {_listed(missing) or 'nobody'} did not; it takes {change.votes.needed}."
        )
        if change.next_in_ms is not None:
            text += f" The next view is tried in {_time(change.next_in_ms)}."
        advice = f"Bring {_listed(missing)} back." if len(cast) < change.votes.needed else f"Look at {change.primary}."
        found.append(Finding("VIEW_CHANGE", text, advice))
    if not waits and (against := sorted({name for each in facts for name in each.complaints})):
        text = f"{_listed(against)} {_have(against)} complained about {facts[0].primary}; f + 1 end its view."
        found.append(Finding("COMPLAINTS", text))
    return found


def _open_blocks(facts: Sequence[Diagnosis]) -> list[Finding]:
    """The lowest block without a certificate, by the phase that those see who are farthest."""
    blocks = [each.open_block for each in facts if each.open_block is not None]
    if not blocks:
        return []
    order = ("proposal", "prepare", "commit", "execution", "outcome")
    height = max(block.height for block in blocks)
    blocks = [block for block in blocks if block.height == height]
    phase = max((block.phase for block in blocks), key=order.index)
    return [_open(facts, [block for block in blocks if block.phase == phase])]


def _open(facts: Sequence[Diagnosis], blocks: Sequence[OpenBlock]) -> Finding:
    block = blocks[0]
    since = [each.for_ms for each in blocks if each.for_ms is not None]
    told = f", for {_time(max(since))}" if since else ""
    if block.phase == "proposal":
        advice = "Nobody has anything to vote on: see whether it runs and is linked, or hand over to another node."
        return Finding("NO_PROPOSAL", f"{block.votes.missing[0]} has not proposed block {block.height}{told}.", advice)
    if block.phase == "execution":
        advice = "It is committed. If this lasts, execution hangs: look at the log and at wattq_ledger_height."
        return Finding("EXECUTION", f"Block {block.height} is being executed{told}.", advice)
    cast = [name for name in facts[0].validators if any(name in each.votes.cast for each in blocks)]
    known = {*cast, *(name for each in blocks for name in each.votes.missing)}
    missing = [name for name in facts[0].validators if name in known and name not in cast]
    text = (
        f"Block {block.height} has {len(cast)} of the {block.votes.needed} {NOUNS[block.phase]} that it takes in view "
        f"{block.view}{told}: {_listed(cast) or 'nobody'} voted; missing {_are(missing)} those of {_listed(missing)}."
    )
    advice = f"It needs {max(0, block.votes.needed - len(cast))} more: bring {_listed(missing)} back, or see why not."
    return Finding("VOTES_MISSING", text, advice if len(cast) < block.votes.needed else "")


# ------------------------------------------------------------------------------------------------ divergence


def _divergence(facts: Sequence[Diagnosis]) -> list[Finding]:
    found = next((each.divergence for each in facts if each.divergence is not None and each.divergence.hopeless), None)
    found = found or next((each.divergence for each in facts if each.divergence is not None), None)
    if found is None:
        return []
    sides = "; ".join(f"{_listed(side.nodes)}: {_outcome(side)}" for side in found.sides)
    hope = "so no certificate can form" if found.hopeless else "a certificate can still form"
    silent = f" {_listed(found.silent)} said nothing." if found.silent else ""
    text = f"Outcomes of block {found.height} differ ({sides}), {hope}.{silent}{_keys(facts, found.height)}"
    advice = (
        "Compare the software of both sides (version in `wattq cluster status --json`). Stop all nodes, mend what "
        "differs, run `wattq ledger rollback` on each node's data, and start them: they execute the same order again."
    )
    return [Finding("OUTCOMES_DIFFER", text, advice if found.hopeless else "")]


def _outcome(side: Side) -> str:
    return f"state {side.state_root[:ROOT_LETTERS]}, results {side.results_hash[:ROOT_LETTERS]}"


def _keys(facts: Sequence[Diagnosis], height: int) -> str:
    """Which keys the block left different, if two sides told what it wrote."""
    told = [each for each in facts if each.writes and each.divergence and each.divergence.height == height]
    if len(told) < 2:
        return ""
    keys = differing_keys(told)
    more = f" and {len(keys) - KEYS_TOLD_MAX} more" if len(keys) > KEYS_TOLD_MAX else ""
    left_out = " Not all keys were compared." if any(each.writes_left_out for each in told) else ""
    if not keys:
        return f" What it wrote is the same on {_listed(each.name for each in told)}.{left_out}"
    return f" It left different values under {', '.join(keys[:KEYS_TOLD_MAX])}{more}.{left_out}"


def differing_keys(facts: Iterable[Diagnosis]) -> list[str]:
    """Keys under which a block did not leave the same everywhere; each node's ``writes`` are of that block."""
    written = [{write.key: write.value for write in each.writes} for each in facts]
    keys = sorted({key for each in written for key in each})
    return [key for key in keys if len(set(map(partial(_value, key), written))) > 1]


def _value(key: str, written: Mapping[str, str]) -> str | None:
    return written.get(key)


# --------------------------------------------------------------------------------------------------- words


def _listed(names: Iterable[str]) -> str:
    *most, last = list(names) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _time(ms: int) -> str:
    if ms < 10_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms // 1000} s" if ms < 600_000 else f"{ms // 60_000} min"
