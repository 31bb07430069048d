"""What holds of the state's own rules, whatever the contract ``governance`` says: part of the validation module.

Limits and the epoch in force are never a contract's to write; contracts are what compiles, has its hash, and keeps the
ways in that the ledger relies on; the next epoch is one that can be; those
who govern can always reach their threshold; roots are roots, and one remains.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from contracts.compiler import deployment_fault, digest_of
from ledger.authentication import ROOT_PREFIX, ROOTS_MAX, read_root
from ledger.epochs import EPOCH_KEY, LIMITS_KEY, NEXT_KEY, PAST_PREFIX, EpochInvalid, check_pending, epoch_of, limits_of
from ledger.execution import Call
from ledger.state import StateReader
from ledger.upgrades import CONTRACT_PREFIX, SOURCE_PREFIX, UPGRADE_PREFIX, VERSION_PREFIX
from ledger.values import Value, decode_value

CHANNEL_PREFIX = "channels/"
ORGANISATIONS_KEY = "governance/organisations"
ORGANISATIONS_MAX = 64
FIXED = (CONTRACT_PREFIX, VERSION_PREFIX, PAST_PREFIX, EPOCH_KEY, LIMITS_KEY, "governance/network")
"""Written by genesis or the executor alone; a contract also by its first deployment."""


def is_fixed(call: Call, key: str) -> bool:
    deployed = key.startswith(CONTRACT_PREFIX) and (call.contract, call.function) == ("governance", "deploy")
    return key.startswith(FIXED) and not deployed


def contracts_are_sound(call: Call, base: StateReader, writes: Mapping[str, bytes | None]) -> bool:
    """Whether contracts that were deployed, and versions that are to come, can be what they are said to be."""
    sources = {key: data for key, data in writes.items() if key.startswith(SOURCE_PREFIX)}
    for key, data in sources.items():
        if data is None or digest_of(decode_value(data)["source"]) != key[len(SOURCE_PREFIX) :]:
            return False
    deployed = [key for key in writes if key.startswith(CONTRACT_PREFIX)]
    pending = [key for key in writes if key.startswith(UPGRADE_PREFIX)]
    return all(_is_deployable(key, base, writes) for key in deployed) and all(
        _is_upgrade(call, key, base, writes) for key in pending
    )


def _is_deployable(key: str, base: StateReader, writes: Mapping[str, bytes | None]) -> bool:
    """A contract is new, valid, and of version 1."""
    data = writes[key]
    if data is None or base.get(key) is not None:
        return False
    value = decode_value(data)
    source = value["source"]
    good = value == {"source": source, "sha256": digest_of(source), "version": 1}
    return good and not deployment_fault(key[len(CONTRACT_PREFIX) :], source, None)


def _is_upgrade(call: Call, key: str, base: StateReader, writes: Mapping[str, bytes | None]) -> bool:
    """A pending upgrade is one version on, at a height to come, of a source that may follow; or it is called off."""
    data, name = writes[key], key[len(UPGRADE_PREFIX) :]
    if data is None:
        return call.function == "cancel_upgrade"
    value, current = decode_value(data), base.get(CONTRACT_PREFIX + name)
    source = writes.get(SOURCE_PREFIX + value["sha256"]) or _stored(base, SOURCE_PREFIX + value["sha256"])
    if current is None or source is None or set(value) != {"type", "contract", "sha256", "version", "at_height"}:
        return False
    old, height = decode_value(current.value), value["at_height"]
    follows = value["version"] == old["version"] + 1 and type(height) is int and height > call.height
    return follows and not deployment_fault(name, decode_value(source)["source"], old["source"])


def _stored(base: StateReader, key: str) -> bytes | None:
    entry = base.get(key)
    return None if entry is None else entry.value


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
