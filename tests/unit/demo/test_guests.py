"""Newcomers are the demo's people at the page: by backups, and told how."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from ca.backup import key_of
from ca.keys import SigningKey
from demo.guests import OPERATORS, PASSPHRASE, invite, write_backups
from demo.setting import PARTICIPANTS


def test_everybody_has_a_backup_that_the_page_restores(tmp_path: Path) -> None:
    names = [*OPERATORS, *(participant.name for participant in PARTICIPANTS)]
    keys = {name: SigningKey.generate() for name in names}
    for name, key in keys.items():
        key.save(tmp_path / f"{name}.key")
    write_backups(tmp_path, tmp_path / "people")
    for name, key in keys.items():
        text = (tmp_path / "people" / f"{name}.json").read_text(encoding="utf-8")
        assert key_of(text, PASSPHRASE).signer == key.signer


def test_the_invitation_names_address_file_and_passphrase(tmp_path: Path) -> None:
    out = io.StringIO()
    invite(Console(file=out, width=80), tmp_path / "people", "http://127.0.0.1:26601")
    said = out.getvalue()
    for part in ("http://127.0.0.1:26601/#/register", str(tmp_path / "people" / "anna.json"), PASSPHRASE, "operator1"):
        assert part in said
