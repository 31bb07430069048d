"""What a node knows of why nothing is certified: facts of its own, of which ``sdk.why`` makes sentences.

Nodes are named by their names, times are how long ago. Nothing here is proven: a node that lies can lie here too.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["proposal", "prepare", "commit", "execution", "outcome"]
"""What the first block that is not certified waits for: to be proposed, for votes, to be executed, for outcomes."""


class Votes(msgspec.Struct, frozen=True):
    """Who has voted and who has not, of those who may; ``needed``: how many it takes in all."""

    cast: tuple[str, ...]
    missing: tuple[str, ...]
    needed: int


class OpenBlock(msgspec.Struct, frozen=True):
    """The first block without a certificate here. ``for_ms``: how long it has been in this phase; None: unknown."""

    height: int
    view: int
    phase: Phase
    votes: Votes
    for_ms: int | None


class ViewChange(msgspec.Struct, frozen=True):
    """A view that has been asked for and has not begun. ``votes``: VIEW-CHANGEs for it or a later one.
    ``next_in_ms``: when the next one is tried; None as long as too few ask for this one."""

    view: int
    primary: str
    votes: Votes
    for_ms: int | None
    next_in_ms: int | None


class Side(msgspec.Struct, frozen=True):
    """Nodes that executed a block to one outcome."""

    header_hash: str
    state_root: str
    results_hash: str
    nodes: tuple[str, ...]


class Divergence(msgspec.Struct, frozen=True):
    """Outcomes of a block differ. ``hopeless``: whoever still speaks, no quorum can agree."""

    height: int
    sides: tuple[Side, ...]
    silent: tuple[str, ...]
    hopeless: bool


class Write(msgspec.Struct, frozen=True):
    """What a block left under a key here: the SHA-256 (hex) of the value, empty for a deletion."""

    key: str
    value: str


class Finding(msgspec.Struct, frozen=True):
    """``code`` is stable; ``text`` says what is the matter, ``advice`` what to do about it."""

    code: str
    text: str
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """One node's facts about one channel. ``unreachable``: validators that it has no link with.

    ``certified_ms``: how long ago its newest certificate came, or it started. ``patience_ms``: how long blocks may take
    before something is wrong. ``complaints``: who speaks against the present view's primary. ``waiting_ms``: for how
    long the oldest request in the pool has waited. ``writes``: what ``divergence``'s block wrote here, if the caller
    may see keys; ``writes_left_out``: how many more.
    """

    name: str
    channel: str
    chain: str
    epoch: int
    validators: tuple[str, ...]
    quorum: int
    observer: bool
    view: int
    primary: str
    ordered_height: int
    executed_height: int
    certified_height: int
    certified_ms: int
    patience_ms: int
    pool_transactions: int
    waiting_ms: int
    votes: bool
    diverged: bool
    whole: bool
    closed: bool
    unreachable: tuple[str, ...]
    complaints: tuple[str, ...]
    alarms: tuple[str, ...]
    open_block: OpenBlock | None = None
    view_change: ViewChange | None = None
    divergence: Divergence | None = None
    writes: tuple[Write, ...] = ()
    writes_left_out: int = 0
    findings: tuple[Finding, ...] = ()
    """What this node alone makes of it."""

    @property
    def stands_still(self) -> bool:
        return not self.closed and self.certified_ms > self.patience_ms
