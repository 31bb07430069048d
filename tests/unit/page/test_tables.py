"""The tables of texts, one by one: each has its twin, no key stands twice, and sentences are translated."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from page_calls import STATIC, page_calls

pytestmark = pytest.mark.needs("node")

NAMES = sorted(path.name.removesuffix(".en.js") for path in (STATIC / "i18n").glob("*.en.js"))
SENTENCE = re.compile(r"[a-z]{3,} [a-z]{2,}")
HAN = re.compile(r"[\u4e00-\u9fff]")
Tables = dict[str, tuple[dict[str, str], dict[str, str]]]


@pytest.fixture(scope="module")
def tables() -> Tables:
    modules = [f"i18n/{name}.{language}.js" for name in NAMES for language in ("en", "zh")]
    found = page_calls([(module, "default", []) for module in modules])
    return dict(zip(NAMES, zip(found[::2], found[1::2], strict=True), strict=True))


def test_each_table_has_its_twin_with_the_same_keys(tables: Tables) -> None:
    assert {"shell", "explorer", "register"} <= set(NAMES)
    assert sorted(path.name.removesuffix(".zh.js") for path in (STATIC / "i18n").glob("*.zh.js")) == NAMES
    for name, (english, chinese) in tables.items():
        assert english.keys() == chinese.keys(), name
        assert all(text.strip() for text in (*english.values(), *chinese.values())), name


def test_no_key_stands_in_two_tables(tables: Tables) -> None:
    keys = Counter(key for english, _ in tables.values() for key in english)
    assert [key for key, count in keys.items() if count > 1] == []


def test_sentences_are_translated(tables: Tables) -> None:
    pairs = [(key, english[key], chinese[key]) for english, chinese in tables.values() for key in english]
    assert [key for key, english, chinese in pairs if SENTENCE.search(english) and not HAN.search(chinese)] == []
