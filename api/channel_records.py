"""What the main ledger says of the channels beside it: names, hashes of genesis files, and which are closed."""

from __future__ import annotations

from ledger.state import StateReader
from ledger.values import decode_value
from sdk.methods import ChannelRecord

CHANNEL_PREFIX = "channels/"
CHANNELS_MAX = 1_000
"""More than the contract lets be founded."""


def channels_of(reader: StateReader) -> tuple[ChannelRecord, ...]:
    """All channels, by name."""
    rows = reader.scan(CHANNEL_PREFIX, "", CHANNELS_MAX)
    return tuple(_record(key.removeprefix(CHANNEL_PREFIX), entry.value) for key, entry in rows)


def channel_of(reader: StateReader, name: str) -> ChannelRecord | None:
    entry = reader.get(CHANNEL_PREFIX + name)
    return None if entry is None else _record(name, entry.value)


def _record(name: str, data: bytes) -> ChannelRecord:
    value = decode_value(data)
    return ChannelRecord(name, value["genesis"], value["closed"])
