"""The market: listings (gua dan) taken in whole or part (zhai pai), and limit orders in a price-time book.

Intervals are UTC seconds // 900; energy is Wh, prices micro-currency per kWh, amounts Wh * price // 1000 floored.
An interval trades until `gate_closure_s` before its delivery (EPEX intraday, SEEPEX). A trade is at the resting
order's price; priority is price, then time, time being (height, index), never a clock. Buyers hold Wh * limit,
sellers Wh * imbalance price, so that every obligation is covered (market rules, "Collateral").

Listing: `listing/<id>`. Order: `order/<id>`. Book: `ask/<interval>/<price>/<id>`, `bid/<interval>/<inverse
price>/<id>`, `offer/<interval>/<price>/<id>` for listings: keys sort as priority does, so the best is one scan.
`sold/<meter>/<interval>`: Wh offered or sold, capped by the meter's capacity (no double selling).
"""

PRICE_MAX = 1000000000
ENERGY_MAX = 1000000000
INTERVAL_MS = 900000
AHEAD_MAX = 672
MATCHES_MAX = 50
TRADES_MAX = 100
EXPIRIES_MAX = 40
SELLERS = "seller prosumer"
BUYERS = "buyer prosumer"


# ------------------------------------------------------------------------------------------------ listings


@export("seller", "prosumer")
def post_listing(meter: str, interval: int, energy_wh: int, price: int, lot_wh: int):
    """Offer energy of one meter in one interval at a price, in lots; returns the listing's id.

    Errors: INTERVAL_CLOSED, INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID, LOT_MISMATCH, NOT_FOUND, NOT_YOUR_METER,
    CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS.
    """
    check_terms(interval, energy_wh, price)
    require(0 < lot_wh and lot_wh <= energy_wh, "LOT_MISMATCH", "A lot is 1 Wh up to the whole listing.")
    reserve_capacity(meter, interval, energy_wh)
    imbalance_price = parameter("imbalance_price")
    call("credit", "hold", [caller(), energy_wh * imbalance_price // 1000])
    listing = pad(block_height(), 12) + "-" + pad(tx_index(), 5)
    put(
        "listing/" + listing,
        {
            "type": "listing",
            "id": listing,
            "interval": interval,
            "meter": meter,
            "seller": caller(),
            "price": price,
            "energy_wh": energy_wh,
            "remaining_wh": energy_wh,
            "lot_wh": lot_wh,
            "imbalance_price": imbalance_price,
            "status": "open",
        },
    )
    put(offer_key(interval, price, listing), [listing, energy_wh, lot_wh])
    open_gate(interval)
    emit("listed", {"listing": listing, "interval": interval, "energy_wh": energy_wh, "price": price})
    return listing


@export("buyer", "prosumer")
def take_listing(listing: str, energy_wh: int):
    """Take all or part of a listing at its price; returns the trade's id.

    Part means whole lots; a rest smaller than a lot is taken whole. The seller is authenticated again (S2).
    Errors: NOT_FOUND, NOT_ENOUGH_LEFT, ENERGY_INVALID, LOT_MISMATCH, SELF_TRADE, INTERVAL_CLOSED, TOO_MANY_TRADES,
    INSUFFICIENT_FUNDS, and why the seller may not act.
    """
    record = get("listing/" + listing)
    require(record is not None, "NOT_FOUND", "There is no such listing.")
    check_open(record["interval"])
    require(record["status"] == "open", "NOT_ENOUGH_LEFT", "The listing is no longer open.")
    require(record["seller"] != caller(), "SELF_TRADE", "Nobody trades with themselves.")
    remaining = record["remaining_wh"]
    require(0 < energy_wh, "ENERGY_INVALID", "An energy is at least 1 Wh.")
    require(energy_wh <= remaining, "NOT_ENOUGH_LEFT", "Only what is left of the listing can be taken.")
    whole = energy_wh == remaining or energy_wh % record["lot_wh"] == 0
    require(whole, "LOT_MISMATCH", "Take whole lots, or all that is left.")
    authenticate(record["seller"], ["seller", "prosumer"])
    call("credit", "hold", [caller(), energy_wh * record["price"] // 1000])
    rest = remaining - energy_wh
    keep_collateral(record["seller"], remaining, energy_wh, record["imbalance_price"])
    record["remaining_wh"] = rest
    key = offer_key(record["interval"], record["price"], listing)
    if rest == 0:
        record["status"] = "taken"
        delete(key)
    else:
        put(key, [listing, rest, record["lot_wh"]])
    put("listing/" + listing, record)
    return open_trade(record, "", record["seller"], caller(), energy_wh, record["price"], "listing", 0)


@export("seller", "prosumer")
def cancel_listing(listing: str):
    """Withdraw what is left of one's listing. Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN."""
    record = get("listing/" + listing)
    require(record is not None, "NOT_FOUND", "There is no such listing.")
    require(record["seller"] == caller(), "NOT_YOURS", "Only the seller cancels a listing.")
    require(record["status"] == "open", "NOT_OPEN", "The listing is no longer open.")
    end_listing(record, "cancelled")


def end_listing(record, status):
    """Close a listing: give back collateral and capacity."""
    remaining = record["remaining_wh"]
    call("credit", "release", [record["seller"], remaining * record["imbalance_price"] // 1000])
    free_capacity(record["meter"], record["interval"], remaining)
    record["status"] = status
    put("listing/" + record["id"], record)
    delete(offer_key(record["interval"], record["price"], record["id"]))


def offer_key(interval, price, listing):
    return "offer/" + pad(interval, 10) + "/" + pad(price, 10) + "/" + listing


# ---------------------------------------------------------------------------------------------- the book


@export("seller", "buyer", "prosumer")
def place_order(side: str, meter: str, interval: int, energy_wh: int, price: int):
    """A limit order: matches at once what it can at the resting orders' prices, the rest stands in the book.

    `side` is "bid" or "ask"; `meter` is one's own, its capacity caps what is sold. Returns {"order", "trades"}.
    It matches at most 50 resting orders; if it would match more, what is left is cancelled, so that the book never
    stands crossed. Errors: SIDE_INVALID, ROLE_REQUIRED, SELF_TRADE, TOO_MANY_TRADES, and as post_listing.
    """
    require(side == "bid" or side == "ask", "SIDE_INVALID", "A side is bid or ask.")
    check_terms(interval, energy_wh, price)
    collateral_price = price
    if side == "ask":
        authenticate(caller(), ["seller", "prosumer"])
        reserve_capacity(meter, interval, energy_wh)
        collateral_price = parameter("imbalance_price")
    else:
        authenticate(caller(), ["buyer", "prosumer"])
        check_owner(meter)
    call("credit", "hold", [caller(), energy_wh * collateral_price // 1000])
    order = pad(block_height(), 12) + "-" + pad(tx_index(), 5)
    record = {
        "type": "order",
        "id": order,
        "side": side,
        "interval": interval,
        "meter": meter,
        "owner": caller(),
        "price": price,
        "collateral_price": collateral_price,
        "energy_wh": energy_wh,
        "remaining_wh": energy_wh,
        "status": "open",
    }
    trades = match(record)
    if record["remaining_wh"] == 0:
        record["status"] = "filled"
        put("order/" + order, record)
    elif record["status"] == "open":
        put(book_key(record), [order, caller(), record["remaining_wh"]])
        open_gate(interval)
        put("order/" + order, record)
    else:
        end_order(record, record["status"])
    emit("ordered", {"order": order, "side": side, "interval": interval, "energy_wh": energy_wh, "price": price})
    return {"order": order, "trades": trades}


def match(record):
    """Fill an incoming order from the other side of the book, best price and earliest first."""
    other = "ask"
    if record["side"] == "ask":
        other = "bid"
    trades = []
    prefix = other + "/" + pad(record["interval"], 10) + "/"
    rows = scan(prefix, "", MATCHES_MAX + 1)
    looked_at = 0
    for key, row in rows:
        if record["remaining_wh"] == 0:
            break
        resting = get("order/" + row[0])
        if record["side"] == "bid" and resting["price"] > record["price"]:
            break
        if record["side"] == "ask" and resting["price"] < record["price"]:
            break
        if looked_at == MATCHES_MAX:
            record["status"] = "cancelled"
            break
        looked_at += 1
        require(resting["owner"] != record["owner"], "SELF_TRADE", "This order would trade with one of your own.")
        if standing(resting["owner"], roles_of(other)) != "":
            remove_order(resting, key, "barred")
        elif other == "ask" and is_full(resting):
            remove_order(resting, key, "full")
        else:
            trades.append(fill(record, resting, key, len(trades)))
    return trades


def is_full(ask):
    """A meter with all its trades made can't sell on; its orders must not stand in the way of others."""
    count = peek("settlement", "count/" + ask["meter"] + "/" + pad(ask["interval"], 10))
    return count is not None and count >= TRADES_MAX


def roles_of(side):
    if side == "ask":
        return SELLERS.split(" ")
    return BUYERS.split(" ")


def fill(incoming, resting, key, number):
    """Trade what both orders have left, at the resting order's price; returns the trade's id."""
    energy_wh = min(incoming["remaining_wh"], resting["remaining_wh"])
    price = resting["price"]
    bid = incoming
    ask = resting
    if incoming["side"] == "ask":
        bid = resting
        ask = incoming
    before = bid["remaining_wh"]
    held = before * bid["price"] // 1000
    needed = (before - energy_wh) * bid["price"] // 1000 + energy_wh * price // 1000
    call("credit", "release", [bid["owner"], held - needed])
    keep_collateral(ask["owner"], ask["remaining_wh"], energy_wh, ask["collateral_price"])
    incoming["remaining_wh"] -= energy_wh
    resting["remaining_wh"] -= energy_wh
    if resting["remaining_wh"] == 0:
        resting["status"] = "filled"
        delete(key)
    else:
        put(key, [resting["id"], resting["owner"], resting["remaining_wh"]])
    put("order/" + resting["id"], resting)
    terms = {"interval": ask["interval"], "meter": ask["meter"], "imbalance_price": ask["collateral_price"]}
    return open_trade(terms, bid["meter"], ask["owner"], bid["owner"], energy_wh, price, "book", number)


@export("seller", "buyer", "prosumer")
def cancel_order(order: str):
    """Withdraw what is left of one's order. Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN."""
    record = get("order/" + order)
    require(record is not None, "NOT_FOUND", "There is no such order.")
    require(record["owner"] == caller(), "NOT_YOURS", "Only its owner cancels an order.")
    require(record["status"] == "open", "NOT_OPEN", "The order is no longer open.")
    remove_order(record, book_key(record), "cancelled")


def remove_order(record, key, status):
    """Take an order out of the book before it is filled; who did not ask for it is told."""
    end_order(record, status)
    delete(key)
    if status != "cancelled":
        emit(status, {"order": record["id"], "owner": record["owner"]})


def end_order(record, status):
    """Close an order: give back what it holds."""
    remaining = record["remaining_wh"]
    call("credit", "release", [record["owner"], remaining * record["collateral_price"] // 1000])
    if record["side"] == "ask":
        free_capacity(record["meter"], record["interval"], remaining)
    record["status"] = status
    put("order/" + record["id"], record)


def book_key(record):
    rank = record["price"]
    if record["side"] == "bid":
        rank = PRICE_MAX - record["price"]
    return record["side"] + "/" + pad(record["interval"], 10) + "/" + pad(rank, 10) + "/" + record["id"]


# ------------------------------------------------------------------------------------------- common rules


def check_terms(interval, energy_wh, price):
    check_open(interval)
    require(0 < energy_wh and energy_wh <= ENERGY_MAX, "ENERGY_INVALID", "An energy is 1 Wh to 1 GWh.")
    require(0 < price and price <= PRICE_MAX, "PRICE_INVALID", "A price is 1 to 10^9 micro-currency per kWh.")


def check_open(interval):
    """An interval trades from a week ahead until its gate closes."""
    require(block_time() < gate_ms(interval), "INTERVAL_CLOSED", "The gate of this interval has closed.")
    far = block_time() // INTERVAL_MS + AHEAD_MAX
    require(interval <= far, "INTERVAL_TOO_FAR", "An interval opens a week ahead.")


def gate_ms(interval):
    return interval * INTERVAL_MS - parameter("gate_closure_s") * 1000


def check_owner(meter):
    record = peek("registry", "meter/" + meter)
    require(record is not None, "NOT_FOUND", "There is no such meter.")
    require(record["owner"] == caller(), "NOT_YOUR_METER", "The meter is bound to somebody else.")
    return record


def reserve_capacity(meter, interval, energy_wh):
    """Count energy against what the meter can deliver in a quarter of an hour."""
    record = check_owner(meter)
    key = "sold/" + meter + "/" + pad(interval, 10)
    sold = get(key)
    if sold is None:
        sold = 0
    sold += energy_wh
    require(sold * 4 <= record["capacity_w"], "CAPACITY_EXCEEDED", "The meter cannot deliver that much in an interval.")
    put(key, sold)


def free_capacity(meter, interval, energy_wh):
    key = "sold/" + meter + "/" + pad(interval, 10)
    put(key, get(key) - energy_wh)


def keep_collateral(seller, before, energy_wh, imbalance_price):
    """Floors of parts add up to no more than the floor of the whole: give back the difference."""
    held = before * imbalance_price // 1000
    needed = (before - energy_wh) * imbalance_price // 1000 + energy_wh * imbalance_price // 1000
    call("credit", "release", [seller, held - needed])


def open_trade(terms, buyer_meter, seller, buyer, energy_wh, price, source, number):
    trade = pad(block_height(), 12) + "-" + pad(tx_index(), 5) + "-" + pad(number, 3)
    place = [terms["interval"], terms["meter"], buyer_meter]
    money = [price, 0, terms["imbalance_price"]]
    call("settlement", "open_trade", [trade] + place + [seller, buyer, energy_wh] + money + [source])
    emit("traded", {"trade": trade, "interval": terms["interval"], "energy_wh": energy_wh, "price": price})
    return trade


# ------------------------------------------------------------------------------------------- gate closure


def open_gate(interval):
    """The first thing that rests in an interval schedules its closure; so does the first after a closure, if a change
    of `gate_closure_s` has opened the gate again."""
    key = "gate/" + pad(interval, 10)
    if get(key) != "open":
        put(key, "open")
        schedule(gate_ms(interval), "close_gate", [interval])


@deadline
def close_gate(interval):
    """Expire what still rests, some at a time; the rest in a following block."""
    more = expire_orders("ask", interval) or expire_orders("bid", interval) or expire_listings(interval)
    if more:
        schedule(block_time(), "close_gate", [interval])
    else:
        put("gate/" + pad(interval, 10), "closed")


def expire_orders(side, interval):
    rows = scan(side + "/" + pad(interval, 10) + "/", "", EXPIRIES_MAX)
    for key, row in rows:
        record = get("order/" + row[0])
        remove_order(record, key, "expired")
    return len(rows) == EXPIRIES_MAX


def expire_listings(interval):
    rows = scan("offer/" + pad(interval, 10) + "/", "", EXPIRIES_MAX)
    for key, row in rows:
        record = get("listing/" + row[0])
        end_listing(record, "expired")
        emit("expired", {"listing": row[0], "owner": record["seller"]})
    return len(rows) == EXPIRIES_MAX
