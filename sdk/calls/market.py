"""Calls of the contract `market`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from sdk.calling import Call, View


def post_listing(*, meter: str, interval: int, energy_wh: int, price: int, lot_wh: int) -> Call:
    """Offer energy of one meter in one interval at a price (the seller's, without grid fee), in lots; returns its id.

    `price` is micro-currency per kWh. Errors: INTERVAL_CLOSED, INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID,
    LOT_MISMATCH, NOT_FOUND, NOT_YOUR_METER, CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS. Source: market rules, "Listing and
    taking".
    """
    return Call(
        "market",
        "post_listing",
        {"meter": meter, "interval": interval, "energy_wh": energy_wh, "price": price, "lot_wh": lot_wh},
    )


def take_listing(*, listing: str, meter: str, energy_wh: int, price_max: int) -> Call:
    """Take all or part of a listing for one's meter, at its price plus the grid fee to there; returns the trade's id.

    `price_max` is micro-currency per kWh, the most that the buyer pays, grid fee included: the fee may have risen since
    it was read. Part means whole lots, in multiples of `order_wh_min`; all that is left can be taken in any case. The
    seller is authenticated again (S2). Errors: NOT_FOUND, NOT_YOUR_METER, METER_SUSPENDED, METER_REBOUND,
    NOT_ENOUGH_LEFT, ENERGY_INVALID, LOT_MISMATCH, PRICE_ABOVE_LIMIT, SELF_TRADE, INTERVAL_CLOSED, TOO_MANY_TRADES,
    INSUFFICIENT_FUNDS, and why the seller may not act. Source: market rules, "Listing and taking".
    """
    return Call(
        "market", "take_listing", {"listing": listing, "meter": meter, "energy_wh": energy_wh, "price_max": price_max}
    )


def cancel_listing(*, listing: str) -> Call:
    """Withdraw what is left of one's listing.

    Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN. Source: market rules, "Listing and taking".
    """
    return Call("market", "cancel_listing", {"listing": listing})


def place_order(*, side: str, meter: str, interval: int, energy_wh: int, price: int, execution: str) -> Call:
    """An order in the continuous book of the meter's zone: matches at once what it can, at the resting side's price.

    `side` is "bid" (its price is the most that the buyer pays, grid fee included) or "ask" (the least that the seller
    gets); `meter` is one's own, its capacity caps what is sold. `execution` (Nord Pool, EPEX): "limit" rests with what
    is left, "ioc" cancels it, "fok" fails with NOT_FILLED unless all of it is matched. Returns {"order", "trades"}. It
    matches at most 50 resting orders; if it would match more, what is left is cancelled, so that the book never stands
    crossed, and a "fok" fails with TOO_MANY_MATCHES. `price` is micro-currency per kWh. Errors: SIDE_INVALID,
    EXECUTION_INVALID, ROLE_REQUIRED, MECHANISM_DIFFERS, NOT_FILLED, TOO_MANY_MATCHES, SELF_TRADE, TOO_MANY_TRADES,
    TOO_MANY_ZONES, and as post_listing. Source: market rules, "Order types", "Continuous trading".
    """
    return Call(
        "market",
        "place_order",
        {
            "side": side,
            "meter": meter,
            "interval": interval,
            "energy_wh": energy_wh,
            "price": price,
            "execution": execution,
        },
    )


def amend_order(*, order: str, energy_wh: int, price: int) -> Call:
    """Replace one's open order by a limit order of another energy or price, behind all of that price: its time
    priority starts anew, and so does its id. Returns {"order", "trades"} of the new one.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN, and as place_order. Source: market rules,
    "Order types".
    """
    return Call("market", "amend_order", {"order": order, "energy_wh": energy_wh, "price": price})


def cancel_order(*, order: str) -> Call:
    """Withdraw what is left of one's order.

    Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN. Source: market rules, "Order types".
    """
    return Call("market", "cancel_order", {"order": order})


def grid_fee(*, from_zone: str, to_zone: str, interval: int) -> View:
    """What the grid gets of each kWh delivered between two zones in an interval, in micro-currency per kWh.

    Source: market rules, "Grid fee".
    """
    return View("market", "grid_fee", {"from_zone": from_zone, "to_zone": to_zone, "interval": interval})
