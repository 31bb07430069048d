"""What is wrong with a call's parameters, in words: what is meant, not the expression that checks it."""

from __future__ import annotations

from typing import Any

from ca.messages import CodeId, RegistrationId, Serial
from sdk.methods import Bookmark, Hex32, Key, VersionBookmark

BOOKMARK = "the `bookmark` of the answer before"
MEANT: dict[Any, str] = {
    Hex32: "64 digits of 0-9 and a-f",
    Key: "printable ASCII",
    Bookmark: BOOKMARK,
    VersionBookmark: BOOKMARK,
    CodeId: "64 digits of 0-9 and a-f, or nothing",
    RegistrationId: "32 digits of 0-9 and a-f",
    Serial: "1 to 40 digits of 0-9 and a-f",
}
TOLD = {f"`str` matching regex {kind.__metadata__[0].pattern!r}": words for kind, words in MEANT.items()}
"""What the decoder says of each, and what is said instead."""


def parameter_fault(error: Exception) -> str:
    """An error of decoding parameters, without a stop at its end."""
    text = str(error)
    for said, words in TOLD.items():
        text = text.replace(said, words)
    return text
