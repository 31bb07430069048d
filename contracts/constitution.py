"""What holds of the state's own rules, whatever the contract ``governance`` says: part of the validation module.

Contracts, limits and the epoch in force are never a contract's to write; the next epoch is one that can be; those
who govern can always reach their threshold; roots are roots, and one remains.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ledger.authentication import ROOT_PREFIX, ROOTS_MAX, read_root
from ledger.epochs import EPOCH_KEY, LIMITS_KEY, NEXT_KEY, PAST_PREFIX, EpochInvalid, check_pending, epoch_of, limits_of
from ledger.execution import Call
from ledger.state import StateReader
from ledger.values import Value, decode_value

CONTRACT_PREFIX = "governance/contract/"
CHANNEL_PREFIX = "channels/"
ORGANISATIONS_KEY = "governance/organisations"
ORGANISATIONS_MAX = 64
FIXED = (CONTRACT_PREFIX, PAST_PREFIX, EPOCH_KEY, LIMITS_KEY, "governance/network")
"""Written by genesis or the executor alone."""


def is_fixed(key: str) -> bool:
    return key.startswith(FIXED)


def next_epoch_is_sound(call: Call, base: StateReader, writes: Mapping[str, bytes | None]) -> bool:
    """Whether a written next epoch follows the one in force, far enough ahead."""
    data = writes.get(NEXT_KEY)
    if data is None:
        return True
    limits = limits_of(base)
    if limits is None:
        return False
    try:
        check_pending(decode_value(data), epoch_of(base), call.height, limits)
    except EpochInvalid:
        return False
    return True


def organisations_are_sound(writes: Mapping[str, bytes | None]) -> bool:
    """Whether different names and a threshold that they can reach were written, if any."""
    if ORGANISATIONS_KEY not in writes:
        return True
    data = writes[ORGANISATIONS_KEY]
    value: Value = None if data is None else decode_value(data)
    if not isinstance(value, dict) or set(value) != {"names", "threshold"} or not isinstance(value["names"], list):
        return False
    names, threshold = value["names"], value["threshold"]
    different = all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
    return different and type(threshold) is int and 1 <= threshold <= len(names) <= ORGANISATIONS_MAX


def roots_are_sound(base: StateReader, writes: Mapping[str, bytes | None]) -> bool:
    """Whether written roots are CA roots under their own fingerprints, and one remains."""
    roots = {key: data for key, data in writes.items() if key.startswith(ROOT_PREFIX)}
    if not roots:
        return True
    left = {key for key, _ in base.scan(ROOT_PREFIX, "", ROOTS_MAX)}
    for key, data in roots.items():
        if data is None:
            left.discard(key)
            continue
        value = decode_value(data)
        if (
            set(value) != {"certificate"}
            or read_root(base64.b64decode(value["certificate"])) != key[len(ROOT_PREFIX) :]
        ):
            return False
        left.add(key)
    return 1 <= len(left) <= ROOTS_MAX


def channels_are_sound(base: StateReader, writes: Mapping[str, bytes | None]) -> bool:
    """Whether channels that were written are new, or what they were and perhaps closed."""
    for key, data in writes.items():
        if not key.startswith(CHANNEL_PREFIX):
            continue
        value: Value = None if data is None else decode_value(data)
        if not isinstance(value, dict) or set(value) != {"type", "genesis", "closed"}:
            return False
        entry = base.get(key)
        old = {**value, "closed": False} if entry is None else decode_value(entry.value)
        if value != old and value != {**old, "closed": True}:
            return False
    return True
