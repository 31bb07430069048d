"""Calls of the contract `offers`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from sdk.calling import Call


def propose(*, to: str, side: str, meter: str, interval: int, energy_wh: int, price: int) -> Call:
    """Offer one named party energy of one's meter ("ask"), or to buy for it ("bid"); returns the offer's id.

    `price` is micro-currency per kWh. Errors: SELF_TRADE, TOO_MANY_OFFERS, SIDE_INVALID, INTERVAL_CLOSED,
    INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID, NOT_FOUND, NOT_YOUR_METER, CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS,
    and why the other may not act. Source: market rules, "Directed offer".
    """
    return Call(
        "offers",
        "propose",
        {"to": to, "side": side, "meter": meter, "interval": interval, "energy_wh": energy_wh, "price": price},
    )


def counter(*, offer: str, meter: str, energy_wh: int, price: int) -> Call:
    """Answer an offer made to oneself by other terms for the same interval, from one's own side; returns the id of the
    new offer, which only the first proposer can accept.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN, and as propose. Source: market rules,
    "Directed offer".
    """
    return Call("offers", "counter", {"offer": offer, "meter": meter, "energy_wh": energy_wh, "price": price})


def accept(*, offer: str, meter: str, price_limit: int) -> Call:
    """Accept an offer made to oneself, for one's own meter: both have signed now; returns the trade's id.

    `price_limit` is micro-currency per kWh: the most that a buyer pays, grid fee included, or the least that a seller
    gets, without it; the fee may have changed since it was read. Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN,
    INTERVAL_CLOSED, NOT_YOUR_METER, METER_REBOUND, CAPACITY_EXCEEDED, PRICE_BELOW_FEE, PRICE_ABOVE_LIMIT,
    PRICE_BELOW_LIMIT, TOO_MANY_TRADES, INSUFFICIENT_FUNDS, and why the proposer may not act. Source: market rules,
    "Directed offer".
    """
    return Call("offers", "accept", {"offer": offer, "meter": meter, "price_limit": price_limit})


def agree(*, seller_meter: str, buyer_meter: str, interval: int, energy_wh: int, price: int, price_max: int) -> Call:
    """An offer and its acceptance in one transaction, which both meters' owners sign; `price` is what the seller gets,
    without grid fee, `price_max` the most that the buyer pays, with it; returns the trade's id.

    Both are micro-currency per kWh. Errors: BOTH_SIGN, and as propose and accept. Source: market rules, "Directed
    offer".
    """
    return Call(
        "offers",
        "agree",
        {
            "seller_meter": seller_meter,
            "buyer_meter": buyer_meter,
            "interval": interval,
            "energy_wh": energy_wh,
            "price": price,
            "price_max": price_max,
        },
    )


def decline(*, offer: str) -> Call:
    """Turn an offer down that was made to oneself.

    Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN. Source: market rules, "Directed offer".
    """
    return Call("offers", "decline", {"offer": offer})


def withdraw(*, offer: str) -> Call:
    """Take one's own offer back. Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN. Source: market rules, "Directed offer"."""
    return Call("offers", "withdraw", {"offer": offer})
