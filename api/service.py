"""What a node answers: one coroutine a method of ``sdk.methods``, on top of narrow ports.

Whatever blocks (the state database, proofs, block files, view calls, signatures) runs in threads: in pools of its
kind, none of which submissions share. Refusals carry a stable code, a sentence that says what to do, and an HTTP
status.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from api.book import read_book, read_intervals
from api.chain_reads import ChainReads
from api.channel_records import channels_of
from api.cosigners import CoSigners
from api.enrolment import NoOffice, Office
from api.operating import Operating
from api.past import CHANGED, PastReader
from api.pools import BoundedPool
from api.privacy import (
    STRANGER,
    Viewer,
    is_public,
    may_call_view,
    may_read,
)
from api.proposal_files import ProposalFiles
from api.proposals import Proposals
from api.queries import Queries
from api.refusals import forbidden, not_found, refused
from api.sessions import Sessions
from api.standing import is_revoked, who_is
from api.streams import Hub
from api.submissions import Submissions
from api.terms import read_terms
from ca.messages import Roots
from ledger.authentication import read_certificate, roots_of
from ledger.ledger import Ledger
from ledger.proofs import KeyProof, to_json
from ledger.statedb.documents import Document, StateDatabase, narrow
from ledger.statedb.matching import selected
from ledger.statedb.projector import Projector
from ledger.values import decode_value
from sdk import methods
from sdk.diagnosis import Diagnosis
from sdk.methods import Method
from sdk.rounds import Rounds
from sdk.streams import StreamEvent, StreamParams

READ_THREADS, READS_MAX, READ_TIMEOUT_S = 2, 256, 10.0
QUERY_THREADS, QUERIES_MAX, QUERY_TIMEOUT_S = 2, 64, 5.0
"""Queries and views: what may take long."""
STATUS_OF_VIEW_CODE = 422
INTERVAL_MS = 900_000


class StatusPort(Protocol):
    def __call__(self) -> methods.NodeStatus: ...


class HandoverPort(Protocol):
    async def __call__(self, message: bytes, /) -> int | None:
        """Pass an encoded hand-over on; the view that it ends, or None if it is not lawful."""


class NodeService:
    """Implements every method. ``handle`` is the one entry, for the socket."""

    def __init__(
        self,
        ledger: Ledger,
        database: StateDatabase,
        projector: Projector,
        submissions: Submissions,
        sessions: Sessions,
        status: StatusPort,
        office: Office | None,
        hand_over: HandoverPort,
        diagnose: Callable[[], Diagnosis],
        rounds: Callable[[], Rounds],
        *,
        is_main: bool = True,
        proposals: ProposalFiles | None = None,
    ) -> None:
        self._ledger = ledger
        self._cosigners = CoSigners(ledger)
        self._reads = BoundedPool("reads", READ_THREADS, READS_MAX, READ_TIMEOUT_S)
        self._slow = BoundedPool("queries", QUERY_THREADS, QUERIES_MAX, QUERY_TIMEOUT_S)
        self._queries = Queries(ledger, database, projector, self._slow)
        self._past = PastReader(ledger, self._reads)
        chain = ChainReads(ledger, self._reads)
        waiting = Proposals(ledger, self._cosigners, self._reads, proposals)
        self.hub = Hub(ledger)
        submissions.listeners += [self._past.on_certified, self.hub.on_certified]
        self._submissions = submissions
        self._sessions = sessions
        self._status = status
        self._office = office or NoOffice()
        self._hand_over = hand_over
        self._rounds = rounds
        self._operating = Operating(ledger, self._reads, diagnose, is_main)
        self._table: dict[str, Callable[[Any, Viewer], Coroutine[Any, Any, msgspec.Struct]]] = {
            "status": self._do_status,
            "genesis": self._do_genesis,
            "submit": self._do_submit,
            "propose": waiting.propose,
            "proposals": waiting.proposals,
            "withdraw": waiting.withdraw,
            "transaction": chain.transaction,
            "receipt": chain.receipt,
            "headers": chain.headers,
            "block": chain.block,
            "block_by_hash": chain.block_by_hash,
            "certificate": chain.certificate,
            "book": self._do_book,
            "listings": self._documents("listing"),
            "orders": self._documents("order"),
            "trades": self._documents("trade"),
            "adjustments": self._documents("adjustment"),
            "readings": self._documents("reading"),
            "account": self._do_account,
            "user": self._do_user,
            "query": self._do_query,
            "view": self._do_view,
            "nonce": self._do_nonce,
            "proof": self._do_proof,
            "history": self._do_history,
            "value": self._do_value,
            "challenge": self._do_challenge,
            "session": self._do_session,
            **{method.name: self._enrolment(method) for method in methods.ENROLMENT},
            "roots": self._do_roots,
            "handover": self._do_handover,
            "channels": self._do_channels,
            "rounds": self._do_rounds,
            "why": self._operating.why,
            "log_level": self._operating.set_log_level,
            "intervals": self._do_intervals,
            "terms": self._do_terms,
        }

    async def handle(self, method: str, params: Any, token: str, origin: str = "") -> msgspec.Struct:
        """Answer one call; raises ``Refused``."""
        return await self._table[method](params, replace(self._viewer(token), origin=origin))

    def stream(self, params: StreamParams, token: str, origin: str = "") -> AsyncGenerator[tuple[StreamEvent, ...]]:
        """What happens, as it happens (``api.streams``); raises ``Refused``, at once or later."""
        return self.hub.events(params, lambda: replace(self._viewer(token), origin=origin))

    def identify(self, certificate: bytes) -> str:
        """The signer whom a certificate (DER) of a CA root in the state names; empty for others, or revoked ones."""
        reader = self._ledger.reader()
        facts = read_certificate(reader, certificate)
        return "" if facts is None or is_revoked(reader, facts.serial) else facts.signer

    def vouch(self, signer: str) -> str:
        """A session's token for somebody whose certificate was seen."""
        return self._sessions.vouched(signer, _now_ms())

    def _viewer(self, token: str) -> Viewer:
        signer = self._sessions.signer(token, _now_ms())
        if signer is None:
            return STRANGER
        viewer = who_is(self._ledger.reader(), signer, self._ledger.time_ms)
        return replace(viewer, accounts=self._cosigners.accounts_of(signer)) if viewer.role else viewer

    # ------------------------------------------------------------------------------------------- public

    async def _do_status(self, _: methods.Nothing, __: Viewer) -> methods.NodeStatus:
        return self._status()

    async def _do_genesis(self, _: methods.Nothing, __: Viewer) -> methods.GenesisFile:
        return methods.GenesisFile(self._ledger.genesis.raw)

    async def _do_submit(self, params: methods.SubmitParams, viewer: Viewer) -> methods.Submission:
        return await self._submissions.submit(params, viewer.origin)

    async def _do_book(self, params: methods.BookParams, _: Viewer) -> methods.Book:
        return await self._reads.run(read_book, self._ledger.reader(), params.interval, self._ledger.height)

    async def _do_intervals(self, params: methods.IntervalsParams, _: Viewer) -> methods.Intervals:
        reader, height = self._ledger.reader(), self._ledger.height
        first = params.first or self._ledger.time_ms // INTERVAL_MS
        return methods.Intervals(await self._reads.run(read_intervals, reader, first, params.count), height)

    async def _do_terms(self, _: methods.Nothing, __: Viewer) -> methods.Terms:
        return await self._reads.run(read_terms, self._ledger.reader(), self._ledger.height)

    async def _do_nonce(self, params: methods.SignerParams, _: Viewer) -> methods.NonceState:
        return methods.NonceState(params.signer, self._ledger.nonce_highest(params.signer))

    async def _do_challenge(self, params: methods.ChallengeParams, _: Viewer) -> methods.Challenge:
        return self._sessions.challenge(params.public_key, _now_ms())

    async def _do_session(self, params: methods.SessionParams, _: Viewer) -> methods.Session:
        return await self._reads.run(self._sessions.open, params, _now_ms())

    def _enrolment(self, method: Method[Any, Any]) -> Callable[[Any, Viewer], Coroutine[Any, Any, msgspec.Struct]]:
        async def enrolment(params: Any, viewer: Viewer) -> msgspec.Struct:
            return await self._office.answer(method, params, viewer.origin)

        return enrolment

    async def _do_roots(self, _: methods.Nothing, __: Viewer) -> Roots:
        return Roots(roots_of(self._ledger.reader()))

    async def _do_rounds(self, _: methods.Nothing, __: Viewer) -> Rounds:
        return self._rounds()

    async def _do_handover(self, params: methods.HandoverParams, _: Viewer) -> methods.HandedOver:
        view = await self._hand_over(params.message)
        if view is None:
            message = "The order is malformed, of another epoch, or signed by too few organisations' operators."
            raise refused("HANDOVER_REFUSED", message, 422)
        return methods.HandedOver(view)

    async def _do_channels(self, _: methods.Nothing, __: Viewer) -> methods.ChannelList:
        return methods.ChannelList(channels_of(self._ledger.reader()), self._ledger.height)

    # ------------------------------------------------------------------------------------------ private

    async def _do_account(self, params: methods.SignerParams, viewer: Viewer) -> methods.Row:
        return self._state_row(f"credit/account/{params.signer}", viewer)

    async def _do_user(self, params: methods.SignerParams, viewer: Viewer) -> methods.Row:
        return self._state_row(f"registry/user/{params.signer}", viewer)

    def _state_row(self, key: str, viewer: Viewer) -> methods.Row:
        entry = self._ledger.reader().get(key)
        value = decode_value(entry.value) if entry is not None else None
        if not may_read(viewer, key, value):
            raise forbidden(viewer)
        if entry is None:
            raise not_found("document", key)
        return methods.Row(key, entry.height, entry.index, narrow(value))

    def _documents(self, kind: str) -> Callable[[Any, Viewer], Coroutine[Any, Any, msgspec.Struct]]:
        async def documents(params: methods.DocumentsParams, viewer: Viewer) -> methods.Rows:
            selector: dict[str, Any] = {"v.type": kind}
            if params.interval is not None:
                selector["v.interval"] = params.interval
            if params.status is not None:
                selector["v.status"] = params.status
            query = methods.QueryParams(
                selector=selector,
                limit=params.limit,
                bookmark=params.bookmark,
                min_height=params.min_height,
                prove=params.prove,
            )
            return await self._do_query(query, viewer)

        return documents

    async def _do_query(self, params: methods.QueryParams, viewer: Viewer) -> methods.Rows:
        if not viewer.signer:
            raise forbidden(viewer)
        if not params.prove:
            page = await self._queries.find(params, viewer)
            rows = tuple(_row(document, params.fields) for document in page.documents)
            return methods.Rows(rows, page.height, page.bookmark)
        page, prover, proofs = await self._past.proven(lambda: self._queries.find(params, viewer), viewer)
        rows = tuple(_with_proof(_row(each, params.fields), proofs.get(each.key)) for each in page.documents)
        return methods.Rows(rows, page.height, page.bookmark, to_json(prover.anchor))

    async def _do_view(self, params: methods.ViewParams, viewer: Viewer) -> methods.ViewResult:
        if not may_call_view(viewer, params.contract, params.function, params.args):
            raise forbidden(viewer)
        result = await self._slow.run(
            self._ledger.view, params.contract, params.function, params.args, (viewer.signer,)
        )
        if result.code != "OK":
            raise refused(result.code, result.message, STATUS_OF_VIEW_CODE)
        return methods.ViewResult(narrow(result.value), self._ledger.height)

    async def _do_proof(self, params: methods.ProofParams, viewer: Viewer) -> methods.ProofRecord:
        proof = await self._past.proof(params, viewer) if viewer.signer or is_public(params.key) else None
        if proof is None:
            raise forbidden(viewer)
        return methods.ProofRecord(proof)

    async def _do_history(self, params: methods.HistoryParams, viewer: Viewer) -> methods.History:
        if not viewer.signer and not is_public(params.key):
            raise forbidden(viewer)
        return await self._past.history(params, viewer)

    async def _do_value(self, params: methods.ValueParams, viewer: Viewer) -> methods.PastValue:
        found = await self._past.value(params, viewer) if viewer.signer or is_public(params.key) else None
        if found is None:
            raise forbidden(viewer)
        return found


def _row(document: Document, fields: tuple[str, ...]) -> methods.Row:
    return methods.Row(document.key, document.height, document.index, selected(document.value, fields))


def _with_proof(row: methods.Row, proof: KeyProof | None) -> methods.Row:
    if proof is None:
        return msgspec.structs.replace(row, unproven=CHANGED)
    return msgspec.structs.replace(row, proof=to_json(proof))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
