"""A transaction does what was signed: what it makes, sets and ends is what its arguments name, and nothing else is."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation, id_of, place_of
from contracts.rules.groups import (
    ADJUSTMENTS,
    ARBITER,
    AUCTIONED,
    CERTIFICATES,
    CHANNELS,
    DIRECTED,
    DISPUTES,
    LISTINGS,
    MANDATES,
    METERS,
    ORDERS,
    READINGS,
    SEALED,
    SEQUENCES,
    TRADES,
)
from contracts.rules.settings import SETTINGS, Fields, Rule, carries, is_channel_signed, same
from contracts.rules.signatures import PARTIES
from contracts.rules.terms import MATCHING, owner_of
from ledger.execution import Call
from ledger.values import Value

READ = ("meter", "interval", "epoch", "sequence", "import_wh", "export_wh", "quality")
"""What a gateway signs of a reading."""

_ORDER = same("side", "meter", "interval", "energy_wh", "price")
MADE: dict[tuple[str, str], tuple[str, Fields]] = {
    ("market", "post_listing"): (LISTINGS, same("meter", "interval", "energy_wh", "price", "lot_wh")),
    ("market", "place_order"): (ORDERS, _ORDER),
    ("market", "amend_order"): (ORDERS, same("energy_wh", "price")),
    ("auction", "place_order"): (AUCTIONED, _ORDER),
    ("auction", "amend_order"): (AUCTIONED, same("energy_wh", "price")),
    ("auction", "reveal_order"): (AUCTIONED, {**same("side", "energy_wh", "price"), "id": "order"}),
    ("auction", "seal_order"): (SEALED, same("meter", "interval", "commitment")),
    ("offers", "propose"): (DIRECTED, {**_ORDER, "to": "to"}),
    ("offers", "counter"): (DIRECTED, same("meter", "energy_wh", "price")),
    ("offers", "agree"): (
        DIRECTED,
        {**same("interval", "energy_wh", "price"), "meter": "seller_meter", "other_meter": "buyer_meter"},
    ),
}
"""Which functions make an offer, one at a time."""
BORN = {
    (LISTINGS, ""): "open", (AUCTIONED, ""): "open", (SEALED, ""): "sealed", (DIRECTED, ""): "open",
    (DIRECTED, "agree"): "accepted",
}  # fmt: skip
"""What an offer is when it is made, by a function or else by all. Orders of a book may have been filled."""
ENDED = {
    ("market", "cancel_listing"): (LISTINGS, "listing", "cancelled"),
    ("market", "cancel_order"): (ORDERS, "order", "cancelled"),
    ("market", "amend_order"): (ORDERS, "order", "amended"),
    ("auction", "cancel_order"): (AUCTIONED, "order", "cancelled"),
    ("auction", "amend_order"): (AUCTIONED, "order", "amended"),
    ("offers", "accept"): (DIRECTED, "offer", "accepted"),
    ("offers", "decline"): (DIRECTED, "offer", "declined"),
    ("offers", "withdraw"): (DIRECTED, "offer", "withdrawn"),
    ("offers", "counter"): (DIRECTED, "offer", "countered"),
}
"""Which functions end an offer by a party's word: where it lies, the argument that names it, and how it ends."""
TRADE_FUNCTIONS = ("confirm", "confirm_many", "decide_trade", "dispute", "resolve")
ADJUSTMENT_FUNCTIONS = ("confirm_adjustments", "decide_adjustment", "dispute")
"""By which a party's or an arbiter's word changes trades, and adjustments of them."""
OVERDUE = ("mark_overdue", "mark_adjustment_overdue")
BY_WORD = frozenset(status for _, _, status in ENDED.values())
CONFIRMING = ("confirm", "confirm_many", "confirm_adjustments")
NAMED = {
    ("settlement", "confirm"): (TRADES, "trade"),
    ("settlement", "confirm_many"): (TRADES, "trades"),
    ("settlement", "decide_trade"): (TRADES, "trade"),
    ("settlement", "dispute"): (TRADES, "trade"),
    ("settlement", "resolve"): (DISPUTES, "dispute_id"),
    ("settlement", "confirm_adjustments"): (ADJUSTMENTS, "adjustments"),
    ("settlement", "decide_adjustment"): (ADJUSTMENTS, "adjustment"),
}
"""What a party signs by name: no other such record changes with it."""


def signed(call: Call, changes: Changes) -> Violation | None:
    """Deadlines are signed by nobody: they make and set nothing of what takes somebody's word. A version's migration
    was agreed on with its source."""
    if call.kind == "migrate":
        return None
    args = call.args if call.kind == "transaction" and isinstance(call.args, dict) else {}
    for group, keys in changes.groups.items():
        rule = is_channel_signed if group.startswith(CHANNELS) else RULES.get(group)
        if rule is not None and not all(rule(call, args, changes, key) for key in keys):
            return Violation.SIGNATURES
    if not _are_told(call, args, changes) or not _is_ended(call, args, changes) or not _has_made(call, changes):
        return Violation.SIGNATURES
    named = NAMED.get((call.contract, call.function))
    if named is not None and not _are_named(args, changes, *named):
        return Violation.SIGNATURES
    if call.function in CONFIRMING and named is not None and not _have_signed(call, args, changes, *named):
        return Violation.SIGNATURES
    return None


def _has_made(call: Call, changes: Changes) -> bool:
    """Whether the offer is there that the function makes; ``_is_made`` looks at what it is."""
    prefix, _ = MADE.get((call.contract, call.function), ("", {}))
    return not prefix or any(changes.old(key) is None for key in changes.below(prefix))


def _is_ended(call: Call, args: Value, changes: Changes) -> bool:
    """Whether what the call ends by its function is ended: else what replaces it would come on top."""
    prefix, argument, status = ENDED.get((call.contract, call.function), ("", "", ""))
    key = f"{prefix}{args.get(argument)}"
    return not prefix or (key in changes.raw and bool(changes.new(key)["status"] == status))


def _have_signed(call: Call, args: Value, changes: Changes, prefix: str, argument: str) -> bool:
    """Whether all that was signed counts as signed, of what still waits for it."""
    named = args[argument]
    for name in [named] if isinstance(named, str) else named:
        record = changes.current(prefix + name)
        if record["status"] not in ("proposed", "overdue"):
            continue
        for side in PARTIES:
            policy = record[f"{side}_policy"]
            signing = {*call.signers} & {*(policy["keys"] if policy else [record[side]])}
            if signing and not (signing <= {*policy["signed"]} if policy else record[f"{side}_confirmed"]):
                return False
    return True


def _are_named(args: Value, changes: Changes, prefix: str, argument: str) -> bool:
    named = args[argument]
    names = {named} if isinstance(named, str) else {*named}
    return all(key[len(prefix) :] in names for key in changes.below(prefix))


# ------------------------------------------------------------------------------------------------- offers


def _offer(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    if old is None:
        return _is_made(call, args, changes, key, new)
    if new["status"] in BY_WORD:
        _, argument, status = ENDED.get((call.contract, call.function), ("", "", ""))
        named = status == new["status"] and args.get(argument) == new["id"]
        return named and (status != "accepted" or _is_accepted(args, changes, new))
    taken_wh = old["remaining_wh"] - new["remaining_wh"]
    if call.kind != "transaction" or not taken_wh:
        return True
    if "lot_wh" in new:
        said = call.function == "take_listing" and [new["id"], taken_wh] == [args["listing"], args["energy_wh"]]
        return said and _is_taken(call, args, changes)
    return (call.contract, call.function) in MATCHING


def _is_made(call: Call, args: Value, changes: Changes, key: str, new: Value) -> bool:
    """One of its kind, on the caller's behalf, or the seller's where both sign."""
    prefix, fields = MADE.get((call.contract, call.function), ("", {}))
    fresh = [other for other in changes.below(prefix) if changes.old(other) is None]
    if fresh != [key] or not carries(new, args, fields):
        return False
    if call.function != "reveal_order" and new["id"] != id_of(call):
        return False
    if new.get("answers", "") != args.get("offer", ""):
        return False
    if new["status"] != BORN.get((prefix, call.function), BORN.get((prefix, ""), new["status"])):
        return False
    if call.function == "agree":
        return bool(new["side"] == "ask" and changes.new(TRADES + new["trade"])["price"] <= args["price_max"])
    kept = changes.old(prefix + args["order"]) if call.function == "amend_order" else new
    if call.function == "counter":
        answered = changes.old(DIRECTED + args["offer"])
        kept = {**new, "interval": answered["interval"], "to": answered["owner"]}
        if answered["side"] == new["side"]:
            return False
    same = all(kept.get(name) == new.get(name) for name in ("side", "meter", "interval", "to"))
    return same and bool(owner_of(new) == call.signers[0])


def _is_accepted(args: Value, changes: Changes, offer: Value) -> bool:
    """For the meter, and within the price, that were signed: a buyer's with the grid fee, a seller's without."""
    trade = changes.new(TRADES + offer["trade"])
    if offer["side"] == "ask":
        within = trade["price"] <= args["price_limit"]
    else:
        within = trade["price"] - trade["grid_fee"] >= args["price_limit"]
    return bool(within and offer["other_meter"] == args["meter"])


def _is_taken(call: Call, args: Value, changes: Changes) -> bool:
    """For the caller, its meter, and no more than it would pay."""
    trades = [changes.new(key) for key in changes.below(TRADES)]
    taker = [[trade["buyer"], trade["buyer_meter"]] for trade in trades] == [[call.signers[0], args["meter"]]]
    return taker and bool(trades[0]["price"] <= args["price_max"])


def _sealed(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    if key != SEALED + new["id"]:
        return False
    if old is None:
        return _is_made(call, args, changes, key, new) and bool(new["salt"] == "")
    if new["status"] == "forfeited":
        return bool(new["salt"] == "")
    return call.function == "reveal_order" and bool([new["id"], new["salt"]] == [args["order"], args["salt"]])


# ------------------------------------------------------------------------------------- readings, disputes


def _are_told(call: Call, args: Value, changes: Changes) -> bool:
    """Each reading and each meter's last number, of what may be a hundred, is one that the gateway signed, and of what
    it signed none is left out."""
    read, counted = changes.below(READINGS), changes.below(SEQUENCES)
    told = args["readings"] if call.function == "submit_readings" else []
    if not all(_is_held(changes, reading) for reading in told):
        return False
    readings = {tuple(reading[name] for name in READ) for reading in told}
    if any(not _is_counted_up_to(changes, changes.new(key)) for key in read):
        return False
    numbers = {(reading["meter"], reading["epoch"], reading["sequence"]) for reading in told}
    return all(_is_read(call, changes, key, readings) for key in read) and all(
        _is_counted(call, changes, key, numbers) for key in counted
    )


def _is_held(changes: Changes, told: Value) -> bool:
    """Whether the state will have a reading that was signed; what it has already need not be written again."""
    held = changes.current(f"{READINGS}{told['meter']}/{told['interval']:010d}")
    return held is not None and all(held[name] == told[name] for name in READ)


def _is_read(call: Call, changes: Changes, key: str, told: set[tuple[Value, ...]]) -> bool:
    new, old = changes.new(key), changes.old(key)
    owner = changes.current(METERS + new["meter"])["owner"] if old is None else old["owner"]
    return tuple(new[name] for name in READ) in told and bool(
        [new["gateway"], new["owner"]] == [call.signers[0], owner]
    )


def _is_counted_up_to(changes: Changes, reading: Value) -> bool:
    last = SEQUENCES + reading["meter"]
    return last in changes.raw and changes.new(last)[:2] >= [reading["epoch"], reading["sequence"]]


def _is_counted(call: Call, changes: Changes, key: str, told: set[tuple[Value, ...]]) -> bool:
    """It rises as long as the gateway is the same."""
    (epoch, sequence, gateway), old = changes.new(key), changes.old(key)
    rises = old is None or old[2:] not in ([], [gateway]) or [epoch, sequence] > old[:2]
    return rises and gateway == call.signers[0] and (key[len(SEQUENCES) :], epoch, sequence) in told


CONFIRMED = ("seller_confirmed", "buyer_confirmed", "seller_policy", "buyer_policy")


def _settlement(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, old = changes.new(key), changes.old(key)
    is_trade = key.startswith(TRADES)
    if is_trade and old is None:
        return True
    if not is_trade and old is not None and new == {**old, "covered": True} != old:
        # With the trade's settlement, which is signed; an adjustment is by whoever settles it.
        return call.function in TRADE_FUNCTIONS
    if new["status"] == "overdue" and (old is None or old["status"] != "overdue") and call.function not in OVERDUE:
        return False
    if call.function != "mark_overdue" and not _is_arbiter_right(call, changes, key):
        return False
    if call.kind != "transaction":
        return True
    if call.function == "submit_readings":
        # It proposes trades and makes adjustments; what waits for signatures already it leaves alone.
        known = old is None or (is_trade and old["status"] == "matched")
        return known and READINGS + place_of(new) in changes.raw
    if call.function not in (TRADE_FUNCTIONS if is_trade else ADJUSTMENT_FUNCTIONS) or old is None:
        return False
    if call.function == "dispute":
        return _is_disputed(args, changes, key)
    if call.function == "resolve":
        # A vote on the disputed part signs nothing of the rest.
        voted = args["dispute_id"].rpartition("-")[0] == new["id"]
        return voted and all(new[name] == old[name] for name in CONFIRMED)
    return not call.function.startswith("decide_") or new.get("arbiter") in call.signers


def _is_disputed(args: Value, changes: Changes, key: str) -> bool:
    """Whoever disputes signs the rest of the trade by that, and nothing more: neither for the other party, nor what
    corrections changed, which is priced anew."""
    new, old = changes.new(key), changes.old(key)
    if key.startswith(ADJUSTMENTS):
        return new["trade"] == args["trade"] and all(new[name] == old[name] for name in CONFIRMED)
    disputing = [side for side in PARTIES if f"{DISPUTES}{new['id']}-{side}" in changes.raw]
    others = [name for name in CONFIRMED if name.partition("_")[0] not in disputing]
    return bool(disputing) and all(new[name] == old[name] for name in others)


def _is_arbiter_right(call: Call, changes: Changes, key: str) -> bool:
    """Whom a dispute finds in force, or who decides; nobody else comes to be a trade's or an adjustment's arbiter."""
    new, old = changes.new(key), changes.old(key)
    known = None if old is None else old.get("arbiter")
    if key.startswith(TRADES) and old["status"] == "matched":
        known = ""
    if call.function.startswith("decide_"):
        known = call.signers[0]
    elif call.function == "dispute" and key.startswith(TRADES):
        named = changes.current(ARBITER)
        known = "" if named is None else named["signer"]
    return bool(new.get("arbiter") == known)


def _mandate(call: Call, args: Value, changes: Changes, key: str) -> bool:
    new, account = changes.new(key), key[len(MANDATES) :]
    granted = new is not None and bool([new["signer"], new["height"]] == [account, call.height])
    return call.function == "set_mandate" and account == call.signers[0] and granted == args["granted"]


# ------------------------------------------------------------------------------------------- certificates


def _certificate(call: Call, args: Value, changes: Changes, key: str) -> bool:
    """A part comes off, or all of it goes, of the one that is named, to whom or for what is said. Corrections cut as
    readings say."""
    new, old = changes.new(key), changes.old(key)
    if call.function == "submit_readings":
        cut = old is not None and new == {**old, "energy_wh": new["energy_wh"], "status": new["status"]}
        return cut and READINGS + place_of(new) in changes.raw
    if call.function == "mint":
        return bool(old is None and new["meter"] == args["meter"] and new["interval"] in args["intervals"])
    source, energy_wh = changes.old(CERTIFICATES + args["certificate_id"]), args["energy_wh"]
    if old is None:
        parts = _parts_of(source, energy_wh)
        return parts >= 0 and bool(new == {**source, **_used(call, args), "id": new["id"], "parts": parts})
    if old != source:
        return False
    if energy_wh == source["energy_wh"]:
        return bool(new == {**source, **_used(call, args)})
    rest = source["parts"] - 1 - _parts_of(source, energy_wh)
    return bool(new == {**source, "energy_wh": source["energy_wh"] - energy_wh, "parts": rest})


def _used(call: Call, args: Value) -> dict[str, Value]:
    """What becomes of what is taken of a certificate."""
    if call.function == "transfer":
        return {"owner": args["to"], "energy_wh": args["energy_wh"]}
    claimed = {"status": "claimed", "purpose": args["purpose"]} if call.function == "claim" else {"status": ""}
    return {"owner": call.signers[0], "energy_wh": args["energy_wh"], **claimed}


def _parts_of(source: Value, energy_wh: int) -> int:
    """How many parts may come off a part of so much."""
    return int((source.get("parts", 0) - 1) * energy_wh // source["energy_wh"])


RULES: dict[str, Rule] = {
    **dict.fromkeys((LISTINGS, ORDERS, AUCTIONED, DIRECTED), _offer),
    **SETTINGS,
    **dict.fromkeys((TRADES, ADJUSTMENTS), _settlement),
    SEALED: _sealed,
    MANDATES: _mandate,
    CERTIFICATES: _certificate,
}
"""By group, whether one of its keys is written as was signed."""
