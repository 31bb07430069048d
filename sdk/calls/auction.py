"""Calls of the contract `auction`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from sdk.calling import Call, View


def place_order(*, side: str, meter: str, interval: int, energy_wh: int, price: int) -> Call:
    """Enter a bid or an ask into the auction of the meter's zone; returns the order's id.

    `price` is micro-currency per kWh. Errors: MECHANISM_DIFFERS, AUCTION_CLOSED, TOO_MANY_ORDERS, SELF_TRADE,
    SIDE_INVALID, INTERVAL_CLOSED, INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID, NOT_FOUND, NOT_YOUR_METER,
    CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS. Source: market rules, "Call auction".
    """
    return Call(
        "auction",
        "place_order",
        {"side": side, "meter": meter, "interval": interval, "energy_wh": energy_wh, "price": price},
    )


def amend_order(*, order: str, energy_wh: int, price: int) -> Call:
    """Replace one's order by one of another energy or price, with a new id and time; the id is returned.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN, and as place_order. Source: market rules,
    "Call auction", "Order types".
    """
    return Call("auction", "amend_order", {"order": order, "energy_wh": energy_wh, "price": price})


def cancel_order(*, order: str) -> Call:
    """Withdraw one's order.

    Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN, AUCTION_CLOSED. Source: market rules, "Order types".
    """
    return Call("auction", "cancel_order", {"order": order})


def seal_order(*, meter: str, interval: int, commitment: str) -> Call:
    """Enter an order of which only a hash is known, so that nobody can act on it; returns its id, which keeps its time.

    `commitment` is the SHA-256, in hex, of "signer/meter/interval/side/energy/price/salt". Holds `sealed_tier`, however
    much the order is worth. Errors: COMMITMENT_INVALID, NOT_REVEALING if the auction has no time for it, and as
    place_order. Source: market rules, "Sealed orders".
    """
    return Call("auction", "seal_order", {"meter": meter, "interval": interval, "commitment": commitment})


def reveal_order(*, order: str, side: str, energy_wh: int, price: int, salt: str) -> Call:
    """Say what one's sealed order is; its tier gives way to what an order holds.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_YOURS, NOT_SEALED, NOT_REVEALING, SALT_INVALID,
    COMMITMENT_MISMATCH, and as place_order. Source: market rules, "Sealed orders".
    """
    return Call(
        "auction", "reveal_order", {"order": order, "side": side, "energy_wh": energy_wh, "price": price, "salt": salt}
    )


def result(*, product: str, interval: int) -> View:
    """The auction of a product and interval as it stands: stage, price, volume, the equilibrium's bounds, welfare.

    Energy is Wh, prices micro-currency per kWh, welfare micro-currency. Source: market rules, "Call auction".
    """
    return View("auction", "result", {"product": product, "interval": interval})
