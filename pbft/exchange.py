"""The links of a node shared by its channels: one consensus a channel, all over the same connections.

A frame begins with the channel's id, the first bytes of its chain's. Each channel gets a ``Port`` that looks like the
links themselves, but sends to that channel's members only and delivers from nobody else: whoever is no member learns
nothing, and what it sends in a channel's name is dropped and counted. Queues stay one a peer, so that channels add
nothing to what a node holds for another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pbft.epoch import Validator
from pbft.transport import USELESS_BYTES, Deliver, Transport

CHANNEL_ID_BYTES = 8
ENDED_BYTES = 1 << 16
"""What a validator of a channel that has ended here still sends in it counts as one useless message, and as one more
for so many bytes: it does not know that it is of no use."""

Admits = Callable[[bytes], bool]
"""Whether the holder of a key, no validator of the channel, may take part in it as an observer."""


class ChannelOpen(Exception):
    """There is a port of a channel with this id already."""


class Port:
    """One channel's share of the links; ``close`` ends it."""

    def __init__(self, exchange: Exchange, channel_id: bytes, admits: Admits) -> None:
        self._exchange = exchange
        self._transport = exchange.transport
        self._admits = admits
        self.channel_id = channel_id
        self.validators: dict[bytes, Validator] = {}
        self.held: set[bytes] = set()
        """Peers that are not read from because this channel's inbox is full."""
        self.drops: Counter[str] = Counter()
        self.deliver: Deliver = lambda sender, data: True
        self.on_ready: Callable[[bytes], None] = lambda key: None

    def admits(self, key: bytes) -> bool:
        """Whether a peer is a member of this channel: a validator, or an observer that it admits."""
        return key in self.validators or self._admits(key)

    @property
    def linked(self) -> list[bytes]:
        """The members that we have a link with."""
        return [key for key in self._transport.linked if self.admits(key)]

    def set_validators(self, validators: Sequence[Validator]) -> None:
        self.validators = {validator.public_key: validator for validator in validators}
        self._exchange.renew()

    def send(self, keys: Iterable[bytes], data: bytes, *, bulk: bool) -> None:
        members = [key for key in keys if self.admits(key)]
        self._transport.send(members, self.channel_id + data, bulk=bulk)

    def connected(self, key: bytes) -> bool:
        return self._transport.connected(key)

    def queued_bytes(self, key: bytes) -> int:
        return self._transport.queued_bytes(key)

    def resume_reading(self, key: bytes) -> None:
        self.held.discard(key)
        self._exchange.resume(key)

    def fault(self, key: bytes) -> bool:
        return self._transport.fault(key)

    def useless(self, key: bytes, count: int) -> bool:
        return self._transport.useless(key, count)

    def receive(self, sender: bytes, data: bytes) -> bool:
        """A frame in this channel's name; False if reading from its sender should pause."""
        if not self.admits(sender):
            self.drops["not_a_member"] += 1
            self._exchange.waste(sender, data)
            return True
        if self.deliver(sender, data):
            return True
        self.held.add(sender)
        return False

    def close(self) -> None:
        self._exchange.close(self)


class Exchange:
    """Hands frames on between the links and the channels' ports."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._ports: dict[bytes, Port] = {}
        self._ended: dict[bytes, frozenset[bytes]] = {}
        """The validators of each channel whose port was closed: as many as this node ever had a place in."""
        transport.deliver = self._deliver
        transport.on_ready = self._ready

    def open(self, chain_id: bytes, admits: Admits) -> Port:
        """The port of the channel whose chain has this id; raises ``ChannelOpen``."""
        channel_id = chain_id[:CHANNEL_ID_BYTES]
        if channel_id in self._ports:
            raise ChannelOpen(f"a channel with the id {channel_id.hex()} is open already")
        port = self._ports[channel_id] = self.port(channel_id, admits)
        return port

    def port(self, channel_id: bytes, admits: Admits) -> Port:
        """A new port; a lab's exchange has others."""
        return Port(self, channel_id, admits)

    def close(self, port: Port) -> None:
        """Nothing comes through the port any more, and nobody waits for it."""
        if self._ports.get(port.channel_id) is port:
            del self._ports[port.channel_id]
            self._ended[port.channel_id] = frozenset(port.validators)
            for key in port.held:
                self.resume(key)
            self.renew()

    def renew(self) -> None:
        """Link with the validators of all channels; of two addresses of one, that of the channel opened first. Those
        of the main channel alone are more than observers to the links."""
        union: dict[bytes, Validator] = {}
        equals: set[bytes] = set()
        for port in self._ports.values():
            union = {**port.validators, **union}
            if self.transport.hello.key in port.validators:
                equals |= port.validators.keys()
        main = self._ports.get(self.transport.hello.chain[:CHANNEL_ID_BYTES])
        self.transport.set_validators(tuple(union.values()), equals, () if main is None else main.validators)

    def resume(self, key: bytes) -> None:
        """Read from a peer again, unless another channel's inbox is full of what it sent."""
        if not any(key in port.held for port in self._ports.values()):
            self.transport.resume_reading(key)

    def _deliver(self, sender: bytes, data: bytes) -> bool:
        port = self._ports.get(data[:CHANNEL_ID_BYTES])
        if port is None:
            self.transport.drops["other_channel"] += 1
            ended = sender in self._ended.get(data[:CHANNEL_ID_BYTES], ())
            self.waste(sender, data, ENDED_BYTES if ended else USELESS_BYTES)
            return True
        return port.receive(sender, data[CHANNEL_ID_BYTES:])

    def waste(self, sender: bytes, data: bytes, unit_bytes: int = USELESS_BYTES) -> None:
        """A frame of no channel that we and its sender share: no fault, since one of us may know of it earlier."""
        self.transport.useless(sender, 1 + len(data) // unit_bytes)

    def _ready(self, key: bytes) -> None:
        for port in list(self._ports.values()):
            if port.admits(key):
                port.on_ready(key)
