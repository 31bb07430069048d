"""What a run of a scenario came to, as any target tells it: plain data, from which alone the verdict is made."""

from __future__ import annotations

import msgspec


class Strike(msgspec.Struct, frozen=True):
    """An entry of the timeline that happened. ``ended_ms``: when it was undone; None: with all others."""

    at_ms: int
    number: int
    """Its place in the timeline."""
    kind: str
    nodes: tuple[int, ...] = ()
    ended_ms: int | None = None


class Commit(msgspec.Struct, frozen=True):
    """The first time that an honest node executed a height."""

    at_ms: int
    height: int


class Stand(msgspec.Struct, frozen=True):
    """A node came to a view. ``active``: it takes part in it; else it has left the one before and waits."""

    at_ms: int
    node: int
    epoch: int
    view: int
    active: bool


class Operation(msgspec.Struct, frozen=True):
    """What a client asked for, and when it had its proof."""

    client: int
    function: str
    asked_ms: int
    answered_ms: int | None
    code: str = ""
    height: int = 0


class Accusation(msgspec.Struct, frozen=True):
    """Evidence against a node: ``of`` is its kind, ``by`` are the honest nodes that hold it; none where it lies in two
    certificates that clients were given."""

    node: int
    of: str
    by: tuple[int, ...]
    said: tuple[str, ...] = ()
    """What the accused signed, in words, of one such proof."""
    proof: str = ""
    """That proof as nodes keep it, in base64: whoever knows the network's keys can check it."""

    @property
    def holders(self) -> str:
        return f"nodes {list(self.by)}" if self.by else "clients"


class Cry(msgspec.Struct, frozen=True):
    """An honest node's alarm."""

    at_ms: int
    node: int
    kind: str
    detail: str


class Observation(msgspec.Struct, frozen=True):
    """One run. ``violations``: checkers' sentences, each beginning with its property and a colon."""

    target: str
    scenario: str
    seed: int
    nodes: int
    """Processes."""
    liars: tuple[int, ...]
    faults_end_ms: int
    ended_ms: int
    settled_ms: int | None
    """How long after the faults' end all that was asked for had happened; None: it never had."""
    struck: tuple[Strike, ...] = ()
    befallen: int = 0
    """Everything that went wrong: entries of the timeline, and power cuts by chance."""
    commits: tuple[Commit, ...] = ()
    stands: tuple[Stand, ...] = ()
    operations: tuple[Operation, ...] = ()
    accusations: tuple[Accusation, ...] = ()
    cries: tuple[Cry, ...] = ()
    violations: tuple[str, ...] = ()
    view_changes: int = 0
    transfers: int = 0
    messages: int = 0
    trace: str = ""
    """A digest of the run, where the target can repeat it."""

    @property
    def broken(self) -> frozenset[str]:
        """The names of the properties that do not hold."""
        return frozenset(violation.partition(":")[0] for violation in self.violations)

    @property
    def acknowledged(self) -> list[Operation]:
        return [operation for operation in self.operations if operation.answered_ms is not None]

    @property
    def lost(self) -> int:
        """Violations that are acknowledged operations which are gone."""
        return sum(violation.startswith("acknowledged:") for violation in self.violations)
