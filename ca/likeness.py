"""What a name looks like to people: two names that look alike are one to whoever decides whom to trust.

Not a full table of confusables (Unicode Technical Standard 39): what it does not know and yet mixes alphabets is
doubtful, and a person decides. Names that look alike by chance wait for a person too, which costs a little patience.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

LIKENESSES_CACHED_MAX = 65_536
_CYRILLIC = ("авегзікмнопрстухьһјѕԁԛԝӏАВЕЗІКМНОРСТУХЬҺЈЅԀԚԜӀ", "aber3ikmhonpctyxbhjsdqwlabe3ikmhopctyxbhjsdqwl")
_GREEK = ("αβγεηικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abyenikvoptuxwabezhikmnoptyx")
_LATIN = ("ıłøđħŧɑɡ", "ilodhtag")
_SHAPES = str.maketrans("i10", "llo")
_LOOKALIKES = {
    ord(one): other for script, latin in (_CYRILLIC, _GREEK, _LATIN) for one, other in zip(script, latin, strict=True)
}
_WRITTEN_TOGETHER = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "LATIN")
"""Scripts that names of East Asia mix, Latin letters among them."""
_INVISIBLE = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
)  # fmt: skip
"""What counts as printable and shows as nothing: fillers, joiners, selectors of variants."""


@lru_cache(LIKENESSES_CACHED_MAX)
def likeness(name: str) -> str:
    """The same text for names that look alike: without case, accents, blanks and punctuation, in one alphabet."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if char.isalnum())
    return bare.translate(_LOOKALIKES).casefold().translate(_SHAPES).replace("rn", "m").replace("vv", "w")


def is_mixed(name: str) -> bool:
    """Whether letters of several alphabets stand in a name that are not commonly written together."""
    letters = (char for char in unicodedata.normalize("NFKC", name) if char.isalpha())
    scripts = {unicodedata.name(char, "?").split()[0].split("-")[0] for char in letters}
    return len(scripts) > 1 and not scripts.issubset(_WRITTEN_TOGETHER)


def hides_something(name: str) -> bool:
    """Whether there is a character that does not show."""
    return any(first <= ord(char) <= last for char in name for first, last in _INVISIBLE)
