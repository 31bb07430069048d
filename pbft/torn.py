"""Telling a torn tail from damage: does a whole record lie anywhere behind a bad one, whose length may be wrong?

Every place where a record's content could begin is looked at, but no more bytes are hashed than a few times what
there is: a file that a liar's batch, or bad luck, has filled with beginnings of records must not keep a node from
starting for hours. What cannot be told within that counts as damage, since damage is never cut away.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

HASHED_TIMES_MAX = 8
_HEAD = struct.Struct(">II")


def has_record_behind(
    data: bytes, offset: int, beginning: re.Pattern[bytes], is_content: Callable[[bytes], bool]
) -> bool:
    """Records are length, CRC-32 and content, which starts like ``beginning``; the bad one is at ``offset``."""
    left = HASHED_TIMES_MAX * len(data)
    view = memoryview(data)
    for match in beginning.finditer(data, offset + 1 + _HEAD.size):
        start = match.start()
        length, checksum = _HEAD.unpack_from(data, start - _HEAD.size)
        if not 0 < length <= len(data) - start:
            continue
        left -= length
        if left < 0:
            return True
        if zlib.crc32(view[start : start + length]) == checksum and is_content(data[start : start + length]):
            return True
    return False
