"""Transactions that several sign, each with a key of its own: begun here, waiting at a node for the others' signatures.

A node may keep silent about one, or forget it; what it tells is checked here, so that nobody signs another text than
the one that its id names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.codes import Refusal
from ledger.envelope import Payload, parse_payload
from sdk import methods
from sdk.calling import Call
from sdk.client import AsyncClient, Outcome, Signed
from sdk.errors import UNREADABLE, Problem, Refused, TransportError
from sdk.methods import ProposalParams, ProposalRecord

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
    return _read(await client.call(methods.PROPOSE, ProposalParams(payload=signed.payload, signatures=signatures)))


async def waiting(client: AsyncClient) -> tuple[Proposal, ...]:
    """What waits at a node and names this client as a signer, the newest first."""
    told = await client.call(methods.PROPOSALS, methods.Nothing())
    return tuple(_read(record) for record in told.proposals)


async def sign(client: AsyncClient, tx_id: str) -> Proposal | Outcome:
    """Sign what waits; if that was the last signature, submit it. ``Refused`` NOT_FOUND, and as ``submit``."""
    proposal = next((each for each in await waiting(client) if each.record.tx_id == tx_id), None)
    if proposal is None:
        raise Refused(Problem("NOT_FOUND", f"No proposal {tx_id} waits here for this key.", 404))
    text, place = proposal.record.payload, proposal.payload.signers.index(client.signer)
    signatures = list(proposal.record.signatures)
    signatures[place] = client.signature(text)
    whole = tuple(each for each in signatures if each is not None)
    if len(whole) == len(signatures):
        return await client.submit(Signed(text, whole))
    return _read(await client.call(methods.PROPOSE, ProposalParams(payload=text, signatures=tuple(signatures))))


async def withdraw(client: AsyncClient, tx_id: str) -> None:
    """Have it wait no longer. ``Refused`` NOT_FOUND."""
    await client.call(methods.WITHDRAW, methods.WithdrawParams(tx_id=tx_id))


def _read(record: ProposalRecord) -> Proposal:
    data = record.payload.encode()
    try:
        payload = parse_payload(data)
    except (Refusal, *UNREADABLE) as error:
        raise TransportError(f"the node tells of a proposal that is none: {error}") from None
    if sha256(data).hexdigest() != record.tx_id or len(record.signatures) != len(payload.signers):
        raise TransportError("the node tells of a proposal that is another one")
    return Proposal(record, payload)
