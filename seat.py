"""A node's place in one channel: its ledger with what serves it, and the replica that it runs for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from api.reporter import Report
from api.unit import Unit
from ca.certificates import Role
from ca.keys import signer_of
from ledger.authentication import authenticate
from ledger.opening import marking_damage
from pbft.config import OBSERVER, ReplicaConfig
from pbft.disk import DiskFiles
from pbft.driver import Driver
from pbft.epoch import Epoch
from pbft.epoch_logs import EpochLogs
from pbft.evidence import Evidence, EvidenceKind, encode_evidence
from pbft.evidence_store import EvidenceStore
from pbft.exchange import Exchange
from pbft.messages import ExecutionCertificate, Scope
from sdk.clock import clock_of
from sdk.configuration import picked
from sdk.diagnosis import Diagnosis
from sdk.methods import NodeStatus, PeerStatus, TransferStatus, ValidatorRecord
from sdk.rounds import Rounds
from witness import Witness

NEVER_MS = 31_536_000_000


class Seat:
    """Our place in one channel: its ledger with what serves it, and the replica that we run for it."""

    def __init__(self, unit: Unit, home: Path, exchange: Exchange, closed: bool = False) -> None:
        """``home`` may hold the mark of a new place."""
        self.unit, self.closed = unit, closed
        self._site, self._genesis, self._files = unit.site, unit.genesis, DiskFiles(unit.data)
        admits = self._admits if unit.channel else exchange.transport.admits
        self.port = exchange.open(unit.genesis.chain_id, admits)
        self.driver = Driver(
            self._replica_config,
            unit.site.key,
            EpochLogs(self._files.below("wal"), DiskFiles(home)),
            self.port,
            unit.ledger,
            EvidenceStore(unit.data / "evidence", unit.ledger.boundaries),
            clock_of(unit.site.configuration.clock).now_ms,
            damaged=unit.damaged,
        )
        self.driver.execution.on_certified = self._certified
        self.driver.execution.on_ending = unit.projector.end
        self.driver.on_evidence = self._proven
        self.witness = Witness(self.driver, unit.measures, self.port.connected)
        self.driver.on_step = self.witness.stepped
        self.submit, self.hand_over, self.stop = self.driver.submit, self.driver.hand_over, self.driver.stop

    def _admits(self, key: bytes) -> bool:
        """Observers of a channel are nodes that its operators have admitted."""
        ledger = self.unit.ledger
        return authenticate(ledger.reader(), signer_of(key), (Role.NODE,), ledger.time_ms) is None

    def _replica_config(self, epoch: Epoch, index: int) -> ReplicaConfig:
        """The epoch, and every bound that configuration and genesis have under a field's name; genesis wins."""
        own, names = self._site.configuration, [field.name for field in fields(ReplicaConfig)]
        bounds = picked(names, own.timers, own.primary, own.limits, self._genesis.limits)
        return ReplicaConfig(
            scope=Scope(self._genesis.chain_id, self._genesis.channel, epoch.number),
            validators=epoch.keys,
            index=index,
            first_height=epoch.first_height,
            first_primary=epoch.first_primary,
            skipped=tuple(skip.index for skip in epoch.skipped),
            **bounds | ({"block_idle_ms_max": NEVER_MS} if self.closed else {}),
        )

    def rest(self) -> None:
        """The channel is closed: order what is on its way, and no empty blocks any more."""
        self.closed = True
        self.driver.reconfigure()

    async def run(self) -> None:
        """Serve until ``stop``, or until another validator set has taken over."""
        try:
            with marking_damage(self._files):
                await self.unit.run(self.driver.run())
        finally:
            self.port.close()  # nobody takes in what would still come

    def epoch(self) -> int:
        return self.driver.session.epoch.number

    def diagnosis(self) -> Diagnosis:
        """What this node's replica knows of why nothing is certified."""
        return self.witness.diagnosis(self._site.name, self.closed)

    def rounds(self) -> Rounds:
        """The newest rounds of consensus, as this node's replica saw them."""
        return self.witness.rounds()

    def _certified(self, certificates: Sequence[ExecutionCertificate]) -> None:
        self.unit.submissions.on_certified(certificates[-1].statement.height)

    def _proven(self, evidence: Evidence) -> None:
        """Report it, unless it is no reason to skip anybody: see ``ledger.accusations``."""
        if evidence.kind is EvidenceKind.TWO_OUTCOMES:
            return
        place = self.driver.session.config.index
        if self._site.configuration.primary.report_primaries and place != OBSERVER:
            self.unit.report(Report(evidence.scope.epoch, encode_evidence(evidence), place))

    def status(self) -> NodeStatus:
        """This node's own account of itself."""
        core, epoch, transfer = self.driver.replica.core, self.driver.session.epoch, self.driver.transfer
        names = tuple(validator.name for validator in epoch.validators)
        return self.unit.status(
            index=core.config.index,
            view=core.view,
            view_active=core.active,
            primary=names[core.config.primary(core.view)],
            pool_transactions=len(core.pool),
            peers=tuple(self._peer(i, name) for i, name in enumerate(names) if i != core.config.index),
            rejects=dict(sorted((self.driver.rejects + self.port.drops).items())),
            alarms=tuple(f"{alarm.kind}: {alarm.detail}" for alarm in self.driver.alarms),
            epoch=epoch.number,
            boundary=core.boundary,
            validators=tuple(ValidatorRecord(v.name, v.public_key, v.address) for v in epoch.validators),
            observer=core.config.index == OBSERVER,
            votes=core.votes,
            whole=core.whole,
            closed=core.config.block_idle_ms_max == NEVER_MS,
            transfer=None if transfer is None else TransferStatus(*astuple(transfer)),
            ordered_height=core.ordered,
            pool_bytes=core.pool.held_bytes,
            quorum=core.config.q,
            diverged=core.diverged,
        )

    def _peer(self, index: int, name: str) -> PeerStatus:
        key, told = self.driver.session.epoch.keys[index], self.driver.replica.core.peers.get(index)
        linked, queued_bytes = self.port.connected(key), self.port.queued_bytes(key)
        if told is None:
            return PeerStatus(name, linked, queued_bytes, 0)
        return PeerStatus(name, linked, queued_bytes, told.executed_height, told.certified_height, told.view, True)
