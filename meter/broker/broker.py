"""The broker: sessions, retained messages, and who gets what. Sockets are in ``connection.py``.

It is for one node's messages and the few who read them: everything is in memory, everything is bounded, and a restart
forgets it all, upon which publishers send their retained messages again. Decision 7 tells why it is ours.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections import Counter as Counts
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from ca.listening import Listener, tls_listener
from meter.broker.connection import CONNECT_TIMEOUT_S, Connection
from meter.broker.packets import Answer, Connect, Message, is_name, matches
from meter.broker.session import Session
from meter.broker.users import Account, Rights, account_of, is_password, load_users, stranger

log = logging.getLogger(__name__)

PASSWORDS_AT_ONCE = 2
"""How many passwords are checked side by side; each takes a thread for some 50 ms, and 16 MB."""
SLICE_TOPICS = 250
"""Retained topics that a subscription is held against in one go: less than a millisecond."""
WAITING_MAX = 32
"""Connections that have not said yet who they are; beyond it the oldest of the address with the most is hung up on."""
OWNER_NAME = "wattquorum"


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What each bound does when it is reached: docs/MQTT.md."""

    connections_max: int = 64
    packet_bytes_max: int = 65_536
    subscriptions_max: int = 64
    queue_messages_max: int = 1_000
    queue_bytes_max: int = 1_000_000
    retained_messages_max: int = 10_000
    sessions_max: int = 128
    messages_per_s_max: int = 200
    anonymous: bool = True


class Broker:
    """``listen`` as often as wanted, ``close`` once. ``owner_password`` is the node's own, made anew at each start."""

    def __init__(
        self, limits: BrokerLimits, rights: Rights, users: Path, registry: CollectorRegistry | None = None
    ) -> None:
        self.limits = limits
        self.owner_password = secrets.token_urlsafe(24)
        self._rights = rights
        self._users_file = users
        self._users = load_users(users)
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._connections: dict[str, Connection] = {}
        self._waiting: dict[Connection, None] = {}
        self._retained: dict[str, Message] = {}
        self._checks = asyncio.Semaphore(PASSWORDS_AT_ONCE)
        self._servers: list[asyncio.Server] = []
        self._listeners: list[Listener] = []
        registry = registry or CollectorRegistry()
        self.dropped = Counter(
            "wattq_mqtt_broker_dropped_total", "Messages that the embedded broker dropped.", ["why"], registry=registry
        )
        self.refused = Counter(
            "wattq_mqtt_broker_refused_total", "Connections that it refused.", ["why"], registry=registry
        )

    # ----------------------------------------------------------------------------------------------- sockets

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen there too; returns the port. Raises ``OSError`` if it is taken."""
        if tls is not None:
            listener = tls_listener(self._protocol, tls, CONNECT_TIMEOUT_S)
            self._listeners.append(listener)
            return await listener.listen(host, port)
        server = await asyncio.start_server(self._arrived, host, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._arrived)

    async def close(self) -> None:
        """End every connection, without anybody's will: the broker's own end is seen by all."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        ending = [*self._connections.values(), *self._waiting]
        for connection in ending:
            connection.abort()
        await asyncio.gather(*(connection.ended.wait() for connection in ending))
        for server in self._servers:
            await server.wait_closed()

    async def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        self._waiting[connection] = None
        if len(self._waiting) > WAITING_MAX:
            self._hang_up_on_one()
        try:
            await connection.run()
        finally:
            self._waiting.pop(connection, None)

    def _hang_up_on_one(self) -> None:
        """Of those who wait: so a crowd from one place never keeps out who comes from another."""
        crowds = Counts(connection.address for connection in self._waiting)
        oldest = max(self._waiting, key=lambda connection: crowds[connection.address])
        del self._waiting[oldest]
        self.refused.labels("connections_waiting").inc()
        oldest.abort()

    # ------------------------------------------------------------------------------------------------- people

    async def admit(self, asked: Connect) -> tuple[Answer, Account]:
        """Who that is, and whether it may connect."""
        nobody = Account("")
        if not asked.known:
            return Answer.PROTOCOL_UNKNOWN, nobody
        if not asked.client and not asked.clean:
            return Answer.IDENTIFIER_REJECTED, nobody
        account = await self._account(asked)
        if account is None:
            why = Answer.BAD_PASSWORD if asked.user is not None else Answer.NOT_AUTHORISED
            self.refused.labels(why.name.lower()).inc()
            return why, nobody
        if full := self._is_full_for(account, asked.client):
            self.refused.labels(full).inc()
            return Answer.UNAVAILABLE, nobody
        holder = self._sessions.get(asked.client)
        if holder is not None and holder.account.name != account.name:
            return Answer.IDENTIFIER_REJECTED, nobody  # nobody takes over another's session
        return Answer.ACCEPTED, account

    def _is_full_for(self, account: Account, client: str) -> str:
        """Which bound keeps an account out, if one does: never the node itself, nor who only changes its connection."""
        if account.owner or client in self._connections:
            return ""
        seated = [self._sessions[client].account for client in self._connections]
        if sum(not seat.owner for seat in seated) >= self.limits.connections_max:
            return "connections_max"
        strangers = sum(not seat.name for seat in seated)
        return "strangers" if not account.name and strangers >= self.limits.connections_max // 2 else ""

    async def _account(self, asked: Connect) -> Account | None:
        if asked.user is None:
            return stranger(self._rights) if self.limits.anonymous else None
        password = asked.password or b""
        if asked.user == OWNER_NAME:
            return (
                Account(OWNER_NAME, owner=True)
                if secrets.compare_digest(password, self.owner_password.encode())
                else None
            )
        entry = self._users.get(asked.user)
        async with self._checks:
            good = await asyncio.to_thread(is_password, entry, password)
        return account_of(asked.user, entry, self._rights) if good and entry is not None else None

    async def seat(self, connection: Connection, asked: Connect, account: Account) -> tuple[Session, bool]:
        """The client's session, and whether it is an old one. Whoever had it is hung up on."""
        client = asked.client or f"anonymous-{secrets.token_hex(8)}"
        before = self._connections.pop(client, None)
        if before is not None:
            before.abort()
            await before.ended.wait()
        self._waiting.pop(connection, None)
        # Only who has a name here is remembered: strangers' sessions would push out those of people.
        clean = asked.clean or not account.name
        session = None if clean else self._sessions.get(client)
        old = session is not None
        if session is None:
            limits = self.limits
            session = Session(client, account, clean, limits.queue_messages_max, limits.queue_bytes_max)
        session.account, session.clean = account, clean
        self._sessions[client] = session
        self._sessions.move_to_end(client)
        self._connections[client] = connection
        self._make_room()
        return session, old

    def _make_room(self) -> None:
        """Of the clients that are away one of whoever has the most loses its session: the one away longest."""
        while len(self._sessions) > self.limits.sessions_max:
            away = [session for client, session in self._sessions.items() if client not in self._connections]
            if not away:
                return
            held = Counts(session.account.name for session in away)
            ending = max(away, key=lambda session: held[session.account.name])
            del self._sessions[ending.client]

    def leave(self, connection: Connection, session: Session, will: Message | None) -> None:
        """A connection ended; ``will`` unless in order."""
        if self._connections.get(session.client) is connection:
            del self._connections[session.client]
            if session.clean:
                self._sessions.pop(session.client, None)
        if will is not None:
            self.publish(will, session.account)

    # ----------------------------------------------------------------------------------------------- messages

    def publish(self, message: Message, by: Account) -> None:
        """Keep it if it is to be retained, and queue it for everybody who may have it."""
        if not by.may_write(message.topic):
            self.dropped.labels("not_allowed").inc()
            return
        if message.retain and not self._retain(message):
            self.dropped.labels("retained_messages_max").inc()
        for session in self._sessions.values():
            qos = session.quality(message.topic)
            if qos is not None:
                self._offer(session, message.at(qos, False))

    def _offer(self, session: Session, message: Message) -> None:
        connection = self._connections.get(session.client)
        if not session.offer(message, connection is not None):
            self.dropped.labels("client_away" if connection is None else "client_slow").inc()
        elif connection is not None:
            connection.wake()

    def _retain(self, message: Message) -> bool:
        if not message.payload:
            self._retained.pop(message.topic, None)
            return True
        if message.topic not in self._retained and len(self._retained) >= self.limits.retained_messages_max:
            return False
        self._retained[message.topic] = message
        return True

    def subscribe(self, session: Session, wanted: str, qos: int) -> int | None:
        """The quality granted; None beyond the bound. ``say_again`` is to follow."""
        if wanted not in session.filters and len(session.filters) >= self.limits.subscriptions_max:
            return None
        granted = session.filters[wanted] = min(qos, 1)
        return granted

    async def say_again(self, session: Session, wanted: str, qos: int) -> int:
        """Queue the retained messages of a filter, in slices between which others have their turn; how many topics
        were looked at."""
        topics = [wanted] if is_name(wanted) else list(self._retained)
        for start in range(0, len(topics), SLICE_TOPICS):
            for topic in topics[start : start + SLICE_TOPICS]:
                message = self._retained.get(topic)
                if message is not None and matches(wanted, topic) and session.account.may_read(topic):
                    self._offer(session, message.at(qos, True))
            await asyncio.sleep(0)
        return len(topics)
