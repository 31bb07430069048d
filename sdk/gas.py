"""What a client declares for a transaction when nobody says otherwise: a block takes no more than what is declared.

A market order that rests costs about 4,600, each resting order that it trades with about 7,000 more; what is declared
for one pays for a dozen trades at least, and 100 such orders fit into a block; of the market's other functions 500 do.
Declare more for an order that is to sweep a book: `gas_limit`, up to 2,000,000.
"""

from __future__ import annotations

from ledger.envelope import GAS_LIMIT_MAX

GAS_LIMIT_MARKET = 24_000
GAS_LIMIT_ORDER = 120_000
GAS_LIMIT_OTHERWISE = 200_000
GAS_LIMITS: dict[tuple[str, str], int] = {
    ("market", "place_order"): GAS_LIMIT_ORDER,
    ("market", "amend_order"): GAS_LIMIT_ORDER,
    ("market", "cancel_order"): GAS_LIMIT_MARKET,
    ("market", "post_listing"): GAS_LIMIT_MARKET,
    ("market", "take_listing"): GAS_LIMIT_MARKET,
    ("market", "cancel_listing"): GAS_LIMIT_MARKET,
    ("governance", "deploy"): GAS_LIMIT_MAX,
    ("governance", "upgrade"): GAS_LIMIT_MAX,
}


def gas_limit_of(contract: str, function: str) -> int:
    return GAS_LIMITS.get((contract, function), GAS_LIMIT_OTHERWISE)
