"""Market parameters that genesis fixes and governance changes; names carry the units."""

from __future__ import annotations

MARKET_PARAMETERS: dict[str, int] = {
    "gate_closure_s": 300,
    "imbalance_price": 400_000,
    "fee_permille": 10,
    "metering_deadline_s": 7_200,
    "confirmation_deadline_s": 86_400,
    "reveal_s": 60,
    "sealed_tier": 1_000_000,
    "order_wh_min": 1,
    "skip_blocks": 1_000,
}
"""Seconds before delivery (EPEX intraday: 300); micro-currency per kWh; thousandths of a trade's amount; seconds after
an interval's end; seconds after a proposal; seconds before gate closure, when sealed orders are revealed;
micro-currency that a sealed order holds; the Wh of whose multiples is what is offered, bid or taken at once; blocks for
which a primary caught lying or slow does not lead."""

MEMBERS_ONLY = "members_only"
"""Where it is not 0, operators admit whoever is new. A channel's genesis has it; a network's is open and has it not."""
