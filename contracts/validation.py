"""The validation module (M10): looks at every write before it is applied, and trusts nothing the machine returned.

It knows the shipped contracts' invariants, not their code: money is neither made nor lost, no part of an account
is negative, nothing is sold twice, nothing is delivered beyond contract and meter, nobody pays without two signatures.
"""

from __future__ import annotations

import re

import msgspec

from contracts.catalog import SHIPPED
from contracts.compiler import facts_of
from contracts.constitution import (
    channels_are_sound,
    contracts_are_sound,
    is_fixed,
    next_epoch_is_sound,
    organisations_are_sound,
    roots_are_sound,
)
from contracts.language import MIGRATE
from contracts.rules.adjustments import adjustments
from contracts.rules.auctions import auctions
from contracts.rules.books import books
from contracts.rules.certificates import certificates
from contracts.rules.changes import Changes, Violation
from contracts.rules.consents import consent
from contracts.rules.deadlines import deadlines
from contracts.rules.deliveries import deliveries, readings
from contracts.rules.disputes import disputes
from contracts.rules.effects import effects
from contracts.rules.energy import energy
from contracts.rules.fills import fills
from contracts.rules.holds import holds
from contracts.rules.money import money
from contracts.rules.offers import consents
from contracts.rules.people import people
from contracts.rules.shapes import SHAPES
from contracts.rules.signatures import policies
from contracts.rules.signed import signed
from contracts.rules.standing import standing
from contracts.rules.terms import terms
from contracts.rules.trades import trades
from ledger.execution import DEADLINE_PREFIX, REMINDER_PREFIX, REMINDERS_SET_PREFIX, Call, CallResult
from ledger.state import TransactionView
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import ValueInvalid

WRITES_MAX = 2_000
VALUE_BYTES_MAX = 65_536
KEY_CHARS_MAX = 320
WRITERS = {
    "settlement": frozenset({"settlement", "credit", "origin"}),
    "market": frozenset({"market", "settlement", "credit"}),
    "auction": frozenset({"auction", "market", "settlement", "credit"}),
    "offers": frozenset({"offers", "market", "settlement", "credit"}),
}
"""Whose state a call may change besides its own contract's."""
SHAPED = frozenset(SHIPPED) - {"channels"}
GROUPS = frozenset(SHAPES) | {
    "auction/shares/", "governance/epoch/", "governance/limits/", "governance/network/", "governance/next_epoch/",
    "governance/past_epoch/", "governance/version/",
}  # fmt: skip
"""What shipped contracts keep: nobody else would look at what lay beside it. Of channels rules of their own say."""
DEADLINE = re.compile(f"({DEADLINE_PREFIX}|{REMINDER_PREFIX})" + r"[0-9]{15}/([0-9]{12}/[0-9]{5})/[0-9]{3}")
MALFORMED = (
    TypeError, LookupError, AttributeError, ValueError, ArithmeticError, RecursionError, ValueInvalid,
    msgspec.MsgspecError,
)  # fmt: skip
"""What reading a record raises that is not what the shipped contracts write."""


class MarketValidator:
    """Implements ``ledger.execution.Validator``."""

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        """The first violation, or None."""
        changes = Changes(view)
        try:
            if not view.writes and not result.events:
                return effects(call, changes) or signed(call, changes)
            if call.kind == "migrate" and not _migrates(changes, call.contract):
                return Violation.NAMESPACE
            if violation := _events(call, result, changes):
                return violation
            return next((violation for rule in RULES if (violation := rule(call, changes))), None)
        except MALFORMED:
            return Violation.SHAPE


def _migrates(changes: Changes, contract: str) -> bool:
    """Whether the version that begins has a migration, which those who govern agreed on with its source."""
    known = changes.old(CONTRACT_PREFIX + contract)
    facts = None if known is None else facts_of(known["source"])
    return facts is not None and MIGRATE in facts.functions


def _events(call: Call, result: CallResult, changes: Changes) -> Violation | None:
    """Contracts tell of themselves: what is told is proven with the result, and people rely on it."""
    if any(type(event.data) is not dict for event in result.events):
        return Violation.SHAPE
    tellers = {event.contract for event in result.events}
    return None if _may_write(call, tellers, changes) else Violation.NAMESPACE


def _namespace(call: Call, changes: Changes) -> Violation | None:
    writers = set()
    for group, keys in changes.groups.items():
        if group == REMINDERS_SET_PREFIX:
            continue  # they are as many as were set
        if group in (DEADLINE_PREFIX, REMINDER_PREFIX):
            writers |= {_scheduled_for(call, key, changes) for key in keys}
            continue
        writer = group.partition("/")[0]
        if writer in SHAPED and group not in GROUPS and call.kind != "migrate":
            return Violation.NAMESPACE
        if writer == "governance" and any(is_fixed(call, key) for key in keys):
            return Violation.NAMESPACE
        writers.add(writer)
    return None if _may_write(call, writers, changes) else Violation.NAMESPACE


def _may_write(call: Call, contracts: set[str], changes: Changes) -> bool:
    allowed = WRITERS.get(call.contract, frozenset({call.contract}))
    others = contracts - allowed
    return not others or _let_in(allowed, others, changes)


def _scheduled_for(call: Call, key: str, changes: Changes) -> str:
    """Whom a deadline calls. It is new, of this very call, among its like, and whole: another would be somebody else's,
    or one that no block can run."""
    at = DEADLINE.fullmatch(key)
    if at is None or at[2] != f"{call.height:012d}/{call.index:05d}" or changes.raw[key] is None:
        return key
    told = changes.new(key)
    whole = changes.old(key) is None and type(told) is dict and list(told) == ["args", "contract", "function"]
    if not whole or [*map(type, told.values())] != [list, str, str]:
        return key
    shipped = told["contract"] in SHIPPED
    # To Python a truth is a number, to a shipped contract that would be called with it none.
    if shipped != (at[1] == DEADLINE_PREFIX) or (shipped and bool in map(type, told["args"])):
        return key
    return str(told["contract"])


def _let_in(writers: frozenset[str], others: set[str], changes: Changes) -> bool:
    """Whether the other contracts that were written to, none of them shipped, name whom their internal functions serve:
    one of the writers, or one that serves a writer."""
    callers = {name: _callers(name, changes) for name in others}
    while entered := [name for name, served in callers.items() if served & writers]:
        writers |= {*entered}
        callers = {name: served for name, served in callers.items() if name not in writers}
    return not callers


def _callers(name: str, changes: Changes) -> frozenset[str]:
    """The contracts that ``name``, as it was before the call, serves by internal functions; a shipped one, none."""
    contract = None if name in SHIPPED else changes.old(CONTRACT_PREFIX + name)
    facts = None if contract is None else facts_of(contract["source"])
    ways_in = frozenset() if facts is None else facts.ways_in
    return frozenset(name for _, marker, names, _ in ways_in if marker == "internal" for name in names)


def _sizes(call: Call, changes: Changes) -> Violation | None:
    """Within bounds, and each what its group holds: contracts, the projector and the API will read it."""
    if len(changes.raw) > WRITES_MAX:
        return Violation.SIZE
    for key, data in changes.raw.items():
        if len(key) > KEY_CHARS_MAX or (data is not None and len(data) > VALUE_BYTES_MAX):
            return Violation.SIZE
        changes.new(key)
    return None


def _constitution(call: Call, changes: Changes) -> Violation | None:
    """The network's own rules stay such that it can go on."""
    if not channels_are_sound(changes.base, changes.raw):
        return Violation.CHANNELS
    if call.contract != "governance":
        return None
    if not contracts_are_sound(call, changes.base, changes.raw):
        return Violation.CONTRACTS
    if not next_epoch_is_sound(call, changes.base, changes.raw):
        return Violation.EPOCH
    if not organisations_are_sound(changes.raw):
        return Violation.ORGANISATIONS
    return None if roots_are_sound(changes.base, changes.raw) else Violation.ROOTS


RULES = (
    _namespace, _sizes, _constitution, effects, money, terms, energy, trades, consents, fills, deliveries, readings,
    disputes, adjustments, certificates, policies, consent, people, signed, books, auctions, deadlines, standing,
    holds,
)  # fmt: skip


__all__ = ["MarketValidator", "Violation"]
