"""Each threat names a test that there is, or a limit; each room has the six kinds."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "THREAT_MODEL.md").read_text(encoding="utf-8")
ROOMS = re.split(r"^### ", TEXT.partition("## By room")[2], flags=re.M)[1:]


def test_what_is_named_is_there() -> None:
    named = re.findall(r"`((?:tests|docs)/[^`]*)`", TEXT)
    assert len(named) > 80
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_each_room_is_looked_at_from_six_sides() -> None:
    assert len(ROOMS) == 9
    for room in ROOMS:
        points = re.split(r"^- (?=\*\*)", room, flags=re.M)[1:]
        sides = {side for point in points for side in re.findall(r"\*\*([STRIDE])\*\*", point)}
        named = all("`tests/" in point or "*Limit:*" in point for point in points)
        assert (room.splitlines()[0], named) == (room.splitlines()[0], True)
        assert sides == set("STRIDE"), room.splitlines()[0]
