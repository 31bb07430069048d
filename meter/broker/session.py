"""A client's session at the broker: what it subscribed to, and what waits for it. No I/O.

Bounds: ``queue_messages_max`` messages and ``queue_bytes_max`` bytes wait for a client; further ones are dropped and
counted. ``UNACKNOWLEDGED_MAX`` of QoS 1 are on their way at once.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from meter.broker.packets import Message, matches
from meter.broker.users import Account

UNACKNOWLEDGED_MAX = 32
PACKET_MAX = 65_535


@dataclass(slots=True)
class Session:
    """``account``: as of its last connection. ``clean``: it ends with the connection."""

    client: str
    account: Account
    clean: bool
    queue_messages_max: int
    queue_bytes_max: int
    filters: dict[str, int] = field(default_factory=dict)
    waiting: deque[Message] = field(default_factory=deque)
    waiting_bytes: int = 0
    unacknowledged: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    dropped: int = 0
    _last_packet: int = 0

    def quality(self, topic: str) -> int | None:
        """The best quality at which a subscription covers the topic; None if none does, or it is not theirs to read."""
        found = max((qos for wanted, qos in self.filters.items() if matches(wanted, topic)), default=None)
        return found if found is not None and self.account.may_read(topic) else None

    def offer(self, message: Message, connected: bool) -> bool:
        """Queue a message for this client; False if there is no room, or nobody there for QoS 0."""
        if not connected and message.qos == 0:
            return False
        full = len(self.waiting) >= self.queue_messages_max
        if full or self.waiting_bytes + message.size_bytes > self.queue_bytes_max:
            self.dropped += 1
            return False
        self.waiting.append(message)
        self.waiting_bytes += message.size_bytes
        return True

    def next(self) -> tuple[Message, int] | None:
        """What is to be sent now, with its packet id (0 for QoS 0); None if nothing waits, or too much is unacked."""
        if not self.waiting or (self.waiting[0].qos and len(self.unacknowledged) >= UNACKNOWLEDGED_MAX):
            return None
        message = self.waiting.popleft()
        self.waiting_bytes -= message.size_bytes
        if not message.qos:
            return message, 0
        packet = self._last_packet % PACKET_MAX + 1
        while packet in self.unacknowledged:
            packet = packet % PACKET_MAX + 1
        self._last_packet = packet
        self.unacknowledged[packet] = message
        return message, packet

    def acknowledged(self, packet: int) -> None:
        self.unacknowledged.pop(packet, None)
