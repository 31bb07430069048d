"""A scenario's timeline on real processes: what each fault does to them, when it strikes, and how it is undone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from faults.observation import Strike
from faults.real import damage, expiry
from faults.real.clients import Nuisance, RealClient
from faults.real.disk import DiskFault
from faults.real.governor import Governor
from faults.real.lab import Lab
from faults.real.proxy import Proxies
from faults.real.records import Barred
from faults.real.stage import Stage
from faults.real.watch import Seen, Trap
from faults.scenario import PRIMARY, Fault, Node, Scenario, Wire
from sim.clients import serial_of

STARTED_AGAIN = frozenset({"crash", "rot", "lose_log", "lose_ledger", "begin_anew"})
LATE_S_MAX = 60.0
LOOK_MS = 50
LASTING_MS_MIN = 500
"""Of the scenario: by then a power cut has come that waits for some operations of a disk."""
JOINED = frozenset({"partition", "isolate", "ring", "cut"})


class Timeline:
    """``calm`` ends it: nothing strikes afterwards, and nothing is left. ``failure``: the lab's own."""

    def __init__(
        self, scenario: Scenario, stage: Stage, lab: Lab, governor: Governor, nuisance: Nuisance,
        clients: Sequence[RealClient],
    ) -> None:  # fmt: skip
        self._scenario, self._stage, self._lab = scenario, stage, lab
        self._governor, self._nuisance, self._clients = governor, nuisance, clients
        self._records = lab.records
        self.failure: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._acting: set[asyncio.Task[None]] = set()
        """What operators have ordered and not had yet: it outlasts the faults."""
        self._expired: set[int] = set()
        """Whose certificate has ended, or is about to."""
        self._revoked: dict[int, int] = {}
        """Whose certificate is revoked, and the block as of which it is."""
        self._waiting = {number: fault for number, fault in enumerate(scenario.timeline) if fault.when is not None}

    def traps(self) -> tuple[Trap, ...]:
        """What nodes are told to look out for."""
        waiting = [(number, fault) for number, fault in self._waiting.items() if fault.when and fault.when.sent]
        return tuple(_trap(number, fault) for number, fault in waiting)

    def begin(self) -> None:
        """The clock runs: strike at times, and when something comes."""
        self._records.on_seen = self._come
        self._lab.on_sprung = self._sprung
        for number, fault in enumerate(self._scenario.timeline):
            if fault.at_ms is not None:
                self._later(fault.at_ms, self._strike(number, fault))
        for place, seen in list(self._records.latest.items()):
            if place in self._records.honest:
                self._come(place, seen)

    @property
    def is_governed(self) -> bool:
        """Whether operators have had what they ordered."""
        return not self._acting

    async def exhaust(self) -> None:
        """What is still waited for comes late on a machine on which processes are slow to start: faults get
        ``LATE_S_MAX`` more to strike, and then the time that they last."""
        late, deadline_s = list(self._waiting), time.monotonic() + LATE_S_MAX
        while self._waiting and time.monotonic() < deadline_s:  # noqa: ASYNC110  # or time is the condition
            await asyncio.sleep(self._records.watch.seconds(LOOK_MS))
        struck = [self._scenario.timeline[number] for number in late if number not in self._waiting]
        lasting_ms = max((fault.after_ms + max(fault.for_ms, LASTING_MS_MIN) for fault in struck), default=0)
        await asyncio.sleep(self._records.watch.seconds(lasting_ms))

    async def calm(self) -> None:
        """The faults end for good: links and disks are well, and everyone is up. Clocks stay wrong."""
        self._waiting.clear()
        await _ended(self._running)
        lab = self._lab
        lab.wiring.heal()
        if lab.proxies is not None:
            lab.proxies.heal()
        lab.disks.clear()
        lab.drifts.clear()
        lab.traps = ()
        self._renew(self._expired)
        for place in lab.places.values():
            lab.unlimit(place)
            lab.go_on(place)
            lab.start(place)
        await lab.order_all()

    async def close(self) -> None:
        """Nothing strikes any more, and operators order nothing."""
        await _ended(self._running)
        await _ended(self._acting)

    # ------------------------------------------------------------------------------------------------ when

    def _come(self, place: int, seen: Seen) -> None:
        """An honest node stands here."""
        for number, fault in list(self._waiting.items()):
            when = fault.when
            assert when is not None, "it waits for something"
            if when.sent:
                continue
            view = seen.view if seen.active else -1
            reached = (when.height, seen.height), (when.epoch, seen.epoch), (when.view, view)
            if any(wanted is not None and have >= wanted for wanted, have in reached):
                self._begin_waited(number, fault)

    def _sprung(self, number: int) -> None:
        fault = self._waiting.get(number)
        if fault is not None:
            self._begin_waited(number, fault)

    def _begin_waited(self, number: int, fault: Fault) -> None:
        del self._waiting[number]
        self._later(self._records.watch.ms() + fault.after_ms, self._strike(number, fault))

    def _later(self, at_ms: int, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            await asyncio.sleep(self._records.watch.seconds_until(at_ms))
            await work

        self._keep(run(), self._running)

    def _act(self, work: Coroutine[Any, Any, None]) -> None:
        self._keep(work, self._acting)

    def _keep(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        def done(task: asyncio.Task[None]) -> None:
            among.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self.failure = error

        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(done)

    async def _strike(self, number: int, fault: Fault) -> None:
        records, lab = self._records, self._lab
        fault = self._resolved(fault)
        nodes = [int(node) for node in fault.nodes]
        at_ms = records.watch.ms()
        ended_ms = at_ms + fault.for_ms if fault.for_ms else None
        named = tuple(dict.fromkeys(int(node) for node in fault.named))
        records.struck.append(Strike(at_ms, number, fault.fault, named, ended_ms))
        records.befallen += 1
        lab.traps = tuple(trap for trap in lab.traps if trap.number != number)
        await STRIKES[fault.fault](self, fault, nodes)
        await lab.order_all()
        if fault.for_ms:
            await asyncio.sleep(records.watch.seconds(fault.for_ms))
            await self._undo(fault, nodes)
            await lab.order_all()

    def _resolved(self, fault: Fault) -> Fault:
        """With the place of whoever leads now where ``PRIMARY`` stands."""
        if PRIMARY not in fault.named:
            return fault
        leader = self._records.primary(self._lab.up, self._lab.places)

        def place(node: Node) -> int:
            return leader if node == PRIMARY else int(node)

        return msgspec.structs.replace(
            fault,
            nodes=tuple(map(place, fault.nodes)),
            groups=tuple(tuple(map(place, group)) for group in fault.groups),
            links=tuple((place(a), place(b)) for a, b in fault.links),
        )

    # ------------------------------------------------------------------------------------------------ what

    async def _undo(self, fault: Fault, nodes: list[int]) -> None:
        lab, kind = self._lab, fault.fault
        if kind in STARTED_AGAIN:
            await self._start(fault, nodes)
        elif kind == "roll_back":
            await self._damage(nodes, lambda node: damage.roll_back(lab.home(node)))
            await self._start(fault, nodes)
        elif kind in JOINED:
            lab.wiring.cut(())
        elif kind == "pause":
            for node in nodes:
                lab.go_on(node)
        elif kind == "full_disk":
            for node in nodes:
                lab.disks[node] = msgspec.structs.replace(lab.disks[node], full=False)
        elif kind == "fsync_fails":
            for node in nodes:
                lab.disks[node] = msgspec.structs.replace(lab.disks[node], fsync_fails=False)
        elif kind == "drift":
            for node in nodes:
                lab.drifts.pop(node, None)
        elif kind == "expire":
            self._renew(nodes)
        elif kind in ("few_files", "little_memory"):
            for node in nodes:
                lab.unlimit(node)
        elif kind == "clog":
            await self._unclog(fault, nodes)
        elif kind == "weather":
            lab.wiring.change_weather(nodes, None)
        elif kind == "clock":
            for node in nodes:
                lab.clocks_ms[node] -= self._wall_ms(fault.by_ms)
        elif kind == "wire":
            self._proxies.put(_links(fault), Wire())
        elif kind == "sever":
            self._proxies.sever(_links(fault), severed=False)

    async def _crash(self, fault: Fault, nodes: list[int]) -> None:
        await asyncio.gather(*map(self._lab.kill, nodes))

    async def _start(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.start(node)

    async def _pause(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.pause(node)

    async def _power_cut(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            now = self._lab.disks.get(node, DiskFault())
            self._lab.disks[node] = msgspec.structs.replace(now, cut_after=fault.operations)

    async def _full_disk(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.excused.add(node)
            now = self._lab.disks.get(node, DiskFault())
            self._lab.disks[node] = msgspec.structs.replace(now, full=True)

    async def _fsync_fails(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.excused.add(node)
            now = self._lab.disks.get(node, DiskFault())
            self._lab.disks[node] = msgspec.structs.replace(now, fsync_fails=True)

    async def _few_files(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.limit(node, files=fault.spare)

    async def _little_memory(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.limit(node, memory_mb=fault.spare)

    async def _expire(self, fault: Fault, nodes: list[int]) -> None:
        """The certificate that a node finds now holds just long enough to be taken up."""
        for node in nodes:
            self._expired.add(node)
            expiry.end_in(self._stage.cluster.directory, self._lab.home(node), expiry.TAKEN_UP_S)

    def _renew(self, nodes: Iterable[int]) -> None:
        for node in list(nodes):
            self._expired.discard(node)
            expiry.renew(self._stage.cluster.directory, self._lab.home(node))

    async def _rot(self, fault: Fault, nodes: list[int]) -> None:
        await self._damage(nodes, lambda node: damage.rot(self._lab.home(node) / "data", fault.bit))

    async def _lose_log(self, fault: Fault, nodes: list[int]) -> None:
        await self._damage(nodes, lambda node: damage.lose_log(self._lab.home(node) / "data"))

    async def _lose_ledger(self, fault: Fault, nodes: list[int]) -> None:
        await self._damage(nodes, lambda node: damage.lose_ledger(self._lab.home(node) / "data"))

    async def _begin_anew(self, fault: Fault, nodes: list[int]) -> None:
        await self._damage(nodes, lambda node: damage.begin_anew(self._lab.home(node)))

    async def _roll_back(self, fault: Fault, nodes: list[int]) -> None:
        """A copy is taken of nodes that are down, which go on until it takes the place of what they have by then."""
        await self._damage(nodes, lambda node: damage.copy(self._lab.home(node)))
        await self._start(fault, nodes)

    async def _damage(self, nodes: list[int], call: Callable[[int], object]) -> None:
        """Crash nodes, and do something to their disks; they may end by themselves from then on."""
        for node in nodes:
            self._lab.excused.add(node)
            await self._lab.kill(node)
            call(node)

    async def _cut_links(self, fault: Fault, nodes: list[int]) -> None:
        wiring = self._lab.wiring
        match fault.fault:
            case "partition":
                wiring.partition([[int(node) for node in group] for group in fault.groups])
            case "isolate":
                wiring.isolate(nodes)
            case "ring":
                wiring.ring(nodes)
            case _:
                wiring.cut(_links(fault))

    async def _clog(self, fault: Fault, nodes: list[int]) -> None:
        self._lab.wiring.hold(_links(fault))

    async def _unclog(self, fault: Fault, nodes: list[int]) -> None:
        self._lab.wiring.let_go(_links(fault))

    async def _weather(self, fault: Fault, nodes: list[int]) -> None:
        self._lab.wiring.change_weather(nodes, fault.weather)

    async def _clock(self, fault: Fault, nodes: list[int]) -> None:
        for node in nodes:
            self._lab.clocks_ms[node] += self._wall_ms(fault.by_ms)

    async def _drift(self, fault: Fault, nodes: list[int]) -> None:
        """``by_ms`` a second of the scenario's is as much a second of the wall's."""
        for node in nodes:
            self._lab.drifts[node] = fault.by_ms

    def _wall_ms(self, ms: int) -> int:
        return int(ms * self._records.watch.pace)

    @property
    def _proxies(self) -> Proxies:
        assert self._lab.proxies is not None, "a scenario with such faults has them"
        return self._lab.proxies

    async def _wire(self, fault: Fault, nodes: list[int]) -> None:
        assert fault.wire is not None, "the fault needs one"
        self._proxies.put(_links(fault), fault.wire)

    async def _sever(self, fault: Fault, nodes: list[int]) -> None:
        self._proxies.sever(_links(fault), severed=True)

    async def _half_open(self, fault: Fault, nodes: list[int]) -> None:
        self._proxies.halve(_links(fault))

    async def _bad_requests(self, fault: Fault, nodes: list[int]) -> None:
        stage = self._stage
        own, other = stage.stranger, stage.operators[0]
        self._later(0, self._nuisance.send_bad_requests(stage.genesis, own, other, fault.for_ms))

    async def _resubmit(self, fault: Fault, nodes: list[int]) -> None:
        self._nuisance.send_again([signed for client in self._clients for signed in client.made])

    async def _validators(self, fault: Fault, nodes: list[int]) -> None:
        self._act(self._replace(nodes, fault.to or 0))

    async def _replace(self, nodes: list[int], first: int) -> None:
        await self._governor.propose(nodes, first)
        self._send_away()

    async def _revoke(self, fault: Fault, nodes: list[int]) -> None:
        if fault.client is not None:
            self._act(self._revoke_client(self._clients[fault.client]))
        else:
            self._act(self._revoke_nodes(nodes))

    async def _revoke_client(self, client: RealClient) -> None:
        """It goes on asking, of every node."""
        height = await self._governor.revoke(serial_of(self._stage.genesis, client.key.public_key))
        if height is not None:
            self._records.barred[client.number] = Barred(client.key.signer, height)
            self._nuisance.send_again(await client.ask_in_vain())

    async def _revoke_nodes(self, nodes: list[int]) -> None:
        """The certificates that they have now."""
        for node in nodes:
            height = await self._governor.revoke(expiry.serial_in(self._lab.home(node)))
            if height is not None:
                self._revoked[node] = height
        self._send_away()

    def _send_away(self) -> None:
        """Nobody serves a node whose certificate is revoked, or waits for it, unless it votes."""
        for node in self._revoked.keys() - self._governor.members - self._lab.retired:
            self._records.sent_away[node] = max(self._revoked[node], self._governor.boundary)
            self._lab.retired.add(node)

    async def _hand_over(self, fault: Fault, nodes: list[int]) -> None:
        self._act(self._governor.hand_over(fault.to or 0))


STRIKES: dict[str, Callable[[Timeline, Fault, list[int]], Awaitable[None]]] = {
    "crash": Timeline._crash,
    "start": Timeline._start,
    "pause": Timeline._pause,
    "power_cut": Timeline._power_cut,
    "rot": Timeline._rot,
    "lose_log": Timeline._lose_log,
    "lose_ledger": Timeline._lose_ledger,
    "begin_anew": Timeline._begin_anew,
    "roll_back": Timeline._roll_back,
    "full_disk": Timeline._full_disk,
    "partition": Timeline._cut_links,
    "isolate": Timeline._cut_links,
    "ring": Timeline._cut_links,
    "cut": Timeline._cut_links,
    "join": Timeline._cut_links,
    "clog": Timeline._clog,
    "unclog": Timeline._unclog,
    "weather": Timeline._weather,
    "clock": Timeline._clock,
    "fsync_fails": Timeline._fsync_fails,
    "few_files": Timeline._few_files,
    "little_memory": Timeline._little_memory,
    "expire": Timeline._expire,
    "drift": Timeline._drift,
    "wire": Timeline._wire,
    "sever": Timeline._sever,
    "half_open": Timeline._half_open,
    "bad_requests": Timeline._bad_requests,
    "resubmit": Timeline._resubmit,
    "validators": Timeline._validators,
    "hand_over": Timeline._hand_over,
    "revoke": Timeline._revoke,
}
"""What each kind of fault does."""


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _links(fault: Fault) -> list[tuple[int, int]]:
    """Where the primary was named, it may be that a link is one of a node with itself, which there is not."""
    links = [(int(sender), int(receiver)) for sender, receiver in fault.links]
    return [(sender, receiver) for sender, receiver in links if sender != receiver]


def _trap(number: int, fault: Fault) -> Trap:
    when = fault.when
    assert when is not None, "it waits for something"
    assert when.sent is not None, "it waits for a message"
    return Trap(number, when.sent, when.copies, when.view, when.sequence, holds=not fault.after_ms)
