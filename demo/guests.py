"""How a newcomer looks over a household's shoulder: everybody's key as a backup, which the page restores.

The passphrase is public, as all of the demo is. In earnest nobody makes a backup of somebody else's key.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ca.backup import backup_of
from ca.keys import SigningKey
from demo.setting import PARTICIPANTS

PASSPHRASE = "a day in June"
DIRECTORY = "people"
OPERATORS = ("operator1", "operator2")


def write_backups(users: Path, place: Path) -> None:
    """From the keys in ``users``, a backup of every household's and two operators' in ``place``."""
    place.mkdir()
    for name in (*OPERATORS, *(participant.name for participant in PARTICIPANTS)):
        key = SigningKey.load(users / f"{name}.key")
        (place / f"{name}.json").write_text(backup_of(key, PASSPHRASE), encoding="utf-8")


def invite(console: Console, place: Path, address: str) -> None:
    """Say where to look, and how to be one of the demo's people there."""
    first = PARTICIPANTS[0]
    others = ", ".join(participant.name for participant in PARTICIPANTS[1:])
    lines = [
        f"Watch the day at {address}, or be {first.name} there, a {first.role} with panels on the roof:",
        f"  at {address}/#/register, under I have a backup, give {place / f'{first.name}.json'}",
        f"  and the passphrase {PASSPHRASE}; then look at My energy and money. Beside {first.name} there are {others},",
        f"  and {' and '.join(OPERATORS)}, who see Users and operations.",
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
