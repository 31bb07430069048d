"""One block's calls, the outcomes that a worker gave beforehand, and the writes on which each of them rests.

The worker adds to its own overlay what every call writes; the block's overlay in the node takes only what was admitted
and approved. As long as both are the same, outcomes count; where they part, the worker is to begin again.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence

from contracts.sandbox.protocol import Outcome, PlannedCall
from ledger.execution import DEADLINE_GAS_MAX, OK, REMINDER_GAS_PER_BLOCK_MAX, Call, Step
from ledger.state import CommittedReader, Write

SURE_DEADLINES_MAX = REMINDER_GAS_PER_BLOCK_MAX // DEADLINE_GAS_MAX
"""So many of a block's deadlines run in any case. Of more, gas may put some off, and then what comes after them has
another place: it is not asked with them."""


class Plan:
    """A call sees ``base`` and, on top of it, ``writes``, which grow while the block executes."""

    def __init__(self, base: CommittedReader, writes: list[Write], steps: Sequence[Step]) -> None:
        self.base, self.writes = base, writes
        self._steps = steps
        self._calls_max = max(1, len(steps))
        """Asked at once. Halved when outcomes were in vain and doubled when all served, so that a block whose outcomes
        are rejected again and again costs a few times its calls, not their square."""
        self._asked: Sequence[Step] = ()
        self._outcomes: list[Outcome] = []
        self._marks: list[int] = []
        self._at = 0
        self._told: list[Write] = []
        """Everything in the worker's overlay of this block; before the call of each outcome, ``marks`` of them."""
        self._agreed = 0
        """So many of them are the block's writes."""

    def foresee(self, steps: Sequence[Step]) -> None:
        """These are next, in place of what was foreseen and has not run."""
        self._steps, self._calls_max = steps, max(1, len(steps))

    def awaits(self, call: Call) -> bool:
        """Whether the outcome of this call is the next that the worker will tell."""
        at = self._at
        return at == len(self._outcomes) < len(self._asked) and self._asked[at].call == call

    def fits(self, call: Call) -> bool:
        """Whether the next outcome is this call's, and rests on the writes that there are."""
        at = self._at
        if at >= len(self._outcomes) or self._asked[at].call != call or len(self.writes) != self._marks[at]:
            return False
        return self.agreed() == self._marks[at]

    def outcome(self) -> Outcome:
        return self._outcomes[self._at]

    def next(self) -> None:
        self._at += 1

    def agreed(self) -> int:
        """How many of the block's writes, from the first on, are the worker's too."""
        at, most = self._agreed, min(len(self.writes), len(self._told))
        while at < most and self.writes[at] == self._told[at]:
            at += 1
        self._agreed = at
        return at

    def ahead(self, call: Call) -> list[Step]:
        """This call and what is foreseen after it, as much as is to be asked at once."""
        if self._outcomes:
            all_served = self._at == len(self._outcomes)
            self._calls_max = self._calls_max * 2 if all_served else max(1, self._calls_max // 2)
        if call.kind == "migrate":  # what it comes to is written before the next call, which nobody foresees
            return [Step((), call)]
        later = [step for step in self._steps if step.call.index > call.index]
        due = sum(step.call.kind == "deadline" for step in self._steps)
        if due > SURE_DEADLINES_MAX and call.kind != "transaction":
            later = [step for step in later if step.call.kind != "transaction"]
        return [Step((), call), *later[: self._calls_max - 1]]

    def begin(self, steps: Sequence[Step]) -> None:
        """The worker begins with the block's writes as they are, and runs these steps."""
        self._asked, self._outcomes, self._at = steps, [], 0
        self._told, self._marks, self._agreed = [*self.writes], [], len(self.writes)

    def hear(self, outcomes: Sequence[Outcome]) -> None:
        """The worker has come so far."""
        for outcome in outcomes:
            step = self._asked[len(self._outcomes)]
            self._outcomes.append(outcome)
            self._told += step.before
            self._marks.append(len(self._told))
            if outcome.code == OK:
                index = step.call.index
                self._told += [(key, index, value) for key, value in outcome.writes.items()]

    def drop(self) -> None:
        """The worker is gone, and nothing that it said counts."""
        self._asked, self._outcomes, self._told, self._agreed = (), [], [], 0


def planned(call: Call, before: Sequence[Write]) -> PlannedCall:
    """As it is sent. Arguments may hold ten thousand containers: marshal goes through them as fast as a text is copied,
    takes what is no value too, and leaves to the worker to charge for them and to say what they are."""
    return PlannedCall(
        before=tuple(before),
        contract=call.contract,
        function=call.function,
        args=marshal.dumps(call.args),
        signers=call.signers,
        tx_id=call.tx_id,
        gas_limit=call.gas_limit,
        index=call.index,
        kind=call.kind,
    )
