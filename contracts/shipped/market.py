"""The market: listings (gua dan) taken in whole or part (zhai pai), and limit orders in a price-time book.

Intervals are UTC seconds // 900; energy is Wh, prices micro-currency per kWh, amounts Wh * price // 1000 floored.
An interval trades until `gate_closure_s` before its delivery (EPEX intraday, SEEPEX). A trade is at the resting
side's price: a buyer pays a resting ask plus the grid fee between the two meters' zones, or its own resting bid, of
which the grid fee is a part. Priority is by what the buyer pays, then time, time being (height, index), never a clock.
Buyers hold Wh * limit, sellers Wh * imbalance price, rounded up, so every obligation is covered and no offer is free
(market rules, "Collateral"); a trade holds exactly what it can cost, which is rounded down.

Listing: `listing/<id>`. Order: `order/<id>`. Book: `ask/<interval>/<product>/<zone>/<price>/<id>`, `bid/...` with the
inverse price, `offer/<interval>/<price>/<id>` for listings: keys sort as priority does. What follows the zone in the
key of each zone's best order: `top/<side>/<interval>/<product>`, so that a placement reads no more of the book than it
trades with.
`sold/<meter>/<interval>`: Wh offered or sold, capped by the meter's capacity (no double selling).
What is offered, bid or taken is a multiple of `order_wh_min`, so that nobody uses up the trades that a meter may make
in an interval with next to nothing (the least volume and its increment, as at EPEX and Nord Pool).
"""

PRICE_MAX = 1000000000
ENERGY_MAX = 1000000000
INTERVAL_MS = 900000
AHEAD_MAX = 672
MATCHES_MAX = 50
TRADES_MAX = 100
EXPIRIES_MAX = 40
ZONES_MAX = 16
TOPS_MAX = 1000


# ------------------------------------------------------------------------------------------------ listings


@export("seller", "prosumer")
def post_listing(meter: str, interval: int, energy_wh: int, price: int, lot_wh: int):
    """Offer energy of one meter in one interval at a price (the seller's, without grid fee), in lots; returns its id.

    `price` is micro-currency per kWh. Errors: INTERVAL_CLOSED, INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID,
    LOT_MISMATCH, NOT_FOUND, NOT_YOUR_METER, CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS. Source: market rules, "Listing and
    taking".
    """
    check_terms(interval, energy_wh, price)
    require(0 < lot_wh and lot_wh <= energy_wh, "LOT_MISMATCH", "A lot is 1 Wh up to the whole listing.")
    zone = reserve_capacity(caller(), meter, interval, energy_wh)
    imbalance_price = parameter("imbalance_price")
    call("credit", "hold", [caller(), ceil_div(energy_wh * imbalance_price, 1000)])
    listing = new_id()
    put(
        "listing/" + listing,
        {
            "type": "listing",
            "id": listing,
            "interval": interval,
            "meter": meter,
            "zone": zone,
            "seller": caller(),
            "price": price,
            "energy_wh": energy_wh,
            "remaining_wh": energy_wh,
            "lot_wh": lot_wh,
            "imbalance_price": imbalance_price,
            "status": "open",
        },
    )
    put(offer_key(interval, price, listing), [listing, energy_wh, lot_wh, zone])
    open_gate(interval)
    emit("listed", {"listing": listing, "interval": interval, "energy_wh": energy_wh, "price": price})
    return listing


@export("buyer", "prosumer")
def take_listing(listing: str, meter: str, energy_wh: int, price_max: int):
    """Take all or part of a listing for one's meter, at its price plus the grid fee to there; returns the trade's id.

    `price_max` is micro-currency per kWh, the most that the buyer pays, grid fee included: the fee may have risen since
    it was read. Part means whole lots, in multiples of `order_wh_min`; all that is left can be taken in any case. The
    seller is authenticated again (S2). Errors: NOT_FOUND, NOT_YOUR_METER, METER_SUSPENDED, METER_REBOUND,
    NOT_ENOUGH_LEFT, ENERGY_INVALID, LOT_MISMATCH, PRICE_ABOVE_LIMIT, SELF_TRADE, INTERVAL_CLOSED, TOO_MANY_TRADES,
    INSUFFICIENT_FUNDS, and why the seller may not act. Source: market rules, "Listing and taking".
    """
    record = get("listing/" + listing)
    require(record is not None, "NOT_FOUND", "There is no such listing.")
    check_open(record["interval"])
    require(record["status"] == "open", "NOT_ENOUGH_LEFT", "The listing is no longer open.")
    seller = record["seller"]
    require(seller != caller(), "SELF_TRADE", "Nobody trades with themselves.")
    remaining = record["remaining_wh"]
    require(energy_wh <= remaining, "NOT_ENOUGH_LEFT", "Only what is left of the listing can be taken.")
    if energy_wh < remaining:
        check_energy(energy_wh, parameter("order_wh_min"))
    whole = energy_wh == remaining or energy_wh % record["lot_wh"] == 0
    require(whole, "LOT_MISMATCH", "Take whole lots, or all that is left.")
    authenticate(seller, ["seller", "prosumer"])
    bound = peek("registry", "meter/" + record["meter"])
    check_meter(bound)
    require(bound["owner"] == seller, "METER_REBOUND", "The seller's meter is bound to somebody else by now.")
    fee = fee_between(record["zone"], check_owner(caller(), meter)["zone"], record["interval"])
    price = record["price"] + fee
    require(price <= price_max, "PRICE_ABOVE_LIMIT", "The price with the grid fee is more than you would pay.")
    call("credit", "hold", [caller(), energy_wh * price // 1000])
    give_back(seller, saved(remaining, energy_wh, record["imbalance_price"]))
    record["remaining_wh"] = remaining - energy_wh
    key = offer_key(record["interval"], record["price"], listing)
    if record["remaining_wh"] == 0:
        record["status"] = "taken"
        delete(key)
    else:
        put(key, [listing, record["remaining_wh"], record["lot_wh"], record["zone"]])
    put("listing/" + listing, record)
    terms = [energy_wh, price, fee, record["imbalance_price"], "listing"]
    trade = new_id() + "-000"
    open_trade([trade, record["interval"], record["meter"], meter, seller, caller()] + terms)
    return trade


@export("seller", "prosumer")
def cancel_listing(listing: str):
    """Withdraw what is left of one's listing.

    Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN. Source: market rules, "Listing and taking".
    """
    record = get("listing/" + listing)
    require(record is not None, "NOT_FOUND", "There is no such listing.")
    require(record["seller"] == caller(), "NOT_YOURS", "Only the seller cancels a listing.")
    require(record["status"] == "open", "NOT_OPEN", "The listing is no longer open.")
    end_listing(record, "cancelled", "WITHDRAWN")


def end_listing(record, status, reason):
    """Close a listing: give back collateral and capacity, tell the seller."""
    remaining = record["remaining_wh"]
    give_back(record["seller"], ceil_div(remaining * record["imbalance_price"], 1000))
    free_capacity(record["meter"], record["interval"], remaining)
    record["status"] = status
    put("listing/" + record["id"], record)
    delete(offer_key(record["interval"], record["price"], record["id"]))
    notice = {"listing": record["id"], "owner": record["seller"], "remaining_wh": remaining, "reason": reason}
    emit(status, notice)


def offer_key(interval, price, listing):
    return "offer/" + pad(interval, 10) + "/" + pad(price, 10) + "/" + listing


# ---------------------------------------------------------------------------------------------- the book


@export("seller", "buyer", "prosumer")
def place_order(side: str, meter: str, interval: int, energy_wh: int, price: int, execution: str):
    """An order in the continuous book of the meter's zone: matches at once what it can, at the resting side's price.

    `side` is "bid" (its price is the most that the buyer pays, grid fee included) or "ask" (the least that the seller
    gets); `meter` is one's own, its capacity caps what is sold. `execution` (Nord Pool, EPEX): "limit" rests with what
    is left, "ioc" cancels it, "fok" fails with NOT_FILLED unless all of it is matched. Returns {"order", "trades"}. It
    matches at most 50 resting orders; if it would match more, what is left is cancelled, so that the book never stands
    crossed, and a "fok" fails with TOO_MANY_MATCHES. `price` is micro-currency per kWh. Errors: SIDE_INVALID,
    EXECUTION_INVALID, ROLE_REQUIRED, MECHANISM_DIFFERS, NOT_FILLED, TOO_MANY_MATCHES, SELF_TRADE, TOO_MANY_TRADES,
    TOO_MANY_ZONES, and as post_listing. Source: market rules, "Order types", "Continuous trading".
    """
    known = execution == "limit" or execution == "ioc" or execution == "fok"
    require(known, "EXECUTION_INVALID", "An execution is limit, ioc or fok.")
    return enter_order(side, meter, interval, energy_wh, price, execution)


@export("seller", "buyer", "prosumer")
def amend_order(order: str, energy_wh: int, price: int):
    """Replace one's open order by a limit order of another energy or price, behind all of that price: its time
    priority starts anew, and so does its id. Returns {"order", "trades"} of the new one.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN, and as place_order. Source: market rules,
    "Order types".
    """
    record = own_open_order(order)
    remove_order(record, "amended", "AMENDED")
    return enter_order(record["side"], record["meter"], record["interval"], energy_wh, price, "limit")


@export("seller", "buyer", "prosumer")
def cancel_order(order: str):
    """Withdraw what is left of one's order.

    Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN. Source: market rules, "Order types".
    """
    remove_order(own_open_order(order), "cancelled", "WITHDRAWN")


def own_open_order(order):
    record = get("order/" + order)
    require(record is not None, "NOT_FOUND", "There is no such order.")
    require(record["owner"] == caller(), "NOT_YOURS", "Only its owner changes an order.")
    require(record["status"] == "open", "NOT_OPEN", "The order is no longer open.")
    return record


def enter_order(side, meter, interval, energy_wh, price, execution):
    """Check, match, and let the rest stand, or not; lock capacity, and collateral for what is left and traded."""
    require(side == "bid" or side == "ask", "SIDE_INVALID", "A side is bid or ask.")
    check_terms(interval, energy_wh, price)
    owner = caller()
    authenticate(owner, roles_of(side))
    if side == "ask":
        collateral_price = parameter("imbalance_price")
        zone = reserve_capacity(owner, meter, interval, energy_wh)
    else:
        collateral_price = price
        zone = check_owner(owner, meter)["zone"]
    order = new_id()
    product = product_of(zone)
    record = {
        "type": "order",
        "id": order,
        "side": side,
        "interval": interval,
        "meter": meter,
        "zone": zone,
        "product": product,
        "owner": owner,
        "price": price,
        "collateral_price": collateral_price,
        "energy_wh": energy_wh,
        "remaining_wh": energy_wh,
        "status": "open",
    }
    emit("ordered", {"order": order, "side": side, "interval": interval, "energy_wh": energy_wh, "price": price})
    book = pad(interval, 10) + "/" + product
    found = match(record, book)
    remaining = record["remaining_wh"]
    if execution == "fok" and remaining > 0:
        require(not found["stopped"], "TOO_MANY_MATCHES", "An order matches at most 50 resting orders.")
        fail("NOT_FILLED", "The book cannot fill the whole order at once.")
    needed = ceil_div(energy_wh * collateral_price, 1000)
    held = found["held"]
    if remaining == 0:
        record["status"] = "filled"
        put("order/" + order, record)
    elif found["stopped"]:
        close_order(record, "cancelled", "TOO_MANY_MATCHES")
    elif execution == "ioc":
        close_order(record, "cancelled", "NOT_FILLED")
    else:
        held += ceil_div(remaining * collateral_price, 1000)
        stand(record, book)
    # Nobody orders for more than they have, whatever better prices and what is cancelled leave over.
    call("credit", "hold_of", [owner, held, needed])
    return {"order": order, "trades": found["trades"]}


def stand(record, book):
    """Rest in the book, in front of it if nothing there is better."""
    side = record["side"]
    zone = record["zone"]
    place = "top/" + side + "/" + book
    end = book_end(record)
    best = get(place)
    if best is None:
        # Where another rests already, the closure is scheduled.
        open_gate(record["interval"])
        put(place, {zone: end})
    elif zone not in best:
        require(len(best) < ZONES_MAX, "TOO_MANY_ZONES", "A book has orders of at most 16 zones a side.")
        best[zone] = end
        put(place, best)
    elif end < best[zone]:
        best[zone] = end
        put(place, best)
    order = record["id"]
    put(side + "/" + book + "/" + zone + "/" + end, order)
    put("order/" + order, record)


def match(record, book):
    """Fill an incoming order from the other side of the book; what came of it."""
    found = {"trades": [], "held": 0, "stopped": False}
    other = "bid"
    if record["side"] == "bid":
        other = "ask"
    place = "top/" + other + "/" + book
    best = get(place)
    if best is None:
        return found
    fees = fees_to(record, best)
    looked_at = 0
    changed = False
    zone = next_zone(record, best, fees)
    while zone is not None:
        if looked_at == MATCHES_MAX:
            found["stopped"] = True
            break
        looked_at += 1
        end = best[zone]
        resting = get("order/" + end[11:])
        require(resting["owner"] != record["owner"], "SELF_TRADE", "This order would trade with one of your own.")
        bar = bar_of(resting, other)
        if bar != "":
            end_order(resting, "barred", bar)
        elif other == "ask" and is_full(resting):
            end_order(resting, "full", "TOO_MANY_TRADES")
        else:
            fill(record, resting, fees[zone], found)
        if resting["status"] != "open":
            leave(best, zone, other + "/" + book + "/" + zone + "/", end)
            changed = True
        zone = None
        if record["remaining_wh"] > 0:
            zone = next_zone(record, best, fees)
    if changed:
        put_top(place, best)
    return found


def bar_of(resting, side):
    """Why an order may trade no more, or ''."""
    bar = standing(resting["owner"], roles_of(side))
    if bar != "":
        return bar
    bound = peek("registry", "meter/" + resting["meter"])
    if is_suspended(bound):
        return "METER_SUSPENDED"
    if bound["owner"] != resting["owner"]:
        return "METER_REBOUND"
    return ""


def fees_to(record, best):
    """The grid fee between an incoming order and each zone of the other side."""
    fees = {}
    for zone in best:
        if record["side"] == "bid":
            fees[zone] = fee_between(zone, record["zone"], record["interval"])
        else:
            fees[zone] = fee_between(record["zone"], zone, record["interval"])
    return fees


def next_zone(record, best, fees):
    """The zone whose best order comes first of those that meet `record`, by what the buyer pays, then time; or None."""
    chosen = None
    lowest = 0
    for zone in best:
        rank = int(best[zone][:10])
        if record["side"] == "bid":
            rank += fees[zone]
            meets = rank <= record["price"]
        else:
            meets = PRICE_MAX - rank - fees[zone] >= record["price"]
        if meets:
            if chosen is None or rank < lowest or (rank == lowest and best[zone][11:] < best[chosen][11:]):
                chosen = zone
                lowest = rank
    return chosen


def leave(best, zone, prefix, end):
    """Take an order, whose book key is `prefix + end`, out of the book; what follows it is in front of its zone."""
    key = prefix + end
    delete(key)
    rows = scan(prefix, key, 1)
    if len(rows) == 0:
        best.pop(zone)
    else:
        best[zone] = rows[0][0][len(prefix) :]


def put_top(place, best):
    """Store a side's best orders; while there is a record, something rests, and a gate's closure is scheduled."""
    if len(best) == 0:
        delete(place)
    else:
        put(place, best)


def is_full(ask):
    """A meter with all its trades made can't sell on; its orders must not stand in the way of others."""
    count = peek("settlement", "count/" + ask["meter"] + "/" + pad(ask["interval"], 10))
    return count is not None and count >= TRADES_MAX


def roles_of(side):
    if side == "ask":
        return ["seller", "prosumer"]
    return ["buyer", "prosumer"]


def fill(incoming, resting, fee, found):
    """Trade what both orders have left, at the resting side's price."""
    before_wh = resting["remaining_wh"]
    energy_wh = min(incoming["remaining_wh"], before_wh)
    price = resting["price"]
    if incoming["side"] == "ask":
        bid = resting
        ask = incoming
        found["held"] += energy_wh * ask["collateral_price"] // 1000
    else:
        bid = incoming
        ask = resting
        price += fee
        found["held"] += energy_wh * price // 1000
    if energy_wh == before_wh:
        resting["status"] = "filled"
    give_back(resting["owner"], saved(before_wh, energy_wh, resting["collateral_price"]))
    incoming["remaining_wh"] -= energy_wh
    resting["remaining_wh"] = before_wh - energy_wh
    put("order/" + resting["id"], resting)
    trades = found["trades"]
    trade = incoming["id"] + "-" + pad(len(trades), 3)
    terms = [energy_wh, price, fee, ask["collateral_price"], "book"]
    open_trade([trade, ask["interval"], ask["meter"], bid["meter"], ask["owner"], bid["owner"]] + terms)
    trades.append(trade)


def remove_order(record, status, reason):
    """Take an order out of the book before it is filled."""
    end_order(record, status, reason)
    side = record["side"]
    zone = record["zone"]
    book = pad(record["interval"], 10) + "/" + record["product"]
    prefix = side + "/" + book + "/" + zone + "/"
    end = book_end(record)
    place = "top/" + side + "/" + book
    best = get(place)
    # A closing gate clears the tops first.
    if best is not None and best.get(zone) == end:
        leave(best, zone, prefix, end)
        put_top(place, best)
    else:
        delete(prefix + end)


def end_order(record, status, reason):
    """Close an order that stood in the book: give back what it holds, tell its owner why."""
    give_back(record["owner"], ceil_div(record["remaining_wh"] * record["collateral_price"], 1000))
    close_order(record, status, reason)


def close_order(record, status, reason):
    """Close an order that holds nothing: give back capacity, tell its owner why."""
    remaining = record["remaining_wh"]
    if record["side"] == "ask":
        free_capacity(record["meter"], record["interval"], remaining)
    record["status"] = status
    put("order/" + record["id"], record)
    notice = {"order": record["id"], "owner": record["owner"], "remaining_wh": remaining, "reason": reason}
    emit(status, notice)


def book_end(record):
    """What follows the zone in an order's key in the book: the least comes first."""
    rank = record["price"]
    if record["side"] == "bid":
        rank = PRICE_MAX - rank
    return pad(rank, 10) + "/" + record["id"]


def product_of(zone):
    """The product whose continuous book a zone trades in, '' for the one of all other zones."""
    known = peek("governance", "zone/" + zone)
    if known is None:
        return ""
    require(known["mechanism"] == "continuous", "MECHANISM_DIFFERS", "This zone trades by call auction.")
    return known["product"]


# ------------------------------------------------------------------------------------------- common rules


def check_terms(interval, energy_wh, price):
    check_open(interval)
    check_energy(energy_wh, parameter("order_wh_min"))
    check_price(price)


def check_energy(energy_wh, least_wh):
    """Whole multiples, so that what trades leave over is no dust either."""
    fits = 0 < energy_wh and energy_wh <= ENERGY_MAX and (least_wh < 2 or energy_wh % least_wh == 0)
    require(fits, "ENERGY_INVALID", "An energy is 1 Wh to 1 GWh, in multiples of order_wh_min.")


def check_price(price):
    require(0 < price and price <= PRICE_MAX, "PRICE_INVALID", "A price is 1 to 10^9 micro-currency per kWh.")


def check_open(interval):
    """An interval trades from a week ahead until its gate closes."""
    now = block_time()
    require(now < gate_ms(interval), "INTERVAL_CLOSED", "The gate of this interval has closed.")
    require(interval <= now // INTERVAL_MS + AHEAD_MAX, "INTERVAL_TOO_FAR", "An interval opens a week ahead.")


def gate_ms(interval):
    closure_s = parameter("gate_closure_s")
    return interval * INTERVAL_MS - closure_s * 1000


def new_id():
    return pad(block_height(), 12) + "-" + pad(tx_index(), 5)


def fee_between(seller_zone, buyer_zone, interval):
    """The grid fee, in micro-currency per kWh, from the seller's zone to the buyer's, by the time of delivery."""
    known = peek("governance", "grid_fee/" + seller_zone + "/" + buyer_zone)
    if known is None:
        return 0
    if interval * INTERVAL_MS < known["from_ms"]:
        return known["before"]
    return known["fee"]


def check_owner(owner, meter):
    record = peek("registry", "meter/" + meter)
    require(record is not None, "NOT_FOUND", "There is no such meter.")
    require(record["owner"] == owner, "NOT_YOUR_METER", "The meter is bound to somebody else.")
    check_meter(record)
    return record


def check_meter(record):
    require(not is_suspended(record), "METER_SUSPENDED", "The meter may not be used to trade.")


def is_suspended(meter):
    return meter.get("suspended", False)


@view
def grid_fee(from_zone: str, to_zone: str, interval: int):
    """What the grid gets of each kWh delivered between two zones in an interval, in micro-currency per kWh.

    Source: market rules, "Grid fee".
    """
    return fee_between(from_zone, to_zone, interval)


@internal("auction", "offers")
def admit(owner: str, side: str, meter: str, interval: int, energy_wh: int, price: int, least_wh: int):
    """Check the terms of what another contract takes in, `least_wh` at least, and reserve what an ask sells; returns
    the meter's zone.

    `price` is micro-currency per kWh. Errors: as place_order, but for what the book alone refuses. Source: market
    rules, "Order types".
    """
    require(side == "bid" or side == "ask", "SIDE_INVALID", "A side is bid or ask.")
    # An auction's times are fixed by its first order: a later change must not keep sealed orders from being revealed.
    if calling_contract() != "auction":
        check_open(interval)
    check_energy(energy_wh, least_wh)
    check_price(price)
    authenticate(owner, roles_of(side))
    if side == "ask":
        return reserve_capacity(owner, meter, interval, energy_wh)
    return check_owner(owner, meter)["zone"]


@internal("auction", "offers")
def reserve(owner: str, meter: str, interval: int, energy_wh: int):
    """Count what another contract offers of a meter; returns the meter's zone.

    Errors: NOT_FOUND, NOT_YOUR_METER, CAPACITY_EXCEEDED. Source: market rules, "Collateral".
    """
    return reserve_capacity(owner, meter, interval, energy_wh)


@internal("auction", "offers")
def unreserve(meter: str, interval: int, energy_wh: int):
    """Let go of what `reserve` counted. Source: market rules, "Collateral"."""
    free_capacity(meter, interval, energy_wh)


def reserve_capacity(owner, meter, interval, energy_wh):
    """Count energy against what the meter can deliver in a quarter of an hour; returns the meter's zone."""
    record = check_owner(owner, meter)
    key = "sold/" + meter + "/" + pad(interval, 10)
    sold = get(key)
    if sold is None:
        sold = 0
    sold += energy_wh
    require(sold * 4 <= record["capacity_w"], "CAPACITY_EXCEEDED", "The meter cannot deliver that much in an interval.")
    put(key, sold)
    return record["zone"]


def free_capacity(meter, interval, energy_wh):
    key = "sold/" + meter + "/" + pad(interval, 10)
    put(key, get(key) - energy_wh)


def saved(before_wh, energy_wh, price):
    """What need no longer be held at `price` once `energy_wh` of `before_wh` are traded: offers hold their sum rounded
    up, trades theirs rounded down, so that it is 0 or 1."""
    rest = ceil_div((before_wh - energy_wh) * price, 1000)
    return ceil_div(before_wh * price, 1000) - rest - energy_wh * price // 1000


def give_back(owner, amount):
    if amount > 0:
        call("credit", "release", [owner, amount])


def open_trade(terms):
    """`terms`: the trade's id, interval, the seller's and the buyer's meters, the seller and the buyer, energy, price,
    grid fee, imbalance price, source."""
    call("settlement", "open_trade", terms)
    emit("traded", {"trade": terms[0], "interval": terms[1], "energy_wh": terms[6], "price": terms[7]})


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
    """Expire what still rests, some at a time; the rest in a following block. Source: market rules, "Intervals"."""
    more = expire_orders("ask", interval) or expire_orders("bid", interval) or expire_listings(interval)
    if more:
        schedule(block_time(), "close_gate", [interval])
    else:
        put("gate/" + pad(interval, 10), "closed")


def expire_orders(side, interval):
    """Some orders of a side, and before them what says which are the best."""
    tops = scan("top/" + side + "/" + pad(interval, 10) + "/", "", EXPIRIES_MAX)
    for key, best in tops:
        delete(key)
    if len(tops) == EXPIRIES_MAX:
        return True
    rows = scan(side + "/" + pad(interval, 10) + "/", "", EXPIRIES_MAX)
    for key, order in rows:
        record = get("order/" + order)
        end_order(record, "expired", "GATE_CLOSED")
        delete(key)
    return len(rows) == EXPIRIES_MAX


def expire_listings(interval):
    rows = scan("offer/" + pad(interval, 10) + "/", "", EXPIRIES_MAX)
    for key, row in rows:
        end_listing(get("listing/" + row[0]), "expired", "GATE_CLOSED")
    return len(rows) == EXPIRIES_MAX


# --------------------------------------------------------------------------------------------- earlier versions


def migrate():
    """An earlier version kept [price, order] of each zone and of both sides in one record, `top/<interval>/<product>`.
    If there are more than the gas is enough for, that version stays until fewer intervals have orders."""
    for key, tops in scan("top/0", "", TOPS_MAX):
        for side in ["ask", "bid"]:
            best = {}
            for zone, top in tops[side].items():
                best[zone] = book_end({"side": side, "price": top[0], "id": top[1]})
            if len(best) > 0:
                put("top/" + side + "/" + key[4:], best)
        delete(key)
