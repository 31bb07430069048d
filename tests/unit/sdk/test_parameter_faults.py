"""What is told of JSON that cannot be read: what is wrong with it, in words."""

from __future__ import annotations

import msgspec
import pytest

from sdk.errors import UNREADABLE
from sdk.parameter_faults import HALF_A_PAIR, json_fault


def told(text: bytes) -> str:
    with pytest.raises(UNREADABLE) as caught:
        msgspec.json.decode(text)
    return json_fault(caught.value, text)


@pytest.mark.parametrize(
    "escapes", [rb"\ud800", rb"\uDBFFx", rb"\ud800 and more", rb"\udc00", rb"\ud800\u0041", rb"\\\ud800"]
)
def test_half_a_surrogate_pair_is_told_as_one(escapes: bytes) -> None:
    """Found by a tester: whoever sent one at the end of a text was told that the input was truncated."""
    assert told(b'{"name": "' + escapes + b'"}') == HALF_A_PAIR


@pytest.mark.parametrize("cut", [rb'{"name": "\ud83d\ude00', rb'{"name": "\\ud83d', b'{"name": ', b""])
def test_what_is_cut_short_is_told_as_that(cut: bytes) -> None:
    assert told(cut) == "Input data was truncated"


def test_what_python_says_of_its_own_is_told_in_words() -> None:
    assert told(b'{"name": "\xff"}') == "JSON is malformed: a text in it is not UTF-8"
    assert told(b"[" * 100_000) == "JSON is malformed: it is nested too deep"
