"""Transactions that several sign, each with a key of its own: begun here, waiting at nodes for the others' signatures.

Nodes do not pass them on to each other. So each is left at every node that the client knows, and what these have of it
is put together: whoever signs at another node's page, or knows but one of the nodes, has signed for all.

A node may keep silent about one, or forget it; what it tells is checked here, signatures too, so that nobody signs
another text than the one that its id names, and no false signature stands in the way of a good one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from typing import TypeVar

import msgspec

from ca.keys import InvalidKey, public_key_from, signer_of
from ca.signatures import verify
from ledger.codes import Refusal
from ledger.envelope import Payload, parse_payload
from sdk import methods
from sdk.calling import Call
from sdk.client import AsyncClient, Outcome, Signed
from sdk.errors import UNREADABLE, Problem, Refused, SdkError, TransportError
from sdk.methods import ProposalList, ProposalParams, ProposalRecord, R, SignatureText

T = TypeVar("T")

NONCE_AHEAD = 64
"""So far ahead of the highest nonce a proposal's lies: what its first signer signs meanwhile does not take it."""
EXPIRY_BLOCKS = 100_000
"""People need longer than programs."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """``missing``: the signers who have not signed."""

    record: ProposalRecord
    payload: Payload

    @property
    def missing(self) -> tuple[str, ...]:
        places = zip(self.payload.signers, self.record.signatures, strict=True)
        return tuple(signer for signer, signature in places if signature is None)


async def begin(client: AsyncClient, call: Call, others: Sequence[str]) -> Proposal:
    """Sign a call as the first, and leave it at a node for ``others``. ``Refused`` with NOT_CO_SIGNERS where they are
    neither keys of one account nor operators, TOO_MANY_PROPOSALS, …"""
    known = await waiting(client)
    state = await client.call(methods.NONCE, methods.SignerParams(signer=client.signer))
    mine = [each.payload.nonce for each in known if each.payload.signers[0] == client.signer]
    signed = await client.sign(
        call.contract,
        call.function,
        call.args,
        others=others,
        nonce=max([state.highest + NONCE_AHEAD, *(nonce + 1 for nonce in mine)]),
        expires_at_height=(await client.status()).executed_height + EXPIRY_BLOCKS,
    )
    signatures = (*signed.signatures, *(None for _ in others))
    return await _leave(client, ProposalParams(payload=signed.payload, signatures=signatures))


async def waiting(client: AsyncClient) -> tuple[Proposal, ...]:
    """What waits at the nodes and names this client as a signer, the newest first."""
    found: dict[str, Proposal] = {}
    for told in _answers(await client.call_each(methods.PROPOSALS, methods.Nothing()), _read_all):
        for each in told:
            known = found.get(each.record.tx_id)
            found[each.record.tx_id] = each if known is None else _together(known, each)
    return tuple(sorted(found.values(), key=lambda each: each.record.since_ms, reverse=True))


async def sign(client: AsyncClient, tx_id: str) -> Proposal | Outcome:
    """Sign what waits; if that was the last signature, submit it. ``Refused`` NOT_FOUND, and as ``submit``."""
    proposal = next((each for each in await waiting(client) if each.record.tx_id == tx_id), None)
    if proposal is None:
        raise Refused(Problem("NOT_FOUND", f"No proposal {tx_id} waits for this key.", 404))
    text, place = proposal.record.payload, proposal.payload.signers.index(client.signer)
    signatures = list(proposal.record.signatures)
    signatures[place] = client.signature(text)
    whole = tuple(each for each in signatures if each is not None)
    if len(whole) == len(signatures):
        return await client.submit(Signed(text, whole))
    return await _leave(client, ProposalParams(payload=text, signatures=tuple(signatures)))


async def withdraw(client: AsyncClient, tx_id: str) -> None:
    """Have it wait no longer at any node that answers. ``Refused`` NOT_FOUND."""
    _answers(await client.call_each(methods.WITHDRAW, methods.WithdrawParams(tx_id=tx_id)), lambda told: told)


async def _leave(client: AsyncClient, params: ProposalParams) -> Proposal:
    """Have it wait at every node that takes it; one suffices."""
    first, *others = _answers(await client.call_each(methods.PROPOSE, params), _read)
    return reduce(_together, others, first)


def _answers(told: Sequence[R | SdkError], read: Callable[[R], T]) -> list[T]:
    """What was read of each node's answer, where there was any; else the first refusal, or why no node answers."""
    found: list[T] = []
    wrong: list[SdkError] = []
    for answer in told:
        try:
            if isinstance(answer, SdkError):
                raise answer
            found.append(read(answer))
        except SdkError as error:
            wrong.append(error)
    if not found:
        raise next((error for error in wrong if isinstance(error, Refused)), wrong[0])
    return found


def _together(one: Proposal, other: Proposal) -> Proposal:
    """The same proposal, with the signatures of both."""
    both = (old or new for old, new in zip(one.record.signatures, other.record.signatures, strict=True))
    return Proposal(msgspec.structs.replace(one.record, signatures=tuple(both)), one.payload)


def _read_all(told: ProposalList) -> list[Proposal]:
    return [_read(record) for record in told.proposals]


def _read(record: ProposalRecord) -> Proposal:
    data = record.payload.encode()
    try:
        payload = parse_payload(data)
    except (Refusal, *UNREADABLE) as error:
        raise TransportError(f"the node tells of a proposal that is none: {error}") from None
    if sha256(data).hexdigest() != record.tx_id or len(record.signatures) != len(payload.signers):
        raise TransportError("the node tells of a proposal that is another one")
    for signer, signature in zip(payload.signers, record.signatures, strict=True):
        if signature is not None and not _is_of(signer, signature, data):
            raise TransportError("the node tells of a signature that is none")
    return Proposal(record, payload)


def _is_of(signer: str, signature: SignatureText, data: bytes) -> bool:
    try:
        key = public_key_from(signature.public_key)
    except InvalidKey:
        return False
    return signer_of(key) == signer and verify(key, signature.signature, data)
