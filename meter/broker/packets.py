"""MQTT 3.1.1 on the wire: packets of the specification's chapter 3, as far as a broker of QoS 0 and 1 has them.

Decoding is strict: whatever the specification forbids is ``Malformed``, upon which the connection is closed.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, replace
from enum import IntEnum

PROTOCOL_NAME, PROTOCOL_LEVEL = "MQTT", 4
LENGTH_BYTES_MAX = 4
"""Of the remaining length, seven bits a byte."""
TEXT_BYTES_MAX = 65_535
FILTERS_MAX = 1_000
"""Of one packet; clients that subscribe in bulk send some hundreds."""


class Malformed(Exception):
    """Bytes that are no packet of the protocol."""


class Kind(IntEnum):
    """The packet types that we know."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Answer(IntEnum):
    """What a CONNACK says."""

    ACCEPTED = 0
    PROTOCOL_UNKNOWN = 1
    IDENTIFIER_REJECTED = 2
    UNAVAILABLE = 3
    BAD_PASSWORD = 4
    NOT_AUTHORISED = 5


FLAGS = {Kind.SUBSCRIBE: 2, Kind.UNSUBSCRIBE: 2}
"""The fixed header's lower four bits, where they are not 0; a PUBLISH has its own."""
REFUSED_SUBSCRIPTION = 0x80


@dataclass(frozen=True, slots=True)
class Message:
    """What is published."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False

    @property
    def size_bytes(self) -> int:
        return len(self.topic) + len(self.payload)

    def at(self, qos: int, retain: bool) -> Message:
        """As it is delivered: at the lower of both qualities."""
        return replace(self, qos=min(self.qos, qos), retain=retain)


@dataclass(frozen=True, slots=True)
class Connect:
    """A client's first packet. ``known``: of our protocol; nothing else was read of another."""

    known: bool = True
    clean: bool = True
    keepalive_s: int = 0
    client: str = ""
    will: Message | None = None
    user: str | None = None
    password: bytes | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    message: Message
    packet: int


class Cursor:
    """Reads fields off a packet's body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._body[self._at : self._at + count]
        if len(taken) < count:
            raise Malformed("the packet ends too early")
        self._at += count
        return taken

    def number(self, width: int = 2) -> int:
        return int.from_bytes(self.take(width), "big")

    def data(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            text = self.data().decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None
        if "\0" in text:
            raise Malformed("a text holds U+0000")
        return text

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._body)

    def end(self) -> None:
        if not self.is_at_end:
            raise Malformed("bytes behind the packet's end")


def decode_connect(body: bytes) -> Connect:
    cursor = Cursor(body)
    name, level = cursor.text(), cursor.number(1)
    if (name, level) != (PROTOCOL_NAME, PROTOCOL_LEVEL):
        return Connect(known=False)
    flags, keepalive_s, client = cursor.number(1), cursor.number(), cursor.text()
    has_user, has_password, will_retain, has_will, clean = (bool(flags >> bit & 1) for bit in (7, 6, 5, 2, 1))
    will_qos = flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (not has_will and (will_qos or will_retain)) or (has_password and not has_user):
        raise Malformed("flags that contradict each other")
    will = None
    if has_will:
        topic = cursor.text()
        will = Message(checked_topic(topic), cursor.data(), min(will_qos, 1), will_retain)
    user = cursor.text() if has_user else None
    password = cursor.data() if has_password else None
    cursor.end()
    return Connect(True, clean, keepalive_s, client, will, user, password)


def decode_publish(flags: int, body: bytes) -> Publish:
    """QoS 2 is ``Malformed`` too: no subscription was ever granted it."""
    cursor = Cursor(body)
    qos = flags >> 1 & 3
    if qos > 1:
        raise Malformed(f"QoS {qos} is not served")
    topic = checked_topic(cursor.text())
    packet = _packet(cursor) if qos else 0
    return Publish(Message(topic, cursor.rest(), qos, bool(flags & 1)), packet)


def decode_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Packet id; filters with the quality asked for."""
    cursor = Cursor(body)
    packet = _packet(cursor)
    wanted: list[tuple[str, int]] = []
    while not cursor.is_at_end or not wanted:
        _check_room(wanted)
        wanted.append((checked_filter(cursor.text()), cursor.number(1)))
    if any(qos > 2 for _, qos in wanted):
        raise Malformed("a quality above 2")
    return packet, wanted


def decode_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    cursor = Cursor(body)
    packet = _packet(cursor)
    filters: list[str] = []
    while not cursor.is_at_end or not filters:
        _check_room(filters)
        filters.append(checked_filter(cursor.text()))
    return packet, filters


def _check_room(filters: Sized) -> None:
    if len(filters) >= FILTERS_MAX:
        raise Malformed(f"more than {FILTERS_MAX} filters")


def decode_puback(body: bytes) -> int:
    cursor = Cursor(body)
    packet = _packet(cursor)
    cursor.end()
    return packet


def _packet(cursor: Cursor) -> int:
    packet = cursor.number()
    if packet == 0:
        raise Malformed("packet id 0")
    return packet


def encode(kind: Kind, body: bytes = b"", flags: int | None = None) -> bytes:
    """A whole packet."""
    length, head = len(body), bytearray([kind << 4 | (FLAGS.get(kind, 0) if flags is None else flags)])
    while True:
        length, part = divmod(length, 128)
        head.append(part | 0x80 if length else part)
        if not length:
            return bytes(head) + body


def encode_publish(message: Message, packet: int, duplicate: bool = False) -> bytes:
    topic = message.topic.encode()
    body = len(topic).to_bytes(2, "big") + topic + (packet.to_bytes(2, "big") if message.qos else b"") + message.payload
    return encode(Kind.PUBLISH, body, duplicate << 3 | message.qos << 1 | message.retain)


def is_name(topic: str) -> bool:
    """Whether it is one topic's name: not empty, without wildcards."""
    return bool(topic) and "+" not in topic and "#" not in topic


def checked_topic(topic: str) -> str:
    """A name to publish under."""
    if not is_name(topic):
        raise Malformed(f"topic {topic!r} is no name")
    return topic


def checked_filter(wanted: str) -> str:
    """Wildcards stand for whole levels, and # only at the end."""
    levels = wanted.split("/")
    if not wanted or "#" in levels[:-1] or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        raise Malformed(f"filter {wanted!r} is none")
    return wanted


def matches(wanted: str, topic: str) -> bool:
    """Whether a filter covers a topic. Topics that begin with $ are no wildcard's."""
    if topic.startswith("$") and wanted[0] in "+#":
        return False
    asked, named = wanted.split("/"), topic.split("/")
    for place, level in enumerate(asked):
        if level == "#":
            return True
        if place >= len(named) or level not in ("+", named[place]):
            return False
    return len(asked) == len(named)
