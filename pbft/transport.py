"""Links between nodes: TCP under mutual TLS 1.3, one link a pair, known by the key that both votes and links.

Validators are told by ``set_validators``, at every epoch anew; links outlive epochs. Of two validators the one
with the smaller key dials. Whoever is no validator is an observer: it dials every validator and is never
dialled, needs a node's certificate of this network, and shares a number of places and a budget of bytes a
second with all other observers, so that what they cost the validators is bounded. Validators are the main channel's.
Those of a channel beside it, chosen by its operators alone, are linked with too, but may no more than observers, and
have as many places of their own. What is to be sent waits in a byte-bounded queue with votes ahead of bulk; when it is
full the oldest bulk is dropped, and the status exchange sends again what matters. A peer whose messages fail, or change
nothing, too often is not read from for a while.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ca.certificates import CertificateFacts, InvalidCertificate, Role, certificate_facts
from ca.listening import Listener, tls_listener
from pbft.epoch import Validator
from pbft.link import HELLO_TIMEOUT_S, Hello, Link, frame
from pbft.peers import Budget, Faults, Peer, SendQueue

DIAL_BACKOFF_S = 0.1
DIAL_BACKOFF_S_MAX = 2.0
DIAL_TIMEOUT_S = 5.0
DUEL_S = 2.0
"""Two links of one pair, dialled from both sides within this time: the smaller key's stays. Else the newer one."""
CHUNK_BYTES = 1 << 20
UNINTRODUCED_MAX = 64
"""Connections of nodes that are no validators and have not said hello yet."""
USELESS_PAUSE_S = 1.0
"""For how long a peer is not read from whose messages changed nothing too often. No blame: its votes may be late."""
USELESS_BYTES = 1 << 12
"""A message that changes nothing counts as one, and as one more for so many of its bytes."""
OBSERVER_FRAME_BYTES_MIN = 4_096
"""What a frame of an observer takes of its budget at least: to look at one costs as much as to read so many bytes."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds that an operator may move; see docs/CONFIGURATION.md."""

    peer_queue_bytes_max: int = 16_000_000
    observers_max: int = 16
    observer_bytes_per_s_max: int = 8_000_000
    faults_per_s_max: int = 20
    penalty_ms: int = 5_000
    useless_per_s_max: int = 4_000


Deliver = Callable[[bytes, bytes], bool]
"""``deliver(sender's key, frame)``: False when the receiver is full and reading should pause."""


class Links(Protocol):
    """What one ledger's consensus asks of the links: all of them, or its channel's share (``pbft.exchange``)."""

    deliver: Deliver
    on_ready: Callable[[bytes], None]

    @property
    def linked(self) -> list[bytes]: ...

    def set_validators(self, validators: Sequence[Validator]) -> None: ...

    def send(self, keys: Iterable[bytes], data: bytes, *, bulk: bool) -> None: ...

    def queued_bytes(self, key: bytes) -> int: ...

    def resume_reading(self, key: bytes) -> None: ...

    def fault(self, key: bytes) -> bool: ...

    def useless(self, key: bytes, count: int) -> bool: ...


class Transport:
    """All links of one node. ``deliver`` is called in the event loop for every frame received."""

    def __init__(
        self,
        hello: Hello,
        roots: Callable[[], Sequence[bytes]],
        server_tls: ssl.SSLContext,
        client_tls: ssl.SSLContext,
        limits: TransportLimits = TransportLimits(),
    ) -> None:
        """``roots()``: the CA roots (DER) of which a new link needs a certificate; they may change at any time."""
        self.hello = hello
        self.limits = limits
        self.drops: Counter[str] = Counter()
        self.deliver: Deliver = lambda sender, data: True
        self.on_ready: Callable[[bytes], None] = lambda key: None
        self.is_revoked: Callable[[str], bool] = lambda serial: False
        """Whether a certificate (serial, hex) has been revoked; asked of observers, since epochs rule validators."""
        self._roots = roots
        self._trusted: frozenset[bytes] = frozenset()
        self._server_tls = server_tls
        self._client_tls = client_tls
        self._links: set[Link] = set()
        self._peers: dict[bytes, Peer] = {}
        self._validators: dict[bytes, Validator] = {}
        self._equals: frozenset[bytes] = frozenset()
        self._main: frozenset[bytes] = frozenset()
        self._scheduled: set[bytes] = set()
        self._listener: Listener | None = None
        self._dialling: dict[tuple[bytes, str], asyncio.Task[None]] = {}

    def set_validators(
        self,
        validators: Sequence[Validator],
        equals: Iterable[bytes] | None = None,
        main: Iterable[bytes] | None = None,
    ) -> None:
        """Who votes from now on, and where each is reached. Links stay as they are.

        ``equals``: those who take us for a validator too; all of them or none, as we are one or not, if it is left out.
        ``main``: those of the main channel, whom its epochs rule; all of them, if it is left out.
        """
        self._validators = {validator.public_key: validator for validator in validators}
        ours = self._validators if self.hello.key in self._validators else ()
        self._equals = frozenset(ours if equals is None else equals)
        self._main = frozenset(self._validators if main is None else main)
        for key in self._validators:
            if key != self.hello.key:
                self._peer(key)
        self._forget_strangers()
        self._share_budget()
        if self._listener is not None:
            self._dial_all()

    async def start(self, host: str, port: int) -> None:
        self._listener = tls_listener(lambda: self._begin(None), self._server_tls, HELLO_TIMEOUT_S)
        await self._listener.listen(host, port)
        self._dial_all()

    def _begin(self, dialled: bytes | None) -> Link:
        """A link before its handshake. The contexts learn new roots and forget none: whoever comes by an older one is
        sent away in ``opened``."""
        fresh = frozenset(self._roots()) - self._trusted
        if fresh:
            self._trusted |= fresh
            for context in (self._server_tls, self._client_tls):
                context.load_verify_locations(cadata=b"".join(sorted(fresh)))
        return Link(self, dialled)

    async def stop(self) -> None:
        tasks = list(self._dialling.values())
        self._dialling.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.close()
        for link in list(self._links):
            link.drop("stopping")

    def connected(self, key: bytes) -> bool:
        peer = self._peers.get(key)
        return peer is not None and peer.link is not None

    @property
    def linked(self) -> list[bytes]:
        """The keys of everyone that we have a link with."""
        return [key for key, peer in self._peers.items() if peer.link is not None]

    @property
    def dialled(self) -> list[bytes]:
        """The keys of those whom it is ours to dial."""
        return [key for key, _ in self._dialling]

    def admits(self, key: bytes) -> bool:
        """Whether a peer may take part in the main channel: every node that has not been revoked since it linked."""
        peer = self._peers.get(key)
        if key in self._main or peer is None or peer.link is None or peer.link.facts is None:
            return True
        return not self.is_revoked(peer.link.facts.serial)

    def queued_bytes(self, key: bytes) -> int:
        peer = self._peers.get(key)
        return peer.queue.bytes if peer is not None else 0

    def send(self, keys: Iterable[bytes], data: bytes, *, bulk: bool) -> None:
        """Queue one frame for each of ``keys``; those that we have never heard of get nothing."""
        framed = frame(data)
        for key in keys:
            peer = self._peers.get(key)
            if peer is None:
                continue
            peer.queue.put(framed, bulk=bulk)
            if key not in self._scheduled and peer.link is not None:
                self._scheduled.add(key)
                asyncio.get_running_loop().call_soon(self._flush_scheduled, key)

    def resume_reading(self, key: bytes) -> None:
        peer = self._peers.get(key)
        if peer is not None and peer.link is not None:
            peer.link.release("inbox")

    def fault(self, key: bytes) -> bool:
        """A message of this peer was bad. True if it is paused for that now."""
        peer = self._peers.get(key)
        if peer is None or not peer.faults.add(self._now(), self.limits.penalty_ms / 1000):
            return False
        self.drops["penalty"] += 1
        if peer.link is not None:
            self._penalise(peer, peer.link)
        return True

    def useless(self, key: bytes, count: int) -> bool:
        """Messages of this peer, or as much work as so many, changed nothing. True if it is paused for that now."""
        peer = self._peers.get(key)
        if peer is None or not peer.useless.add(self._now(), USELESS_PAUSE_S, count):
            return False
        self.drops["useless_pause"] += 1
        if peer.link is not None:
            self._penalise(peer, peer.link)
        return True

    # ------------------------------------------------------------------------------------- what links say

    def opened(self, link: Link) -> str:
        """Whoever is no node is sent away before it takes a place, and validators always have one."""
        self._links.add(link)
        try:
            facts = link.facts = certificate_facts(link.certificate() or b"", self._roots())
        except InvalidCertificate:
            return "bad_certificate"
        if facts.role != Role.NODE:
            return "not_a_node"
        if link.dialled is not None or facts.public_key in self._main:
            return ""
        strangers = [known for known in self._links if known.peer is None and not self._is_validator(known)]
        return "too_many_links" if len(strangers) > UNINTRODUCED_MAX else ""

    def _is_validator(self, link: Link) -> bool:
        return link.facts is not None and link.facts.public_key in self._main

    def introduced(self, link: Link, hello: Hello) -> str:
        assert link.facts is not None, "an opened link has a certificate"
        fault = self._refuses(hello.key, link.facts)
        if fault:
            return fault
        peer = self._peer(hello.key)
        older = peer.link
        if older is not None and self._prefers(older, link):
            return "duplicate"
        link.peer, link.ready_s = hello.key, self._now()
        peer.link = link
        if older is not None:
            older.drop("replaced")
        self._share_budget()
        if peer.paused_until_s > self._now():
            self._penalise(peer, link)
        self.on_ready(hello.key)
        self._flush(peer)
        return ""

    def _refuses(self, key: bytes, facts: CertificateFacts) -> str:
        if facts.public_key != key:
            return "other_key"
        if key in self._main:
            return ""
        if self.is_revoked(facts.serial):
            return "revoked"
        votes = key in self._validators
        others = [peer for peer in self._observers() if peer.key != key and (peer.key in self._validators) == votes]
        return "too_many_observers" if len(others) >= self.limits.observers_max else ""

    def _prefers(self, older: Link, newer: Link) -> bool:
        """Whether ``older`` stays: both sides dialled at once, and it is the link that the smaller key dialled."""
        same_side = (older.dialled is None) == (newer.dialled is None)
        if same_side or self._now() > older.ready_s + DUEL_S:
            return False
        assert older.peer is not None, "only introduced links stand for a peer"
        return (older.dialled is not None) == (self.hello.key < older.peer)

    def received(self, link: Link, data: bytes) -> None:
        peer = self._peers.get(link.peer or b"")
        if peer is None or peer.link is not link:
            return
        now_s = self._now()
        if now_s < peer.paused_until_s:
            self.drops["while_paused"] += 1
            return
        if peer.receiving is not None:
            peer.receiving.spend(max(len(data), OBSERVER_FRAME_BYTES_MIN), now_s)
            wait_s = peer.receiving.wait_s(now_s)
            if wait_s > 0:
                self.drops["observer_slowed"] += 1
                self._hold_for(link, "budget", wait_s)
        if not self.deliver(peer.key, data):
            link.hold("inbox")

    def writable(self, link: Link) -> None:
        peer = self._peers.get(link.peer or b"")
        if peer is not None and peer.link is link:
            self._flush(peer)

    def closed(self, link: Link, reason: str) -> None:
        if reason:
            self.drops[reason] += 1
        self._links.discard(link)
        peer = self._peers.get(link.peer or b"")
        if peer is not None and peer.link is link:
            peer.link = None
            self._forget_strangers()
            self._share_budget()

    # ------------------------------------------------------------------------------------------- inside

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _peer(self, key: bytes) -> Peer:
        peer = self._peers.get(key)
        if peer is None:
            limits = self.limits
            queue, faults = SendQueue(limits.peer_queue_bytes_max), Faults(limits.faults_per_s_max)
            peer = self._peers[key] = Peer(key, queue, faults, Faults(limits.useless_per_s_max))
        return peer

    def _observers(self) -> list[Peer]:
        return [peer for key, peer in self._peers.items() if key not in self._main and peer.link is not None]

    def _forget_strangers(self) -> None:
        """Nothing is kept of a peer that is no validator, has no link and serves no penalty."""
        now_s = self._now()
        for key, peer in list(self._peers.items()):
            if key not in self._validators and peer.link is None and now_s >= peer.paused_until_s:
                del self._peers[key]

    def _share_budget(self) -> None:
        """Observers share the budget equally; validators have none. An observer does not limit its validators."""
        observers = self._observers()
        for key in self._main:
            peer = self._peers.get(key)
            if peer is not None:
                peer.sending = peer.receiving = None
        if not observers:
            return
        now_s = self._now()
        rate = self.limits.observer_bytes_per_s_max / len(observers)
        for peer in observers:
            if peer.sending is None or peer.receiving is None:
                peer.sending, peer.receiving = Budget(rate, now_s), Budget(rate, now_s)
            peer.sending.set_rate(rate, now_s)
            peer.receiving.set_rate(rate, now_s)

    def _penalise(self, peer: Peer, link: Link) -> None:
        for reason, cause in (("penalty", peer.faults), ("useless", peer.useless)):
            left_s = cause.penalty_until_s - self._now()
            if left_s > 0:
                self._hold_for(link, reason, left_s)

    def _hold_for(self, link: Link, reason: str, seconds: float) -> None:
        if link.hold(reason):
            asyncio.get_running_loop().call_later(seconds, link.release, reason)

    def _flush_scheduled(self, key: bytes) -> None:
        self._scheduled.discard(key)
        peer = self._peers.get(key)
        if peer is not None:
            self._flush(peer)

    def _flush(self, peer: Peer) -> None:
        """Write what waits, as long as the link takes it and an observer's budget lasts."""
        link = peer.link
        while link is not None and link.writable and peer.queue.bytes:
            if peer.sending is None:
                link.write(peer.queue.take(CHUNK_BYTES))
                continue
            now_s = self._now()
            wait_s = peer.sending.wait_s(now_s)
            if wait_s > 0:
                if peer.key not in self._scheduled:
                    self._scheduled.add(peer.key)
                    asyncio.get_running_loop().call_later(wait_s, self._flush_scheduled, peer.key)
                return
            data = peer.queue.take(min(CHUNK_BYTES, int(peer.sending.left(now_s))))
            peer.sending.spend(len(data), now_s)
            link.write(data)

    # -------------------------------------------------------------------------------------------- dialling

    def _dial_all(self) -> None:
        """Keep dialling those whom the rule gives to us, at the addresses of this epoch."""
        own = self.hello.key
        wanted = {
            (key, validator.address)
            for key, validator in self._validators.items()
            if key != own and validator.address and (key not in self._equals or own < key)
        }
        for target in [known for known in self._dialling if known not in wanted]:
            self._dialling.pop(target).cancel()
        for target in wanted - self._dialling.keys():
            self._dialling[target] = asyncio.get_running_loop().create_task(self._keep_dialling(*target))

    async def _keep_dialling(self, key: bytes, address: str) -> None:
        loop = asyncio.get_running_loop()
        host, _, port = address.rpartition(":")
        backoff_s = DIAL_BACKOFF_S
        while True:
            if self.connected(key):
                backoff_s = DIAL_BACKOFF_S
            else:
                try:
                    async with asyncio.timeout(DIAL_TIMEOUT_S):
                        await loop.create_connection(
                            lambda: self._begin(key), host.strip("[]"), int(port), ssl=self._client_tls
                        )
                except (OSError, TimeoutError, ssl.SSLError):
                    self.drops["dial_failed"] += 1
                backoff_s = min(2 * backoff_s, DIAL_BACKOFF_S_MAX)
            await asyncio.sleep(backoff_s)
