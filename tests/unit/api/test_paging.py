"""Lists that may be long are told in pages, each with what begins the next one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from desk import Desk
from ledgers import ALICE, BOB, envelope, run_block

from sdk.methods import METHODS

TRANSACTIONS = 7
OTHERS = (2, 5)
"""Places of bob's among alice's."""


@pytest.fixture
def full_block(desk: Desk) -> Desk:
    """Block 2 holds transactions of alice, and some of bob's between."""
    signers = [BOB if place in OTHERS else ALICE for place in range(TRANSACTIONS)]
    run_block(desk.ledger, *(envelope(signer, nonce=place) for place, signer in enumerate(signers)))
    return desk


async def test_a_block_is_told_in_pages_of_what_one_may_read(full_block: Desk) -> None:
    token = await full_block.token(ALICE)
    block_hash = full_block.ledger.block(2).statement.header_hash.hex()
    for asked in ({"height": 2}, {"hash": block_hash}):
        method = "block" if "height" in asked else "block_by_hash"
        places: list[int] = []
        bookmark, pages = "", 0
        while pages == 0 or bookmark:
            page: Any = await full_block.call(method, token, limit=2, bookmark=bookmark, **asked)
            assert (len(page.transactions) <= 2, page.hidden) == (True, len(OTHERS))
            places += [each.index for each in page.transactions]
            bookmark, pages = page.bookmark, pages + 1
        assert places == [place for place in range(TRANSACTIONS) if place not in OTHERS]
        assert pages == 3
    whole: Any = await full_block.call("block", token, height=2)
    assert (len(whole.transactions), whole.bookmark) == (TRANSACTIONS - len(OTHERS), "")


async def test_a_page_that_others_fill_is_empty_and_the_last(full_block: Desk) -> None:
    page: Any = await full_block.call("block", "", height=2, limit=1)
    assert (page.transactions, page.hidden, page.bookmark) == ((), TRANSACTIONS, "")


async def test_headers_say_where_the_next_page_begins(desk: Desk) -> None:
    for _ in range(6):
        run_block(desk.ledger)
    heights: list[int] = []
    first: int | None = 1
    while first is not None:
        page: Any = await desk.call("headers", first=first, limit=3)
        heights += [header.height for header in page.headers]
        first = page.next
    assert heights == list(range(1, 8))
    assert (await desk.call("headers", limit=3)).next is None
    assert (await desk.call("headers", first=100)).next is None


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_bounds_of_bytes_are_as_exact_in_base64(method: Any) -> None:
    """Found by schemathesis: of 16,384 bytes' base64 the longest text may also be 16,386 bytes', which was refused."""
    schema = str(msgspec.json.schema(method.params))
    for parameter in msgspec.inspect.type_info(method.params).fields:  # type: ignore[attr-defined]
        if isinstance(parameter.type, msgspec.inspect.BytesType):
            assert (parameter.type.max_length or 1) % 3 == 0, (parameter.name, schema)


@pytest.mark.parametrize("name", ["tx_id", "hash", "signer"])
def test_a_hash_with_a_line_break_behind_it_is_none(name: str) -> None:
    r"""``$`` also matches before a last line break; ``\Z`` does not."""
    method = {"tx_id": "transaction", "hash": "block_by_hash", "signer": "account"}[name]
    params = METHODS[method].params
    msgspec.convert({name: "a" * 64}, params)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: "a" * 64 + "\n"}, params)
