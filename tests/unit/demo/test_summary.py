"""The summary's tables show every figure whole, however narrow the terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from demo.summary import energy_table, money_table, print_whole

ROW: dict[str, Any] = {
    "name": "bashir",
    "node": "node2",
    "bought_wh": 123_456_789,
    "sold_wh": 5_750,
    "delivered_wh": 0,
    "received": 12_345_678_901,
    "paid": 1,
    "available": 9_999_999_999_900,
    "held": 10_000,
}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_number_is_cut(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for table in (energy_table({"date": "2027-06-21", "participants": [ROW]}), money_table({"participants": [ROW]})):
        print_whole(console, table)
    text = out.getvalue()
    assert "…" not in text
    for figure in ("bashir", "node2", "123456.79", "5.75", "12345.6789", "9999999.9999"):
        assert figure in text
    if width >= 80:
        assert max(map(len, text.splitlines())) <= width
    assert re.search(r"household +node +bought +sold +delivered", text)
