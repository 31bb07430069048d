"""What a scenario is: who takes part, what clients do, what goes wrong and when, and what must come of it.

Plain typed data, which TOML files spell (``faults/reading.py``) and every target runs. Nothing here knows of any
target. Times are milliseconds since the start, of virtual or of real time. Nodes are numbered from 0: first the
validators, then the observers, then the second processes of twins.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

PRIMARY = "primary"
"""In a fault's nodes: whoever leads when it strikes."""
ROWS = 21
"""Rows of the reliability table, docs/RELIABILITY.md."""
NODES_MIN, NODES_MAX = 4, 31
SEEDS_MAX = 10_000

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Row: TypeAlias = Annotated[int, Meta(ge=1, le=ROWS)]
Node: TypeAlias = int | Literal["primary"]
Property: TypeAlias = Literal[
    "agreement", "kept", "validity", "integrity", "one vote", "membership", "exactly once", "linearizable", "money",
    "energy", "acknowledged", "innocent", "quiet", "termination", "censorship", "storm", "assertion", "error",
]  # fmt: skip
"""What checkers look after; the last two: a node ended by itself."""
LIVENESS: frozenset[str] = frozenset({"termination", "censorship", "storm"})
"""Those of them that are broken by waiting; all others are safety."""
Message: TypeAlias = Literal[
    "pre-prepare", "prepare", "commit", "outcome", "complaint", "view-change", "new-view", "certified-block",
    "manifest", "chunk",
]  # fmt: skip
Kind: TypeAlias = Literal[
    "crash", "start", "power_cut", "rot", "lose_log", "lose_ledger", "begin_anew", "roll_back",
    "partition", "isolate", "ring", "cut", "join", "clog", "unclog", "weather",
    "clock", "validators", "hand_over", "bad_requests", "resubmit", "pause", "full_disk",
    "wire", "sever", "half_open", "fsync_fails", "drift", "expire", "few_files", "little_memory", "revoke",
]  # fmt: skip
AccusedOf: TypeAlias = Literal[
    "two_proposals", "two_prepares", "two_commits", "two_outcomes", "two_view_changes", "two_new_views", "complaints"
]
AlarmOf: TypeAlias = Literal["diverged", "equivocation", "no_certificate", "amnesia"]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of a scenario's file: no key but the ones here."""


# ------------------------------------------------------------------------------------------------- topology


class Weather(Strict, frozen=True, kw_only=True):
    """What links do to messages, as long as faults last. ``delay_ms``: from .. to."""

    delay_ms: tuple[Count, Count] = (1, 20)
    loss: Share = 0.0
    duplication: Share = 0.0
    slow: Share = 0.0
    """The share that takes up to ``slow_ms_max``, and is overtaken."""
    slow_ms_max: Positive = 1_000

    def __post_init__(self) -> None:
        if self.delay_ms[0] > self.delay_ms[1] or self.delay_ms[0] < 1:
            raise ValueError("delay_ms is [from, to] with 1 <= from <= to")


class Wire(Strict, frozen=True, kw_only=True):
    """What befalls bytes between two nodes, below TLS. ``bytes_per_s``: 0 is no limit. ``damaged_every_bytes``: a bit
    of one byte in so many turns, 0 for none. ``stalled``: nothing passes, and everything waits in its pipe."""

    delay_ms: Count = 0
    bytes_per_s: Count = 0
    damaged_every_bytes: Count = 0
    stalled: bool = False


class Disks(Strict, frozen=True, kw_only=True):
    """What disks do, as long as faults last."""

    fsync_ms_max: Positive = 4
    power_cut: Share = 0.0
    """The chance that the power goes at an operation; the node comes back by itself."""
    torn: Share = 0.5
    """How often a crash leaves a damaged part of what was not synced."""


class Execution(Strict, frozen=True, kw_only=True):
    """How long every node takes to execute."""

    block_ms: Positive = 1
    transaction_ms: Count = 0


class Services(Strict, frozen=True, kw_only=True):
    """What stands beside the nodes. ``down``: nobody answers there; ``hangs``: somebody takes everything and says
    nothing; ``none``: nodes do without, by their embedded database."""

    couchdb: Literal["none", "down", "hangs"] = "none"
    mqtt: Literal["none", "down", "hangs"] = "none"


class Byzantine(Strict, frozen=True, kw_only=True):
    """A node that lies, by a behaviour's name (docs/SIMULATOR.md lists them); several of one node act in turn."""

    node: Count
    behaviour: str
    options: dict[str, int] = {}


class Tuning(Strict, frozen=True, kw_only=True):
    """What differs from the simulator's usual limits; the names are those of cluster.toml and the genesis file."""

    block_idle_ms_max: Positive | None = None
    request_timeout_ms: Positive | None = None
    view_change_timeout_ms: Positive | None = None
    view_change_timeout_ms_max: Positive | None = None
    rotation_blocks: Count | None = None
    snapshot_gap_blocks: Positive | None = None
    primary_share_percent_min: Count | None = None
    checkpoint_interval_blocks: Positive | None = None
    window_blocks: Positive | None = None


class Topology(Strict, frozen=True, kw_only=True):
    """Who takes part. ``twins``: validators that run twice with one key. ``clocks_ms``: how far each node's clock is
    off, from node 0 on. ``mutated``: one validator's messages are slightly wrong, in rounds that the seed draws.
    ``partitions_of_views``: the group of each node, for view 0, view 1, ...; messages of a view stay in their group.
    ``reports``: nodes report liars to governance, which has them lead no more."""

    nodes: Annotated[int, Meta(ge=NODES_MIN, le=NODES_MAX)] = 4
    observers: Annotated[int, Meta(ge=0, le=8)] = 0
    twins: tuple[Count, ...] = ()
    clocks_ms: tuple[int, ...] = ()
    mutated: bool = False
    partitions_of_views: tuple[tuple[Count, ...], ...] = ()
    reports: bool = False
    weather: Weather = Weather()
    disks: Disks = Disks()
    execution: Execution = Execution()
    services: Services = Services()
    byzantine: tuple[Byzantine, ...] = ()
    tuning: Tuning = Tuning()

    @property
    def places(self) -> int:
        """How many processes run."""
        return self.nodes + self.observers + len(self.twins)

    @property
    def observing(self) -> range:
        """The observers' places."""
        return range(self.nodes, self.nodes + self.observers)

    @property
    def tolerated(self) -> int:
        """f: how many validators may be Byzantine."""
        return (self.nodes - 1) // 3

    @property
    def liars(self) -> frozenset[int]:
        return frozenset(liar.node for liar in self.byzantine) | frozenset(self.twins)


class Workload(Strict, frozen=True, kw_only=True):
    """What clients do, each one operation after another. All histories are checked: ``registers`` reads, writes and
    compares-and-swaps two cells; ``counter`` adds to one that must count exactly; ``reads`` mostly reads; ``mixed``
    does all of it; ``bank`` moves money between four accounts, and asks for all of it; on a ``market-day`` people trade
    energy by the shipped contracts, and gateways report what meters counted, on a clock 900 times as fast."""

    kind: Literal["mixed", "registers", "counter", "reads", "bank", "market-day"] = "mixed"
    clients: Annotated[int, Meta(ge=1, le=5)] = 3
    operations: Annotated[int, Meta(ge=1, le=200)] = 8


# ------------------------------------------------------------------------------------------------- timeline


class When(Strict, frozen=True, kw_only=True):
    """What a fault waits for: one of ``height`` (executed by an honest node), ``view`` (one is active in it), ``epoch``
    (one has begun it), or ``sent``: such a message has left for ``copies`` receivers; ``view`` and ``sequence`` then
    say of which view, and of which sequence or height."""

    height: Positive | None = None
    view: Count | None = None
    epoch: Positive | None = None
    sent: Message | None = None
    sequence: Positive | None = None
    copies: Positive = 1

    def __post_init__(self) -> None:
        chosen = [self.height, self.epoch, self.sent] if self.sent else [self.height, self.epoch, self.view]
        if sum(item is not None for item in chosen) != 1:
            raise ValueError("when takes one of height, view, epoch and sent (sent also with view, sequence, copies)")
        if self.sent is None and (self.sequence is not None or self.copies != 1):
            raise ValueError("sequence and copies go with sent")


class Fault(Strict, frozen=True, kw_only=True):
    """One thing that goes wrong: at ``at_ms``, or ``after_ms`` after what it waits for; undone after ``for_ms``."""

    fault: Kind
    name: Name | None = None
    """What expectations call it."""
    at_ms: Count | None = None
    when: When | None = None
    after_ms: Count = 0
    for_ms: Count = 0
    nodes: tuple[Node, ...] = ()
    groups: tuple[tuple[Node, ...], ...] = ()
    links: tuple[tuple[Node, Node], ...] = ()
    """[sender, receiver]: one direction each."""
    weather: Weather | None = None
    wire: Wire | None = None
    operations: Count = 0
    """power_cut: how many operations on the disk still succeed."""
    bit: Count = 0
    """rot: which bit turns, counted over all that is on disk, and round again."""
    by_ms: int = 0
    """clock: how far it jumps. drift: how much it gains, or loses, each second."""
    spare: Count = 0
    """few_files: how many more than are open. little_memory: how many MB more than are used."""
    to: Count | None = None
    """hand_over: who is to lead. validators: who of the new ones leads first, by place in ``nodes``."""
    client: Count | None = None
    """revoke: whose certificate, where it is no node's."""

    def __post_init__(self) -> None:
        if (self.at_ms is None) == (self.when is None):
            raise ValueError("a fault has either at_ms or when")
        if self.at_ms is not None and self.after_ms:
            raise ValueError("after_ms goes with when")
        needed, allowed = ARGUMENTS[self.fault]
        given = {name for name in _ALL_ARGUMENTS if getattr(self, name) not in ((), None, _UNSET.get(name, 0))}
        if missing := needed - given:
            raise ValueError(f"{self.fault} needs {_listed(missing)}")
        if self.fault == "revoke" and (self.client is None) == (not self.nodes):
            raise ValueError("revoke needs either nodes or client")
        if strange := given - needed - allowed:
            more = f"takes {_listed(needed | allowed)}" if needed | allowed else "takes nothing but a time"
            raise ValueError(f"{self.fault} has no {_listed(strange)}; it {more}")

    @property
    def named(self) -> tuple[Node, ...]:
        """Every node that it names."""
        return (*self.nodes, *(node for part in (*self.groups, *self.links) for node in part))


_LASTING = frozenset({"for_ms"})
ARGUMENTS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "crash": (frozenset({"nodes"}), _LASTING),
    "start": (frozenset({"nodes"}), frozenset()),
    "power_cut": (frozenset({"nodes"}), frozenset({"operations"})),
    "rot": (frozenset({"nodes"}), _LASTING | {"bit"}),
    "lose_log": (frozenset({"nodes"}), _LASTING),
    "lose_ledger": (frozenset({"nodes"}), _LASTING),
    "begin_anew": (frozenset({"nodes"}), _LASTING),
    "roll_back": (frozenset({"nodes", "for_ms"}), frozenset()),
    "partition": (frozenset({"groups"}), _LASTING),
    "isolate": (frozenset({"nodes"}), _LASTING),
    "ring": (frozenset({"nodes"}), _LASTING),
    "cut": (frozenset({"links"}), _LASTING),
    "join": (frozenset(), frozenset()),
    "clog": (frozenset({"links"}), _LASTING),
    "unclog": (frozenset({"links"}), frozenset()),
    "weather": (frozenset({"weather"}), _LASTING | {"nodes"}),
    "clock": (frozenset({"nodes", "by_ms"}), _LASTING),
    "validators": (frozenset({"nodes"}), frozenset({"to"})),
    "hand_over": (frozenset({"to"}), frozenset()),
    "bad_requests": (frozenset({"for_ms"}), frozenset()),
    "resubmit": (frozenset(), frozenset()),
    "pause": (frozenset({"nodes", "for_ms"}), frozenset()),
    "full_disk": (frozenset({"nodes", "for_ms"}), frozenset()),
    "wire": (frozenset({"links", "wire"}), _LASTING),
    "sever": (frozenset({"links"}), _LASTING),
    "half_open": (frozenset({"links"}), frozenset()),
    "fsync_fails": (frozenset({"nodes", "for_ms"}), frozenset()),
    "drift": (frozenset({"nodes", "by_ms"}), _LASTING),
    "expire": (frozenset({"nodes", "for_ms"}), frozenset()),
    "few_files": (frozenset({"nodes", "for_ms"}), frozenset({"spare"})),
    "little_memory": (frozenset({"nodes", "for_ms"}), frozenset({"spare"})),
    "revoke": (frozenset(), frozenset({"nodes", "client"})),
}
"""Of each kind of fault: the keys that it needs, and those that it may have."""
_ALL_ARGUMENTS = (
    "for_ms", "nodes", "groups", "links", "weather", "wire", "operations", "bit", "by_ms", "spare", "to", "client",
)  # fmt: skip
_UNSET: dict[str, int | None] = {"to": None, "client": None}
"""What an argument is when it is not given, where that is not 0: ``to`` may be node 0."""
WIRED = frozenset({"wire", "sever", "half_open"})
"""Faults of the bytes between nodes, for which something stands on the way."""
GOVERNING = frozenset({"validators", "hand_over", "revoke"})
"""Entries of the timeline that are orders of operators, and no faults."""


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


# --------------------------------------------------------------------------------------------- expectations


class Window(Strict, frozen=True, kw_only=True):
    """A stretch of time, in ms: since the start, or since the fault named ``after`` struck."""

    from_ms: Count = 0
    to_ms: Positive
    after: Name | None = None

    def __post_init__(self) -> None:
        if self.to_ms <= self.from_ms:
            raise ValueError("to_ms is after from_ms")


class Change(Strict, frozen=True, kw_only=True):
    """A view must begin within so many ms, of the fault named ``after`` or of the start."""

    within_ms: Positive
    after: Name | None = None


class Accused(Strict, frozen=True, kw_only=True):
    """Signed evidence of a lie, which some honest node must hold: against whom, and of what."""

    node: Count
    of: AccusedOf | None = None


class Expect(Strict, frozen=True, kw_only=True):
    """What must come of it. ``outcome``: everything ``holds``, or a property in ``breaks`` is seen to fail."""

    outcome: Literal["holds", "breaks"] = "holds"
    breaks: tuple[Property, ...] = ()
    commits: tuple[Window, ...] = ()
    """In each window a block must commit."""
    no_commits: tuple[Window, ...] = ()
    """In each window none may."""
    blocks_min: Count = 0
    operations_min: Count = 0
    """Of clients, that were acknowledged."""
    view_change: Change | None = None
    no_view_change: bool = False
    recovers_within_ms: Positive | None = None
    """After the faults have ended."""
    served_within_ms: Positive | None = None
    """Every acknowledged operation, since its client asked first."""
    accused: tuple[Accused, ...] = ()
    alarm: AlarmOf | None = None
    transfers_min: Count = 0
    """Ledgers that a snapshot took the place of."""
    epoch_min: Count = 0

    def __post_init__(self) -> None:
        if (self.outcome == "breaks") != bool(self.breaks):
            raise ValueError('breaks lists properties with outcome = "breaks", and only then')
        if self.no_view_change and self.view_change is not None:
            raise ValueError("view_change and no_view_change exclude each other")


class Scenario(Strict, frozen=True, kw_only=True):
    """One situation for testers, whole: the same for every target."""

    name: Name
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    covers: Annotated[tuple[Row, ...], Meta(min_length=1)]
    """Rows of the reliability table."""
    about: str = ""
    topology: Topology = Topology()
    workload: Workload = Workload()
    faults_end_ms: Annotated[int, Meta(ge=100, le=600_000)] = 5_000
    """Then links and disks become good and everyone who is down starts; only liars lie on, and clocks stay wrong."""
    timeline: tuple[Fault, ...] = ()
    expect: Expect = Expect()
    seeds: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=SEEDS_MAX)] = (1, 2, 3)

    def __post_init__(self) -> None:
        for number, fault in enumerate(self.timeline):
            self._check_fault(f"timeline[{number}]", fault)
        self._check_topology()
        names = [fault.name for fault in self.timeline if fault.name is not None]
        if len(set(names)) < len(names):
            raise ValueError("timeline: two faults have one name")
        for where, after in self._references():
            if after not in names:
                raise ValueError(f"{where}: no fault of the timeline is named {after!r}; named are: {names}")

    def _check_fault(self, where: str, fault: Fault) -> None:
        places = self.topology.places
        if strange := [node for node in fault.named if node != PRIMARY and not 0 <= int(node) < places]:
            raise ValueError(f"{where}: there is no node {strange[0]}; nodes are 0 to {places - 1}, or {PRIMARY!r}")
        if fault.at_ms is not None and fault.at_ms >= self.faults_end_ms:
            raise ValueError(f"{where}.at_ms: {fault.at_ms} is not before faults_end_ms, {self.faults_end_ms}")
        if fault.fault == "begin_anew" and not set(fault.nodes) <= self.topology.liars:
            raise ValueError(f"{where}: only a Byzantine node begins anew; an honest one's operator never lets it")
        if fault.fault == "validators" and PRIMARY in fault.nodes:
            raise ValueError(f"{where}: validators are named by number")
        if fault.client is not None:
            self._check_revoked(f"{where}.client", fault.client)

    def _check_revoked(self, where: str, client: int) -> None:
        workload = self.workload
        if workload.kind == "market-day":
            raise ValueError(f"{where}: on a market day several keys are a client's")
        if not 1 <= client < workload.clients:
            others = f"from 1 to {workload.clients - 1}" if workload.clients > 1 else "beside client 0"
            raise ValueError(f"{where}: there is no client {client} {others}; client 0 asks last whether all is well")

    def _check_topology(self) -> None:
        topology = self.topology
        if strange := [node for node in topology.liars if node >= topology.nodes]:
            raise ValueError(f"topology: node {strange[0]} is no validator; those are 0 to {topology.nodes - 1}")
        if len(topology.clocks_ms) > topology.places:
            raise ValueError(f"topology.clocks_ms: more clocks than the {topology.places} nodes")
        for number, groups in enumerate(topology.partitions_of_views):
            if len(groups) != topology.places:
                raise ValueError(
                    f"topology.partitions_of_views[{number}]: one group for each of {topology.places} nodes"
                )
        if strange := [accused.node for accused in self.expect.accused if accused.node >= topology.nodes]:
            raise ValueError(f"expect.accused: node {strange[0]} is no validator")

    def _references(self) -> list[tuple[str, str]]:
        """(where, fault's name) of everything that refers to a fault."""
        expect = self.expect
        windows = [("expect.commits", w.after) for w in expect.commits]
        windows += [("expect.no_commits", w.after) for w in expect.no_commits]
        if expect.view_change is not None:
            windows.append(("expect.view_change", expect.view_change.after))
        return [(where, after) for where, after in windows if after is not None]
