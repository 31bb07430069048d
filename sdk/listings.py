"""Taking a listing at the price that was shown: what is signed names the listing alone, so its row is proven before."""

from __future__ import annotations

from sdk.client import AsyncClient
from sdk.errors import NotAsShown
from sdk.methods import OpenListing

MICRO = 1_000_000


def offer_key(interval: int, price: int, listing: str) -> str:
    """Where the market keeps what is left of a listing."""
    return f"market/offer/{interval:010d}/{price:010d}/{listing}"


async def listing_as_shown(client: AsyncClient, interval: int, price: int, listing: str) -> OpenListing:
    """What is left of a listing of ``interval`` that stands at ``price`` (micro-currency per kWh), by a certificate and
    a proof of inclusion; the node waits until what it has executed is certified.

    Raises ``NotAsShown`` where the chain has no such row, and ``ProofInvalid`` where the node's proof proves nothing.
    """
    executed = (await client.status()).executed_height
    found, _ = await client.proof(offer_key(interval, price, listing), executed)
    if found.version is None:
        raise NotAsShown(
            f"by the chain at block {found.height}, no listing {listing} of interval {interval} stands at "
            f"{price / MICRO:.6f}: it has been taken, or the node that showed it lied. Nothing was signed"
        )
    _, remaining_wh, lot_wh, zone = found.value
    return OpenListing(listing, price, remaining_wh, lot_wh, zone)
