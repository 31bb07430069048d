"""Who may read what (DESIGN "Privacy"): parties their own, operator and regulator all, strangers only the market.

Roles protect users from each other, not from the member organisations, which all store everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.state import StateReader
from ledger.values import decode_value

PARTY_FIELDS = ("owner", "seller", "buyer", "arbiter", "signer", "gateway", "to", "account")
"""Fields of a document that hold the signer of somebody whom it concerns."""
POLICY_FIELDS = ("seller_policy", "buyer_policy")
"""Fields of a trade or adjustment that hold which keys sign it for a party, whatever its account's policy is by now."""
SIGNER_CHARS = 64
READS_ALL = frozenset({"operator", "regulator"})
PUBLIC_VIEWS = frozenset({("market", "grid_fee"), ("auction", "result")})
"""Views of the market that name nobody."""
PARTY_VIEWS = {("settlement", "statement"): "party"}
"""Views whose answer is for one signer, and which argument names it."""
PUBLIC_PREFIXES = (
    "governance/parameter/", "governance/epoch", "governance/next_epoch", "governance/organisations",
    "governance/limits", "governance/grid_fee/", "governance/product/", "governance/zone/", "auction/run/", "channels/",
    "market/offer/", "governance/revoked/",
)  # fmt: skip
"""Of revocations no list shows any but to those who read all: one has to name the serial, which nobody can guess."""


ADJUSTMENTS, OVERDUE = "settlement/adjustment/", "overdue"
"""What waits for the arbiter in force, whoever that is by then: no document names one before it has decided."""
ARBITER_KEY = "registry/arbiter"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The one who asks: a signer and the role it is registered with; both empty without identity. ``bar``: the code
    of why a key that was shown gives none. ``origin``: from which address; empty for a user of the node's own machine.
    ``decides``: it is the arbiter in force. ``accounts``: of others, for which its key signs together with more."""

    signer: str = ""
    role: str = ""
    bar: str = ""
    origin: str = ""
    decides: bool = False
    accounts: frozenset[str] = frozenset()

    @property
    def selves(self) -> frozenset[str]:
        """The signers for whom it is told what concerns them: its own, and the accounts that it signs for."""
        return self.accounts | {self.signer} if self.signer else frozenset()

    @property
    def reads_all(self) -> bool:
        return self.role in READS_ALL


STRANGER = Viewer()


def is_public(key: str) -> bool:
    """Whether everybody may see what is under ``key``."""
    return key.startswith(PUBLIC_PREFIXES)


def may_read(viewer: Viewer, key: str, value: Any) -> bool:
    """Whether ``viewer`` may see the document ``value`` under ``key``."""
    if viewer.reads_all or is_public(key):
        return True
    if not viewer.signer:
        return False
    selves = viewer.selves
    if key.rsplit("/", 1)[-1] in selves:
        return True
    if not isinstance(value, Mapping):
        return False
    waits = viewer.decides and key.startswith(ADJUSTMENTS) and value.get("status") == OVERDUE
    named = any(is_one_of(value.get(field), selves) for field in PARTY_FIELDS)
    return waits or named or viewer.signer in policy_keys(value)


def is_one_of(value: Any, selves: frozenset[str]) -> bool:
    return isinstance(value, str) and value in selves


def policy_keys(value: Mapping[str, Any]) -> list[str]:
    """The keys that sign a trade or adjustment where k of m keys do."""
    policies = [value.get(field) for field in POLICY_FIELDS]
    return [key for policy in policies if isinstance(policy, Mapping) for key in policy.get("keys", ())]


def is_arbiter(reader: StateReader, signer: str) -> bool:
    """Whether that is the arbiter in force."""
    entry = reader.get(ARBITER_KEY)
    return entry is not None and bool(decode_value(entry.value)["signer"] == signer)


def may_call_view(viewer: Viewer, contract: str, function: str, args: Mapping[str, Any]) -> bool:
    """Whether ``viewer`` may ask a contract's view: one who reads all any, anybody else for what concerns itself."""
    if viewer.reads_all or (contract, function) in PUBLIC_VIEWS:
        return True
    named = PARTY_VIEWS.get((contract, function))
    return named is not None and is_one_of(args.get(named), viewer.selves)


def may_read_transaction(viewer: Viewer, signers: tuple[str, ...], args: Any, value: Any) -> bool:
    """Whether ``viewer`` is a party to a transaction: a signer of it, or named in its arguments or result."""
    if viewer.reads_all:
        return True
    selves = viewer.selves
    return not selves.isdisjoint(signers) or _names(args, selves) or _names(value, selves)


def may_read_event(viewer: Viewer, named: frozenset[str]) -> bool:
    """Whether an event, or a refusal, is for ``viewer``: for whom it concerns."""
    return viewer.reads_all or not viewer.selves.isdisjoint(named)


def signers_in(value: Any) -> frozenset[str]:
    """Everything in an event's data that may be somebody's signer."""
    if isinstance(value, Mapping):
        return frozenset().union(*map(signers_in, value.values()))
    if isinstance(value, list | tuple):
        return frozenset().union(*map(signers_in, value))
    return frozenset({value}) if isinstance(value, str) and len(value) == SIGNER_CHARS else frozenset()


def _names(value: Any, selves: frozenset[str]) -> bool:
    if isinstance(value, Mapping):
        return any(_names(item, selves) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_names(item, selves) for item in value)
    return is_one_of(value, selves)
