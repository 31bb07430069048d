"""A worker's pages of state answer as the state does, whatever was asked and whatever has changed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sandbox.machine import page_of
from contracts.sandbox.ordered import RUN_MAX, Ordered
from contracts.sandbox.pages import CREDIT_ROWS_MAX, KEYS_MAX, PAGE_ROWS_MIN, ROWS_A_READ, STRETCH_BYTES, PagedState
from contracts.sandbox.protocol import PAGE_ROWS_MAX, ROW_BYTES_MAX, Miss, Page, decode_question, frame
from ledger.state import Entry, MemoryState, Span

KEYS = [prefix + str(number) for prefix in ("a/", "ab/", "b/", "c/x/") for number in range(40)]


class Paged:
    """A state, its pages, and how often these had to ask."""

    def __init__(self, keys: list[str], bytes_max: int = 1 << 20) -> None:
        self.state = MemoryState({key: Entry(1, 0, key.encode()) for key in keys})
        self.asked: list[str] = []
        self.rows = 0
        self.pages = PagedState(self._fetch, bytes_max)

    def _fetch(self, miss: Miss) -> Page:
        self.asked.append(miss.key)
        page = page_of(self.state, miss)
        assert miss.low <= page.low <= miss.key
        assert page.high is None or miss.key < page.high
        assert miss.high is None or (page.high is not None and page.high <= miss.high)
        self.rows += len(page.rows)
        return page

    def reads(self, keys: Iterable[str]) -> int:
        """How often these reads have to ask."""
        before = len(self.asked)
        for key in keys:
            assert self.pages.get(key) == self.state.get(key)
        return len(self.asked) - before

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


# ---------------------------------------------------------------------------------------------- round trips


def test_absent_keys_of_one_gap_cost_one_round_trip_downwards_and_upwards() -> None:
    """Each had cost one when they were read downwards: a block of them took from 6 to 68 s, and its worker was taken
    for hung."""
    assert Paged(["a/1", "b/9"]).reads(f"a/5/{number:04d}" for number in reversed(range(1_000))) == 1
    assert Paged(["a/1", "b/9"]).reads(f"a/5/{number:04d}" for number in range(1_000)) == 1


@pytest.mark.parametrize("ending", ["", "/absent"])
def test_reading_downwards_costs_as_few_round_trips_as_upwards(ending: str) -> None:
    count = 100 * PAGE_ROWS_MAX
    names = [f"k/{number:05d}" for number in range(count)]
    keys = [name + ending for name in names]
    up, down = Paged(names).reads(keys), Paged(names).reads(reversed(keys))
    assert abs(up - down) <= 3
    assert max(up, down) <= 1.1 * count / PAGE_ROWS_MAX + 3


def test_whatever_is_read_no_more_is_sent_than_reads_have_made_use_of() -> None:
    """Every 65th key: a page's other rows are of no use."""
    paged = Paged([f"k/{number:05d}" for number in range(60_000)])
    reads = paged.reads(f"k/{number:05d}" for number in range(0, 60_000, PAGE_ROWS_MAX + 1))
    assert paged.rows <= CREDIT_ROWS_MAX + (PAGE_ROWS_MIN + ROWS_A_READ + 1) * reads


class Measured(MemoryState):
    """Takes note of the bytes of values that are read: those that it tells and the one at which it ends."""

    read_bytes = 0

    def near(self, low: str, high: str | None, down: bool, limit: int, bytes_max: int) -> Span:
        rows, end = super().near(low, high, down, limit, bytes_max)
        ended = [] if end is None else [(end, self.entries[end])]
        self.read_bytes += sum(len(entry.value) for _, entry in [*rows, *ended])
        return rows, end


def test_a_miss_between_big_values_neither_reads_nor_sends_them() -> None:
    """64 of them, 4 MB, were read for each."""
    big = Entry(1, 0, bytes(65_000))
    state = Measured({f"k/{number}": big for number in range(10, 99)})
    page = page_of(state, Miss("k/50/absent", "", None, PAGE_ROWS_MAX))
    assert (page.low, page.high) == ("k/50\0", "k/51")
    assert len(frame(page)) < 100
    assert state.read_bytes <= 2 * 65_000


def test_a_page_holds_no_more_rows_and_bytes_than_are_of_use_beside_the_key_itself() -> None:
    state = MemoryState({f"k/{number}": Entry(1, 0, bytes(500)) for number in range(10, 99)})
    state.entries["k/50"] = Entry(1, 0, bytes(65_000))
    page = page_of(state, Miss("k/50", "k/", "l", 8))
    assert [key for key, _ in page.rows] == [f"k/{number}" for number in range(46, 55)]
    state.entries["k/49"] = Entry(1, 0, bytes(8 * ROW_BYTES_MAX))
    page = page_of(state, Miss("k/50", "k/", "l", 8))
    assert [key for key, _ in page.rows] == [f"k/{number}" for number in range(50, 59)]
    assert (page.low, page.high) == ("k/49\0", "k/59")


def test_a_page_ends_where_the_worker_knows_more() -> None:
    state = MemoryState({f"k/{number}": Entry(1, 0, b"") for number in range(10, 99)})
    assert page_of(state, Miss("k/50", "k/50", "k/52", 64)) == Page("k/50", "k/52", [*state.scan("k/", "k/49", 2)])
    assert page_of(state, Miss("x", "k/97\0", None, 64)) == Page("k/97\0", None, [*state.scan("k/", "k/97", 1)])


# --------------------------------------------------------------------------------------------------- bounds


def isolated(bytes_max: int) -> tuple[PagedState, int]:
    """Absent keys, each in a gap of its own, until the bound is passed; and the most that was held."""
    pages = PagedState(lambda miss: Page(miss.key, miss.key + "\0", []), bytes_max)
    most = 0
    for number in range(2 * bytes_max // 400):
        assert pages.get(f"k/{number * 7_919 % 100_000:05d}") is None
        most = max(most, pages.size_bytes)
    return pages, most


def test_the_table_of_what_is_known_stays_within_its_bound_though_nothing_is_there() -> None:
    """What is known to be absent counted nothing, and was kept for ever."""
    pages, most = isolated(1 << 20)
    assert most <= (1 << 20) + 1_000
    assert pages.size_bytes < 1 << 20


def test_what_blocks_add_stays_within_the_bound_too() -> None:
    paged = Paged([], bytes_max=100_000)
    assert paged.reads(["k"]) == 1
    for number in range(1_000):
        paged.apply({f"k/{number}": Entry(2, number, bytes(100))})
        assert paged.pages.size_bytes <= 100_000
    assert paged.pages.scan("k/", "", 10_000) == paged.state.scan("k/", "", 10_000)


def test_what_is_reckoned_covers_what_python_takes() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        pages, _ = isolated(1 << 20)
        assert tracemalloc.get_traced_memory()[0] - before <= pages.size_bytes
        state = MemoryState({f"k/{number:05d}": Entry(1_000, 300, bytes(40)) for number in range(4_000)})
        before = tracemalloc.get_traced_memory()[0]
        pages = PagedState(lambda miss: told(page_of(state, miss)))
        for key in state.entries:
            assert pages.get(key) is not None
        assert 0.5 * pages.size_bytes <= tracemalloc.get_traced_memory()[0] - before <= pages.size_bytes
    finally:
        tracemalloc.stop()


def told(page: Page) -> Page:
    """As it arrives: with objects of its own."""
    arrived = decode_question(frame(page)[4:])
    assert isinstance(arrived, Page)
    return arrived


def test_neighbours_become_one_and_what_joins_two_does_too() -> None:
    narrow = PagedState(lambda miss: Page(miss.key, miss.key + "\0", []))
    assert [narrow.get(key) for key in ("b", "b\0", "a", "b\0\0", "a\0")] == [None] * 5
    assert 2 * STRETCH_BYTES < narrow.size_bytes < 3 * STRETCH_BYTES


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3 * RUN_MAX)), max_size=30), st.integers(1, RUN_MAX + 9))
def test_ordered_texts_are_found_as_in_a_list(changes: list[tuple[bool, int]], first: int) -> None:
    ordered, there = Ordered(), set[str]()
    for number in range(first):
        ordered.add(f"{number * 5:04d}")
        there.add(f"{number * 5:04d}")
    for adds, number in changes:
        text = f"{number:04d}"
        if adds and text not in there:
            ordered.add(text)
            there.add(text)
        elif not adds and text in there:
            ordered.remove(text)
            there.remove(text)
        assert ordered.last(text) == max((each for each in there if each <= text), default=None)
        assert ordered.next(text) == min((each for each in there if each > text), default=None)


def test_ordered_texts_empty_again_are_none() -> None:
    ordered = Ordered()
    for number in range(2 * RUN_MAX):
        ordered.add(f"{number * 7_919 % 10_000:04d}")
    for number in range(2 * RUN_MAX):
        ordered.remove(f"{number * 7_919 % 10_000:04d}")
    assert (ordered.last("z"), ordered.next("")) == (None, None)


@pytest.mark.parametrize(("prefix", "after"), [("\ud800", ""), ("k", "k\ud800")])
def test_a_prefix_that_no_store_takes_is_refused_as_a_store_does(prefix: str, after: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        Paged([]).pages.scan(prefix, after, 1)
