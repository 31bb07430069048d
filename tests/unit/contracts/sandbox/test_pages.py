"""A worker's pages of state answer as the state does, whatever was asked and whatever has changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sandbox.machine import PAGE_ROWS_MAX, page_of
from contracts.sandbox.pages import KEYS_MAX, PagedState
from ledger.state import Entry, MemoryState

KEYS = [prefix + str(number) for prefix in ("a/", "ab/", "b/", "c/x/") for number in range(40)]


class Paged:
    """A state, its pages, and how often these had to ask."""

    def __init__(self, keys: list[str], bytes_max: int = 1 << 20) -> None:
        self.state = MemoryState({key: Entry(1, 0, key.encode()) for key in keys})
        self.asked: list[str] = []
        self.pages = PagedState(self._fetch, bytes_max)

    def _fetch(self, key: str) -> tuple[list[tuple[str, Entry]], bool]:
        self.asked.append(key)
        page = page_of(self.state, key)
        return page.rows, page.whole

    def apply(self, changes: dict[str, Entry | None]) -> None:
        self.state.apply(changes)
        self.pages.apply(changes)


key = st.sampled_from(KEYS)
get = st.tuples(st.just("get"), key)
scan = st.tuples(
    st.just("scan"), st.sampled_from(["", "a", "a/", "ab/", "b/1", "c/", "d"]), key | st.just(""), st.integers(1, 90)
)
change = st.tuples(st.just("change"), st.dictionaries(key, st.none() | st.integers(0, 99), max_size=20))


@given(st.lists(key, unique=True), st.lists(get | scan | change, max_size=40), st.sampled_from([500, 1 << 20]))
def test_pages_answer_as_the_state_does(keys: list[str], asked: list[tuple[object, ...]], bytes_max: int) -> None:
    paged = Paged(keys, bytes_max)
    for height, question in enumerate(asked, start=2):
        match question:
            case ("get", str(name)):
                assert paged.pages.get(name) == paged.state.get(name)
            case ("scan", str(prefix), str(after), int(limit)):
                assert paged.pages.scan(prefix, after, limit) == paged.state.scan(prefix, after, limit)
            case ("change", dict(values)):
                paged.apply({k: None if v is None else Entry(height, 0, bytes([v])) for k, v in values.items()})


def test_what_is_absent_is_asked_for_once_and_stays_true_when_it_comes() -> None:
    paged = Paged(["a/1", "a/9"])
    assert paged.pages.get("a/5") is None
    assert paged.pages.get("a/6") is None
    paged.apply({"a/6": Entry(2, 0, b"new")})
    assert paged.pages.get("a/6") == Entry(2, 0, b"new")
    paged.apply({"a/6": None})
    assert paged.pages.get("a/6") is None
    assert paged.asked == ["a/5"]


def test_a_range_that_is_known_is_not_asked_for_again() -> None:
    paged = Paged([f"k/{number:04d}" for number in range(3 * PAGE_ROWS_MAX)])
    first = paged.pages.scan("k/", "", 1_000)
    asked = len(paged.asked)
    assert first == paged.pages.scan("k/", "", 1_000) == paged.state.scan("k/", "", 1_000)
    assert len(paged.asked) == asked <= 4


def test_a_stretch_that_grows_is_cut_and_stays_in_order() -> None:
    paged = Paged([])
    assert paged.pages.get("k") is None
    for number in range(3 * KEYS_MAX):
        paged.apply({f"k/{number * 7919 % 1000:04d}": Entry(2, number, b"")})
    assert paged.pages.scan("k/", "", 10_000) == paged.state.scan("k/", "", 10_000)
    assert paged.asked == ["k"]


def test_beyond_its_bound_everything_is_forgotten_and_asked_for_again() -> None:
    paged = Paged(KEYS, bytes_max=100)
    for name in KEYS:
        assert paged.pages.get(name) == paged.state.get(name)
    assert len(paged.asked) > len(KEYS) // PAGE_ROWS_MAX


def test_a_page_ends_with_the_entry_that_passes_its_bytes() -> None:
    state = MemoryState({f"k{number}": Entry(1, 0, bytes(40_000)) for number in range(5)})
    page = page_of(state, "k1")
    assert [name for name, _ in page.rows] == ["k1", "k2"]
    assert not page.whole
    assert page_of(state, "k4").whole


@pytest.mark.parametrize(("prefix", "after"), [("\ud800", ""), ("k", "k\ud800")])
def test_a_prefix_that_no_store_takes_is_refused_as_a_store_does(prefix: str, after: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        Paged([]).pages.scan(prefix, after, 1)
