"""Submitting: decode, authenticate (M9), hand to the ordering module, and wait as long as the client asked.

Waiters are kept by transaction id, bounded in number, and resolved from the commit and certificate callbacks. A
request is charged to the address that it comes from before anything is done for it. Once its signature has proven whose
it is, that is paid back, and it waits for its client's turn. Those whom the chain does not know share the pace of their
address; so do, apart from them, those whose signatures are wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from api.pace import Pace, Places, wait_until
from api.pools import BoundedPool
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope, envelope_from_text
from ledger.ledger import Ledger
from ledger.receipts import receipt_to_json
from ledger.statedb.documents import narrow
from sdk.errors import Problem, Refused
from sdk.methods import Submission, SubmitParams
from sdk.statuses import status_of

WAITERS_MAX = 20_000
ADMISSION_THREADS = 2
ADMISSION_TIMEOUT_S = 30.0
REQUESTS_PER_S_MAX = 200
ORIGIN_CALLS_MAX = 4_000
"""Calls of one address that are under way: its own waiting ones shut nobody else out."""
INLINE_BYTES_MAX = 4_096
"""What is longer is decoded in a thread: the event loop is consensus's too."""

UNPROVEN = frozenset(
    {RefusalCode.TOO_LARGE, RefusalCode.WRONG_CHAIN, RefusalCode.WRONG_CHANNEL, RefusalCode.SIGNATURE_INVALID}
)
"""Refusals that come before, or of, the signature: anybody can have them in anybody's name."""

Order = Callable[[Sequence[Envelope]], Awaitable[Sequence[Refusal | None]]]
"""Hands authenticated envelopes to the ordering module: a refusal for each that was not taken."""


@dataclass(slots=True)
class _Waiter:
    """The clients that wait for one transaction."""

    certified: asyncio.Event
    committed: asyncio.Event
    clients: int = 0
    height: int | None = None


class Submissions:
    """One a node. ``on_commit`` and ``on_certified`` are called in the event loop."""

    def __init__(self, ledger: Ledger, order: Order, requests_per_s_max: int = REQUESTS_PER_S_MAX) -> None:
        self._ledger = ledger
        self._order = order
        self._pool = BoundedPool("submissions", ADMISSION_THREADS, WAITERS_MAX, ADMISSION_TIMEOUT_S)
        self._pace = Pace(requests_per_s_max)
        self._places = Places(ORIGIN_CALLS_MAX)
        self._waiters: dict[bytes, _Waiter] = {}
        self.listeners: list[Callable[[], None]] = []
        """Called on the event loop when a block has been certified."""
        self._uncertified: dict[int, list[bytes]] = {}

    async def submit(self, params: SubmitParams, origin: str = "") -> Submission:
        """Take an envelope in; ``Refused`` with a typed code when it is not lawful, when there is no room, when it
        failed (with its receipt, if that was asked for), and when it did not come as far in time as was asked for."""
        with self._places.one(origin):
            return await self._submit(params, origin)

    async def _submit(self, params: SubmitParams, origin: str) -> Submission:
        envelope = await self._proven(params, origin)
        if self._ledger.has(envelope.tx_id):
            known = await self._known(envelope, params.wait)
            if known is not None:
                return _unless_failed(known)
        waiter = self._waiter(envelope.tx_id)
        waiter.clients += 1
        try:
            await self._enter(envelope, waiter, origin)
            if params.wait == "accepted":
                return Submission(envelope.tx_id.hex(), "accepted")
            event = waiter.committed if params.wait == "committed" else waiter.certified
            await _wait(event, params.timeout_ms)
        finally:
            waiter.clients -= 1
            if waiter.clients == 0:
                self._waiters.pop(envelope.tx_id, None)
        known = await self._known(envelope, params.wait)
        if known is None:
            raise await self._late(envelope, params)
        return _unless_failed(known)

    async def _proven(self, params: SubmitParams, origin: str) -> Envelope:
        """The envelope, signed by whom it says, once its turn has come; ``Refused`` if it is not lawful. One that has
        executed was lawful: its signatures are asked for all the same, since its result is not everybody's."""
        door = f"unproven@{origin}"
        door_due_s = self._pace.charge(door)
        envelope = await self._decoded(params, door)
        client = self._client(envelope, origin)
        if not self._ledger.has(envelope.tx_id):
            self._check(client, door, len(params.payload))
        refusal = await self._pool.run(self._ledger.admit, envelope)
        if refusal is not None and refusal.code in UNPROVEN:
            self._refuse(door, door)
            raise _refused(refusal)
        if self._ledger.has(envelope.tx_id):
            await wait_until(door_due_s)
        elif refusal is not None:
            self._refuse(client, door)
            raise _refused(refusal)
        else:
            due_s = self._pace.charge(client)
            self._pace.pay_back(door)
            await wait_until(due_s)
        return envelope

    def _check(self, client: str, door: str, size: int) -> None:
        """``Refused`` if this client is over its pace. To have decoded a large request is the address's turn even so:
        nothing has shown yet that it is this client's."""
        try:
            self._pace.check(client)
        except Refused:
            if size <= INLINE_BYTES_MAX:
                self._pace.pay_back(door)
            raise

    async def _decoded(self, params: SubmitParams, door: str) -> Envelope:
        try:
            if len(params.payload) <= INLINE_BYTES_MAX:
                return _envelope(params)
            return await self._pool.run(_envelope, params)
        except Refusal as refusal:
            self._refuse(door, door)
            raise Refused(Problem(refusal.code, refusal.message, 400)) from None

    def _refuse(self, client: str, door: str) -> None:
        """Charge this client for a request that is refused, in place of the address's turn."""
        self._pace.pay_back(door)
        self._pace.refused(client)

    def _client(self, envelope: Envelope, origin: str) -> str:
        """Whose request it says to be. Made-up keys cost nothing: those of one address get one share together."""
        signer = envelope.payload.signers[0]
        return signer if self._ledger.reader().get(f"registry/user/{signer}") is not None else f"unknown@{origin}"

    async def _late(self, envelope: Envelope, params: SubmitParams) -> Refused:
        reached = await self._known(envelope, "committed") or Submission(envelope.tx_id.hex(), "accepted")
        what = "executed" if params.wait == "committed" else "certified"
        message = (
            f"The transaction is taken in and not lost, but no quorum has {what} it within {params.timeout_ms} ms. "
            f"Send the same bytes again, or ask for /v1/transactions/{reached.tx_id}."
        )
        place = Submission(reached.tx_id, reached.state, reached.height, reached.index)
        return Refused(Problem("NO_QUORUM_YET", message, 504, place))

    def on_commit(self, height: int, tx_ids: Sequence[bytes]) -> None:
        """The block at ``height`` has executed."""
        waiting = [tx_id for tx_id in tx_ids if tx_id in self._waiters]
        for tx_id in waiting:
            self._waiters[tx_id].height = height
            self._waiters[tx_id].committed.set()
        if waiting:
            self._uncertified.setdefault(height, []).extend(waiting)

    def on_certified(self, height: int) -> None:
        """Every block up to ``height`` is certified."""
        for listener in self.listeners:
            listener()
        for ready in [known for known in self._uncertified if known <= height]:
            for tx_id in self._uncertified.pop(ready):
                waiter = self._waiters.get(tx_id)
                if waiter is not None:
                    waiter.certified.set()

    async def _enter(self, envelope: Envelope, waiter: _Waiter, origin: str) -> None:
        """Hand the envelope over, unless it has executed, here or by way of another node: then its nonce is used."""
        refusal = None
        if not self._ledger.has(envelope.tx_id):
            (refusal,) = await self._order([envelope])
        if self._ledger.has(envelope.tx_id):
            fate = await self._pool.run(self._ledger.fate, envelope.tx_id)
            assert fate is not None, "what has executed is found"
            self._join(envelope.tx_id, fate.height, waiter)
        elif refusal is not None:
            self._pace.refused(self._client(envelope, origin))
            raise _refused(refusal)

    def _join(self, tx_id: bytes, height: int, waiter: _Waiter) -> None:
        """Wait for the certificate of a block whose commit has perhaps been announced already."""
        waiter.height = height
        waiter.committed.set()
        self._uncertified.setdefault(height, []).append(tx_id)
        if height <= self._ledger.certified_height:
            waiter.certified.set()

    def _waiter(self, tx_id: bytes) -> _Waiter:
        if tx_id not in self._waiters and len(self._waiters) >= WAITERS_MAX:
            message = f"{WAITERS_MAX} transactions are being waited for. Try again shortly."
            raise Refused(Problem("TOO_MANY_WAITERS", message, 503))
        return self._waiters.setdefault(tx_id, _Waiter(asyncio.Event(), asyncio.Event()))

    async def _known(self, envelope: Envelope, wait: str) -> Submission | None:
        """The transaction's fate, if it has executed (and, when a certificate is asked for, is certified)."""
        return await self._pool.run(self._fate, envelope.tx_id, wait)

    def _fate(self, tx_id: bytes, wait: str) -> Submission | None:
        fate = self._ledger.fate(tx_id)
        if fate is None:
            return None
        certified = fate.height <= self._ledger.certified_height
        if wait in ("certified", "certificate") and not certified:
            return None
        receipt = self._ledger.receipt(tx_id) if wait == "certificate" else None
        return Submission(
            tx_id=tx_id.hex(),
            state="certified" if certified else "committed",
            height=fate.height,
            index=fate.index,
            code=fate.code,
            message=fate.message,
            value=narrow(fate.value),
            receipt=None if receipt is None else receipt_to_json(receipt),
        )


def _unless_failed(fate: Submission) -> Submission:
    """``Refused`` for a transaction that executed with another code than OK: its place, and its receipt, go along."""
    if fate.code is None or fate.code == "OK":
        return fate
    message = fate.message or f"The transaction failed with {fate.code}."
    raise Refused(Problem(fate.code, message, status_of(fate.code), fate))


def _envelope(params: SubmitParams) -> Envelope:
    return envelope_from_text(params.payload, [(item.public_key, item.signature) for item in params.signatures])


def _refused(refusal: Refusal) -> Refused:
    return Refused(Problem(refusal.code, refusal.message, status_of(refusal.code)))


async def _wait(event: asyncio.Event, timeout_ms: int) -> None:
    """Wait, or give up silently at the time-out: the answer then says how far the transaction came."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            await event.wait()
    except TimeoutError:
        return
