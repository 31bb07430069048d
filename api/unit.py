"""One ledger of a node with everything that serves it; the main channel's and every other one's alike.

Consensus is not here: it is given the ledger, calls back when blocks are certified, and answers through ``Consensus``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from api.enrolment import Office
from api.metrics import NodeMetrics
from api.proposal_files import ProposalFiles
from api.reporter import Report, Reporter
from api.service import NodeService
from api.sessions import Sessions
from api.statedb import open_state_database
from api.submissions import Submissions
from ca.keys import SigningKey
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope
from ledger.execution import OK, Machine, Validator
from ledger.genesis import Genesis
from ledger.ledger import CommittedBlock
from ledger.opening import open_ledger
from ledger.statedb.projector import Projector
from ledger.storage import Storage
from sdk.client import AsyncClient
from sdk.configuration import Configuration
from sdk.diagnosis import Diagnosis
from sdk.methods import NodeStatus, StateDatabaseStatus
from sdk.rounds import Rounds
from sdk.transports import connect

VERSION = version("wattquorum")
PROPOSALS = "proposals"
"""Below the data."""
"""Read once: the metadata are a file."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all ledgers of a node share: its name and key, its configuration, the socket on which it answers, the
    addresses by which clients know it, the registry in which every room puts its metrics, and those of consensus,
    ledger and state database."""

    name: str
    key: SigningKey
    configuration: Configuration
    socket: Path
    addresses: frozenset[str]
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    watch: NodeMetrics = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "watch", NodeMetrics(self.metrics, self.name, VERSION))


class Consensus(Protocol):
    """The replica that a node runs for one ledger."""

    async def submit(self, requests: Sequence[Any], /) -> list[bool]:
        """Hand requests to the ordering module; False for each that finds no room."""

    async def hand_over(self, data: bytes, /) -> int | None: ...

    def status(self) -> NodeStatus: ...

    def diagnosis(self) -> Diagnosis: ...

    def rounds(self) -> Rounds: ...

    def epoch(self) -> int: ...


class Unit:
    """Opening one blocks, and may be done in a thread. Then ``start``, ``attach`` and ``run`` in the event loop, once
    each, and ``close``."""

    def __init__(
        self,
        site: Site,
        genesis: Genesis,
        data: Path,
        storage: Callable[[], Storage],
        machine: Machine,
        validator: Validator,
        channel: str = "",
    ) -> None:
        """``storage`` locks the directory ``data``. ``channel`` is empty for the main one."""
        configuration = site.configuration
        self.site, self.genesis, self.data, self.channel = site, genesis, data, channel
        history_blocks = configuration.limits.history_blocks
        self.ledger, self.damaged = open_ledger(storage, genesis, machine, validator, history_blocks)
        self.database = open_state_database(configuration, site.name, data, genesis)
        lag_max = configuration.state.lag_max
        self.projector = Projector(self.database, self.ledger.snapshot, *lag_max, self.ledger.mark)
        self.sessions = Sessions(genesis.chain_id, configuration.limits.sessions_max, site.addresses)
        self.submissions = Submissions(self.ledger, self._order, configuration.limits.client_requests_per_s_max)
        self.measures = site.watch.measuring(genesis.channel)
        self.ledger.on_commit.append(self._committed)
        self.ledger.on_install.append(self.projector.resync)

    def attach(self, consensus: Consensus, office: Office | None = None) -> None:
        """``office``: where enrolment is answered, if it is here."""
        self._consensus, self._loop = consensus, asyncio.get_running_loop()
        client = AsyncClient([connect(f"unix:{self.site.socket}")], self.genesis, self.site.key, self.channel)
        self._reporter = Reporter(client, consensus.epoch)
        self.service = NodeService(
            ledger=self.ledger,
            database=self.database,
            projector=self.projector,
            submissions=self.submissions,
            sessions=self.sessions,
            status=consensus.status,
            office=office,
            hand_over=consensus.hand_over,
            diagnose=consensus.diagnosis,
            rounds=consensus.rounds,
            is_main=not self.channel,
            proposals=ProposalFiles(self.data / PROPOSALS),
        )
        self.site.watch.add(self.genesis.channel, consensus.status)
        streams, hub = self.site.watch.measures.streams, self.service.hub
        streams.labels(self.genesis.channel).set_function(lambda: hub.count)

    def start(self) -> None:
        self.projector.start()

    async def run(self, consensus: Coroutine[Any, Any, None]) -> None:
        """Consensus, and reports beside it, until consensus ends."""
        async with asyncio.TaskGroup() as tasks:
            reports = tasks.create_task(self._reporter.run())
            await consensus
            reports.cancel()

    def close(self) -> None:
        self.site.watch.remove(self.genesis.channel)
        self.site.watch.measures.streams.remove(self.genesis.channel)
        self.projector.stop()
        self.database.close()
        self.ledger.close()

    def report(self, report: Report) -> None:
        """Have a primary reported, soon."""
        self._reporter.offer(report)

    def status(self, **consensus: Any) -> NodeStatus:
        """What this node says of this ledger, with what ``consensus`` says of itself."""
        ledger, projector = self.ledger, self.projector
        return NodeStatus(
            name=self.site.name,
            version=VERSION,
            chain=self.genesis.chain_id.hex(),
            channel=self.genesis.channel,
            executed_height=ledger.height,
            certified_height=ledger.certified_height,
            state_root=ledger.state_root.hex(),
            block_time_ms=ledger.time_ms,
            state_database_height=projector.height,
            state_database=StateDatabaseStatus(**asdict(projector.progress())),
            first_height=ledger.first_height,
            **consensus,
        )

    async def _order(self, envelopes: Sequence[Envelope]) -> list[Refusal | None]:
        taken = await self._consensus.submit([self.ledger.intake.request(envelope) for envelope in envelopes])
        return [None if good else Refusal(RefusalCode.POOL_FULL) for good in taken]

    def _committed(self, block: CommittedBlock) -> None:
        """On the execution thread."""
        good = sum(result.code == OK for result in block.results[len(block.results) - len(block.tx_ids) :])
        self.measures.executed(block.height, good, len(block.tx_ids) - good)
        self.projector.offer(block.height, block.changes)
        self._loop.call_soon_threadsafe(self.submissions.on_commit, block.height, block.tx_ids)
