"""Calls of the contract `settlement`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from typing import Any

from sdk.calling import Call, View


def submit_readings(*, readings: list[Any]) -> Call:
    """Signed readings of meters bound to the calling gateway, each {"meter", "interval", "epoch", "sequence",
    "import_wh", "export_wh", "quality"}; returns how many were new.

    A reading that is held already with the same content counts as done. One that can't settle trades gives way to one
    that can, and one that can to a later one (higher epoch or sequence), up to 9 times. Errors: READING_INVALID,
    READ_TWICE, NOT_FOUND, NOT_YOUR_METER, INTERVAL_NOT_OVER, READING_CONFLICT, TOO_MANY_CORRECTIONS,
    SEQUENCE_NOT_RISING, TOO_MANY. Source: market rules, "Settlement".
    """
    return Call("settlement", "submit_readings", {"readings": readings})


def set_mandate(*, granted: bool) -> Call:
    """Have one's proposals on signed readings count as signed, of trades made from now on; False ends that for later
    trades. Who signs for the caller's account signs.

    Errors: SIGNATURES_LACKING, CHANGE_PENDING in the block that changes who signs, whose mandate nobody would find.
    Source: market rules, "Mandate".
    """
    return Call("settlement", "set_mandate", {"granted": granted})


def confirm(*, trade: str) -> Call:
    """Sign a proposed settlement, as seller, as buyer, or (with both signatures on the envelope) as both.

    Where a policy was in force when the trade was made, its keys sign. The last signature pays. Repeating one's
    signature changes nothing. Errors: NOT_FOUND, NOT_METERED, NOT_PARTY. Source: market rules, "Settlement".
    """
    return Call("settlement", "confirm", {"trade": trade})


def confirm_many(*, trades: list[Any]) -> Call:
    """Sign up to 50 settlements at once. Errors: TOO_MANY, and as confirm. Source: market rules, "Settlement"."""
    return Call("settlement", "confirm_many", {"trades": trades})


def decide_trade(*, trade: str) -> Call:
    """Sign, as the arbiter in force, an overdue settlement that seller or buyer has signed: two of three pay it, out of
    what is held for it. What the one has disputed stays frozen.

    Errors: NOT_FOUND, NOT_OVERDUE, NOT_PARTY, SIGNATURES_LACKING. Source: market rules, "Dispute".
    """
    return Call("settlement", "decide_trade", {"trade": trade})


def dispute(*, trade: str, amount: int, reason: str) -> Call:
    """Freeze a part (micro-currency) of what one owes by a proposal, and sign the rest; returns the dispute's id.

    The buyer disputes the amount, the seller the penalty, each once. Errors: NOT_FOUND, NOT_PARTY, NOT_PROPOSED,
    ALREADY_CONFIRMED, AMOUNT_INVALID, REASON_INVALID, SIGNATURES_LACKING. Source: market rules, "Dispute".
    """
    return Call("settlement", "dispute", {"trade": trade, "amount": amount, "reason": reason})


def resolve(*, dispute_id: str, paid: int) -> Call:
    """Say how much (micro-currency) of what is frozen is to be paid; the rest goes back. Two of seller, buyer and
    arbiter who say the same decide. The arbiter is the one in force at the dispute, or now if that one may not act,
    or signs for a party, whose vote then counts no more.

    Returns whether it is decided. Errors: NOT_FOUND, NOT_OPEN, AMOUNT_INVALID, NOT_PARTY. Source: market rules,
    "Dispute".
    """
    return Call("settlement", "resolve", {"dispute_id": dispute_id, "paid": paid})


def confirm_adjustments(*, adjustments: list[Any]) -> Call:
    """Sign up to 50 adjustments at once; what an adjustment costs a party is held when it signs, and the last
    signature pays.

    A trade's own settlement and its earlier adjustments come first. What lies in a trade's disputed part is the
    decision's alone (DISPUTED). Errors: TOO_MANY, NOT_FOUND, NOT_PARTY, EARLIER_OPEN, DISPUTED, INSUFFICIENT_FUNDS.
    Source: market rules, "Adjustment".
    """
    return Call("settlement", "confirm_adjustments", {"adjustments": adjustments})


def decide_adjustment(*, adjustment: str) -> Call:
    """Sign, as the arbiter in force, an overdue adjustment that seller or buyer has signed: two of three settle it.
    What it costs the other one is taken from what that one has available.

    Errors: NOT_FOUND, NOT_OVERDUE, NOT_PARTY, EARLIER_OPEN, SIGNATURES_LACKING, INSUFFICIENT_FUNDS. Source: market
    rules, "Dispute".
    """
    return Call("settlement", "decide_adjustment", {"adjustment": adjustment})


def statement(*, party: str, first_interval: int, last_interval: int, after: str, limit: int) -> View:
    """A party's trades in a range of intervals, up to 40 a page: energy, payments, fees, adjustments.

    Returns {"rows", "next", "completeness_percent", "provisional"}: `next` is what to pass as `after` for the following
    page, '' at the end. Completeness is the share of the page's rows whose energy a usable reading tells; a row is
    provisional, and counted, until its trade and adjustments are settled on a good reading. Money is micro-currency,
    prices a kWh. Errors: LIMIT_INVALID. Source: market rules, "Statement".
    """
    return View(
        "settlement",
        "statement",
        {
            "party": party,
            "first_interval": first_interval,
            "last_interval": last_interval,
            "after": after,
            "limit": limit,
        },
    )
