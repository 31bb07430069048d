"""Watches the replica of one channel and changes nothing: times its steps, and says what it waits for.

``stepped`` hears of each wake-up's steps, at a cost of some additions a block. ``diagnosis`` reads the replica as it
stands; of what was heard it takes only since when things are so, which no replica keeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from api.measures import ChannelMeasures
from pbft.core import Core
from pbft.driver import Driver
from pbft.events import Output
from pbft.log import Slot
from pbft.messages import Statement
from pbft.records import Accepted, Entered, Left, Prepared, Record
from sdk.diagnosis import Diagnosis, Divergence, OpenBlock, Phase, Side, ViewChange, Votes
from sdk.rounds import Round, Rounds

ROUNDS_MAX = 16
"""Rounds that are told at most, the newest."""
PATIENCE_STATUSES = 2
"""Status exchanges that a block may take beyond the waits of consensus before it counts as late."""


def _now_ms() -> int:
    """The driver's timers' clock."""
    return time.monotonic_ns() // 1_000_000


class Witness:
    """Of one driver, whichever replica it runs. ``is_linked(key)``: whether there is a link with that validator."""

    def __init__(
        self,
        driver: Driver,
        measures: ChannelMeasures,
        is_linked: Callable[[bytes], bool],
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._driver = driver
        self._measures = measures
        self._is_linked = is_linked
        self._now_ms = now_ms
        self._certified_ms = now_ms()
        self._left_ms: int | None = None
        """When the view that has not begun yet was asked for first, by us."""
        self._executed: tuple[int, int] = (0, 0)
        """The newest block whose execution was asked for, and when."""

    # ------------------------------------------------------------------------------------------- hearing

    def stepped(self, outputs: Sequence[Output]) -> None:
        """The driver is about to carry these out."""
        for output in outputs:
            for record in output.persist:
                self._recorded(record)
            for execute in output.execute:
                self._measures.committed(execute.height, len(execute.body))
                self._executed = (execute.height, self._now_ms())
            if output.certified:
                self._measures.certified(output.certified[-1].statement.height)
                self._certified_ms = self._now_ms()
            for alarm in output.alarms:
                self._measures.alarmed(alarm.kind)

    def _recorded(self, record: Record) -> None:
        match record:
            case Accepted(proposal, _):
                self._measures.proposed(proposal.sequence)
            case Prepared(certificate):
                self._measures.prepared(certificate.pre_prepare.sequence)
            case Left():
                self._measures.view_left()
                self._left_ms = self._left_ms or self._now_ms()
            case Entered():
                self._left_ms = None
            case _:
                pass

    # ------------------------------------------------------------------------------------------- telling

    def diagnosis(self, name: str, closed: bool) -> Diagnosis:
        """What this replica knows of why nothing is certified, or that something is."""
        core, now_ms = self._core, self._now_ms()
        config, oldest_ms = core.config, core.pool.oldest_ms()
        linked = [self._is_linked(key) for key in config.validators]
        return Diagnosis(
            name=name,
            channel=config.scope.channel,
            chain=config.scope.chain.hex(),
            epoch=config.scope.epoch,
            validators=self._names(range(config.n)),
            quorum=config.q,
            observer=not 0 <= core.me < config.n,
            view=core.view,
            primary=self._name(config.primary(core.view)),
            ordered_height=core.ordered,
            executed_height=core.executed,
            certified_height=core.outcomes.certified,
            certified_ms=now_ms - self._certified_ms,
            patience_ms=config.block_idle_ms_max
            + config.request_timeout_ms
            + PATIENCE_STATUSES * config.status_interval_ms,
            pool_transactions=len(core.pool),
            waiting_ms=0 if oldest_ms is None else now_ms - oldest_ms,
            votes=core.votes,
            diverged=core.diverged,
            whole=core.whole,
            closed=closed,
            unreachable=self._names(i for i in range(config.n) if i != core.me and not linked[i]),
            complaints=self._names(self._driver.replica.changer.complainants()),
            alarms=tuple(f"{alarm.kind}: {alarm.detail}" for alarm in self._driver.alarms),
            open_block=self._open_block(core, now_ms),
            view_change=self._view_change(core, now_ms),
            divergence=self._divergence(core),
        )

    def rounds(self) -> Rounds:
        """The newest rounds of the present epoch, as far as the replica's log still has them."""
        core = self._core
        config, slots = core.config, [slot for slot in core.log.ascending() if slot.accepted is not None]
        return Rounds(
            validators=self._names(range(config.n)),
            me=core.me if 0 <= core.me < config.n else None,
            quorum=config.q,
            epoch=config.scope.epoch,
            view=core.view,
            active=core.active,
            rounds=tuple(_round(core, slot) for slot in slots[-ROUNDS_MAX:]),
        )

    @property
    def _core(self) -> Core:
        return self._driver.replica.core

    def _name(self, index: int) -> str:
        return self._driver.session.epoch.validators[index].name

    def _names(self, indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(self._name(index) for index in indices)

    def _votes(self, cast: Sequence[int], needed: int, of: Iterable[int]) -> Votes:
        return Votes(self._names(cast), self._names(i for i in of if i not in cast), needed)

    def _open_block(self, core: Core, now_ms: int) -> OpenBlock | None:
        """The first block that is not certified, by how far it has come here."""
        height, everyone = core.outcomes.certified + 1, range(core.config.n)
        if core.executed >= height:
            own = core.outcomes.known(height, core.me)
            said = [i for i in everyone if core.outcomes.known(height, i) is not None]
            agreeing = [i for i in said if own is None or _statement(core, height, i) == own.statement]
            votes = self._votes(agreeing, core.config.q, everyone)
            return OpenBlock(height, core.view, "outcome", votes, self._since(height, now_ms))
        if core.ordered >= height:
            votes = Votes((), (), 0)
            return OpenBlock(height, core.view, "execution", votes, self._since(height, now_ms))
        slot = core.log.slots.get(height)
        if slot is not None and slot.accepted is not None:
            return self._voted(core, slot, slot.accepted.view, now_ms)
        if not core.active:
            return None
        votes = Votes((), self._names([core.config.primary(core.view)]), 1)
        return OpenBlock(height, core.view, "proposal", votes, now_ms - core.progress_ms)

    def _since(self, height: int, now_ms: int) -> int | None:
        """How long ago a block was given to be executed; None for one of before we began."""
        asked, at_ms = self._executed
        return now_ms - at_ms if asked == height else None

    def _voted(self, core: Core, slot: Slot, view: int, now_ms: int) -> OpenBlock:
        """Votes of the view that its pre-prepare is of: while the next one has not begun, that is an earlier one."""
        everyone = range(core.config.n)
        phase: Phase
        if slot.is_prepared():
            phase, votes = "commit", self._votes(slot.commits.senders(slot.choice), core.config.q, everyone)
        else:
            leader = core.config.primary(view)
            backups = [i for i in everyone if i != leader]
            cast = [i for i in slot.prepares.senders(slot.choice) if i != leader]
            phase, votes = "prepare", self._votes(cast, core.config.q - 1, backups)
        return OpenBlock(slot.sequence, view, phase, votes, now_ms - slot.voted_ms)

    def _view_change(self, core: Core, now_ms: int) -> ViewChange | None:
        if core.active:
            return None
        changer = self._driver.replica.changer
        asking = [sender for sender, view in sorted(changer.asked().items()) if view >= core.view]
        return ViewChange(
            view=core.view,
            primary=self._name(core.config.primary(core.view)),
            votes=self._votes(asking, core.config.q, range(core.config.n)),
            for_ms=None if self._left_ms is None else now_ms - self._left_ms,
            next_in_ms=None if changer.deadline_ms is None else max(0, changer.deadline_ms - now_ms),
        )

    def _divergence(self, core: Core) -> Divergence | None:
        """Of the first block that is not certified: outcomes are compared once two of them have come."""
        height = core.outcomes.certified + 1
        sides: dict[Statement, list[int]] = {}
        for index in range(core.config.n):
            if (statement := _statement(core, height, index)) is not None:
                sides.setdefault(statement, []).append(index)
        if len(sides) < 2:
            return None
        heard = [index for senders in sides.values() for index in senders]
        return Divergence(
            height=height,
            sides=tuple(
                Side(s.header_hash.hex(), s.state_root.hex(), s.results_hash.hex(), self._names(senders))
                for s, senders in sides.items()
            ),
            silent=self._names(i for i in range(core.config.n) if i not in heard),
            hopeless=core.outcomes.hopeless(height) is not None,
        )


def _round(core: Core, slot: Slot) -> Round:
    view, digest = slot.choice
    said = [index for index in range(core.config.n) if _statement(core, slot.sequence, index) is not None]
    return Round(
        height=slot.sequence,
        view=view,
        primary=core.config.primary(view),
        digest=digest.hex(),
        prepares=tuple(slot.prepares.senders(slot.choice)),
        commits=tuple(slot.commits.senders(slot.choice)),
        outcomes=tuple(said),
        prepared=slot.is_prepared(),
        committed=slot.committed is not None,
        executed=slot.sequence <= core.executed,
        certified=slot.sequence <= core.outcomes.certified,
    )


def _statement(core: Core, height: int, sender: int) -> Statement | None:
    outcome = core.outcomes.known(height, sender)
    return None if outcome is None else outcome.statement
