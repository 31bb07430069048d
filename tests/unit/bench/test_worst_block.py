"""What a block may cost at most, and what it must hold: relations of limits and prices, without a clock."""

from __future__ import annotations

import pytest

from bench.operations import READS, WORST
from bench.vm import LOT_WH, PRICE, Book
from bench.worst import Block, block_of_arguments, figures_of, source_of
from contracts.guards.meter import CALLS_MAX
from contracts.language import check
from contracts.rewrite import nesting
from ledger import upgrades
from ledger.envelope import GAS_LIMIT_MAX
from ledger.execution import DEADLINE_GAS_MAX, DEADLINE_GAS_PER_BLOCK_MAX, MIGRATION_GAS_MAX
from sdk.configuration import Limits, Timers
from sdk.gas import GAS_LIMIT_MARKET, GAS_LIMIT_ORDER, gas_limit_of

NS_PER_GAS_MAX = 25
"""What the dearest operation takes, by `python -m bench.worst` on two busy cores: 24."""


def test_the_worst_block_is_done_within_a_quarter_of_the_request_timer() -> None:
    migrations = upgrades.UPGRADES_MAX * MIGRATION_GAS_MAX
    gas = Limits().block_gas_max + DEADLINE_GAS_PER_BLOCK_MAX + migrations
    assert gas * NS_PER_GAS_MAX <= Timers().request_timeout_ms * 1_000_000 // 4


def test_whatever_may_be_declared_fits_into_a_block() -> None:
    assert Limits().block_gas_max >= GAS_LIMIT_MAX
    assert DEADLINE_GAS_MAX <= DEADLINE_GAS_PER_BLOCK_MAX


def test_a_block_holds_as_many_market_transactions_as_it_may_have_or_a_hundred_orders() -> None:
    assert gas_limit_of("market", "take_listing") == GAS_LIMIT_MARKET
    assert gas_limit_of("market", "place_order") == gas_limit_of("market", "amend_order") == GAS_LIMIT_ORDER
    assert Limits().block_gas_max >= 100 * GAS_LIMIT_ORDER
    assert Limits().batch_transactions_max * GAS_LIMIT_MARKET <= Limits().block_gas_max


def test_what_clients_declare_for_an_order_pays_for_a_dozen_trades() -> None:
    book = Book()
    for number in range(12):
        book.place("ask", number, PRICE)
    rested = book.gas
    book.place("bid", 0, PRICE, 12 * LOT_WH)
    assert rested < book.gas - rested < GAS_LIMIT_ORDER


@pytest.mark.parametrize("name", WORST)
def test_every_operation_of_the_bench_is_a_contract(name: str) -> None:
    assert nesting(check(source_of(name))) <= CALLS_MAX


def test_reads_are_operations_of_the_bench() -> None:
    assert set(READS) <= set(WORST)


def test_a_block_is_measured_in_process_and_through_a_worker() -> None:
    block = block_of_arguments("numbers")
    found = figures_of(Block(block.state, block.envelopes[:2]))
    assert set(found) == {"ms", "gas", "through_worker_ms", "node_ms", "worker_ms"}
    assert found["gas"] > 0
