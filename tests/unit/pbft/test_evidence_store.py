"""Evidence on disk: a file convicts by itself, is whole or not there, and there are never too many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import SCOPE

from pbft import evidence_store
from pbft.evidence import Evidence, EvidenceKind, conflict
from pbft.evidence_store import EVIDENCE_BYTES_MAX, LIES_MAX, EvidenceStore, EvidenceUnreadable, read_evidence
from pbft.messages import Complaint, Prepare, Scope

BOUNDARIES = (b"boundary 1", b"boundary 2", b"boundary 3")


def lie(accused: int, epoch: int = 0, view: int = 0) -> Evidence:
    scope = Scope(SCOPE.chain, SCOPE.channel, epoch)
    votes = [Prepare(view, 9, bytes([number]) * 32, accused, b"s" * 64) for number in range(2)]
    return conflict(EvidenceKind.TWO_PREPARES, scope, *votes)


def store_in(directory: Path) -> EvidenceStore:
    return EvidenceStore(directory, lambda epoch: BOUNDARIES[:epoch])


def test_a_file_holds_the_evidence_and_the_boundaries_that_lead_to_its_epoch(tmp_path: Path) -> None:
    store = store_in(tmp_path / "evidence")
    assert store.files() == []
    for evidence in (lie(1), lie(2, epoch=2)):
        assert store.keep(evidence)
    first, second = map(read_evidence, store.files())
    assert (first.evidence, first.boundaries) == (lie(1), ())
    assert (second.evidence, second.boundaries) == (lie(2, epoch=2), BOUNDARIES[:2])


def test_a_restart_keeps_what_is_there_and_keeps_nothing_twice(tmp_path: Path) -> None:
    assert store_in(tmp_path).keep(lie(1))
    again = store_in(tmp_path)
    assert not again.keep(lie(1))
    assert again.keep(lie(2))
    assert len(again.files()) == 2


def test_a_crash_before_evidence_is_durable_leaves_no_file_and_it_can_be_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)

    def power_cut(descriptor: int) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", power_cut)
        with pytest.raises(OSError, match="the disk is gone"):
            store.keep(lie(1))
    assert store.files() == []
    assert store.keep(lie(1))
    assert read_evidence(store.files()[0]).evidence == lie(1)


def test_without_room_the_older_evidence_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_store, "EVIDENCE_MAX", 2)
    store = store_in(tmp_path)
    assert [store.keep(lie(accused)) for accused in range(3)] == [True, True, False]
    assert [read_evidence(path).evidence.accused for path in store.files()] == [0, 1]


def test_no_liar_takes_the_room_of_others(tmp_path: Path) -> None:
    """Found by a tester: one replica's first thousand lies left no room for anybody else's."""
    for store in (store_in(tmp_path), store_in(tmp_path)):
        for number in range(2 * LIES_MAX):
            store.keep(lie(1, view=number))
    assert len(store.files()) == LIES_MAX
    assert store.keep(lie(2))
    assert store.keep(lie(1, epoch=1))


def test_complaints_about_one_primary_are_kept_once_an_epoch(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    pieces = [Evidence(EvidenceKind.COMPLAINTS, SCOPE, 1, (), (Complaint(view, 0),)) for view in (1, 5, 9)]
    assert [store.keep(piece) for piece in pieces] == [True, False, False]
    assert store.keep(lie(1))


def test_files_are_listed_once_however_much_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    listed: list[None] = []
    files = store.files
    monkeypatch.setattr(store, "files", lambda: listed.append(None) or files())  # type: ignore[func-returns-value]
    for accused in range(20):
        store.keep(lie(accused))
    assert len(listed) == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.evidence"
    with path.open("wb") as file:
        file.truncate(EVIDENCE_BYTES_MAX + 1)
    with pytest.raises(EvidenceUnreadable, match="more than"):
        read_evidence(path)


def test_a_file_of_another_version_or_of_none_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    store.keep(lie(1))
    (path,) = store.files()
    monkeypatch.setattr(evidence_store, "VERSION", evidence_store.VERSION + 1)
    with pytest.raises(EvidenceUnreadable, match="version 1"):
        read_evidence(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EvidenceUnreadable, match="no evidence"):
        read_evidence(path)
    with pytest.raises(EvidenceUnreadable, match="no evidence"):
        read_evidence(tmp_path / "missing.evidence")
