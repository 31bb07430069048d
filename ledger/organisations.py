"""Who governs: k of m organisations, each through any of its operators (DESIGN "Membership").

The same rule that ``governance`` applies to the signers of a transaction is applied here to a hand-over, which is
no transaction: it moves a view, not the state.
"""

from __future__ import annotations

from collections.abc import Iterable

from ca.certificates import Role
from ca.keys import signer_of
from ca.signatures import verify
from ledger.authentication import authenticate
from ledger.genesis import Genesis
from ledger.state import StateReader
from ledger.values import decode_value
from pbft.messages import Handover, Scope

ORGANISATIONS_KEY = "governance/organisations"
HANDOVER_SIGNATURES_MAX = 64


def is_authorised(reader: StateReader, signers: Iterable[str], time_ms: int) -> bool:
    """Whether active operators of enough different organisations are among ``signers``."""
    entry = reader.get(ORGANISATIONS_KEY)
    assert entry is not None, "genesis says who governs"
    rule = decode_value(entry.value)
    found = {_organisation(reader, signer, time_ms) for signer in signers} & set(rule["names"])
    return bool(len(found) >= rule["threshold"])


def _organisation(reader: StateReader, signer: str, time_ms: int) -> str | None:
    if authenticate(reader, signer, (Role.OPERATOR,), time_ms) is not None:
        return None
    entry = reader.get(f"registry/user/{signer}")
    assert entry is not None, "an authenticated signer is registered"
    organisation: str = decode_value(entry.value)["organisation"]
    return organisation


def check_handover(reader: StateReader, genesis: Genesis, epoch: int, time_ms: int, handover: Handover) -> bool:
    """Whether ``handover`` is signed for this epoch, each signature good, by operators of enough organisations."""
    keys = [key for key, _ in handover.signatures]
    if len(keys) > HANDOVER_SIGNATURES_MAX or keys != sorted(set(keys)):
        return False
    if not is_authorised(reader, map(signer_of, keys), time_ms):
        return False
    signed = handover.signed(Scope(genesis.chain_id, genesis.channel, epoch))
    return all(verify(key, signature, signed) for key, signature in handover.signatures)
