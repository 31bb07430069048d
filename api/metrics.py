"""The metrics that are read when somebody asks: what every channel's status says, as Prometheus families.

Names are ``wattq_<room>_<what>_<unit>``; ``docs/OPERATIONS.md`` has a table of all, which a test compares with this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from api.measures import ChannelMeasures, Measures
from sdk.methods import NodeStatus

StatusOf = Callable[[], NodeStatus]
Row = tuple[tuple[str, ...], float]
"""Values of the labels after ``channel``, and the number."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: how to read it from a status. ``labels``: those beside ``channel``."""

    name: str
    text: str
    read: Callable[[NodeStatus], Sequence[Row]]
    labels: tuple[str, ...] = ()
    counts: bool = False


def _one(name: str, text: str, read: Callable[[NodeStatus], float], *, counts: bool = False) -> Family:
    return Family(name, text, lambda status: (((), float(read(status))),), counts=counts)


def _statedb(name: str, text: str, field: str, scale: float = 1.0, *, counts: bool = False) -> Family:
    """A field of ``state_database``; absent as long as a node says nothing of it."""

    def read(status: NodeStatus) -> Sequence[Row]:
        state = status.state_database
        return () if state is None else (((), float(getattr(state, field)) * scale),)

    return Family(name, text, read, counts=counts)


def _statedb_up(status: NodeStatus) -> Sequence[Row]:
    return () if status.state_database is None else (((), float(not status.state_database.fault)),)


def _peers(name: str, text: str, field: str) -> Family:
    def read(status: NodeStatus) -> Sequence[Row]:
        return tuple(((peer.name,), float(getattr(peer, field))) for peer in status.peers)

    return Family(name, text, read, ("peer",))


def _rejects(status: NodeStatus) -> Sequence[Row]:
    return tuple(((reason,), float(count)) for reason, count in status.rejects.items())


FAMILIES = (
    _one("wattq_consensus_view", "The view that this node is in, or waits for.", lambda s: s.view),
    _one("wattq_consensus_view_active", "1 in a view, 0 while the next one has not begun.", lambda s: s.view_active),
    _one("wattq_consensus_is_primary", "1 if it leads its view.", lambda s: s.view_active and s.primary == s.name),
    _one("wattq_consensus_votes", "1 if this node votes; 0 for observers and the mute.", lambda s: s.votes),
    _one("wattq_consensus_epoch", "The epoch in force.", lambda s: s.epoch),
    _one("wattq_consensus_validators", "Validators of the epoch.", lambda s: len(s.validators)),
    _one("wattq_consensus_quorum", "How many equal votes decide.", lambda s: s.quorum),
    _one("wattq_consensus_sequence", "Up to which sequence batches have committed.", lambda s: s.ordered_height),
    _one("wattq_consensus_pool_transactions", "Transactions that wait to be ordered.", lambda s: s.pool_transactions),
    _one("wattq_consensus_pool_bytes", "Bytes of them.", lambda s: s.pool_bytes),
    Family("wattq_consensus_rejects_total", "What others sent and was refused.", _rejects, ("reason",), counts=True),
    _one("wattq_consensus_diverged", "1 if a certificate contradicts what it executed.", lambda s: s.diverged),
    _peers("wattq_consensus_peer_height", "The block that a peer says to have executed.", "executed_height"),
    _peers("wattq_transport_peer_connected", "1 if there is a link with the peer.", "connected"),
    _peers("wattq_transport_peer_queue_bytes", "Bytes that wait to be sent to the peer.", "queued_bytes"),
    _one("wattq_ledger_height", "The newest executed block.", lambda s: s.executed_height),
    _one("wattq_ledger_certified_height", "The newest certified block.", lambda s: s.certified_height),
    _one("wattq_ledger_first_height", "The lowest block that is held.", lambda s: s.first_height),
    _one("wattq_ledger_block_time_seconds", "The newest block's time, UTC.", lambda s: s.block_time_ms / 1000),
    _one("wattq_ledger_whole", "0 while a snapshot has to replace an unusable ledger.", lambda s: s.whole),
    _one(
        "wattq_ledger_snapshot_chunks_missing",
        "Chunks of the snapshot under way that are to come.",
        lambda s: 0 if s.transfer is None else s.transfer.chunks - s.transfer.staged,
    ),
    Family("wattq_statedb_up", "0 while the state database does not get on.", _statedb_up),
    _statedb("wattq_statedb_height", "The last block that it holds whole.", "height"),
    _statedb("wattq_statedb_lag_blocks", "Blocks that it is behind.", "lag_blocks"),
    _statedb("wattq_statedb_lag_bytes", "Bytes that wait for it.", "lag_bytes"),
    _statedb("wattq_statedb_lag_seconds", "For how long it has been behind.", "lag_ms", 0.001),
    _statedb("wattq_statedb_documents_per_second", "Documents stored, over ten seconds.", "documents_per_s"),
    _statedb("wattq_statedb_documents_total", "Documents stored since the node runs.", "documents", counts=True),
    _statedb("wattq_statedb_resyncs_total", "How often everything was read again.", "resyncs", counts=True),
    _statedb("wattq_statedb_left_out_documents", "Documents that it will not store.", "left_out"),
)


class NodeMetrics(Collector):
    """All of a node. ``add`` a channel when it opens, ``remove`` it when its ledger closes."""

    def __init__(self, registry: CollectorRegistry, name: str, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.measures = Measures(registry)
        self._about = {"node": name, "version": version, "sandbox": ""}
        self._channels: dict[str, StatusOf] = {}
        ProcessCollector(registry=registry)
        registry.register(self)

    def tell_sandbox(self, mode: str) -> None:
        """Where contracts run."""
        self._about["sandbox"] = mode

    def add(self, channel: str, status: StatusOf) -> None:
        self._channels[channel] = status

    def remove(self, channel: str) -> None:
        self._channels.pop(channel, None)

    def measuring(self, channel: str) -> ChannelMeasures:
        """What is told as it happens in a channel."""
        return self.measures.channel(channel)

    def collect(self) -> Iterator[Metric]:
        """Called in the event loop, which everything that it reads belongs to."""
        yield InfoMetricFamily("wattq_node", "This node and its software.", self._about)
        statuses = [(channel, status()) for channel, status in self._channels.items()]
        for family in FAMILIES:
            labels = ["channel", *family.labels]
            kind = CounterMetricFamily if family.counts else GaugeMetricFamily
            metric = kind(family.name, family.text, labels=labels)
            for channel, status in statuses:
                for values, number in family.read(status):
                    metric.add_metric([channel, *values], number)
            yield metric
