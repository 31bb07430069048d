"""The kinds of load: the market's mix, its functions each alone, a trading day, and what others' benchmarks publish."""

from __future__ import annotations

from enum import StrEnum

VALUE_BYTES = 100
"""Of an asset, if nobody says otherwise; published: 100, 1,000 and 8,000."""
VALUE_BYTES_MAX = 31_000
"""What a payload has room for."""


class Kind(StrEnum):
    MIXED = "mixed"
    """Half of the deals an ask and a bid that cross, half a listing taken in parts."""
    TRANSFER = "transfer"
    LISTING = "listing"
    TAKING = "taking"
    """A hundred takings of each listing."""
    BOOK = "book"
    """Placements alone: asks and bids that cross."""
    DAY = "day"
    """Trades, readings and both parties' confirmations, interval after interval, by a clock that runs faster."""
    EMPTY = "empty"
    """A function that does nothing."""
    EMPTY_QUERY = "empty-query"
    """The same asked of one node: no transaction, and nothing proves the answer."""
    ASSET_CREATE = "asset-create"
    ASSET_READ = "asset-read"
    """As a transaction, whose receipt proves what was read."""
    ASSET_UPDATE = "asset-update"
    ASSET_QUERY = "asset-query"
    """Read as one node says it: no transaction, and nothing proves the answer."""


ON_ASSETS = frozenset(
    {
        Kind.EMPTY, Kind.EMPTY_QUERY, Kind.ASSET_CREATE, Kind.ASSET_READ, Kind.ASSET_UPDATE, Kind.ASSET_QUERY,
    }
)  # fmt: skip
"""Those that need the contract ``assets``."""
OF_KNOWN_ASSETS = frozenset({Kind.ASSET_READ, Kind.ASSET_UPDATE, Kind.ASSET_QUERY})
"""Those that need assets before they begin."""
