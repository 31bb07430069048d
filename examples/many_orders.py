"""A program without an event loop: connects from one file, places many orders side by side, reads the book and its own.

Start a network first (`wattq cluster up`), make a user with a meter (`examples/one_trade.py` shows how), then:
python examples/many_orders.py wattquorum/cluster.toml alice.key METER
"""

from __future__ import annotations

import sys
from pathlib import Path

from sdk.calls import market
from sdk.errors import SdkError
from sdk.sync import Client

ORDERS = 20
INTERVAL_MS = 900_000


def main(connection: Path, key: Path, meter: str) -> None:
    with Client.open(connection, key) as client:
        interval = client.status().block_time_ms // INTERVAL_MS + 4
        orders = [
            market.place_order(
                side="bid",
                meter=meter,
                interval=interval,
                energy_wh=100,
                price=100_000 + 1_000 * step,
                execution="limit",
            )
            for step in range(ORDERS)
        ]
        placed = 0
        for order, told in client.do_many(orders):
            if isinstance(told, SdkError):
                print(f"{order.args['price']}: {told}")
            else:
                placed += 1
        print(f"{placed} of {ORDERS} orders stand, each proven by its receipt")
        book = client.book(interval)
        print(f"best bid {book.bids[0].price}, {sum(level.energy_wh for level in book.bids)} Wh in all")
        mine = client.query(
            {"v.type": "order", "v.owner": client.signer, "v.interval": interval}, min_height=book.height
        )
        print(f"{len(mine.rows)} documents of mine as of block {mine.height}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
