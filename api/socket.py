"""The node's socket (M3): msgpack calls in frames, pipelined, over a Unix socket or TLS; and streams beside them.

Over TLS whoever shows a certificate of the network's CA is known by it, and needs no session.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from api.faults import our_fault
from api.socket_streams import Flow, StreamDoor, bodies, read_stream_params
from api.turns import Turns
from ca.listening import Listener, giving_way, tls_listener, whose_address
from sdk import request_ids, wire
from sdk.errors import UNREADABLE, Problem, Refused
from sdk.methods import METHODS, Params
from sdk.parameter_faults import parameter_fault

Handler = Callable[[str, Any, str, str], Awaitable[msgspec.Struct]]
"""``await handle(method name, params, token, origin)`` gives the method's result or raises ``Refused``. ``origin``: the
caller's address; empty for a user of this machine's own."""

Channels = Callable[[str], Handler]
"""Who answers the calls in a channel beside the main one, be there one of that name or not."""

Charge = Callable[[str, str, str, str], None]
"""``charge(address, channel, token, signer)``: count a call from beyond this machine, of the token's owner, or, without
a token, of the ``signer`` whose certificate was shown, if one was; ``Refused`` if it comes too soon."""

Doors = Callable[[str], StreamDoor]
"""Who streams in a channel, and knows its people; the main one's name is empty."""

IN_FLIGHT_MAX = 2_048
ADDRESS_SHARE = 4
"""An address has the connections' fourth part at most; the Unix socket's users, who have none, have them all."""
WRITE_BUFFER_BYTES_MAX = 16 << 20
HANDSHAKE_S = 10.0

log = logging.getLogger("wattq.socket")


class SocketServer:
    """Accepts connections and answers calls; at most ``connections_max`` at once, further ones are closed."""

    def __init__(
        self,
        handle: Handler,
        connections_max: int,
        channels: Channels | None = None,
        doors: Doors | None = None,
        identify: Callable[[bytes], str] = lambda der: "",
        charge: Charge = lambda address, channel, token, signer: None,
    ) -> None:
        """``identify(certificate)``: the signer whom a certificate of the network's CA names, empty for any other."""
        self._handle = handle
        self._channels = channels
        self.doors = doors
        self.identify = identify
        self.charge = charge
        self._max = connections_max
        self.turns = Turns()
        self._open: dict[_Caller, None] = {}
        self._servers: list[asyncio.AbstractServer] = []
        self._listeners: list[Listener] = []
        self._paths: list[Path] = []

    async def listen_unix(self, path: Path) -> None:
        """Serve on a Unix socket that only this user can reach."""
        await asyncio.to_thread(path.unlink, missing_ok=True)
        server = await asyncio.get_running_loop().create_unix_server(self._accept, str(path))
        await asyncio.to_thread(path.chmod, 0o600)
        self._servers.append(server)
        self._paths.append(path)

    async def listen_tls(
        self, host: str, port: int, context: ssl.SSLContext, roots: Callable[[], Sequence[bytes]] = tuple
    ) -> int:
        """``roots()``: the CA roots (DER) whose certificates callers may show; they may change at any time. The
        port is returned."""
        trusted: set[bytes] = set()

        def accept() -> _Caller:
            if fresh := set(roots()) - trusted:
                trusted.update(fresh)
                context.load_verify_locations(cadata=b"".join(sorted(fresh)))
            return self._accept()

        listener = tls_listener(accept, context, HANDSHAKE_S)
        self._listeners.append(listener)
        return await listener.listen(host, port)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            await listener.close()
        for caller in list(self._open):
            caller.hang_up()
        await asyncio.gather(*(server.wait_closed() for server in self._servers))
        for path in self._paths:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _accept(self) -> _Caller:
        return _Caller(self, self._open, self._max)

    def handler(self, channel: str) -> Handler:
        if not channel:
            return self._handle
        if self._channels is None:
            raise Refused(Problem("CHANNEL_UNKNOWN", "This node serves no channels.", 404))
        return self._channels(channel)


class _Caller(asyncio.Protocol):
    """One connection. Not read while calls wait for their turn, too many are in flight, or answers pile up unread."""

    def __init__(self, server: SocketServer, peers: dict[_Caller, None], peers_max: int) -> None:
        self._server = server
        self._peers = peers
        self._peers_max = peers_max
        self._frames = wire.Frames(wire.REQUEST_BYTES_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits = self._paused = self._gone = False
        """Whether it waits for a turn, is not read from, or is no more."""
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, tuple[asyncio.Task[None], Flow]] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._signer = ""
        """Whose certificate was shown, if one was."""
        self._address = ""
        """Of the other end; empty on the Unix socket, where the server of REST says whom it calls for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit asyncio's
        address = transport.get_extra_info("peername")
        self._address = whose_address(str(address[0])) if isinstance(address, tuple) else ""
        if not self._has_place():
            self.hang_up()
            return
        self._peers[self] = None
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert(binary_form=True) if session is not None else None
        self._signer = self._server.identify(certificate) if certificate else ""

    def _has_place(self) -> bool:
        """Whether there is room; in a full house one gives way (``ca.listening``) that asks nothing and showed no
        certificate."""
        held: dict[str, list[_Caller]] = {}
        for peer in self._peers:
            if peer._address:
                held.setdefault(peer._address, []).append(peer)
        own = len(held.get(self._address, ()))
        if own >= max(1, self._peers_max // ADDRESS_SHARE):
            return False
        if len(self._peers) < self._peers_max:
            return True
        found = giving_way(held, own, lambda peer: not peer._tasks and not peer._signer)
        if found is not None:
            del self._peers[found[1]]
            found[1].hang_up()
        return found is not None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.pop(self, None)
        self._gone = True
        for task in self._tasks:
            task.cancel()

    def hang_up(self) -> None:
        self._gone = True
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._frames.add(data)
        self._await_turn()

    def _await_turn(self) -> None:
        if not self._waits:
            self._waits = True
            self._server.turns.wait(self)

    def take(self, calls_max: int) -> int:
        """Begin calls that have come, as ``turns.Taker`` says."""
        room = 0 if self._gone else min(calls_max, IN_FLIGHT_MAX - len(self._tasks))
        taken = 0
        try:
            for frame in islice(self._frames.whole(), room):
                taken += 1
                self._take(wire.decode_request(frame))
        except (wire.FrameTooLong, *UNREADABLE):
            self.hang_up()
        self._waits = taken == calls_max
        self._read(taken < room)
        return taken

    def _read(self, wanted: bool) -> None:
        """Read on, or not before what was read is taken."""
        if self._transport is None or self._gone or wanted is not self._paused:
            return
        self._paused = not wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _take(self, request: wire.Request) -> None:
        known = self._streams.get(request.id)
        if request.method == wire.CREDIT:
            granted = msgspec.msgpack.decode(request.params, type=int)
            if known is not None:
                known[1].grant(granted)
        elif request.method == wire.CANCEL:
            if known is not None:
                known[0].cancel()
        elif request.method != wire.STREAM:
            self._start(self._answer(request))
        elif known is not None:
            self.hang_up()
        else:
            flow = Flow()
            task = self._start(self._stream(request, flow))
            self._streams[request.id] = task, flow
            task.add_done_callback(lambda _: self._streams.pop(request.id))

    def _start(self, answer: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > WRITE_BUFFER_BYTES_MAX:
            self._transport.abort()
        elif self._paused:
            self._await_turn()

    async def _answer(self, request: wire.Request) -> None:
        if request.number:
            request_ids.begin(request.number)
        try:
            self._charge(request)
            params = decode_params(request.method, request.params)
            handle, origin = self._server.handler(request.channel), self._address or request.origin
            result = await handle(request.method, params, self._token(request), origin)
            reply = wire.Reply(request.id, True, msgspec.Raw(wire.encode_body(result)))
        except Refused as refusal:
            reply = wire.Reply(request.id, False, msgspec.Raw(wire.encode_body(refusal.problem)))
        except Exception:
            # One caller's request must not end the node; what went wrong is ours, and goes to the log.
            reply = wire.Reply(request.id, False, msgspec.Raw(wire.encode_body(our_fault(log, request.method))))
        self._write(reply)

    async def _stream(self, request: wire.Request, flow: Flow) -> None:
        """As ``_answer``, with one frame after another, each when the caller takes it."""
        try:
            self._charge(request)
            params, origin = read_stream_params(request.params), self._address or request.origin
            async with aclosing(self._door(request.channel).stream(params, self._token(request), origin)) as stream:
                async for events in stream:
                    for body in bodies(events):
                        await flow.take(len(body))
                        await self._writable.wait()
                        self._write(wire.Reply(request.id, True, msgspec.Raw(body), True))
            reply = wire.Reply(request.id, True, msgspec.Raw(wire.encode_body(None)))
        except Refused as refusal:
            reply = wire.Reply(request.id, False, msgspec.Raw(wire.encode_body(refusal.problem)))
        except Exception:
            reply = wire.Reply(request.id, False, msgspec.Raw(wire.encode_body(our_fault(log, request.method))))
        self._write(reply)

    def _charge(self, request: wire.Request) -> None:
        """What comes by the Unix socket is the node's own, or REST has charged it."""
        if self._address:
            self._server.charge(self._address, request.channel, request.token, self._signer)

    def _token(self, request: wire.Request) -> str:
        if request.token or not self._signer:
            return request.token
        return self._door(request.channel).vouch(self._signer)

    def _door(self, channel: str) -> StreamDoor:
        if self._server.doors is None:
            raise Refused(Problem("METHOD_UNKNOWN", "This node streams nothing.", 404))
        return self._server.doors(channel)

    def _write(self, reply: wire.Reply) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_framed(reply))


def _framed(reply: wire.Reply) -> bytes:
    """A reply's frame; in place of one that no client would take, a refusal that says so."""
    try:
        return wire.frame(reply)
    except wire.FrameTooLong as error:
        problem = Problem("ANSWER_TOO_LARGE", f"The answer is too large ({error}). Ask for less at once.", 422)
        return wire.frame(wire.Reply(reply.id, False, msgspec.Raw(wire.encode_body(problem))))


def decode_params(name: str, data: msgspec.Raw) -> Params:
    """Parameters of a call; ``Refused`` for an unknown method or parameters of the wrong shape."""
    method = METHODS.get(name)
    if method is None:
        raise Refused(Problem("METHOD_UNKNOWN", f"There is no method {name[:64]!r}.", 404))
    try:
        params: Params = msgspec.msgpack.decode(data, type=method.params)
    except UNREADABLE as error:
        raise Refused(Problem("PARAMETERS_INVALID", f"{parameter_fault(error)}.", 400)) from None
    return params
