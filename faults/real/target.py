"""Real processes as a target: nodes with sockets, keys and disks of their own, faults by order and by signal.

A run takes as long as its scenario says, times ``pace``: every time in it, of time-outs as of faults, is so many times
as long on the wall, so that a slow machine is given time and expectations stay what they are. Chance in links, lies
and clients comes from the seed; what the system does in between, nobody can repeat.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType

from faults.observation import Accusation, Observation, Operation
from faults.real.checks import Remains, accusations, read_remains, violations
from faults.real.clients import Nuisance, RealClient
from faults.real.disk import DiskFault
from faults.real.governor import Governor
from faults.real.lab import START_TIMEOUT_S, Lab, NotStarted
from faults.real.liar import LIES
from faults.real.limits import CAN_LIMIT
from faults.real.proxy import Proxies
from faults.real.records import Records, Stopwatch
from faults.real.stage import Stage, configuration_of, ports_for, set_up
from faults.real.timeline import Timeline
from faults.real.wiring import Wiring
from faults.scenario import WIRED, Execution, Scenario, Topology
from faults.target import Unfit
from pbft.quorum import quorum
from sdk.configuration import ConfigurationError
from sdk.ports import BLOCK_FIRST, claim_ports
from sim import contract
from sim.history import Operation as History
from sim.plan import CALM_TIMEOUTS_MAX, TIMEOUT_MS_MAX, chance_of

PACE = 2.0
LOOK_MS = 100
"""How often a lab in calm looks whether everything has happened."""
CALM_MS_MAX = CALM_TIMEOUTS_MAX * TIMEOUT_MS_MAX
NODES_MAX = 10
LIMITED = ("few_files", "little_memory")
PREFIX = "wattq-faults-"


class ProcessTarget:
    """Every run is a network of its own, which is gone afterwards; ``keep``: a directory in which it stays."""

    name, jobs, waits = "processes", 1, False

    def __init__(self, pace: float = PACE, keep: Path | None = None) -> None:
        self._pace, self._keep = pace, keep

    def check(self, scenario: Scenario) -> None:
        """Raises ``Unfit`` for what real nodes cannot be made to do."""
        for key, why in _unfit(scenario):
            raise Unfit(f"{scenario.name}: {key}: {why}, so this scenario is for the simulator")
        try:
            configuration_of(scenario, self._pace, BLOCK_FIRST)
        except ConfigurationError as error:
            raise Unfit(f"{error}, so this scenario is for the simulator") from None

    def run(self, scenario: Scenario, seed: int) -> Observation:
        """``SIGTERM`` ends it as an interrupt does: with everything that it has started, however often it is said."""
        before = signal.signal(signal.SIGTERM, _interrupt_once)
        try:
            return asyncio.run(self._run(scenario, seed))
        finally:
            signal.signal(signal.SIGTERM, before)

    async def _run(self, scenario: Scenario, seed: int) -> Observation:
        with claim_ports(ports_for(scenario)) as ports, self._place(scenario, seed) as place:
            leash, held = os.pipe()
            try:
                stage = set_up(place, scenario, self._pace, ports.first, leash, seed)
                return await Run(scenario, stage, seed, self._pace, leash).play()
            finally:
                os.close(held)
                os.close(leash)

    @contextmanager
    def _place(self, scenario: Scenario, seed: int) -> Iterator[Path]:
        if self._keep is None:
            with tempfile.TemporaryDirectory(prefix=PREFIX) as made:
                yield Path(made) / "net"
        else:
            kept = self._keep / f"{scenario.name}-{seed}"
            shutil.rmtree(kept, ignore_errors=True)
            yield kept


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, lambda number, frame: None)
    raise KeyboardInterrupt


def _unfit(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """(key, why) of everything that real nodes cannot do."""
    topology = scenario.topology
    for number, liar in enumerate(topology.byzantine):
        where = f"topology.byzantine[{number}]"
        if liar.behaviour not in LIES:
            yield f"{where}.behaviour", f"no real node can show {liar.behaviour!r} (wattq lab lies names those it can)"
        if liar.options:
            yield f"{where}.options", "a real node's lies have no options"
    if topology.twins:
        yield "topology.twins", "two real nodes cannot listen with one identity"
    if topology.mutated:
        yield "topology.mutated", "real links carry messages as they are"
    if topology.partitions_of_views:
        yield "topology.partitions_of_views", "real links do not know of which view a message is"
    if topology.execution != Execution():
        yield "topology.execution", "real nodes execute as fast as they can"
    if not CAN_LIMIT and any(fault.fault in LIMITED for fault in scenario.timeline):
        yield "timeline", "this system lets nobody limit another process"
    if topology.places > NODES_MAX:
        yield "topology", f"more than {NODES_MAX} processes"


class Run:
    """One run, from the first process to the last."""

    def __init__(self, scenario: Scenario, stage: Stage, seed: int, pace: float, leash: int) -> None:
        topology = scenario.topology
        self._scenario, self._stage, self._seed = scenario, stage, seed
        self._watch = Stopwatch(pace)
        self._records = Records(topology.places, topology.liars, self._watch)
        wiring = Wiring(topology.places, topology.weather, pace)
        self._lab = lab = Lab(
            stage.cluster, _lies(topology), wiring, self._records, seed, leash, _proxies(scenario, stage, pace, seed)
        )
        disks = _disks(topology, pace)
        lab.disks = dict.fromkeys(range(topology.places), disks)
        lab.clocks_ms.update({place: int(ms * pace) for place, ms in enumerate(topology.clocks_ms)})
        urls = [stage.cluster.rest_url(name) for name in stage.cluster.names]
        self._clients = [
            RealClient(
                number, key, urls, stage.genesis, self._records, seed, stage.traders[number] if stage.traders else None
            )
            for number, key in enumerate(stage.clients)
        ]
        self._governor = Governor(stage, lab, seed)
        self._nuisance = Nuisance(urls, self._records, chance_of(seed, "bad requests"))
        self._timeline = Timeline(scenario, stage, lab, self._governor, self._nuisance, self._clients)
        self._settled_ms: int | None = None
        self._client_failed: Exception | None = None

    async def play(self) -> Observation:
        """The scenario's faults, then calm until everything has happened, or for as long as it may take. A network
        that does not start is a run that broke."""
        try:
            frames, ended_ms = await self._play()
        except NotStarted as error:
            return self._observation(0, 0, (str(error),))
        for failure in (self._timeline.failure, self._client_failed):
            if failure is not None:
                raise failure  # the lab's own, and no verdict on the nodes
        remains = await asyncio.to_thread(self._remains)
        broken = violations(self._scenario, self._records, remains, self._settled_ms)
        return self._observation(frames, ended_ms, broken, tuple(accusations(self._records, remains)))

    async def _play(self) -> tuple[int, int]:
        """How many frames nodes sent, and when it ended."""
        async with self._running():
            self._watch.begin()
            self._timeline.begin()
            workload = self._scenario.workload
            work = [asyncio.create_task(client.run(workload.operations, workload.kind)) for client in self._clients]
            try:
                await asyncio.sleep(self._watch.seconds(self._scenario.faults_end_ms))
                await self._timeline.exhaust()
                await self._timeline.calm()
                await self._wait_until_whole()
                await self._wait_until_settled()
                frames = await self._lab.count_frames()
                return frames, self._watch.ms()
            finally:
                for task in work:
                    task.cancel()
                ended = await asyncio.gather(*work, return_exceptions=True)
                self._client_failed = next((each for each in ended if isinstance(each, Exception)), None)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """All nodes run inside, and none afterwards, however it ends."""
        self._lab.traps = self._timeline.traps()
        try:
            await self._stage.services.listen()
            await self._lab.start_all()
            yield
        finally:
            await self._timeline.close()
            await self._lab.close()
            await self._stage.services.close()
            await asyncio.gather(*(client.close() for client in self._clients))
            await self._governor.close()
            await self._nuisance.close()

    async def _wait_until_whole(self) -> None:
        """What a process takes to start is the machine's business: the calm begins when all run."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._lab.is_whole and time.monotonic() < deadline_s:  # noqa: ASYNC110  # or time is the condition
            await asyncio.sleep(self._watch.seconds(LOOK_MS))
        self._records.calm_ms = self._watch.ms()

    async def _wait_until_settled(self) -> None:
        calm_ms = self._records.calm_ms or self._scenario.faults_end_ms
        end_ms = calm_ms + CALM_MS_MAX
        probe: asyncio.Task[object] | None = None
        try:
            while self._watch.ms() < end_ms:
                if probe is None and all(client.idle for client in self._clients):
                    probing = self._clients[0].invoke(contract.NAME, "add", {"cell": contract.TOTAL, "amount": 1})
                    probe = asyncio.create_task(probing)
                if probe is not None and probe.done() and self._is_settled():
                    self._settled_ms = self._watch.ms() - calm_ms
                    return
                await asyncio.sleep(self._watch.seconds(LOOK_MS))
        finally:
            if probe is not None:
                probe.cancel()
                await asyncio.gather(probe, return_exceptions=True)

    def _is_settled(self) -> bool:
        """Everything asked for is answered, every honest node holds it certified, every honest validator votes, and a
        quorum is in one view, where liars may stand too."""
        records, lab = self._records, self._lab
        standing = [place for place in records.honest if place not in lab.retired]
        if not self._timeline.is_governed or set(standing) - set(lab.up):
            return False
        height = max([self._governor.boundary, *(operation.height for operation in records.history)])
        seen = [records.latest[place] for place in standing]
        if any(each.certified < height or (each.voter and not each.votes) for each in seen):
            return False
        views = Counter((each.epoch, each.view) for each in seen if each.voter and each.active)
        needed = quorum(sum(each.voter for each in seen) + len(records.liars)) - len(records.liars)
        return bool(views) and max(views.values()) >= needed

    def _remains(self) -> Remains:
        """What honest nodes have left on disk."""
        lab = self._lab
        homes = {place: lab.home(place) for place in self._records.honest if place not in lab.retired}
        return read_remains(self._stage.genesis, homes, frozenset(lab.excused))

    def _observation(
        self, frames: int, ended_ms: int, broken: tuple[str, ...], accused: tuple[Accusation, ...] = ()
    ) -> Observation:
        scenario, records = self._scenario, self._records
        return Observation(
            target=ProcessTarget.name,
            scenario=scenario.name,
            seed=self._seed,
            nodes=scenario.topology.places,
            liars=tuple(sorted(records.liars)),
            faults_end_ms=records.calm_ms or scenario.faults_end_ms,
            ended_ms=ended_ms,
            settled_ms=self._settled_ms,
            struck=tuple(records.struck),
            befallen=records.befallen,
            commits=tuple(records.commits),
            stands=tuple(records.stands),
            operations=tuple(_operation(each) for each in records.history),
            accusations=accused,
            cries=tuple(records.cries),
            violations=broken,
            view_changes=records.view_changes,
            transfers=records.transfers,
            messages=frames,
        )


def _lies(topology: Topology) -> dict[int, tuple[str, ...]]:
    """Of each liar, what it does, in turn."""
    return {
        place: tuple(liar.behaviour for liar in topology.byzantine if liar.node == place)
        for place in sorted(topology.liars)
    }


def _proxies(scenario: Scenario, stage: Stage, pace: float, seed: int) -> Proxies | None:
    """Something on the way between nodes, where a fault befalls bytes there."""
    if not any(fault.fault in WIRED for fault in scenario.timeline):
        return None
    ports = [stage.cluster.section(name).peer_port for name in stage.cluster.names]
    return Proxies(ports, pace, lambda name: chance_of(seed, f"proxy/{name}"))


def _disks(topology: Topology, pace: float) -> DiskFault:
    disks = topology.disks
    slow_ms = int(disks.fsync_ms_max * pace) if disks.fsync_ms_max != type(disks)().fsync_ms_max else 0
    return DiskFault(fsync_ms_max=slow_ms, power_cut=disks.power_cut, torn=disks.torn)


def _operation(each: History) -> Operation:
    answered_ms = None if each.waited_ms is None else each.asked_ms + each.waited_ms
    return Operation(each.client, each.function, each.asked_ms, answered_ms, each.code, each.height)
