"""A lab's processes: real nodes that a scenario starts, kills, pauses and orders about, each watched while it runs."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cluster import LAB_NODE, Cluster
from faults.real.control import LINE_BYTES_MAX, LabError, Order, give, lab_socket
from faults.real.disk import POWER_CUT_CODE, DiskFault
from faults.real.limits import Limits
from faults.real.proxy import Proxies
from faults.real.records import Records
from faults.real.watch import Cried, Seen, Sprung, Trap, decode_event
from faults.real.wiring import Wiring

LOOK_S = 0.05
"""How often a lab looks whether its nodes run."""
START_TIMEOUT_S = 300.0
SEEDS = 1 << 31
GUARD = 'while read -r line; do :; done; kill -CONT "$0"'
"""Waits until nobody holds the leash any more, and wakes a process that stands still."""
RESTARTS_MAX = 5
"""A node that is excused for ending, on a damaged or full disk, is started again so often, as a supervisor would."""
REPAIR_MS = 300
"""How long a node takes to come back by itself after a power cut, and after an excused end."""


class NotStarted(Exception):
    """The network did not come up; the sentence begins with the property that this breaks."""


class Lab:
    """The nodes by place. ``close`` ends everything. ``on_sprung(number)`` hears of traps. ``proxies``: what stands
    on the way between nodes, None where nothing does."""

    def __init__(
        self,
        cluster: Cluster,
        lies: dict[int, tuple[str, ...]],
        wiring: Wiring,
        records: Records,
        seed: int,
        leash: int,
        proxies: Proxies | None = None,
    ) -> None:
        self.proxies = proxies
        self.cluster, self.wiring, self.records = cluster, wiring, records
        self.names = cluster.names
        self.places = {name: place for place, name in enumerate(self.names)}
        self.clocks_ms = dict.fromkeys(self.places.values(), 0)
        self.drifts: dict[int, int] = {}
        """ms a second that clocks gain."""
        self.disks: dict[int, DiskFault] = {}
        self.traps: tuple[Trap, ...] = ()
        self.excused: set[int] = set()
        """Whose disk was damaged or full: they may end by themselves."""
        self.retiring = False
        """Whether a change of validators was ordered, after which nodes may end."""
        self.retired: set[int] = set()
        self.on_sprung: Callable[[int], None] = lambda number: None
        self._lies, self._seed, self._leash = lies, seed, leash
        self._lives = dict.fromkeys(self.places.values(), 0)
        self._wanted: set[int] = set()
        self._heard: set[int] = set()
        """Who has said something since its process began."""
        self._paused: dict[int, subprocess.Popen[bytes]] = {}
        """Who stands still, and who sees to it that it does not for ever."""
        self._restarts: dict[int, int] = {}
        self._limits: dict[int, Limits] = {}
        self._listening: dict[int, asyncio.Task[None]] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------- processes

    def home(self, place: int) -> Path:
        return self.cluster.home(self.names[place])

    @property
    def up(self) -> list[int]:
        """Whose processes run, as far as the lab has it."""
        return sorted(self._wanted)

    @property
    def is_whole(self) -> bool:
        """Whether every honest node runs, or has ended by itself."""
        return bool(self.records.ended) or set(self.records.honest) - self.retired <= self._wanted & self._heard

    async def start_all(self) -> None:
        """Start every node, and wait until each answers; ``NotStarted`` if one does not."""
        if self.proxies is not None:
            await self.proxies.listen()
        for place in self.places.values():
            self.start(place)
        self._keeping = asyncio.create_task(self._keep())
        deadline_s = time.monotonic() + START_TIMEOUT_S
        for name in self.names:
            while self.places[name] not in self.records.latest or await self.cluster.status(name) is None:
                if self.records.ended:
                    raise NotStarted(self.records.ended[0])
                if time.monotonic() > deadline_s:
                    raise NotStarted(f"termination: {name} did not answer within {START_TIMEOUT_S:.0f} s")
                await asyncio.sleep(LOOK_S)

    def start(self, place: int) -> None:
        """Start a node that does not run, with what is in force for it."""
        if place in self._wanted or place in self.retired:
            return
        self._wanted.add(place)
        first = msgspec.json.encode(self._order(place)).decode()
        lab_socket(self.home(place)).unlink(missing_ok=True)
        lies = self._lies.get(place)
        options = ["--byzantine", ",".join(lies)] if lies else []
        if self.proxies is not None:
            doors = {self.names[to]: address for to, address in self.proxies.doors(place).items()}
            options += ["--doors", json.dumps(doors)]
        self._lives[place] += 1
        chance = random.Random(f"{self._seed}/{place}/{self._lives[place]}").randrange(SEEDS)  # each life has its own
        self.cluster.start(self.names[place], LAB_NODE, (*options, "--seed", str(chance), "--order", first))
        self._listening[place] = asyncio.create_task(self._listen(place))

    async def kill(self, place: int) -> None:
        """The process is gone, this very moment."""
        if place not in self._wanted:
            return
        self._forget(place)
        self.cluster.kill(self.names[place])
        await self.cluster.wait_gone(self.names[place])

    def pause(self, place: int) -> None:
        """The process stops where it is; its connections stay. Should this process die meanwhile, it goes on, sees
        that, and ends."""
        pid = self.cluster.pid(self.names[place])
        if place not in self._wanted or place in self._paused or pid is None:
            return
        self._paused[place] = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, str(pid)], stdin=self._leash, start_new_session=True
        )
        self.cluster.kill(self.names[place], signal.SIGSTOP)

    def go_on(self, place: int) -> None:
        if place in self._paused:
            self.cluster.kill(self.names[place], signal.SIGCONT)
            self._dismiss(place)

    def limit(self, place: int, files: int | None = None, memory_mb: int | None = None) -> None:
        """Let the process open so many files more, or take so much memory more, than now; until it ends, or
        ``unlimit``. It may end over that."""
        pid = self.cluster.pid(self.names[place])
        if place not in self._wanted or pid is None:
            return
        self.excused.add(place)
        limits = self._limits.setdefault(place, Limits(pid))
        if files is not None:
            limits.files(files)
        if memory_mb is not None:
            limits.memory(memory_mb)

    def unlimit(self, place: int) -> None:
        limits = self._limits.pop(place, None)
        if limits is not None:
            limits.lift()

    def _dismiss(self, place: int) -> None:
        """Nobody needs to see to a process any more that runs, or is gone."""
        guard = self._paused.pop(place, None)
        if guard is not None:
            guard.kill()
            guard.wait()

    async def close(self) -> None:
        """End every process that this lab has started, whatever state it is in."""
        if self._keeping is not None:
            self._keeping.cancel()
        for task in (*self._listening.values(), *self._late):
            task.cancel()
        for place in list(self._paused):
            self.go_on(place)
        self._wanted.clear()
        await self.cluster.down()
        if self.proxies is not None:
            await self.proxies.close()

    def _forget(self, place: int) -> None:
        self._wanted.discard(place)
        self._heard.discard(place)
        self._dismiss(place)
        self._limits.pop(place, None)
        self._listening.pop(place).cancel()

    async def _keep(self) -> None:
        """See who has ended, and start again whose power went, or whose disk is to blame."""
        while True:
            await asyncio.sleep(LOOK_S)
            for place in list(self._wanted):
                if self.cluster.pid(self.names[place]) is None:
                    self._forget(place)
                    self._ended(place, self.cluster.exit_code(self.names[place]))

    def _ended(self, place: int, code: int | None) -> None:
        records, name = self.records, self.names[place]
        again_s = records.watch.seconds(REPAIR_MS)
        if code == POWER_CUT_CODE:
            records.befallen += 1
            if place in self.disks:
                self.disks[place] = msgspec.structs.replace(self.disks[place], cut_after=None)
        elif code == 0 and self.retiring:
            self.retired.add(place)
            return
        elif place not in self.excused or self._restarts.get(place, 0) >= RESTARTS_MAX:
            if place in records.honest:
                records.ended.append(f"error: {name} ended by itself with exit code {code}: {self._last_words(place)}")
            return
        self._restarts[place] = self._restarts.get(place, 0) + (code != POWER_CUT_CODE)
        asyncio.get_running_loop().call_later(again_s, self._start_again, place)

    def _start_again(self, place: int) -> None:
        if self._keeping is not None and not self._keeping.cancelled():
            self.start(place)

    def _last_words(self, place: int) -> str:
        """The last line of its standard error."""
        try:
            lines = (self.home(place) / "stderr.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it said nothing"
        return lines[-1] if lines else "it said nothing"

    # ---------------------------------------------------------------------------------------------- orders

    def _order(self, place: int) -> Order:
        """Everything that is in force for a node."""
        links = {self.names[to]: fault for to, fault in self.wiring.faults_of(place).items()}
        disk, drift = self.disks.get(place, DiskFault()), self.drifts.get(place, 0)
        return Order(links, disk, self.clocks_ms[place], drift, self.traps)

    async def order_all(self) -> None:
        """Tell every node that runs what is in force now."""
        await asyncio.gather(*(self.order(place) for place in self.up))

    async def order(self, place: int) -> None:
        """Tell one; who does not hear it any more, or is still starting, is told when it starts."""
        if place not in self._wanted or place in self._paused:
            return
        try:
            await give(self.home(place), self._order(place))
        except LabError:
            task = asyncio.create_task(self._tell_late(place))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def count_frames(self) -> int:
        """How many frames the nodes that run have sent since they started."""

        async def sent(place: int) -> int:
            try:
                return (await give(self.home(place), Order())).carried
            except LabError:
                return 0

        return sum(await asyncio.gather(*map(sent, self.up)))

    async def _tell_late(self, place: int) -> None:
        """It is starting: what was said in its options may be old."""
        while place in self._wanted and place not in self._paused:
            await asyncio.sleep(LOOK_S)
            try:
                await give(self.home(place), self._order(place))
            except LabError:
                continue
            return

    # --------------------------------------------------------------------------------------------- hearing

    async def _listen(self, place: int) -> None:
        """Hear of everything that happens in a node, as long as its process lives."""
        path = lab_socket(self.home(place))
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
                break
            except OSError:
                await asyncio.sleep(LOOK_S)
        try:
            writer.write(json.dumps({"watch": True}).encode() + b"\n")
            await reader.readline()  # the answer to the order
            while line := await reader.readline():
                self._hear(place, line)
        except ConnectionError:
            pass  # it has ended
        finally:
            writer.close()

    def _hear(self, place: int, line: bytes) -> None:
        self._heard.add(place)
        event = decode_event(line)
        match event:
            case Seen():
                self.records.see(place, event)
            case Cried():
                self.records.hear(place, event)
            case Sprung():
                self.on_sprung(event.number)
