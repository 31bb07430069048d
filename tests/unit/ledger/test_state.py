"""The state's readers and overlays: scans as if all changes were applied, and a record of what was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.state import PASSED_A_ROW, Entry, Layer, MemoryState, Overlay, RangeRead, TransactionView, Version

KEYS = st.text("ab/", min_size=1, max_size=3)
ENTRIES = st.dictionaries(KEYS, st.binary(max_size=1), max_size=8)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=1), max_size=6)
PLACES = st.tuples(st.text("ab/", max_size=2), st.text("ab/", max_size=3), st.integers(0, 6))


def merged(base: dict[str, bytes], *layers: dict[str, bytes | None]) -> dict[str, bytes]:
    found: dict[str, bytes | None] = dict(base)
    for layer in layers:
        found |= layer
    return {key: value for key, value in found.items() if value is not None}


def expected(model: dict[str, bytes], place: tuple[str, str, int]) -> list[tuple[str, bytes]]:
    prefix, after, limit = place
    return [(key, model[key]) for key in sorted(model) if key.startswith(prefix) and key > after][:limit]


@given(ENTRIES, CHANGES, CHANGES, PLACES)
def test_layers_are_scanned_as_one(
    base: dict[str, bytes], block: dict[str, bytes | None], own: dict[str, bytes | None], place: tuple[str, str, int]
) -> None:
    state = MemoryState({key: Entry(0, 0, value) for key, value in base.items()})
    overlay = Overlay(state)
    overlay.apply(block, 1, 0)
    view = TransactionView(overlay)
    for key, value in own.items():
        if value is None:
            view.delete(key)
        else:
            view.put(key, value)
    assert [(key, entry.value) for key, entry in state.scan(*place)] == expected(base, place)
    assert [(key, entry.value) for key, entry in overlay.scan(*place)] == expected(merged(base, block), place)
    assert view.scan(*place) == expected(merged(base, block, own), place)
    for key, value in merged(base, block, own).items():
        assert view.get(key) == value
    state.apply(overlay.changes)
    assert [(key, entry.value) for key, entry in state.scan(*place)] == expected(merged(base, block), place)
    assert {key: entry.value for key, entry in state.entries.items()} == merged(base, block)


def test_a_view_remembers_versions_that_it_read() -> None:
    view = TransactionView(MemoryState({"a": Entry(3, 1, b"x")}))
    view.get("a")
    view.get("b")
    view.put("c", b"own")
    view.get("c")
    assert view.reads == {"a": (3, 1), "b": None}


def test_a_views_ranges_tell_answers_apart() -> None:
    digests = []
    for entries in ({}, {"a": Entry(1, 0, b"1")}, {"a": Entry(1, 1, b"1")}, {"b": Entry(1, 0, b"1")}):
        view = TransactionView(MemoryState(entries))
        view.scan("", "", 5)
        digests.append(view.ranges[0].digest)
    assert len(set(digests)) == 4


def test_a_views_own_writes_are_no_part_of_what_it_read() -> None:
    digests = []
    for own in ({}, {"a": b"own", "c": b"own"}):
        view = TransactionView(MemoryState({"a": Entry(1, 0, b"1"), "b": Entry(1, 0, b"1")}))
        for key, value in own.items():
            view.put(key, value)
        view.scan("", "", 5)
        digests.append([read.digest for read in view.ranges])
    assert digests[0] == digests[1]


def test_a_scan_asks_on_where_everything_was_deleted() -> None:
    view = TransactionView(MemoryState({f"k{n}": Entry(1, n, b"v") for n in range(9)}))
    for number in range(5):
        view.delete(f"k{number}")
    assert [key for key, _ in view.scan("k", "", 2)] == ["k5", "k6"]
    assert [(read.after, read.limit) for read in view.ranges] == [("", 2), ("k1", 2), ("k3", 2), ("k5", 1)]


def test_a_scan_reads_more_at_a_time_the_more_it_has_passed() -> None:
    view = TransactionView(MemoryState({f"k{n:03d}": Entry(1, n, b"v") for n in range(900)}))
    for number in range(899):
        view.delete(f"k{number:03d}")
    assert [key for key, _ in view.scan("k", "", 1)] == ["k899"]
    limits = [read.limit for read in view.ranges]
    assert limits[:PASSED_A_ROW] == [1] * PASSED_A_ROW
    assert limits == sorted(limits)
    assert len(limits) < 900 // PASSED_A_ROW


def test_a_scan_tells_each_row_that_new_ones_keep_from_its_answer() -> None:
    told: list[tuple[int, int]] = []
    overlay = Overlay(MemoryState({f"k{n}": Entry(1, n, b"value") for n in range(5)}))
    overlay.apply({"k": b"new"}, 2, 0)
    assert [key for key, _ in overlay.walk("k", "", 2, lambda *each: told.append(each))] == ["k", "k0"]
    assert told == [(1, 5)]


def test_a_scan_tells_each_row_that_it_passes() -> None:
    told: list[tuple[int, int]] = []
    overlay = Overlay(MemoryState({f"k{n}": Entry(1, n, b"value") for n in range(5)}))
    overlay.apply({"k0": None, "k1": b"new", "k2": None}, 2, 0)
    view = TransactionView(overlay)
    view.delete("k1")
    assert view.scan("k", "", 1, lambda rows, size_bytes: told.append((rows, size_bytes))) == [("k3", b"value")]
    # k0 by the block, and its row below; k1 by the transaction, and its row below and in the block; k2 as k0.
    assert sum(rows for rows, _ in told) == 7
    assert sum(size_bytes for _, size_bytes in told) == 3 * 5 + 3


@pytest.mark.parametrize(
    ("reads", "ranges", "true"),
    [
        ({}, [], True),
        ({"a": (3, 2)}, [], False),
        ({"a": None}, [], False),
        ({"b": (1, 0)}, [], False),
        ({}, [RangeRead("r/", "", 5)], False),
        ({}, [RangeRead("s/", "", 5)], True),
    ],
)
def test_what_somebody_says_was_read_can_be_asked_again(
    reads: dict[str, Version | None], ranges: list[RangeRead], true: bool
) -> None:
    view = TransactionView(MemoryState({"a": Entry(3, 1, b"x"), "r/1": Entry(2, 0, b"x")}))
    view.get("a")
    view.get("b")
    view.scan("r/", "", 5)
    view.reads.update(reads)
    view.ranges += ranges
    assert view.is_true(rows_max=100, bytes_max=100) is true


@pytest.mark.parametrize(("rows_max", "bytes_max", "true"), [(5, 15, True), (4, 15, False), (5, 14, False)])
def test_what_is_asked_again_is_bounded_with_all_that_it_passes(rows_max: int, bytes_max: int, true: bool) -> None:
    overlay = Overlay(MemoryState({f"k{n}": Entry(1, n, b"value") for n in range(5)}))
    overlay.apply({"k0": None, "k1": None}, 2, 0)
    view = TransactionView(overlay)
    assert [key for key, _ in view.scan("k", "", 1)] == ["k2"]
    # Each deleted row, that it was deleted, and the one that is left.
    assert view.is_true(rows_max, bytes_max) is true


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 5), st.booleans()), max_size=60))
def test_more_roots_than_are_kept_in_order_are_scanned_all_the_same(steps: list[tuple[int, int, bool]]) -> None:
    """Each write is followed by a scan below its root, of which there are more than ``Layer.ROOTS_MAX``."""
    assert Layer.ROOTS_MAX < 12
    overlay = Overlay(MemoryState())
    model: dict[str, bytes | None] = {}
    for number, (root, key, kept) in enumerate(steps):
        change = {f"c/{root}/{key}": bytes([number]) if kept else None}
        overlay.apply(change, 1, number)
        model |= change
        place = (f"c/{root}/", "", 9)
        assert [(each, entry.value) for each, entry in overlay.scan(*place)] == expected(merged({}, model), place)
