"""Contracts' versions in the state, and what the executor does when one takes over.

``governance/contract/<name>`` is the version in force, ``governance/upgrade/<name>`` the one to come and its height,
``governance/source/<sha256>`` every source that was ever decided on, ``governance/version/<name>/<number>`` which
version began at which height. The first version is listed when a second one takes over.
"""

from __future__ import annotations

from ledger.state import Overlay, StateReader
from ledger.values import Value, decode_value, encode_value

CONTRACT_PREFIX = "governance/contract/"
UPGRADE_PREFIX = "governance/upgrade/"
SOURCE_PREFIX = "governance/source/"
VERSION_PREFIX = "governance/version/"
UPGRADES_MAX = 16
"""Upgrades that are pending at once."""


def due_upgrades(reader: StateReader, height: int) -> list[tuple[str, Value]]:
    """Contracts whose next version begins with the block at ``height``, by name, with the pending record."""
    rows = reader.scan(UPGRADE_PREFIX, "", UPGRADES_MAX)
    found = [(key[len(UPGRADE_PREFIX) :], decode_value(entry.value)) for key, entry in rows]
    return [(name, pending) for name, pending in found if pending["at_height"] <= height]


def begin_upgrade(overlay: Overlay, name: str, pending: Value, height: int, index: int) -> bytes:
    """Put a new version in force; what was in force before is returned, encoded."""
    before = overlay.get(CONTRACT_PREFIX + name)
    source = overlay.get(SOURCE_PREFIX + pending["sha256"])
    assert before is not None, "an upgrade is of a contract"
    assert source is not None, "the source was kept when it was decided on"
    record = {**decode_value(source.value), "sha256": pending["sha256"], "version": pending["version"]}
    overlay.apply({UPGRADE_PREFIX + name: None, CONTRACT_PREFIX + name: encode_value(record)}, height, index)
    return before.value


def end_upgrade(overlay: Overlay, name: str, before: bytes, code: str, height: int, index: int) -> tuple[str, Value]:
    """List the version that took over, or put back the one before it; the event's name and data that say so."""
    now = overlay.get(CONTRACT_PREFIX + name)
    assert now is not None, "it was put in force"
    old, new = decode_value(before), decode_value(now.value)
    told = {"contract": name, "version": new["version"], "sha256": new["sha256"]}
    if code != "OK":
        overlay.apply({CONTRACT_PREFIX + name: before}, height, index)
        return "upgrade_failed", {**told, "code": code}
    listed: dict[str, bytes | None] = {version_key(name, new["version"]): encode_value({**told, "from_height": height})}
    first = version_key(name, old["version"])
    if overlay.get(first) is None:
        listed[first] = encode_value(
            {"contract": name, "version": old["version"], "sha256": old["sha256"], "from_height": 0}
        )
    overlay.apply(listed, height, index)
    return "upgraded", told


def version_key(name: str, version: int) -> str:
    return f"{VERSION_PREFIX}{name}/{version:06d}"
