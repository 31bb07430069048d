"""The real files: what ``pbft.files.Files`` promises, on a real directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pbft import disk as disk_module
from pbft.disk import DiskFiles
from pbft.files import Files


def test_files_grow_and_are_read_from_any_place(tmp_path: Path) -> None:
    files: Files = DiskFiles(tmp_path / "new")
    file = files.append("a.log")
    assert file.size == 0
    file.write(b"abc")
    file.write(b"def")
    assert file.size == 6
    file.sync()
    assert files.read("a.log") == b"abcdef"
    assert files.read("a.log", 2, 3) == b"cde"
    assert files.read("a.log", 5, 10) == b"f"
    file.close()
    again = files.append("a.log")
    assert again.size == files.size("a.log") == 6
    again.close()


def test_names_are_those_of_files_with_the_suffix_sorted(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    for name in ("b.log", "a.log", "c.txt"):
        files.append(name).close()
    files.below("d.log")
    assert files.names(".log") == ["a.log", "b.log"]
    assert files.names() == ["a.log", "b.log", "c.txt"]


def test_files_are_cut_renamed_and_removed(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    for name, data in (("a", b"abc"), ("b", b"xyz")):
        file = files.append(name)
        file.write(data)
        file.close()
    files.truncate("a", 1)
    files.rename("a", "b")
    assert files.names() == ["b"]
    assert files.read("b") == b"a"
    files.remove("b")
    with pytest.raises(OSError, match="b"):
        files.read("b")
    with pytest.raises(OSError, match="b"):
        files.size("b")


def test_a_directory_below_is_made_and_emptied(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    below = files.below("wal")
    below.append("1").close()
    assert files.below("wal").names() == ["1"]
    below.remove_all()
    assert below.names() == []
    assert files.names() == []


def test_sync_reaches_the_disk_for_data_and_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(disk_module, "_sync_data", fsync)
    monkeypatch.setattr(os, "fsync", fsync)
    files = DiskFiles(tmp_path)
    file = files.append("a")
    file.write(b"abc")
    assert synced == []
    file.sync()
    files.sync_names()
    files.truncate("a", 1)
    file.close()
    inode = (tmp_path / "a").stat().st_ino
    assert synced == [inode, tmp_path.stat().st_ino, inode]
