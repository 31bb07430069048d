"""Call auctions at gate closure: one price for all trades of a product (a group of zones) in an interval.

Energy is Wh, prices micro-currency per kWh. A bid's price is the most that the buyer pays, the product's grid fee
included; an ask's the least that the seller gets without it, so it counts as ask + fee. The volume is the one of most
welfare, trades without gain included. With b, s the last matched prices and b+, s+ the first that are unmatched or
matched in part, every price in [max(s, b+), min(b, s+)] is an equilibrium: an order matched in part pins it, otherwise
it is the middle, floored (k = 1/2). Ties at the margin go by time, or pro rata (floored; what is left over by time,
and so is what meters with all their trades leave).

Orders enter until `reveal_s` before gate closure. A sealed one is a hash then, and holds `sealed_tier`, which is
forfeited unless it is revealed between then and gate closure; nothing else changes meanwhile. Clearing walks through
the stages forfeit, screen, match (level, share) or mechanism, fill, rest, done, a bounded step a call, several calls
a block; where it is stands in `run/<product>/<interval>`.

Order: `order/<id>`; sealed: `sealed/<id>`. `bid/<product>/<interval>/<inverse price>/<id>` = [Wh, owner, meter] and
`ask/...` sort as priority does; `unrevealed/<product>/<interval>/<id>`; `side/<product>/<interval>/<who>`: on which
side somebody stands, for nobody may stand on both: an account, and each key that signs for it by a policy; behind an
account's, `/sealed`: how many orders it has sealed.
`shares/<product>/<interval>`: what a mechanism gave.
"""

PRICE_MAX = 1000000000
INTERVAL_MS = 900000
AHEAD_MAX = 672
ORDERS_MAX = 20000
MECHANISM_ORDERS_MAX = 400
OWNERS_MIN = 20
TRADES_MAX = 100
LANES = 4
PAGE_ROWS = 250
SCREENED_MAX = 500
ENDED_MAX = 100
COUNTED_MAX = 500
FILLS_MAX = 100
# A step ends where less gas is left: more than one more order and the end of the step can cost.
GAS_RESERVE = 250000
RESCUE_MS = 60000
SALT_MIN = 16
SALT_MAX = 64


# ------------------------------------------------------------------------------------------------- entering


@export("seller", "buyer", "prosumer")
def place_order(side: str, meter: str, interval: int, energy_wh: int, price: int):
    """Enter a bid or an ask into the auction of the meter's zone; returns the order's id.

    `price` is micro-currency per kWh. Errors: MECHANISM_DIFFERS, AUCTION_CLOSED, TOO_MANY_ORDERS, SELF_TRADE,
    SIDE_INVALID, INTERVAL_CLOSED, INTERVAL_TOO_FAR, ENERGY_INVALID, PRICE_INVALID, NOT_FOUND, NOT_YOUR_METER,
    CAPACITY_EXCEEDED, INSUFFICIENT_FUNDS. Source: market rules, "Call auction".
    """
    run = joined(meter, interval)
    order = new_id()
    enter(run, order, side, meter, energy_wh, price, False)
    return order


@export("seller", "buyer", "prosumer")
def amend_order(order: str, energy_wh: int, price: int):
    """Replace one's order by one of another energy or price, with a new id and time; the id is returned.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN, and as place_order. Source: market rules,
    "Call auction", "Order types".
    """
    record = withdrawn(order, "amended", "AMENDED")
    return place_again(record, energy_wh, price)


@export("seller", "buyer", "prosumer")
def cancel_order(order: str):
    """Withdraw one's order.

    Errors: NOT_FOUND, NOT_YOURS, NOT_OPEN, AUCTION_CLOSED. Source: market rules, "Order types".
    """
    withdrawn(order, "cancelled", "WITHDRAWN")


@export("seller", "buyer", "prosumer")
def seal_order(meter: str, interval: int, commitment: str):
    """Enter an order of which only a hash is known, so that nobody can act on it; returns its id, which keeps its time.

    `commitment` is the SHA-256, in hex, of "signer/meter/interval/side/energy/price/salt". Holds `sealed_tier`, however
    much the order is worth. Errors: COMMITMENT_INVALID, NOT_REVEALING if the auction has no time for it, and as
    place_order. Source: market rules, "Sealed orders".
    """
    require(is_digest(commitment), "COMMITMENT_INVALID", "A commitment is 64 hexadecimal digits, in lower case.")
    run = joined(meter, interval)
    require(run["entry_ms"] < run["clear_ms"], "NOT_REVEALING", "This auction leaves no time for revealing.")
    count_sealed(run, caller())
    order = new_id()
    tier = parameter("sealed_tier")
    call("credit", "hold", [caller(), tier])
    put(
        "sealed/" + order,
        {
            "type": "sealed",
            "id": order,
            "owner": caller(),
            "product": run["product"],
            "interval": interval,
            "meter": meter,
            "commitment": commitment,
            "collateral": tier,
            "salt": "",
            "status": "sealed",
        },
    )
    put("unrevealed/" + place_of(run) + "/" + order, order)
    emit("sealed", {"order": order, "owner": caller(), "interval": interval})
    return order


@export("seller", "buyer", "prosumer")
def reveal_order(order: str, side: str, energy_wh: int, price: int, salt: str):
    """Say what one's sealed order is; its tier gives way to what an order holds.

    `price` is micro-currency per kWh. Errors: NOT_FOUND, NOT_YOURS, NOT_SEALED, NOT_REVEALING, SALT_INVALID,
    COMMITMENT_MISMATCH, and as place_order. Source: market rules, "Sealed orders".
    """
    record = get("sealed/" + order)
    require(record is not None, "NOT_FOUND", "There is no such sealed order.")
    require(record["owner"] == caller(), "NOT_YOURS", "Only its owner reveals an order.")
    require(record["status"] == "sealed", "NOT_SEALED", "The order has been revealed, or forfeited.")
    run = get(run_key(record["product"], record["interval"]))
    now = block_time()
    open_now = run["entry_ms"] <= now and now < run["clear_ms"]
    require(open_now, "NOT_REVEALING", "Orders are revealed between the end of entry and gate closure.")
    require(SALT_MIN <= len(salt) and len(salt) <= SALT_MAX, "SALT_INVALID", "A salt is 16 to 64 characters.")
    terms = [caller(), record["meter"], str(record["interval"]), side, str(energy_wh), str(price), salt]
    matches = sha256("/".join(terms)) == record["commitment"]
    require(matches, "COMMITMENT_MISMATCH", "This is not what was sealed.")
    call("credit", "release", [caller(), record["collateral"]])
    record["status"] = "revealed"
    record["salt"] = salt
    put("sealed/" + order, record)
    delete("unrevealed/" + place_of(run) + "/" + order)
    enter(run, order, side, record["meter"], energy_wh, price, True)


@view
def result(product: str, interval: int):
    """The auction of a product and interval as it stands: stage, price, volume, the equilibrium's bounds, welfare.

    Energy is Wh, prices micro-currency per kWh, welfare micro-currency. Source: market rules, "Call auction".
    """
    return get(run_key(product, interval))


def joined(meter, interval):
    """The auction of the meter's zone, opened by whoever comes first, with one more order."""
    require(block_time() < interval * INTERVAL_MS, "AUCTION_CLOSED", "This interval has begun, or is over.")
    bound = peek("registry", "meter/" + meter)
    require(bound is not None, "NOT_FOUND", "There is no such meter.")
    require(bound["owner"] == caller(), "NOT_YOUR_METER", "The meter is bound to somebody else.")
    require(not bound.get("suspended", False), "METER_SUSPENDED", "The meter may not be used to trade.")
    zone = peek("governance", "zone/" + bound["zone"])
    other = zone is None or zone["mechanism"] == "continuous"
    require(not other, "MECHANISM_DIFFERS", "This zone trades in the continuous book.")
    run = get(run_key(zone["product"], interval))
    if run is None:
        run = opened(zone["product"], interval)
    check_entry(run)
    require(run["orders"] < most_of(run), "TOO_MANY_ORDERS", "This auction has as many orders as it can clear.")
    run["orders"] += 1
    put(run_key(run["product"], interval), run)
    return run


def most_of(run):
    if run["mechanism"] == "auction":
        return ORDERS_MAX
    return MECHANISM_ORDERS_MAX


def opened(product, interval):
    """A new auction, whose terms and times are fixed from now on."""
    require(interval <= block_time() // INTERVAL_MS + AHEAD_MAX, "INTERVAL_TOO_FAR", "An interval opens a week ahead.")
    terms = peek("governance", "product/" + product)
    clear_ms = interval * INTERVAL_MS - parameter("gate_closure_s") * 1000
    run = {
        "type": "auction",
        "product": product,
        "interval": interval,
        "mechanism": terms["mechanism"],
        "ties": terms["ties"],
        "grid_fee": terms["grid_fee"],
        "order_wh_min": parameter("order_wh_min"),
        "entry_ms": clear_ms - parameter("reveal_s") * 1000,
        "clear_ms": clear_ms,
        "orders": 0,
        "stage": "open",
        "price": 0,
        "volume_wh": 0,
        "low": 0,
        "high": 0,
        "welfare": 0,
        "trades": 0,
        "rationed": "",
    }
    check_entry(run)
    schedule(clear_ms, "clear", [product, interval])
    return run


def check_entry(run):
    require(block_time() < run["entry_ms"], "AUCTION_CLOSED", "Nothing enters or leaves this auction any more.")


def enter(run, order, side, meter, energy_wh, price, sealed):
    """Check an order, lock what it may cost, and put it in its place. One that was sealed is counted already."""
    owner = caller()
    # Auctions that were opened before there was a least energy have none.
    least_wh = run.get("order_wh_min", 1)
    zone = call("market", "admit", [owner, side, meter, run["interval"], energy_wh, price, least_wh])
    names = names_of(owner)
    for name in names:
        stands = "side/" + place_of(run) + "/" + name
        known = get(stands)
        if known is None:
            known = {"side": side, "orders": 0}
        require(known["side"] == side, "SELF_TRADE", "Your own orders stand on the other side.")
        if not sealed or name != owner:
            check_room(run, known["orders"] + sealed_of(run, name))
        known["orders"] += 1
        put(stands, known)
    collateral_price = price
    if side == "ask":
        collateral_price = parameter("imbalance_price")
    call("credit", "hold", [owner, ceil_div(energy_wh * collateral_price, 1000)])
    record = {
        "type": "order",
        "id": order,
        "side": side,
        "interval": run["interval"],
        "meter": meter,
        "zone": zone,
        "product": run["product"],
        "owner": owner,
        "price": price,
        "collateral_price": collateral_price,
        "energy_wh": energy_wh,
        "remaining_wh": energy_wh,
        "status": "open",
    }
    if names != [owner]:
        record["names"] = names
    put("order/" + order, record)
    put(book_key(record), [energy_wh, owner, meter])
    emit("ordered", {"order": order, "side": side, "interval": run["interval"], "energy_wh": energy_wh, "price": price})


def check_room(run, orders):
    fits = orders < most_of(run) // OWNERS_MIN
    require(fits, "TOO_MANY_ORDERS", "One party has at most a twentieth of the orders that an auction can clear.")


def sealed_of(run, name):
    """How many orders an account has sealed, revealed or not."""
    count = get("side/" + place_of(run) + "/" + name + "/sealed")
    if count is None:
        return 0
    return count


def count_sealed(run, owner):
    sealed = sealed_of(run, owner)
    known = get("side/" + place_of(run) + "/" + owner)
    orders = sealed
    if known is not None:
        orders += known["orders"]
    check_room(run, orders)
    put("side/" + place_of(run) + "/" + owner + "/sealed", sealed + 1)


def names_of(owner):
    """Under which names an account stands on a side: its own, whoever signs for it later, and those of all keys that
    sign for it now, however many it takes, so that no two accounts with a key in common stand on both sides."""
    names = [owner]
    policy = peek("credit", "policy/" + owner)
    if policy is not None:
        for key in policy["keys"]:
            if key != owner:
                names.append(key)
    return names


def withdrawn(order, status, reason):
    """Take one's order out, while orders may still leave."""
    record = get("order/" + order)
    require(record is not None, "NOT_FOUND", "There is no such order.")
    require(record["owner"] == caller(), "NOT_YOURS", "Only its owner changes an order.")
    require(record["status"] == "open", "NOT_OPEN", "The order is no longer open.")
    run = get(run_key(record["product"], record["interval"]))
    check_entry(run)
    run["orders"] -= 1
    put(run_key(run["product"], run["interval"]), run)
    for name in record.get("names", [record["owner"]]):
        stands = "side/" + place_of(run) + "/" + name
        known = get(stands)
        known["orders"] -= 1
        if known["orders"] == 0:
            delete(stands)
        else:
            put(stands, known)
    end_order(record, status, reason)
    return record


def place_again(record, energy_wh, price):
    run = joined(record["meter"], record["interval"])
    order = new_id()
    enter(run, order, record["side"], record["meter"], energy_wh, price, False)
    return order


def end_order(record, status, reason):
    """Close an order: give back what it holds, tell its owner why."""
    remaining = record["remaining_wh"]
    give_back(record["owner"], ceil_div(remaining * record["collateral_price"], 1000))
    if record["side"] == "ask":
        call("market", "unreserve", [record["meter"], record["interval"], remaining])
    record["status"] = status
    put("order/" + record["id"], record)
    delete(book_key(record))
    notice = {"order": record["id"], "owner": record["owner"], "remaining_wh": remaining, "reason": reason}
    emit(status, notice)


# ------------------------------------------------------------------------------------------------- clearing


@deadline
def clear(product, interval):
    """Gate closure: begin with what was never revealed, in several calls a block.

    Source: market rules, "Call auction".
    """
    run = get(run_key(product, interval))
    run["stage"] = "forfeit"
    run["steps"] = 0
    put(run_key(product, interval), run)
    set_to_work(run)
    schedule(block_time() + RESCUE_MS, "rescue", [product, interval, 0])


def set_to_work(run):
    for lane in range(LANES):
        schedule(block_time(), "work", [run["product"], run["interval"]])


@deadline
def work(product, interval):
    """One bounded step of the clearing, and the next one if there is more to do.

    Source: market rules, "Call auction".
    """
    run = get(run_key(product, interval))
    stage = run["stage"]
    if stage == "done":
        return
    if stage == "forfeit":
        forfeit(run)
    elif stage == "screen":
        screen(run)
    elif stage == "mechanism":
        ask_mechanism(run)
    elif stage == "match":
        match(run)
    elif stage == "level" or stage == "share":
        ration(run)
    elif stage == "fill":
        fill(run)
    else:
        rest(run)
    if run["stage"] != "done":
        run["steps"] += 1
    put(run_key(product, interval), run)
    if run["stage"] != "done":
        schedule(block_time(), "work", [product, interval])


@deadline
def rescue(product, interval, steps):
    """A clearing that got nowhere since must not keep what orders hold: what it has traded stays, all else ends.

    Each minute until the end. Whatever is set to work earlier has run by now, so that no step means that steps fail.
    Source: market rules, "Collateral".
    """
    run = get(run_key(product, interval))
    if run["stage"] == "done":
        return
    stage = run["stage"]
    if run["steps"] == steps:
        if stage == "mechanism":
            fail_mechanism(run)
        else:
            emit("clearing_failed", {"product": product, "interval": interval, "stage": stage})
            if stage != "forfeit" and stage != "rest":
                run["failed"] = "CLEARING_FAILED"
                if stage != "fill":
                    settle_price(run, 0, 0)
                publish(run)
                begin(run, "rest")
        put(run_key(product, interval), run)
        set_to_work(run)
    schedule(block_time() + RESCUE_MS, "rescue", [product, interval, run["steps"]])


def begin(run, stage):
    """Go on to a stage that walks both sides from their best orders on."""
    run["stage"] = stage
    run["side"] = "bid"
    run["after"] = ""


def forfeit(run):
    """Sealed orders that were not revealed lose their tier."""
    rows = scan("unrevealed/" + place_of(run) + "/", "", ENDED_MAX)
    for key, order in rows:
        if gas_left() < GAS_RESERVE:
            return
        record = get("sealed/" + order)
        record["status"] = "forfeited"
        put("sealed/" + order, record)
        delete(key)
        call("credit", "forfeit", [record["owner"], record["collateral"]])
        emit("forfeited", {"order": order, "owner": record["owner"], "amount": record["collateral"]})
    if len(rows) < ENDED_MAX:
        begin(run, "screen")


def screen(run):
    """Take out the orders of who may no longer act, of meters that are suspended or bound to somebody else by now, and
    asks of meters with all their trades."""
    side = run["side"]
    roles = roles_of(side)
    rows = scan(prefix_of(run, side), run["after"], SCREENED_MAX)
    bars = {}
    meters = {}
    ended = 0
    for key, row in rows:
        if gas_left() < GAS_RESERVE:
            return
        run["after"] = key
        owner = row[1]
        meter = row[2]
        if owner not in bars:
            bars[owner] = standing(owner, roles)
        if meter not in meters:
            meters[meter] = peek("registry", "meter/" + meter)
        if bars[owner] != "":
            end_order(order_at(key), "barred", bars[owner])
            ended += 1
        elif meters[meter].get("suspended", False):
            end_order(order_at(key), "barred", "METER_SUSPENDED")
            ended += 1
        elif meters[meter]["owner"] != owner:
            end_order(order_at(key), "barred", "METER_REBOUND")
            ended += 1
        elif side == "ask" and trades_of(meter, run["interval"]) >= TRADES_MAX:
            end_order(order_at(key), "full", "TOO_MANY_TRADES")
            ended += 1
        if ended == ENDED_MAX:
            return
    if len(rows) == SCREENED_MAX:
        return
    if side == "bid":
        run["side"] = "ask"
        run["after"] = ""
    elif run["mechanism"] == "auction":
        begin_match(run)
    else:
        begin(run, "mechanism")


def begin_match(run):
    begin(run, "match")
    run["bid"] = {"after": "", "left_wh": 0, "price": 0, "matched": 0, "level_wh": 0}
    run["ask"] = {"after": "", "left_wh": 0, "price": 0, "matched": 0, "level_wh": 0, "meter": "", "trades": 0}


def match(run):
    """Walk down the bids and up the asks, while they meet, some at a time. A side's `left_wh` is what its foremost
    order still has, `matched` the last price that was matched, `level_wh` the volume when that price began. Trades are
    counted on the way: what a meter could sell only by more of them than it may make is no part of the volume, and has
    no say in the price."""
    fee = run["grid_fee"]
    volume = run["volume_wh"]
    welfare = run["welfare"]
    bid = run["bid"]
    ask = run["ask"]
    bids = walk_from(run, "bid", bid["after"])
    asks = walk_from(run, "ask", ask["after"])
    counts = {}
    more = True
    while more and len(counts) < COUNTED_MAX and gas_left() >= GAS_RESERVE:
        if bid["left_wh"] == 0:
            advance(bid, bids, "bid")
        if ask["left_wh"] == 0 and advance(ask, asks, "ask"):
            ask["trades"] = counted(run, ask["meter"], counts)
        if ask["left_wh"] > 0 and ask["trades"] >= TRADES_MAX:
            ask["left_wh"] = 0
            continue
        energy_wh = min(bid["left_wh"], ask["left_wh"])
        if energy_wh == 0 or bid["price"] < ask["price"] + fee:
            more = False
            continue
        ask["trades"] += 1
        counts[ask["meter"]] = ask["trades"]
        if bid["price"] != bid["matched"]:
            bid["matched"] = bid["price"]
            bid["level_wh"] = volume
        if ask["price"] != ask["matched"]:
            ask["matched"] = ask["price"]
            ask["level_wh"] = volume
        volume += energy_wh
        welfare += energy_wh * (bid["price"] - ask["price"] - fee)
        bid["left_wh"] -= energy_wh
        ask["left_wh"] -= energy_wh
    for meter in counts:
        put(counted_key(run, meter), counts[meter])
    run["volume_wh"] = volume
    run["welfare"] = welfare
    if not more:
        conclude(run, volume, welfare)


def counted(run, meter, counts):
    """How many trades of the interval a meter has made, and will have made by the walk so far."""
    if meter in counts:
        return counts[meter]
    known = get(counted_key(run, meter))
    if known is not None:
        return known
    return trades_of(meter, run["interval"])


def counted_key(run, meter):
    """Among who stands where, with which it is forgotten."""
    return "side/" + place_of(run) + "/trades/" + meter


def advance(state, walk, side):
    """Make the next order of a side the foremost; whether there is one."""
    row = next_row(walk)
    if row is None:
        return False
    state["after"] = row[0]
    state["left_wh"] = row[1][0]
    state["price"] = price_at(row[0], side)
    if side == "ask":
        state["meter"] = row[1][2]
    return True


def conclude(run, volume, welfare):
    """The walk is over: fix volume, price, and which side is rationed at its last price."""
    fee = run["grid_fee"]
    bid = run["bid"]
    ask = run["ask"]
    run["volume_wh"] = volume
    run["welfare"] = welfare // 1000
    if volume == 0:
        run["traded_wh"] = 0
        run["gained"] = 0
        publish(run)
        begin(run, "rest")
        return
    run["low"] = ask["matched"] + fee
    run["high"] = bid["matched"]
    if bid["left_wh"] > 0:
        run["low"] = max(run["low"], bid["price"])
        if bid["price"] == bid["matched"]:
            run["rationed"] = "bid"
    if ask["left_wh"] > 0:
        run["high"] = min(run["high"], ask["price"] + fee)
        if ask["price"] == ask["matched"]:
            run["rationed"] = "ask"
    price = (run["low"] + run["high"]) // 2
    settle_price(run, price, price - fee)
    if run["ties"] == "pro rata" and run["rationed"] != "":
        begin(run, "level")
        run["level_wh"] = 0
        run["given_wh"] = 0
    else:
        begin_fill(run)


def settle_price(run, price, seller_price):
    """Buyers pay `price` a kWh, sellers get `seller_price`, the grid the rest."""
    run["price"] = price
    run["seller_price"] = seller_price
    run["traded_wh"] = 0
    run["gained"] = 0


def publish(run):
    """Say what was traded, and at what price: at none if nothing was."""
    if run["traded_wh"] == 0:
        settle_price(run, 0, 0)
        run["low"] = 0
        run["high"] = 0
    run["volume_wh"] = run["traded_wh"]
    run["welfare"] = run["gained"] // 1000
    figures = {"product": run["product"], "interval": run["interval"]}
    figures["price"] = run["price"]
    figures["volume_wh"] = run["volume_wh"]
    figures["low"] = run["low"]
    figures["high"] = run["high"]
    figures["welfare"] = run["welfare"]
    emit("cleared", figures)


def ration(run):
    """Pro rata: first what the marginal price's orders have in all, then what flooring each one's part leaves over."""
    rows = scan(level_prefix(run), run["after"], SCREENED_MAX)
    for key, row in rows:
        run["after"] = key
        if run["stage"] == "level":
            run["level_wh"] += row[0]
        else:
            run["given_wh"] += part_of(run, row[0])
    if len(rows) == SCREENED_MAX:
        return
    if run["stage"] == "level":
        begin(run, "share")
    else:
        run["extra_wh"] = wanted_at_level(run) - run["given_wh"]
        begin_fill(run)


def part_of(run, energy_wh):
    """What of the volume falls to so much at the marginal price: whole multiples of the least energy, so that no meter
    uses up its trades with next to nothing."""
    share_wh = energy_wh * wanted_at_level(run) // run["level_wh"]
    return share_wh - share_wh % max(1, run.get("order_wh_min", 1))


def wanted_at_level(run):
    """How much of the volume falls to the orders of the rationed side's last price."""
    return run["volume_wh"] - run[run["rationed"]]["level_wh"]


def begin_fill(run):
    begin(run, "fill")
    run["bid"] = fill_state(run["bid"])
    run["ask"] = fill_state(run["ask"])


def fill_state(state):
    return {
        "after": "",
        "matched": state["matched"],
        "level_wh": state["level_wh"],
        "given_wh": 0,
        "order": "",
        "share_wh": 0,
        "number": 0,
        "again": False,
    }


def fill(run):
    """Make the trades, best bids with best asks, at the one price, some at a time."""
    states = {"bid": run["bid"], "ask": run["ask"]}
    walks = {"bid": walk_from(run, "bid", run["bid"]["after"]), "ask": walk_from(run, "ask", run["ask"]["after"])}
    shares = None
    if run["mechanism"] != "auction":
        shares = get("shares/" + place_of(run))
    records = {"bid": None, "ask": None}
    counts = {}
    more = True
    for number in range(FILLS_MAX):
        for side in ["bid", "ask"]:
            more = more and foremost(run, side, states[side], walks[side], shares, records)
        if not more or gas_left() < GAS_RESERVE:
            break
        bid = records["bid"]
        ask = records["ask"]
        energy_wh = min(states["bid"]["share_wh"], states["ask"]["share_wh"])
        meter = ask["meter"]
        if meter not in counts:
            counts[meter] = trades_of(meter, run["interval"])
        if counts[meter] >= TRADES_MAX:
            # What its meter can no longer sell, others may that ask for no more than the price.
            states["ask"]["given_wh"] -= states["ask"]["share_wh"]
            states["ask"]["share_wh"] = 0
            save(ask)
            end_order(ask, "full", "TOO_MANY_TRADES")
            records["ask"] = None
            continue
        counts[meter] += 1
        trade(run, bid, ask, energy_wh, number)
        states["bid"]["share_wh"] -= energy_wh
        states["ask"]["share_wh"] -= energy_wh
        run["trades"] += 1
        run["traded_wh"] += energy_wh
        run["gained"] += energy_wh * (bid["price"] - ask["price"] - run["grid_fee"])
        for side in ["bid", "ask"]:
            if states[side]["share_wh"] == 0:
                save(records[side])
                records[side] = None
    for side in ["bid", "ask"]:
        if records[side] is not None:
            save(records[side])
    if not more and run["ties"] == "pro rata" and run["rationed"] != "" and not run["bid"]["again"]:
        fill_again(run)
    elif not more:
        publish(run)
        begin(run, "rest")


def fill_again(run):
    """Orders that go pro rata meet others than those that the walk counted trades of: what is left on both sides at
    the price is filled by time."""
    begin_fill(run)
    run["bid"]["again"] = True
    run["ask"]["again"] = True
    run["extra_wh"] = 0


def foremost(run, side, state, walk, shares, records):
    """Have the order of a side that trades next at hand, with its share; False when all shares are given."""
    if state["share_wh"] == 0:
        if shares is None:
            found = next_share(run, side, state, walk)
        else:
            found = listed_share(state, shares[side])
        if found is None:
            return False
        state["order"] = found[0]
        state["share_wh"] = found[1]
    if records[side] is None:
        record = get("order/" + state["order"])
        record["spare"] = 0
        records[side] = record
    return True


def next_share(run, side, state, walk):
    """The next order of a side and what of it is matched; None at the end of the volume."""
    if state["again"]:
        return next_left(run, side, state, walk)
    while state["given_wh"] < run["volume_wh"]:
        row = next_row(walk)
        if row is None or (side == "ask" and price_at(row[0], side) > run["seller_price"]):
            return None
        state["after"] = row[0]
        energy_wh = min(row[1][0], run["volume_wh"] - state["given_wh"])
        at_margin = run["rationed"] == side and price_at(row[0], side) == state["matched"]
        if at_margin and run["ties"] == "pro rata":
            energy_wh = part_of(run, row[1][0])
            more_wh = min(run["extra_wh"], row[1][0] - energy_wh)
            run["extra_wh"] -= more_wh
            energy_wh += more_wh
        if energy_wh > 0:
            state["given_wh"] += energy_wh
            return [row[0][len(row[0]) - 18 :], energy_wh]
    return None


def next_left(run, side, state, walk):
    """The next order of a side that takes the price, and what is left of it."""
    row = next_row(walk)
    if row is None:
        return None
    price = price_at(row[0], side)
    if (side == "bid" and price < run["price"]) or (side == "ask" and price > run["seller_price"]):
        return None
    state["after"] = row[0]
    energy_wh = order_at(row[0])["remaining_wh"]
    state["given_wh"] += energy_wh
    return [row[0][len(row[0]) - 18 :], energy_wh]


def listed_share(state, shares):
    """The next order that a mechanism named, and what it gave it."""
    while state["number"] < len(shares):
        share = shares[state["number"]]
        state["number"] += 1
        if share[1] > 0:
            return share
    return None


def trade(run, bid, ask, energy_wh, number):
    """One trade between two orders; what they no longer need to hold is given back when they are saved."""
    price = run["price"]
    bid["spare"] += saved(bid["remaining_wh"], energy_wh, bid["price"], price)
    ask["spare"] += saved(ask["remaining_wh"], energy_wh, ask["collateral_price"], ask["collateral_price"])
    bid["remaining_wh"] -= energy_wh
    ask["remaining_wh"] -= energy_wh
    made = new_id() + "-" + pad(number, 3)
    meters = [ask["meter"], bid["meter"]]
    terms = [energy_wh, price, price - run["seller_price"], ask["collateral_price"], "auction"]
    parties = [ask["owner"], bid["owner"]]
    call("settlement", "open_trade", [made, run["interval"]] + meters + parties + terms)
    emit("traded", {"trade": made, "interval": run["interval"], "energy_wh": energy_wh, "price": price})


def save(record):
    give_back(record["owner"], record.pop("spare"))
    if record["remaining_wh"] == 0:
        record["status"] = "filled"
        delete(book_key(record))
    put("order/" + record["id"], record)


def rest(run):
    """Close what was not matched, and forget who stood where."""
    side = run["side"]
    rows = scan(prefix_of(run, side), "", ENDED_MAX)
    for key, row in rows:
        if gas_left() < GAS_RESERVE:
            return
        if side == "side":
            delete(key)
        else:
            end_order(order_at(key), "expired", run.get("failed", "UNMATCHED"))
    if len(rows) < ENDED_MAX:
        if side == "bid":
            run["side"] = "ask"
        elif side == "ask":
            run["side"] = "side"
        else:
            finish(run)


def finish(run):
    """Keep what people ask for later, not how it was found."""
    for name in ["side", "after", "steps", "bid", "ask", "level_wh", "given_wh", "extra_wh", "traded_wh", "gained"]:
        if name in run:
            run.pop(name)
    delete("shares/" + place_of(run))
    run["stage"] = "done"


# ---------------------------------------------------------------------------------- a researcher's mechanism


def ask_mechanism(run):
    """Let another contract say price and shares, and believe nothing of it: limits, sums and orders are checked here.

    If it fails, this call is undone with it, and `rescue` ends the auction without trades.
    """
    bids = orders_of(run, "bid")
    asks = orders_of(run, "ask")
    answer = call(run["mechanism"], "clear", [bids, asks, run["grid_fee"]])
    price = answer["price"]
    net = answer.get("seller_price", price - run["grid_fee"])
    sound = is_int(price) and is_int(net) and 0 <= net and net + run["grid_fee"] <= price
    volume = 0
    if sound:
        volume = shared(answer["bids"], bids, 0 - price, -1)
        sound = volume >= 0 and volume == shared(answer["asks"], asks, net, 1)
    if not sound:
        fail_mechanism(run)
        return
    run["volume_wh"] = volume
    run["low"] = price
    run["high"] = price
    put("shares/" + place_of(run), {"bid": answer["bids"], "ask": answer["asks"]})
    run["bid"] = {"matched": 0, "level_wh": 0}
    run["ask"] = {"matched": 0, "level_wh": 0}
    settle_price(run, price, net)
    begin_fill(run)


def orders_of(run, side):
    """A side's orders, best first: [id, Wh, price]."""
    found = []
    for key, row in scan(prefix_of(run, side), "", MECHANISM_ORDERS_MAX):
        found.append([key[len(key) - 18 :], row[0], price_at(key, side)])
    return found


def shared(shares, orders, limit, sign):
    """The sum of a side's shares, or -1 if one is no order's, too large, named twice, or beyond its price: an ask is
    served at `limit` or below (sign 1), a bid where minus its price is at most `limit` (sign -1)."""
    known = {}
    for order in orders:
        known[order[0]] = order
    total = 0
    for share in shares:
        order = known.pop(share[0], None)
        if order is None or not is_int(share[1]) or share[1] < 0 or share[1] > order[1]:
            return -1
        if sign * order[2] > limit and share[1] > 0:
            return -1
        total += share[1]
    return total


def fail_mechanism(run):
    run["failed"] = "MECHANISM_FAILED"
    emit("mechanism_failed", {"product": run["product"], "interval": run["interval"], "mechanism": run["mechanism"]})
    begin(run, "rest")


# ------------------------------------------------------------------------------------------- common rules


def walk_from(run, side, after):
    return {"prefix": prefix_of(run, side), "after": after, "rows": [], "at": 0}


def next_row(walk):
    """The next order of a side, or None; the book is read page by page."""
    if walk["at"] == len(walk["rows"]):
        walk["rows"] = scan(walk["prefix"], walk["after"], PAGE_ROWS)
        walk["at"] = 0
        if len(walk["rows"]) == 0:
            return None
    row = walk["rows"][walk["at"]]
    walk["at"] += 1
    walk["after"] = row[0]
    return row


def order_at(key):
    return get("order/" + key[len(key) - 18 :])


def price_at(key, side):
    rank = int(key[len(key) - 29 : len(key) - 19])
    if side == "bid":
        return PRICE_MAX - rank
    return rank


def trades_of(meter, interval):
    count = peek("settlement", "count/" + meter + "/" + pad(interval, 10))
    if count is None:
        return 0
    return count


def saved(before_wh, energy_wh, held_price, price):
    """What need no longer be held once `energy_wh` of `before_wh` are traded at `price`: orders hold their sum rounded
    up, trades theirs rounded down."""
    needed = ceil_div((before_wh - energy_wh) * held_price, 1000) + energy_wh * price // 1000
    return ceil_div(before_wh * held_price, 1000) - needed


def give_back(owner, amount):
    if amount > 0:
        call("credit", "release", [owner, amount])


def roles_of(side):
    if side == "ask":
        return ["seller", "prosumer"]
    return ["buyer", "prosumer"]


def new_id():
    return pad(block_height(), 12) + "-" + pad(tx_index(), 5)


def is_digest(text):
    if len(text) != 64:
        return False
    for char in text:
        if char not in "0123456789abcdef":
            return False
    return True


def place_of(run):
    return run["product"] + "/" + pad(run["interval"], 10)


def run_key(product, interval):
    return "run/" + product + "/" + pad(interval, 10)


def prefix_of(run, side):
    return side + "/" + place_of(run) + "/"


def rank_of(side, price):
    if side == "bid":
        return pad(PRICE_MAX - price, 10)
    return pad(price, 10)


def level_prefix(run):
    return prefix_of(run, run["rationed"]) + rank_of(run["rationed"], run[run["rationed"]]["matched"]) + "/"


def book_key(record):
    place = record["product"] + "/" + pad(record["interval"], 10) + "/"
    return record["side"] + "/" + place + rank_of(record["side"], record["price"]) + "/" + record["id"]
