"""The client of steps S41 to S45: sign, send, and be done only at a verified quorum of equal answers.

A transaction is signed once. It goes to one endpoint after another, always the same bytes, so that a repeat is
the same transaction (its id is the payload's hash). It counts as done when its receipt verifies against the
genesis file: q signatures of validators under one outcome. It counts as refused when such a receipt says so, or f + 1
nodes do. A node can delay a client, never deceive it.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ca.certificates import request_facts
from ca.keys import SigningKey
from ledger.codes import RefusalCode
from ledger.envelope import PAYLOAD_VERSION
from ledger.genesis import Genesis, parse_genesis
from ledger.proofs import (
    ProofFault,
    ProofInvalid,
    VerifiedEntry,
    anchor_from_json,
    key_proof_from_json,
    state_proof_from_json,
    verify_anchor,
    verify_key,
    verify_state_proof,
)
from ledger.receipts import Receipt, ReceiptFault, ReceiptInvalid, receipt_from_json, verify_receipt
from ledger.statedb.documents import narrow
from ledger.statedb.matching import selected
from ledger.statedb.selector import SelectorInvalid, parse_query
from sdk import methods
from sdk.admission import application_of, certificate_in, check_fits
from sdk.calling import Call, View
from sdk.connection import read_connection
from sdk.errors import Problem, Refused, SdkError, TransportError, Unavailable
from sdk.following import Door, Follower
from sdk.gas import gas_limit_of
from sdk.many import IN_FLIGHT_MAX, in_order
from sdk.methods import (
    BookParams,
    Method,
    NodeStatus,
    Nothing,
    P,
    QueryParams,
    R,
    Rows,
    SignatureText,
    Submission,
    SubmitParams,
    ViewParams,
)
from sdk.node_address import address_of
from sdk.statuses import RETRIED_STATUS, status_of
from sdk.streams import StreamEvent, StreamParams, Topic
from sdk.transports import Transport

EXPIRY_BLOCKS = 5_000
HEIGHT_GOOD_S = 10.0
"""How long a height that was asked for is good enough to count expiry from."""
NONCE_SLACK, HEIGHT_SLACK = 256, 1_000
"""How far honest nodes may be from each other; well within a nonce's window, and within EXPIRY_BLOCKS."""
WITNESS_TIMEOUT_S = 2.0
EACH_TIMEOUT_S = 10.0
"""For each endpoint, where all are asked."""
ROUND_TIMEOUT_MS = 5_000
BLOCKS_REMEMBERED = 32
"""A client remembers a checked receipt of each, so that it checks a block's certificate once."""
BACKOFF_S = 0.1
BACKOFF_S_MAX = 2.0
CHANNEL_UNKNOWN = "CHANNEL_UNKNOWN"
"""What a node says that is no member of a channel; another of the endpoints may be."""
STREAM_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A transaction that a quorum vouches for."""

    tx_id: str
    height: int
    index: int
    code: str
    message: str
    value: Any
    receipt: Receipt
    receipt_json: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signed:
    """A payload and its signatures, ready to be sent any number of times."""

    payload: str
    signatures: tuple[SignatureText, ...]


def _signature(key: SigningKey, text: str) -> SignatureText:
    return SignatureText(public_key=key.public_key, signature=key.sign(text.encode()))


class AsyncClient:
    """Talks to a network through any of ``endpoints``; ``key`` signs for it. Use as an async context manager.

    ``channel``: another one than the main one; the endpoints are nodes of its members, and ``genesis`` is its own.
    There only members are answered at all, so every call has this client's identity.
    """

    def __init__(
        self, endpoints: Sequence[Transport], genesis: Genesis, key: SigningKey | None = None, channel: str = ""
    ) -> None:
        if not endpoints:
            raise ValueError("a client needs at least one endpoint")
        if channel and genesis.channel != channel:
            raise ValueError(f"this is the genesis file of channel {genesis.channel}, not of {channel}")
        self._channel = channel
        self._endpoints = list(endpoints)
        self._current = 0
        self._genesis = genesis
        self._key = key
        self._tokens: dict[str, str] = {}
        self._nonce: int | None = None
        self._nonce_is_old = False
        self._nonce_lock = asyncio.Lock()
        self._witnesses = list(endpoints)
        """Who is asked for nonce and height, those that did not answer last."""
        self._seen: tuple[int, float] | None = None
        """The chain's height, and when it was asked for."""
        self._verified_receipts: OrderedDict[int, Receipt] = OrderedDict()

    @classmethod
    def open(cls, file: Path, key: Path | None = None) -> AsyncClient:
        """A client from a connection file, or a network's ``cluster.toml``; see ``sdk.connection`` for its errors."""
        read = read_connection(file, key)
        return cls(read.transports(), read.genesis, read.key, read.channel)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints))

    @property
    def signer(self) -> str:
        return self._signing_key().signer

    def _signing_key(self) -> SigningKey:
        if self._key is None:
            raise ValueError("this client has no key; give it one to sign with")
        return self._key

    # -------------------------------------------------------------------------------------------- writing

    async def sign(
        self,
        contract: str,
        function: str,
        args: Mapping[str, Any],
        *,
        co_signers: Sequence[SigningKey] = (),
        others: Sequence[str] = (),
        gas_limit: int | None = None,
        expires_at_height: int | None = None,
        nonce: int | None = None,
    ) -> Signed:
        """Build and sign a payload; signers are this client's key and then ``co_signers``, in that order, and at last
        ``others`` (signers), whose signatures are still to come (``sdk.proposals``).

        ``gas_limit``: what it may cost at most, if not what ``sdk.gas`` says."""
        keys = [self._signing_key(), *co_signers]
        payload = {
            "v": PAYLOAD_VERSION,
            "chain": self._genesis.chain_id.hex(),
            "channel": self._genesis.channel,
            "signers": [*(key.signer for key in keys), *others],
            "contract": contract,
            "function": function,
            "args": dict(args),
            "nonce": await self._next_nonce() if nonce is None else nonce,
            "expires_at_height": expires_at_height or await self._height() + EXPIRY_BLOCKS,
            "gas_limit": gas_limit_of(contract, function) if gas_limit is None else gas_limit,
        }
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return Signed(text, tuple(_signature(key, text) for key in keys))

    def signature(self, text: str) -> SignatureText:
        """This client's signature under a payload that somebody else has begun."""
        return _signature(self._signing_key(), text)

    async def _next_nonce(self) -> int:
        async with self._nonce_lock:
            if self._nonce is None or self._nonce_is_old:
                asked = methods.SignerParams(signer=self.signer)
                highest = await self._heard(methods.NONCE, asked, lambda state: state.highest, NONCE_SLACK)
                self._nonce = highest if self._nonce is None else max(self._nonce, highest)
                self._nonce_is_old = False
            self._nonce += 1
            return self._nonce

    async def _height(self) -> int:
        """About where the chain is."""
        now = asyncio.get_running_loop().time()
        if self._seen is None or now > self._seen[1] + HEIGHT_GOOD_S:
            height = await self._heard(methods.STATUS, Nothing(), lambda status: status.executed_height, HEIGHT_SLACK)
            self._seen = (height, now)
        return self._seen[0]

    async def _heard(self, method: Method[P, R], params: P, read: Callable[[R], int], slack: int) -> int:
        """The highest of f + 1 answers that are within ``slack`` of each other: one at least is an honest node's. Where
        fewer nodes are known, or agree, the word of the first that answers."""
        needed = (len(self._genesis.validators) - 1) // 3 + 1
        said: list[int] = []
        for endpoint in list(self._witnesses) if len(self._witnesses) >= needed else ():
            if not (told := await self._said(endpoint, method, params, read)):
                self._witnesses.remove(endpoint)
                self._witnesses.append(endpoint)
            said = sorted([*said, *told])
            for low, high in zip(said, said[needed - 1 :], strict=False):
                if high - low <= slack:
                    return high
        return read(await self._call(method, params))

    async def _said(self, endpoint: Transport, method: Method[P, R], params: P, read: Callable[[R], int]) -> list[int]:
        """What one node says; nothing if it does not answer."""
        try:
            token = self._tokens.get(endpoint.endpoint) or await self._open_session(endpoint) if self._channel else ""
            return [read(await endpoint.call(method.within(self._channel), params, token, WITNESS_TIMEOUT_S))]
        except TransportError:
            return []
        except Refused as refusal:
            if refusal.code == "SESSION_UNKNOWN":
                self._tokens.pop(endpoint.endpoint, None)
            return []

    async def invoke(
        self,
        contract: str,
        function: str,
        args: Mapping[str, Any] | None = None,
        *,
        co_signers: Sequence[SigningKey] = (),
        gas_limit: int | None = None,
        timeout_s: float = 60.0,
    ) -> Outcome:
        """Sign, submit and wait for the verified certificate (S41 to S45).

        Raises ``Refused`` (S3) with code and sentence when it failed, proven by its receipt, or when f + 1 nodes (all
        of them, if there are fewer) refused it alike; ``Unavailable`` when no quorum answered within ``timeout_s``.
        """
        signed = await self.sign(contract, function, args or {}, co_signers=co_signers, gas_limit=gas_limit)
        return await self.submit(signed, timeout_s)

    async def do(
        self,
        call: Call,
        *,
        co_signers: Sequence[SigningKey] = (),
        gas_limit: int | None = None,
        timeout_s: float = 60.0,
    ) -> Outcome:
        """``invoke`` for a call that ``sdk.calls`` made: ``client.do(market.cancel_order(order=…))``."""
        return await self.invoke(
            call.contract, call.function, call.args, co_signers=co_signers, gas_limit=gas_limit, timeout_s=timeout_s
        )

    def do_many(
        self, calls: Iterable[Call], *, in_flight_max: int = IN_FLIGHT_MAX, timeout_s: float = 60.0
    ) -> AsyncIterator[tuple[Call, Outcome | SdkError]]:
        """Up to ``in_flight_max`` transactions side by side; each with its outcome or its error, in the order given."""
        return in_order(calls, lambda call: self.do(call, timeout_s=timeout_s), in_flight_max)

    async def submit(self, signed: Signed, timeout_s: float = 60.0) -> Outcome:
        """Send the same envelope to one endpoint after another until its receipt verifies."""
        try:
            return await self._submit(signed, timeout_s)
        except Refused as refusal:
            # Somebody else signs with this key too, or a node lied about the highest nonce: ask the chain again.
            if refusal.code == RefusalCode.NONCE_OUT_OF_WINDOW:
                self._nonce = None
            self._nonce_is_old |= refusal.code == RefusalCode.NONCE_USED
            raise

    async def _submit(self, signed: Signed, timeout_s: float) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        backoff = BACKOFF_S
        last = "no endpoint was tried"
        refusals: dict[str, set[str]] = {}
        while (left := deadline - loop.time()) > 0:
            endpoint = self._endpoints[self._current]
            params = SubmitParams(
                payload=signed.payload,
                signatures=signed.signatures,
                wait="certificate",
                timeout_ms=max(1, min(ROUND_TIMEOUT_MS, int(left * 1000))),
            )
            try:
                patience_s = min(left, ROUND_TIMEOUT_MS / 1000) + 2
                told: Submission | Refused | Outcome = await self._ask(endpoint, params, patience_s)
                if isinstance(told, Submission) and told.receipt is not None:
                    told = self._verified(told, signed)
                if isinstance(told, Outcome):
                    return told
                if isinstance(told, Refused):
                    last = f"{endpoint.endpoint}: {told}"
                    if told.status not in RETRIED_STATUS and self._believes(told, endpoint, refusals):
                        raise told
                else:
                    last = f"{endpoint.endpoint}: accepted, not certified in time"
            except TransportError as error:
                last = str(error)
            except ReceiptInvalid as error:
                last = f"{endpoint.endpoint} lies: {error}"
            self._current = (self._current + 1) % len(self._endpoints)
            await asyncio.sleep(min(backoff, max(0.0, deadline - loop.time())))
            backoff = min(backoff * 2, BACKOFF_S_MAX)
        tx_id = sha256(signed.payload.encode()).hexdigest()
        alike = "; ".join(f"{code} by {', '.join(sorted(nodes))}" for code, nodes in sorted(refusals.items()))
        why = f"last: {last}; refused without proof: {alike}" if alike else f"last: {last}"
        raise Unavailable(f"no quorum of answers within {timeout_s:g} s; {why}", tx_id)

    async def _ask(self, endpoint: Transport, params: SubmitParams, patience_s: float) -> Submission | Refused:
        """How far the transaction came, or why the node refuses it; a refusal with a receipt is a claim as well."""
        token = self._tokens.get(endpoint.endpoint, "") if self._channel else ""
        try:
            return await endpoint.call(methods.SUBMIT.within(self._channel), params, token, patience_s)
        except Refused as refusal:
            if refusal.code == "SESSION_UNKNOWN":
                self._tokens.pop(endpoint.endpoint, None)
                return await self._ask(endpoint, params, patience_s)
            told = refusal.problem.submission
            return told if told is not None and told.receipt is not None else refusal

    def _believes(self, refusal: Refused, endpoint: Transport, refusals: dict[str, set[str]]) -> bool:
        """Whether so many nodes have refused alike, without proof, that one of them is honest (f + 1, if there are)."""
        alike = refusals.setdefault(refusal.code, set())
        alike.add(endpoint.endpoint)
        nodes = len({known.endpoint for known in self._endpoints})
        return len(alike) >= min((len(self._genesis.validators) - 1) // 3 + 1, nodes)

    def _verified(self, submission: Submission, signed: Signed) -> Outcome | Refused:
        """What a node's receipt proves. A refusal at that place of the chain is no more than this node's word: the
        transaction may have executed at another one."""
        assert submission.receipt is not None
        receipt = receipt_from_json(submission.receipt)
        height = receipt.certificate.statement.height
        verified = verify_receipt(receipt, self._genesis, self._verified_receipts.get(height))
        self._verified_receipts[height] = receipt
        while len(self._verified_receipts) > BLOCKS_REMEMBERED:
            self._verified_receipts.popitem(last=False)
        if verified.payload != signed.payload.encode():
            raise ReceiptInvalid(ReceiptFault.ENVELOPE, "the receipt is another transaction's")
        if verified.code != "OK":
            status = status_of(verified.code)
            refused = Refused(Problem(verified.code, verified.message, status, submission), verified.tx_id)
            if not verified.executed:
                return refused
            raise refused
        return Outcome(
            tx_id=verified.tx_id,
            height=verified.height,
            index=verified.index,
            code=verified.code,
            message=verified.message,
            value=verified.value,
            receipt=receipt,
            receipt_json=submission.receipt,
        )

    async def enrol(self, request: bytes, code: str) -> bytes:
        """Trade a PKCS#10 request (DER) and an admission code for a certificate (DER) (S1). ``sdk.enrolment`` has the
        whole way. ``AdmissionWaiting`` if an operator has still to decide; ``CertificateUnfit`` for another's."""
        certificate = certificate_in(await self._call(methods.ENROL, application_of(request, code)))
        check_fits(certificate, request_facts(request))
        return certificate

    # -------------------------------------------------------------------------------------------- reading

    async def status(self) -> NodeStatus:
        return await self._call(methods.STATUS, Nothing())

    async def query(self, /, selector: Mapping[str, Any], **options: Any) -> Rows:
        """Documents that match a Mango selector and that this identity may read.

        With ``prove=True`` each row has been checked against its proof, or says in ``unproven`` why it has none; raises
        ``ProofInvalid`` if the node lies. What is no query is ``Refused`` before it is sent: JSON has no NaN.
        """
        params = QueryParams(selector=dict(selector), **options)
        try:
            parse_query(params.selector, params.limit, params.sort, params.fields)
        except SelectorInvalid as error:
            raise Refused(Problem("SELECTOR_INVALID", f"{error}.", 400)) from None
        rows = await self._identified(methods.QUERY, params)
        if options.get("prove"):
            check_rows(rows, self._genesis, params.fields)
        return rows

    async def proof(self, key: str, min_height: int = 0) -> tuple[VerifiedEntry, dict[str, Any]]:
        """What a key holds at the newest certified height, verified, and the proof as JSON; raises ``ProofInvalid``."""
        answer = await self.call(methods.PROOF, methods.ProofParams(key=key, min_height=min_height))
        found = verify_state_proof(state_proof_from_json(answer.proof), self._genesis)
        if found.key != key or found.height < min_height:
            raise ProofInvalid(ProofFault.RECORD, "it is another key's, or older than was asked for")
        return found, answer.proof

    async def history(self, /, key: str, **options: Any) -> methods.History:
        """Versions of a key that this identity may read, newest first."""
        return await self.call(methods.HISTORY, methods.HistoryParams(key=key, **options))

    async def value_at(self, key: str, height: int) -> methods.PastValue:
        """What a key held after the block at ``height``."""
        return await self.call(methods.VALUE, methods.ValueParams(key=key, height=height))

    async def view(self, contract: str, function: str, args: Mapping[str, Any] | None = None) -> Any:
        """Run a contract's view function at the node's last state; not proven."""
        params = ViewParams(contract=contract, function=function, args=dict(args or {}))
        return (await self._identified(methods.VIEW, params)).value

    async def see(self, view: View) -> Any:
        """``view`` for one that ``sdk.calls`` made: ``client.see(registry.get_meter(serial=…))``."""
        return await self.view(view.contract, view.function, view.args)

    async def book(self, interval: int) -> methods.Book:
        return await self._call(methods.BOOK, BookParams(interval=interval))

    async def documents(self, /, method: Method[methods.DocumentsParams, Rows], **options: Any) -> Rows:
        """Listings, orders, trades, adjustments or readings: pass ``methods.LISTINGS`` and so on. ``prove=True`` as in
        ``query``."""
        rows = await self._identified(method, methods.DocumentsParams(**options))
        if options.get("prove"):
            check_rows(rows, self._genesis)
        return rows

    async def account(self, signer: str | None = None) -> methods.Row:
        return await self._identified(methods.ACCOUNT, methods.SignerParams(signer=signer or self.signer))

    async def call(self, method: Method[P, R], params: P) -> R:
        """Any method, with this client's identity if it has a key."""
        return await (self._identified(method, params) if self._key else self._call(method, params))

    async def call_plain(self, method: Method[P, R], params: P) -> R:
        """Any method, once, without identity."""
        return await self._call(method, params)

    async def call_each(self, method: Method[P, R], params: P) -> list[R | SdkError]:
        """Any method, at every endpoint at once, with this client's identity: what each answers, or why it does not."""
        return await asyncio.gather(*(self._call_at(each, method, params) for each in self._endpoints))

    async def _call_at(self, endpoint: Transport, method: Method[P, R], params: P) -> R | SdkError:
        token = self._tokens.get(endpoint.endpoint, "")
        try:
            return await endpoint.call(
                method.within(self._channel), params, token or await self._open_session(endpoint), EACH_TIMEOUT_S
            )
        except Refused as refusal:
            if refusal.code != "SESSION_UNKNOWN" or not token:
                return refusal
        except TransportError as error:
            return error
        del self._tokens[endpoint.endpoint]
        return await self._call_at(endpoint, method, params)

    async def _call(self, method: Method[P, R], params: P, token: str = "") -> R:
        """Try the endpoints in turn, each once, from the one that answered last."""
        if self._channel and not token:
            return await self._identified(method, params)
        last: Exception = TransportError("no endpoint was tried")
        for _ in self._endpoints:
            endpoint = self._endpoints[self._current]
            try:
                return await endpoint.call(method.within(self._channel), params, token)
            except TransportError as error:
                last = error
            except Refused as refusal:
                if refusal.status not in RETRIED_STATUS:
                    raise
                last = refusal
            self._current = (self._current + 1) % len(self._endpoints)
        raise last

    async def _identified(self, method: Method[P, R], params: P) -> R:
        """Call with a session of the current endpoint, opening or renewing it when needed."""
        last: Exception = TransportError("no endpoint was tried")
        for _ in range(2 * len(self._endpoints)):
            endpoint = self._endpoints[self._current]
            try:
                token = self._tokens.get(endpoint.endpoint) or await self._open_session(endpoint)
                return await endpoint.call(method.within(self._channel), params, token)
            except TransportError as error:
                last = error
                self._current = (self._current + 1) % len(self._endpoints)
            except Refused as refusal:
                last = refusal
                if refusal.code == "SESSION_UNKNOWN":
                    self._tokens.pop(endpoint.endpoint, None)
                elif refusal.status in RETRIED_STATUS or refusal.code == CHANNEL_UNKNOWN:
                    self._current = (self._current + 1) % len(self._endpoints)
                else:
                    raise
        raise last

    def stream(
        self,
        topics: Sequence[Topic],
        *,
        from_height: int = 0,
        intervals: Sequence[int] = (),
        verified: bool = False,
        patience_s: float = STREAM_PATIENCE_S,
    ) -> AsyncGenerator[StreamEvent]:
        """What happens, as it happens (``sdk.streams``), from the block ``from_height`` on, or from now on. It goes on
        at the next node where it ended at the last; if none serves it for ``patience_s``, the last error is raised.

        ``verified``, for blocks alone: each has been checked against the genesis file; a node that lies is left.
        """
        if verified and tuple(topics) != ("blocks",):
            raise ValueError("only the topic blocks can be verified")
        params = StreamParams(
            topics=tuple(topics), from_height=from_height, intervals=tuple(intervals), proofs=verified
        )
        endpoints = [*self._endpoints[self._current :], *self._endpoints[: self._current]]
        door = Door(endpoints, self._stream_token, lambda each: self._tokens.pop(each.endpoint, ""), self._channel)
        return Follower(door, params, patience_s, self._genesis if verified else None).events()

    async def _stream_token(self, endpoint: Transport) -> str:
        if self._key is None:
            return ""
        return self._tokens.get(endpoint.endpoint) or await self._open_session(endpoint)

    async def _open_session(self, endpoint: Transport) -> str:
        if endpoint.vouched:
            return ""  # the node knows this client by its certificate
        key = self._signing_key()
        asked = methods.ChallengeParams(public_key=key.public_key)
        challenge = (await endpoint.call(methods.CHALLENGE.within(self._channel), asked)).challenge
        node = address_of(endpoint.endpoint)
        signature = key.sign(session_text(self._genesis.chain_id, node, challenge))
        session = await endpoint.call(
            methods.SESSION.within(self._channel),
            methods.SessionParams(public_key=key.public_key, challenge=challenge, signature=signature, node=node),
        )
        self._tokens[endpoint.endpoint] = session.token
        return session.token


def session_text(chain_id: bytes, node: str, challenge: bytes) -> bytes:
    """The bytes that prove possession of a key for reading, to the node of that address (``sdk.node_address``) alone;
    never a payload, since a payload starts with a brace."""
    return "\n".join(("wattquorum/1 session", chain_id.hex(), node, challenge.hex())).encode()


def check_rows(rows: Rows, genesis: Genesis, fields: Sequence[str] = ()) -> None:
    """Every row that has a proof is what that proves, or the ``fields`` of it that were asked for; ``ProofInvalid`` if
    not, or if one has none without a reason."""
    anchor = anchor_from_json(rows.anchor)
    epoch = verify_anchor(anchor, genesis)
    for row in rows.rows:
        if row.proof is None and row.unproven:
            continue
        proven = verify_key(key_proof_from_json(row.proof), anchor, epoch)
        value = selected(narrow(proven.value), fields)
        if (row.key, (row.height, row.index), row.value) != (proven.key, proven.version, value):
            raise ProofInvalid(ProofFault.RECORD, f"the row of {row.key} is not what is proven")


async def fetch_genesis(endpoint: Transport) -> Genesis:
    """Ask a node for the genesis file. Trust it only if the chain id is known from elsewhere."""
    return parse_genesis((await endpoint.call(methods.GENESIS, Nothing())).genesis)
