"""What is wrong with a call's parameters, in words: what is meant, not the expression that checks it."""

from __future__ import annotations

import re
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


UNENDED = "Input data was truncated"
MALFORMED = "JSON is malformed: "
HALF_A_PAIR = MALFORMED + "half a surrogate pair is no text"
LONE_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
"""The first half of a pair as an escape, and no second one behind it: the decoder takes it for the text's end."""


def json_fault(error: Exception, text: bytes) -> str:
    """As ``parameter_fault``, of a ``text`` that was to be JSON."""
    if isinstance(error, UnicodeDecodeError):
        return MALFORMED + "a text in it is not UTF-8"
    if isinstance(error, RecursionError):
        return MALFORMED + "it is nested too deep"
    said = parameter_fault(error)
    is_half_a_pair = (said.startswith(MALFORMED) and "surrogate pair" in said) or (
        said == UNENDED and LONE_ESCAPE.search(text)
    )
    return HALF_A_PAIR if is_half_a_pair else said
