"""The mutants: each one bug in the protocol, with the hunt that catches it within a stated number of seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ledger import authentication, snapshots, transfer
from ledger.books import Books
from mutants import disks, hunts, ledgers
from mutants.hunts import Hunt
from mutants.planting import plant
from pbft import (
    checkpoint,
    core,
    evidence,
    gate,
    log,
    messages,
    normal_case,
    ordering,
    quorum,
    view_change,
    view_changer,
)
from pbft.replica import Replica
from sim.node import SimNode


@dataclass(frozen=True)
class Edit:
    """In the function ``owner.name`` each old text becomes the new one."""

    owner: Any
    name: str
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mutant:
    """A bug. ``seeds``: the hunt must catch it within so many, from 0 on."""

    name: str
    edits: tuple[Edit, ...]
    hunt: Hunt
    seeds: int = 1

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        for edit in self.edits:
            plant(patch, edit.owner, edit.name, *edit.changes)


def _one(name: str, owner: Any, function: str, old: str, new: str, hunt: Hunt, seeds: int = 1) -> Mutant:
    return Mutant(name, (Edit(owner, function, ((old, new),)),), hunt, seeds)


NORMAL = normal_case.NormalCase
CHANGER = view_changer.ViewChanger

MUTANTS = (
    _one(
        "quorum f + 1", quorum, "quorum", "(n + faulty_max(n)) // 2 + 1", "faulty_max(n) + 1", hunts.sampled_twins, 20
    ),
    _one(
        "P-sets not checked",
        view_change,
        "is_prepared_certificate",
        "if proposal.sender != config.primary(proposal.view):",
        "return True\n    if proposal.sender:",
        hunts.short_p_set,
    ),
    _one(
        "P-sets' signatures not verified",
        gate.Gate,
        "_prepared",
        "yield Claim(prepare.sender, prepare.signed(self._config.scope), prepare.signature)",
        "yield from ()",
        hunts.unsigned_p_set,
    ),
    _one(
        "nothing persisted before PREPARE",
        NORMAL,
        "accept",
        "core.persist(Accepted(proposal, body))",
        "pass",
        hunts.restarted_voter,
    ),
    _one(
        "votes in spite of amnesia",
        core.Core,
        "votes",
        "self.muted or ",
        "",
        hunts.forgetful_voter,
    ),
    _one(
        "votes on what a log was cut of",
        core.Core,
        "votes",
        " or self.outcomes.certified < self.cut",
        "",
        hunts.stored("ledger-younger-than-the-log"),
    ),
    _one(
        "a settled sequence proposed anew",
        NORMAL,
        "execute_ready",
        "core.next_sequence = max(core.next_sequence, core.ordered + 1)",
        "pass",
        hunts.stored("ledger-lost-by-the-primary"),
    ),
    _one(
        "prepare accepted as commit",
        NORMAL,
        "advance",
        "slot.commits.count(slot.choice) >= core.config.q",
        "slot.prepares.count(slot.choice) >= core.config.q - 1",
        hunts.lone_preparer,
    ),
    _one(
        "view not bound in the signature",
        messages,
        "signed_bytes",
        "scope.epoch, view, sequence",
        "scope.epoch, 0, sequence",
        hunts.redated_p_set,
    ),
    _one(
        "watermark unchecked",
        core.Core,
        "in_window",
        "self.low < sequence <= self.high",
        "self.low < sequence",
        hunts.far_sequences,
    ),
    _one(
        "checkpoint without proof",
        NORMAL,
        "certify",
        "stable = core.outcomes.stable()",
        "stable = core.executed - core.executed % core.config.checkpoint_interval_blocks",
        hunts.few_outcomes,
    ),
    Mutant(
        "certificate of q - 1 outcomes",
        (
            Edit(
                checkpoint.Outcomes,
                "_certificate",
                (
                    ("len(votes) < self._config.q", "len(votes) < self._config.q - 1"),
                    ("len(agreeing) < self._config.q", "len(agreeing) < self._config.q - 1"),
                ),
            ),
        ),
        hunts.few_outcomes,
    ),
    _one(
        "certificates' signatures not verified",
        gate.Gate,
        "_certificate",
        "yield Claim(sender, signed, signature)",
        "yield from ()",
        hunts.forged_block,
    ),
    _one(
        "certificates' signers not counted",
        gate.Gate,
        "_certificate",
        "len(senders) < self._config.q",
        "len(senders) < 1",
        hunts.forged_block,
        3,
    ),
    _one(
        "timeout uncapped",
        CHANGER,
        "_timeout_ms",
        "min(config.view_change_timeout_ms << min(self._failed_views, 16), config.view_change_timeout_ms_max)",
        "config.view_change_timeout_ms << min(self._failed_views, 16)",
        hunts.dead_primary_after_a_storm,
    ),
    _one(
        "null requests skipped",
        view_change,
        "open_sequences",
        "for s in range(base + 1, top + 1)]",
        "for s in range(base + 1, top + 1) if s in prepared]",
        hunts.gap,
    ),
    _one(
        "NEW-VIEW's O trusted",
        view_change,
        "is_new_view",
        "return proposed == open_sequences(config, message.view_changes)",
        "return True",
        hunts.untrue_new_view,
    ),
    _one(
        "claims of a NEW-VIEW's V unproven",
        view_change,
        "_proves",
        "return proven == claimed and all(",
        "return True or all(",
        hunts.unproven_new_view,
    ),
    _one(
        "proofs of a NEW-VIEW's claims unverified",
        gate.Gate,
        "_claims",
        "in message.prepared:\n                yield from self._prepared(item)\n            for proposal in",
        "in ():\n                pass\n            for proposal in",
        hunts.forged_new_view,
    ),
    _one(
        "votes above the epoch's boundary",
        core.Core,
        "high",
        "high if self.boundary is None else min(high, self.boundary)",
        "high",
        hunts.ended_epoch,
    ),
    _one(
        "view change forgets what prepared",
        CHANGER,
        "leave",
        "ViewChange(core.view, core.outcomes.newest, prepared, core.me)",
        "ViewChange(core.view, core.outcomes.newest, (), core.me)",
        hunts.lone_executor,
        3,
    ),
    _one(
        "the earliest view's certificate wins",
        view_change,
        "chosen",
        "proposal.view > best.pre_prepare.view",
        "proposal.view < best.pre_prepare.view",
        hunts.older_p_set,
    ),
    _one(
        "equivocation accepted",
        NORMAL,
        "_on_proposal",
        "slot.accepted is not None:",
        "False:",
        hunts.sampled_twins,
        20,
    ),
    Mutant(
        "proposals for what a view began above",
        (
            Edit(NORMAL, "on_proposal", (("proposal.sequence <= core.view_base", "False"),)),
            Edit(
                NORMAL,
                "_on_proposal",
                (("proposal.sequence <= core.executed or slot.committed not in (None, proposal.digest)", "False"),),
            ),
        ),
        hunts.settled_again,
        2,
    ),
    Mutant(
        "proposals below the base, in whole worlds",
        (
            Edit(NORMAL, "on_proposal", (("proposal.sequence <= core.view_base", "False"),)),
            Edit(
                NORMAL,
                "_on_proposal",
                (("proposal.sequence <= core.executed or slot.committed not in (None, proposal.digest)", "False"),),
            ),
            Edit(
                Replica, "_wants_proposal", (("return sequence > max(core.view_base, core.executed)", "return True"),)
            ),
        ),
        hunts.world_of("below-base"),
        8,
    ),
    _one(
        "served though proposed far ahead",
        NORMAL,
        "_on_proposal",
        "proposal.sequence <= core.ordered + AHEAD * core.config.pipeline_depth",
        "True",
        hunts.kept_waiting("far-ahead", 12_000),
        7,
    ),
    Mutant(
        "what a null request took the place of counts as proposed",
        (
            Edit(CHANGER, "_kept", ((" and slot.accepted.digest == proposal.digest", ""),)),
            Edit(NORMAL, "on_executed", (("core.pool.settle(statement.height)", "pass"),)),
        ),
        hunts.nulled,
    ),
    _one(
        "what others prepare is not asked for",
        NORMAL,
        "fetch_missed",
        "elif ask_at_ms <= core.now.timer_ms:",
        "elif False:",
        hunts.late_to_one,
    ),
    _one(
        "nobody is judged while blocks wait for execution",
        CHANGER,
        "_judges",
        "core.diverged or core.installing",
        "core.diverged or core.installing or core.executed < core.ordered",
        hunts.world_of("fill-pipeline"),
    ),
    _one(
        "second turns not seen",
        ordering.Pool,
        "_is_censored",
        "waits_ms + patience_ms <= self._twice_ms and since_ms > self._full_ms",
        "False",
        hunts.kept_waiting("fill-pipeline", 8_000),
    ),
    _one(
        "a far complaint speaks against every view",
        CHANGER,
        "_is_about_us",
        " < core.view + core.config.n",
        "",
        hunts.far_complaint,
        4,
    ),
    _one(
        "batch not held against its digest",
        NORMAL,
        "on_proposal",
        "batch.digest != proposal.digest",
        "False",
        hunts.one_digest_two_bodies,
    ),
    Mutant(
        "a copy of a vote counts again",
        (
            Edit(NORMAL, "_place", (("if known is not None and known.view >= vote.view:", "if False:"),)),
            Edit(log.Votes, "put", (("if before is not None:", "if False:"),)),
        ),
        hunts.copied_votes,
    ),
    Mutant(
        "anybody's name on a vote",
        (
            Edit(gate, "_must_be", (("sender != claimed", "False"),)),
            Edit(gate.Gate, "verify", (("self._check(Claim(message.sender,", "self._check(Claim(sender,"),)),
        ),
        hunts.borrowed_names,
    ),
    _one(
        "one complaint changes the view",
        CHANGER,
        "_count_complaints",
        "len(against) < core.config.weak",
        "len(against) < 1",
        hunts.one_complainer,
    ),
    _one(
        "one VIEW-CHANGE is followed",
        CHANGER,
        "_join",
        "if core.votes and len(later) >= core.config.weak:\n        self.leave(later[core.config.weak - 1])",
        "if core.votes and later:\n        self.leave(later[0])",
        hunts.one_complainer,
    ),
    _one(
        "blacklist by one replica's opinion",
        evidence,
        "_are_complaints",
        "len(senders) < weak_quorum(len(keys))",
        "len(senders) < 1",
        hunts.one_opinion,
    ),
    _one(
        "the primary's clock believed",
        NORMAL,
        "_is_untimely",
        "abs(batch.proposed_time_ms - self._core.now.clock_ms) > self._core.config.clock_tolerance_ms",
        "False",
        hunts.far_future,
    ),
    _one(
        "nonce window ignored",
        authentication.NonceWindow,
        "refuses",
        "return RefusalCode.NONCE_USED",
        "return None",
        hunts.world_of("crash"),
        10,
    ),
    _one(
        "a revoked certificate counts",
        authentication,
        "standing",
        """get(f"governance/revoked/{user['serial']}") is not None""",
        "False",
        hunts.revoked_client,
    ),
    _one(
        "snapshot chunks not verified",
        snapshots,
        "check_chunk",
        "found != part.hash",
        "False",
        ledgers.tampered_chunks,
    ),
    Mutant(
        "client table not in the snapshot",
        (
            Edit(snapshots, "encode_chunk", (("sorted(pairs,", "sorted([p for p in pairs if 'nonce' not in p[0]],"),)),
            Edit(snapshots, "check_chunk", (("found != part.hash", "False"),)),
            Edit(transfer.Transfer, "finish", (("assert root == statement.state_root", "assert root"),)),
        ),
        ledgers.request_again_behind_a_snapshot,
    ),
    _one(
        "the log cut before the certificate is durable",
        SimNode,
        "_enqueue_all",
        "self._enqueue(partial(self._wal.truncate_below, output.truncate_below))",
        "self._wal.truncate_below(output.truncate_below)",
        disks.power_cuts_at_checkpoints,
        3,
    ),
    _one(
        "no certificate durable but a checkpoint's own",
        Books,
        "certify",
        "self.certified_height // self._interval > before // self._interval",
        "any(each.statement.height % self._interval == 0 for each in certificates)",
        disks.power_cuts_behind_checkpoints,
        3,
    ),
)
