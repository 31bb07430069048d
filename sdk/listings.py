"""What taking a listing costs, proven before it is signed: that it stands at the price that was shown, and the fee."""

from __future__ import annotations

from ledger.proofs import VerifiedEntry
from sdk.client import AsyncClient
from sdk.errors import NotAsShown
from sdk.methods import OpenListing

INTERVAL_MS = 900_000
MICRO = 1_000_000


def offer_key(interval: int, price: int, listing: str) -> str:
    """Where the market keeps what is left of a listing."""
    return f"market/offer/{interval:010d}/{price:010d}/{listing}"


async def listing_as_shown(client: AsyncClient, interval: int, price: int, listing: str) -> OpenListing:
    """What is left of a listing of ``interval`` that stands at ``price`` (micro-currency per kWh), by a certificate and
    a proof of inclusion; the node waits until what it has executed is certified.

    Raises ``NotAsShown`` where the chain has no such row, and ``ProofInvalid`` where the node's proof proves nothing.
    """
    found = await _newest(client, offer_key(interval, price, listing))
    if found.version is None:
        raise NotAsShown(
            f"by the chain at block {found.height}, no listing {listing} of interval {interval} stands at "
            f"{price / MICRO:.6f}: it has been taken, or the node that showed it lied. Nothing was signed"
        )
    _, remaining_wh, lot_wh, zone = found.value
    return OpenListing(listing, price, remaining_wh, lot_wh, zone)


async def price_at(client: AsyncClient, interval: int, listing: OpenListing, meter: str) -> int:
    """What a listing costs per kWh for a meter of one's own, grid fee included, in micro-currency: the ``price_max`` of
    a taking at that and no more. By certificate and proof, as ``listing_as_shown``.

    Raises ``NotAsShown`` where the chain has no such meter, and ``Refused`` where it is somebody else's.
    """
    bound = await _newest(client, f"registry/meter/{meter}")
    if bound.version is None:
        raise NotAsShown(f"by the chain at block {bound.height}, there is no meter {meter}. Nothing was signed")
    fee = (await _newest(client, f"governance/grid_fee/{listing.zone}/{bound.value['zone']}")).value
    if fee is None:
        return listing.price
    return listing.price + int(fee["before"] if interval * INTERVAL_MS < fee["from_ms"] else fee["fee"])


async def _newest(client: AsyncClient, key: str) -> VerifiedEntry:
    """What a key holds at a height that is no older than what the node has executed."""
    found, _ = await client.proof(key, (await client.status()).executed_height)
    return found
