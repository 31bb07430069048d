"""Transactions that several sign, while they wait for signatures: at this node alone, for a day at most.

Told to the signers whom they name, as long as those belong together: keys of one account (k of m keys sign for it),
those whom an account asks to become its keys, or operators. Whoever begins one has signed it, so that nobody fills
another's places; what has executed or expired is dropped. They outlive a restart (``proposal_files``). A node that
loses them loses nothing that counts: who began one has it, and a file takes the place of the node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from api.cosigners import POLICY_PREFIX, CoSigners
from api.pools import BoundedPool
from api.privacy import Viewer
from api.proposal_files import ProposalFiles
from api.refusals import forbidden, not_found, refused
from ca.certificates import Role
from ca.keys import InvalidKey, public_key_from, signer_of
from ca.signatures import verify
from ledger.authentication import USER_PREFIX
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Payload, parse_payload
from ledger.execution import EXPIRY_BLOCKS_MAX
from ledger.ledger import Ledger
from ledger.values import decode_value
from sdk.errors import Problem, Refused
from sdk.methods import Nothing, ProposalList, ProposalParams, ProposalRecord, SignatureText, WithdrawParams
from sdk.statuses import status_of

PROPOSALS_MAX = 1_024
PROPOSALS_EACH_MAX = 32
"""Of one signer who began them."""
INVITATIONS_EACH_MAX = 1
"""Of one signer, to keys that are none of its account yet: these are told behind all else, and crowd nothing out."""
SETS_POLICY = ("credit", "set_policy")
LISTED_MAX = 64
"""Told to one signer at once, the newest: with the bound of a payload no answer is too large."""
WAITING_MS_MAX = 86_400_000


class Proposals:
    """One a ledger. ``files``: where they are kept; without, as long as the process. ``now_ms``: the node's clock."""

    def __init__(
        self,
        ledger: Ledger,
        cosigners: CoSigners,
        reads: BoundedPool,
        files: ProposalFiles | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._ledger = ledger
        self._cosigners = cosigners
        self._reads = reads
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._files = files
        self._held: dict[str, tuple[Payload, ProposalRecord]] = {}
        """By transaction id, the oldest first."""
        for record in files.read() if files is not None else ():
            self._take_back(record)

    async def propose(self, params: ProposalParams, viewer: Viewer) -> ProposalRecord:
        """Have a transaction wait, or add signatures to one that does; ``Refused`` if it cannot be sent like that."""
        _check_identity(viewer)
        payload = await self._reads.run(self._read, params)
        if viewer.signer not in payload.signers:
            raise forbidden(viewer)
        self._drop()
        tx_id = sha256(params.payload.encode()).hexdigest()
        if tx_id not in self._held:
            self._check_room(payload)
            return self._hold(payload, ProposalRecord(tx_id, params.payload, params.signatures, self._now_ms()))
        _, known = self._held[tx_id]
        both = tuple(old or new for old, new in zip(known.signatures, params.signatures, strict=True))
        return self._hold(payload, ProposalRecord(tx_id, known.payload, both, known.since_ms))

    async def proposals(self, _: Nothing, viewer: Viewer) -> ProposalList:
        """What waits for, or with, the viewer's signature, the newest first."""
        _check_identity(viewer)
        self._drop()
        mine = [held for held in reversed(self._held.values()) if viewer.signer in held[0].signers]
        told = [held for held in mine if self._belong_together(held[0].signers)]
        told += [held for held in mine if held not in told and self._is_invitation(held[0])]
        return ProposalList(tuple(record for _, record in told[:LISTED_MAX]))

    async def withdraw(self, params: WithdrawParams, viewer: Viewer) -> ProposalList:
        """Have one wait no longer: any of its signers may, and what waits besides is answered."""
        _check_identity(viewer)
        held = self._held.get(params.tx_id)
        if held is None or viewer.signer not in held[0].signers:
            raise not_found("proposal", params.tx_id)
        self._forget(params.tx_id)
        return await self.proposals(Nothing(), viewer)

    # ------------------------------------------------------------------------------------------------ keeping

    def _hold(self, payload: Payload, record: ProposalRecord) -> ProposalRecord:
        self._held[record.tx_id] = (payload, record)
        if self._files is not None:
            self._files.keep(record)
        return record

    def _forget(self, tx_id: str) -> None:
        del self._held[tx_id]
        if self._files is not None:
            self._files.forget(tx_id)

    def _take_back(self, record: ProposalRecord) -> None:
        """One that waited when the node ended. What depends on the state is asked when it is told to anybody."""
        assert self._files is not None
        try:
            payload = parse_payload(record.payload.encode())
            _check_signatures(record.signatures, record.payload.encode(), payload.signers)
        except Refusal:
            self._files.forget(record.tx_id)
            return
        self._held[record.tx_id] = (payload, record)

    # ------------------------------------------------------------------------------------------------ checks

    def _read(self, params: ProposalParams) -> Payload:
        """What was signed, its signatures checked. In a thread."""
        try:
            payload = parse_payload(params.payload.encode())
            self._check_place(payload)
            _check_signatures(params.signatures, params.payload.encode(), payload.signers)
        except (Refusal, UnicodeEncodeError) as error:
            refusal = error if isinstance(error, Refusal) else Refusal(RefusalCode.PAYLOAD_INVALID, "not UTF-8")
            raise Refused(Problem(refusal.code, refusal.message, status_of(refusal.code))) from None
        if not self._belong_together(payload.signers) and not self._is_invitation(payload):
            message = "Its signers are not the keys of one account, nor operators. Pass it on as a file."
            raise refused("NOT_CO_SIGNERS", message, 403)
        return payload

    def _check_place(self, payload: Payload) -> None:
        genesis = self._ledger.genesis
        if payload.chain != genesis.chain_id.hex():
            raise Refusal(RefusalCode.WRONG_CHAIN)
        if payload.channel != genesis.channel:
            raise Refusal(RefusalCode.WRONG_CHANNEL)
        if payload.expires_at_height <= self._ledger.height:
            raise Refusal(RefusalCode.EXPIRED)
        if payload.expires_at_height > self._ledger.height + EXPIRY_BLOCKS_MAX:
            raise Refusal(RefusalCode.EXPIRY_TOO_FAR)

    def _belong_together(self, signers: Sequence[str]) -> bool:
        """Whether the others are keys of an account for which the first one signs, or all are operators."""
        first, *others = signers
        accounts = {first, *self._cosigners.accounts_of(first)}
        if any(self._keys_of(account).issuperset(others) for account in accounts):
            return True
        return all(self._role_of(signer) == Role.OPERATOR for signer in signers)

    def _is_invitation(self, payload: Payload) -> bool:
        """Whether an account, for which the first one signs, asks others of its organisation to become keys of it."""
        first, *others = payload.signers
        account, keys = payload.args.get("account"), payload.args.get("keys")
        if (payload.contract, payload.function) != SETS_POLICY or not isinstance(keys, list):
            return False
        if account not in {first, *self._cosigners.accounts_of(first)}:
            return False
        known = self._keys_of(account)
        return all(other in known or (other in keys and self._are_colleagues(first, other)) for other in others)

    def _are_colleagues(self, first: str, other: str) -> bool:
        one, another = self._user(first), self._user(other)
        return bool(another) and one.get("organisation") == another.get("organisation")

    def _keys_of(self, account: str) -> frozenset[str]:
        entry = self._ledger.reader().get(POLICY_PREFIX + account)
        return frozenset() if entry is None else frozenset(decode_value(entry.value)["keys"])

    def _role_of(self, signer: str) -> str:
        return str(self._user(signer).get("role", ""))

    def _user(self, signer: str) -> dict[str, Any]:
        """What the registry holds of somebody; nothing of a stranger."""
        entry = self._ledger.reader().get(USER_PREFIX + signer)
        return {} if entry is None else decode_value(entry.value)

    def _check_room(self, payload: Payload) -> None:
        begun = [held for held, _ in self._held.values() if held.signers[0] == payload.signers[0]]
        invited = sum(not self._belong_together(held.signers) for held in begun)
        is_further = not self._belong_together(payload.signers) and invited >= INVITATIONS_EACH_MAX
        if is_further or len(begun) >= PROPOSALS_EACH_MAX or len(self._held) >= PROPOSALS_MAX:
            message = "As many as may wait are waiting. Have some signed or withdrawn, or pass it on as a file."
            raise refused("TOO_MANY_PROPOSALS", message, 503)

    def _drop(self) -> None:
        """Forget what has executed, has expired, or has waited too long."""
        height, since_ms = self._ledger.height, self._now_ms() - WAITING_MS_MAX
        for tx_id, (payload, record) in list(self._held.items()):
            is_over = payload.expires_at_height <= height or record.since_ms < since_ms
            if is_over or self._ledger.has(bytes.fromhex(tx_id)):
                self._forget(tx_id)


def _check_identity(viewer: Viewer) -> None:
    if not viewer.role:
        raise forbidden(viewer)


def _check_signatures(given: Sequence[SignatureText | None], data: bytes, signers: Sequence[str]) -> None:
    """One place a signer, the first one's filled, and whatever is there good."""
    if len(signers) < 2 or len(given) != len(signers) or given[0] is None:
        raise Refusal(RefusalCode.SIGNERS_MISMATCH, "one place for each of several signers; the first has signed")
    for signer, signature in zip(signers, given, strict=True):
        if signature is not None:
            _check_signature(signer, signature, data)


def _check_signature(signer: str, given: SignatureText, data: bytes) -> None:
    try:
        point = public_key_from(given.public_key)
    except InvalidKey as error:
        raise Refusal(RefusalCode.SIGNERS_MISMATCH, str(error)) from None
    if signer_of(point) != signer:
        raise Refusal(RefusalCode.SIGNERS_MISMATCH)
    if not verify(point, given.signature, data):
        raise Refusal(RefusalCode.SIGNATURE_INVALID)
