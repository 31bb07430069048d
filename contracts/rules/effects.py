"""A call that succeeded has done what its function is for: nobody is told of an order that is not there."""

from __future__ import annotations

from collections.abc import Callable

from contracts.rules.changes import Changes, Violation, args_of
from contracts.rules.deliveries import SHARES_MAX
from contracts.rules.groups import (
    ACCOUNTS,
    ADJUSTMENTS,
    ADMISSION,
    ARBITER,
    AUCTIONED,
    CERTIFICATES,
    DIRECTED,
    DISPUTES,
    GRID_FEES,
    LISTINGS,
    MANDATES,
    METERS,
    ORDERS,
    ORGANISATIONS,
    PARAMETERS,
    POLICIES,
    PRODUCTS,
    REPORTS,
    REVOKED,
    SEALED,
    SHARES,
    TRADES,
)
from ledger.authentication import ROOT_PREFIX, USER_PREFIX
from ledger.epochs import NEXT_KEY
from ledger.execution import Call
from ledger.upgrades import CONTRACT_PREFIX, UPGRADE_PREFIX

EFFECTS: dict[str, dict[str, str]] = {
    "auction": {
        **dict.fromkeys(("place_order", "amend_order", "cancel_order", "reveal_order"), AUCTIONED),
        "seal_order": SEALED,
    },
    "credit": {**dict.fromkeys(("deposit", "withdraw", "transfer"), ACCOUNTS), "set_policy": POLICIES},
    "governance": {
        "revoke": REVOKED, "set_parameter": PARAMETERS, "set_grid_fee": GRID_FEES, "set_product": PRODUCTS,
        "add_root": ROOT_PREFIX, "remove_root": ROOT_PREFIX, "deploy": CONTRACT_PREFIX, "upgrade": UPGRADE_PREFIX,
        "cancel_upgrade": UPGRADE_PREFIX, "set_organisations": ORGANISATIONS + "/", "set_validators": NEXT_KEY + "/",
        "cancel_change": NEXT_KEY + "/", "report": REPORTS,
    },
    "market": {
        **dict.fromkeys(("post_listing", "take_listing", "cancel_listing"), LISTINGS),
        **dict.fromkeys(("place_order", "amend_order", "cancel_order"), ORDERS),
    },
    "offers": dict.fromkeys(("propose", "counter", "accept", "agree", "decline", "withdraw"), DIRECTED),
    "origin": dict.fromkeys(("transfer", "claim"), CERTIFICATES),
    "registry": {
        **dict.fromkeys(("register", "admit", "suspend", "resume"), USER_PREFIX),
        **dict.fromkeys(("bind_meter", "suspend_meter", "resume_meter"), METERS),
        "set_admission": ADMISSION + "/", "set_arbiter": ARBITER + "/",
    },
    "settlement": {
        "set_mandate": MANDATES, "decide_trade": TRADES, "decide_adjustment": ADJUSTMENTS, "dispute": DISPUTES,
        "resolve": DISPUTES,
    },
}  # fmt: skip
"""By contract and function, where it writes in any case. What is read, signed or certified already can be said again,
and changes nothing."""


STATUS: dict[tuple[str, str], tuple[str, ...]] = {
    ("settlement", "decide_trade"): ("settled", "disputed"), ("settlement", "decide_adjustment"): ("settled",),
}  # fmt: skip
"""What becomes of what is decided."""


def effects(call: Call, changes: Changes) -> Violation | None:
    """See ``signed`` for what it writes there."""
    if call.kind == "deadline":
        done = DONE.get((call.contract, call.function))
        return Violation.DEADLINE if done is not None and not done(changes, *args_of(call)) else None
    if call.kind != "transaction":
        return None
    group = EFFECTS.get(call.contract, {}).get(call.function)
    if group is None:
        return None
    written, becomes = changes.below(group), STATUS.get((call.contract, call.function))
    if not written or (becomes is not None and any(changes.new(key)["status"] not in becomes for key in written)):
        return Violation.SIGNATURES
    return None


def _is_metered(changes: Changes, meter: str, interval: int) -> bool:
    """Once the time to meter is over, no trade of the interval waits for a reading: it would for good."""
    return all(share[1] is not None for _, share in changes.rows(f"{SHARES}{meter}/{interval:010d}/", SHARES_MAX))


def _is_overdue(prefix: str) -> Callable[..., bool]:
    return lambda changes, name: changes.current(prefix + name)["status"] != "proposed"


DONE: dict[tuple[str, str], Callable[..., bool]] = {
    ("settlement", "close_metering"): _is_metered,
    ("settlement", "mark_overdue"): _is_overdue(TRADES),
    ("settlement", "mark_adjustment_overdue"): _is_overdue(ADJUSTMENTS),
}
"""What is so after a deadline that nobody sets again. Those of gates and auctions go on until nothing is left."""
