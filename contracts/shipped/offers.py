"""Directed offers (xie shang): terms that one party proposes to one named other, and that both sign.

Energy is Wh, prices micro-currency per kWh. As in the book, whoever proposes gets its price: a seller its "ask" without
grid fee, a buyer its "bid" with it; whoever accepts sees the fee from zone to zone, and signs for a limit. While an
offer is open its proposer's money is held (Wh * imbalance price, or Wh * bid, rounded up) and a seller's capacity is
reserved. An accepted one names the two transactions, or the one, that its parties signed.

Offer: `offer/<id>`; `meter` is the proposer's, `other_meter` the accepting party's. `open/<interval>/<id>`: what the
gate's closure ends.
"""

INTERVAL_MS = 900000
EXPIRIES_MAX = 40
OPEN_MAX = 200


@export("seller", "buyer", "prosumer")
def propose(to: str, side: str, meter: str, interval: int, energy_wh: int, price: int):
    """Offer one named party energy of one's meter ("ask"), or to buy for it ("bid"); returns the offer's id.

    `price` is micro-currency per kWh. Errors: SELF_TRADE, TOO_MANY_OFFERS, SIDE_INVALID, INTERVAL_CLOSED,
    INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID, NOT_FOUND, NOT_YOUR_METER, CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS,
    and why the other may not act. Source: market rules, "Directed offer".
    """
    require(to != caller(), "SELF_TRADE", "Nobody trades with themselves.")
    return open_offer(to, side, meter, interval, energy_wh, price, "")


@export("seller", "buyer", "prosumer")
def counter(offer: str, meter: str, energy_wh: int, price: int):
    """Answer an offer made to oneself by other terms for the same interval, from one's own side; returns the id of the
    new offer, which only the first proposer can accept.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN, and as propose. Source: market rules,
    "Directed offer".
    """
    record = open_for(offer, "to")
    end_offer(record, "countered", "COUNTERED")
    return open_offer(record["owner"], other_side(record["side"]), meter, record["interval"], energy_wh, price, offer)


@export("seller", "buyer", "prosumer")
def accept(offer: str, meter: str, price_limit: int):
    """Accept an offer made to oneself, for one's own meter: both have signed now; returns the trade's id.

    `price_limit` is micro-currency per kWh: the most that a buyer pays, grid fee included, or the least that a seller
    gets, without it; the fee may have changed since it was read. Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN,
    INTERVAL_CLOSED, NOT_YOUR_METER, METER_REBOUND, CAPACITY_EXCEEDED, PRICE_BELOW_FEE, PRICE_ABOVE_LIMIT,
    PRICE_BELOW_LIMIT, TOO_MANY_TRADES, INSUFFICIENT_FUNDS, and why the proposer may not act. Source: market rules,
    "Directed offer".
    """
    record = open_for(offer, "to")
    check_open(record["interval"])
    authenticate(record["owner"], roles_of(record["side"]))
    still = owner_of(record["meter"]) == record["owner"]
    require(still, "METER_REBOUND", "The proposer's meter is bound to somebody else by now.")
    authenticate(caller(), roles_of(other_side(record["side"])))
    return conclude(record, caller(), meter, price_limit)


@export("seller", "buyer", "prosumer")
def agree(seller_meter: str, buyer_meter: str, interval: int, energy_wh: int, price: int, price_max: int):
    """An offer and its acceptance in one transaction, which both meters' owners sign; `price` is what the seller gets,
    without grid fee, `price_max` the most that the buyer pays, with it; returns the trade's id.

    Both are micro-currency per kWh. Errors: BOTH_SIGN, and as propose and accept. Source: market rules, "Directed
    offer".
    """
    seller = owner_of(seller_meter)
    buyer = owner_of(buyer_meter)
    signed = seller in signers() and buyer in signers()
    require(signed, "BOTH_SIGN", "The owners of both meters sign an agreement.")
    require(seller != buyer, "SELF_TRADE", "Nobody trades with themselves.")
    authenticate(buyer, ["buyer", "prosumer"])
    record = new_offer(seller, buyer, "ask", seller_meter, interval, energy_wh, price, "")
    return conclude(record, buyer, buyer_meter, price_max)


@export("seller", "buyer", "prosumer")
def decline(offer: str):
    """Turn an offer down that was made to oneself.

    Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN. Source: market rules, "Directed offer".
    """
    record = open_for(offer, "to")
    end_offer(record, "declined", "DECLINED")


@export("seller", "buyer", "prosumer")
def withdraw(offer: str):
    """Take one's own offer back. Errors: NOT_FOUND, NOT_FOR_YOU, NOT_OPEN. Source: market rules, "Directed offer"."""
    record = open_for(offer, "owner")
    end_offer(record, "withdrawn", "WITHDRAWN")


def open_for(offer, role):
    """An open offer whose proposer ("owner") or named party ("to") is calling."""
    record = get("offer/" + offer)
    require(record is not None, "NOT_FOUND", "There is no such offer.")
    require(record[role] == caller(), "NOT_FOR_YOU", "Only the party whose turn it is can do this.")
    require(record["status"] == "open", "NOT_OPEN", "The offer is no longer open.")
    return record


def open_offer(to, side, meter, interval, energy_wh, price, answers):
    """Take a proposal in, hold what it may cost, tell the other party."""
    record = new_offer(caller(), to, side, meter, interval, energy_wh, price, answers)
    authenticate(to, roles_of(other_side(side)))
    offer = record["id"]
    mine = "count/" + pad(interval, 10) + "/" + caller()
    count = get(mine)
    if count is None:
        count = 0
    require(count < OPEN_MAX, "TOO_MANY_OFFERS", "One party has at most 200 open offers in an interval.")
    put(mine, count + 1)
    put("offer/" + offer, record)
    put("open/" + pad(interval, 10) + "/" + offer, offer)
    gate = "gate/" + pad(interval, 10)
    if get(gate) != "open":
        put(gate, "open")
        schedule(gate_ms(interval), "close_gate", [interval])
    emit("proposed", {"offer": offer, "owner": caller(), "to": to, "interval": interval, "answers": answers})
    return offer


def new_offer(owner, to, side, meter, interval, energy_wh, price, answers):
    """An open offer, checked, its money held and its capacity reserved."""
    least_wh = parameter("order_wh_min")
    zone = call("market", "admit", [owner, side, meter, interval, energy_wh, price, least_wh])
    collateral_price = price
    if side == "ask":
        collateral_price = parameter("imbalance_price")
    call("credit", "hold", [owner, ceil_div(energy_wh * collateral_price, 1000)])
    return {
        "type": "offer",
        "id": pad(block_height(), 12) + "-" + pad(tx_index(), 5),
        "owner": owner,
        "to": to,
        "side": side,
        "interval": interval,
        "meter": meter,
        "zone": zone,
        "other_meter": "",
        "price": price,
        "collateral_price": collateral_price,
        "energy_wh": energy_wh,
        "remaining_wh": energy_wh,
        "status": "open",
        "answers": answers,
        "proposed_tx": tx_id(),
        "accepted_tx": "",
        "trade": "",
    }


def conclude(record, other, meter, price_limit):
    """Make the trade of an offer that both have signed, at a price within what who accepts has signed."""
    energy_wh = record["energy_wh"]
    interval = record["interval"]
    price = record["price"]
    if record["side"] == "ask":
        require(owner_of(meter) == other, "NOT_YOUR_METER", "The meter is bound to somebody else.")
        fee = call("market", "grid_fee", [record["zone"], zone_of(meter), interval])
        price += fee
        require(price <= price_limit, "PRICE_ABOVE_LIMIT", "The price with the grid fee is more than you would pay.")
        call("credit", "hold", [other, energy_wh * price // 1000])
        parties = [record["owner"], other]
        meters = [record["meter"], meter]
        imbalance_price = record["collateral_price"]
    else:
        zone = call("market", "reserve", [other, meter, interval, energy_wh])
        fee = call("market", "grid_fee", [zone, record["zone"], interval])
        require(fee <= price, "PRICE_BELOW_FEE", "The grid fee is more than the buyer pays.")
        least = price - fee >= price_limit
        require(least, "PRICE_BELOW_LIMIT", "The price less the grid fee is less than you would take.")
        imbalance_price = parameter("imbalance_price")
        call("credit", "hold", [other, energy_wh * imbalance_price // 1000])
        parties = [other, record["owner"]]
        meters = [meter, record["meter"]]
    held = energy_wh * record["collateral_price"]
    call("credit", "release", [record["owner"], ceil_div(held, 1000) - held // 1000])
    trade = pad(block_height(), 12) + "-" + pad(tx_index(), 5) + "-000"
    terms = [energy_wh, price, fee, imbalance_price, "offer"]
    call("settlement", "open_trade", [trade, interval] + meters + parties + terms)
    record["other_meter"] = meter
    record["accepted_tx"] = tx_id()
    record["trade"] = trade
    record["remaining_wh"] = 0
    shelve(record, "accepted")
    emit("accepted", {"offer": record["id"], "owner": record["owner"], "to": record["to"], "trade": trade})
    emit("traded", {"trade": trade, "interval": interval, "energy_wh": energy_wh, "price": price})
    return trade


def end_offer(record, status, reason):
    """Close an offer without a trade: give back what it holds, tell both."""
    remaining = record["remaining_wh"]
    call("credit", "release", [record["owner"], ceil_div(remaining * record["collateral_price"], 1000)])
    if record["side"] == "ask":
        call("market", "unreserve", [record["meter"], record["interval"], remaining])
    shelve(record, status)
    emit(status, {"offer": record["id"], "owner": record["owner"], "to": record["to"], "reason": reason})


def shelve(record, status):
    """Keep a closed offer; it is among the open ones no longer."""
    record["status"] = status
    put("offer/" + record["id"], record)
    place = "open/" + pad(record["interval"], 10) + "/" + record["id"]
    if get(place) is not None:
        delete(place)
        mine = "count/" + pad(record["interval"], 10) + "/" + record["owner"]
        count = get(mine) - 1
        if count == 0:
            delete(mine)
        else:
            put(mine, count)


def owner_of(meter):
    return check_meter(meter)["owner"]


def check_meter(meter):
    record = peek("registry", "meter/" + meter)
    require(record is not None, "NOT_FOUND", "There is no such meter.")
    require(not record.get("suspended", False), "METER_SUSPENDED", "The meter may not be used to trade.")
    return record


def zone_of(meter):
    return peek("registry", "meter/" + meter)["zone"]


def other_side(side):
    if side == "ask":
        return "bid"
    return "ask"


def roles_of(side):
    if side == "ask":
        return ["seller", "prosumer"]
    return ["buyer", "prosumer"]


def gate_ms(interval):
    return interval * INTERVAL_MS - parameter("gate_closure_s") * 1000


def check_open(interval):
    require(block_time() < gate_ms(interval), "INTERVAL_CLOSED", "The gate of this interval has closed.")


@deadline
def close_gate(interval):
    """Expire what nobody has accepted, some at a time; the rest in a following block.

    Source: market rules, "Intervals".
    """
    rows = scan("open/" + pad(interval, 10) + "/", "", EXPIRIES_MAX)
    for key, offer in rows:
        end_offer(get("offer/" + offer), "expired", "GATE_CLOSED")
    if len(rows) == EXPIRIES_MAX:
        schedule(block_time(), "close_gate", [interval])
    else:
        put("gate/" + pad(interval, 10), "closed")
