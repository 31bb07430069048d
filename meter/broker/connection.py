"""One client's connection to the embedded broker: reads its packets in order, and sends what its session holds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from ca.listening import whose_address
from meter.broker import packets
from meter.broker.packets import Answer, Connect, Kind, Malformed
from meter.broker.session import Session

if TYPE_CHECKING:
    from meter.broker.broker import Broker

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S_MAX = 600.0
"""Silence that is borne of a client that asked for no bound of its own."""
BURST_S = 1.0
"""What a client did not use of the last second it may use at once."""
LOOKS_PER_MESSAGE = 10
"""Retained topics that a subscription is held against for the price of one message."""
WRITE_TIMEOUT_S = 30.0
"""A client that reads nothing for so long is hung up on."""


class Connection:
    """``run`` until either end ends it; ``abort`` from outside."""

    def __init__(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._broker = broker
        self._reader, self._writer = reader, writer
        self._more = asyncio.Event()
        self._paid_until_s = 0.0
        self._hung_up = asyncio.Event()
        self.address = address_of(writer)
        self.ended = asyncio.Event()

    def wake(self) -> None:
        """There is something to send."""
        self._more.set()

    def abort(self) -> None:
        self._hung_up.set()
        self._writer.transport.abort()

    async def run(self) -> None:
        """Raises nothing: whatever a client does, or its connection, ends this client only."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                asked = await self._connect()
                answer, account = await self._broker.admit(asked)
            if answer is not Answer.ACCEPTED:
                await self._send(packets.encode(Kind.CONNACK, bytes([0, answer])))
                return
            await self._serve(asked, *await self._broker.seat(self, asked, account))
        except (Malformed, OSError, EOFError, TimeoutError) as error:
            log.debug("MQTT client: %s: %s", type(error).__name__, error)
        finally:
            self.abort()
            self.ended.set()

    async def _connect(self) -> Connect:
        kind, _, body = await self._packet()
        if kind is not Kind.CONNECT:
            raise Malformed("the first packet is no CONNECT")
        return packets.decode_connect(body)

    async def _serve(self, asked: Connect, session: Session, old: bool) -> None:
        will = asked.will
        try:
            await self._send(packets.encode(Kind.CONNACK, bytes([old, Answer.ACCEPTED])))
            for packet, message in session.unacknowledged.items():
                await self._send(packets.encode_publish(message, packet, duplicate=True))
            sending = asyncio.create_task(self._send_all(session))
            try:
                await self._receive(session, asked.keepalive_s * 1.5 or KEEPALIVE_S_MAX)
                will = None
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            self._broker.leave(self, session, will)

    async def _receive(self, session: Session, silence_s: float) -> None:
        """Returns at a DISCONNECT; anything else that ends it is raised."""
        while True:
            async with asyncio.timeout(silence_s):
                kind, flags, body = await self._packet()
            if kind is Kind.DISCONNECT:
                return
            await self._pace()
            match kind:
                case Kind.PUBLISH:
                    published = packets.decode_publish(flags, body)
                    self._broker.publish(published.message, session.account)
                    if published.packet:
                        await self._send(packets.encode(Kind.PUBACK, published.packet.to_bytes(2, "big")))
                case Kind.PUBACK:
                    session.acknowledged(packets.decode_puback(body))
                    self.wake()
                case Kind.SUBSCRIBE:
                    await self._subscribe(session, body)
                case Kind.UNSUBSCRIBE:
                    packet, filters = packets.decode_unsubscribe(body)
                    for wanted in filters:
                        session.filters.pop(wanted, None)
                    await self._send(packets.encode(Kind.UNSUBACK, packet.to_bytes(2, "big")))
                case Kind.PINGREQ:
                    await self._send(packets.encode(Kind.PINGRESP))
                case _:
                    raise Malformed(f"{kind.name} is not for a broker")

    async def _subscribe(self, session: Session, body: bytes) -> None:
        packet, wanted = packets.decode_subscribe(body)
        granted: list[int | None] = []
        for each, qos in wanted:
            granted.append(self._broker.subscribe(session, each, qos))
            looked_at = 0
            if granted[-1] is not None:
                looked_at = await self._broker.say_again(session, each, granted[-1])
            await self._pace(1 + looked_at / LOOKS_PER_MESSAGE)
        codes = bytes(packets.REFUSED_SUBSCRIPTION if qos is None else qos for qos in granted)
        await self._send(packets.encode(Kind.SUBACK, packet.to_bytes(2, "big") + codes))

    async def _send_all(self, session: Session) -> None:
        """Send what the session holds, as fast as the client takes it; a client that takes none is hung up on."""
        try:
            while True:
                self._more.clear()
                while (item := session.next()) is not None:
                    await self._send(packets.encode_publish(*item))
                await self._more.wait()
        except (OSError, TimeoutError):
            self.abort()

    # --------------------------------------------------------------------------------------------- the socket

    async def _packet(self) -> tuple[Kind, int, bytes]:
        head = (await self._reader.readexactly(1))[0]
        length, shift = 0, 0
        for _ in range(packets.LENGTH_BYTES_MAX):
            part = (await self._reader.readexactly(1))[0]
            length |= (part & 0x7F) << shift
            shift += 7
            if part < 0x80:
                break
        else:
            raise Malformed("a length of more than four bytes")
        if length > self._broker.limits.packet_bytes_max:
            raise Malformed(f"a packet of {length} bytes")
        try:
            kind = Kind(head >> 4)
        except ValueError:
            raise Malformed(f"packet type {head >> 4}") from None
        flags = head & 0x0F
        if kind is not Kind.PUBLISH and flags != packets.FLAGS.get(kind, 0):
            raise Malformed(f"{kind.name} with flags {flags}")
        return kind, flags, await self._reader.readexactly(length)

    async def _pace(self, cost: float = 1.0) -> None:
        """Whoever costs more than its share is read from no further until that is made up for."""
        now_s = asyncio.get_running_loop().time()
        spent_s = cost / self._broker.limits.messages_per_s_max
        self._paid_until_s = max(self._paid_until_s, now_s) + spent_s
        wait_s = self._paid_until_s - now_s - BURST_S
        if wait_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hung_up.wait()
                raise EOFError("hung up on")

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await self._writer.drain()


def address_of(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return whose_address(str(name[0])) if isinstance(name, tuple) else ""
